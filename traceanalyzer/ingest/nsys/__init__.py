"""Nsight Systems exports (2021 to 2026) → the common event model.

What a file holds is told by its tables and columns, never by a version number. NVIDIA documents them in "SQLite Schema
Reference" of the Nsight Systems user guide.
"""
