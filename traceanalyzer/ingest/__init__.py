"""Bytes → trace: `inputs.py` finds the reader of each file, one package or module per format.

Nothing is imported here, so that a worker process of one format does not load the others.
"""
