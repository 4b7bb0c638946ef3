"""Kineto Chrome traces, in three rooms: layout (bytes → events' text), decoder (text → columns of text),
mapper (columns → tables). `read.py` walks through them; `worker.py` does its share in another process.
"""
