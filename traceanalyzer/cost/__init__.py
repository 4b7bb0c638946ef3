"""What an op must compute and move: FLOPs and bytes from shapes, by one formula per op."""
