"""The tables of `nsys stats` and the rules of `nsys analyze`, from any trace."""
