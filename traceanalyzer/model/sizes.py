"""Bytes in a sentence."""

from __future__ import annotations


def size(nbytes: int) -> str:
    """Three significant digits in powers of 1024: 1.19 GiB, 62.0 MiB, 512 B."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(nbytes) >= scale:
            value = nbytes / scale
            return f"{value:.{max(0, 3 - len(str(int(abs(value)))))}f} {unit}"
    return f"{nbytes} B"
