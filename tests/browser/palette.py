"""Pictures of pages as PNG with a palette: few colours are in them, and a third of the bytes does."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def write(picture: bytes, path: Path) -> None:
    """A screenshot, as Playwright gives it, to a file."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    few = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
