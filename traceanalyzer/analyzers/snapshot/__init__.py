"""What memory snapshots tell: who holds memory, what grows, where it lies, and why it ran out."""
