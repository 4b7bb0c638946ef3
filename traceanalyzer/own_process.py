"""Processes that are ours alone, the command and its workers: how they start, before numpy and Arrow are loaded."""

from __future__ import annotations

import os
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def worker_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules in a process of its own.

    Python would look for every import in the working directory first, and that is where untrusted traces lie, with
    whatever else was unpacked beside them.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def start_light() -> None:
    """Leave out what costs half a second of CPU and serves nothing here.

    numpy's BLAS starts threads that wait busily for matrices. Arrow imports pandas on the first array, to recognise
    pandas' own types; it asks once in a process, and afterwards pandas can be imported as ever. In a user's process
    this has no place: there Arrow would take a Series for any sequence.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "pandas" in sys.modules:
        return
    without = _WithoutPandas()
    sys.meta_path.insert(0, without)
    try:
        import pyarrow as pa

        pa.array([0])
    finally:
        sys.meta_path.remove(without)


class _WithoutPandas(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)
        return None
