"""How to read: limits against hostile files, and whether to use the cache."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Limits are on what a compressed file inflates to.

    Attributes:
        use_cache: read and write the user's cache of ingested tables.
        max_inflated_bytes: stop with an error beyond this size.
        max_ratio: stop with an error when a file inflates by more than this factor. Real traces compress 10 to
            60 times; deflate cannot do better than about 1032.
        workers: processes that parse; None means one per core, at most 4.
    """

    use_cache: bool = True
    max_inflated_bytes: int = 64 << 30
    max_ratio: float = 300.0
    workers: int | None = None
