"""Kineto Chrome traces.

Three rooms: layout (bytes → the text of events), decoder (text → columns of text), mapper (columns → tables).
`read.py` walks through them; `worker.py` does its share in another process.
"""
