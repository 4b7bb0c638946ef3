"""What to show beside a gap: the host call that filled it and the line of Python it came from.

Whatever fills at least half of a stretch of time contains its midpoint, so it is found among the rows that
are open there: no search, however long the trace. Lines of Python, which change quickly, are told by a few
evenly spaced samples.
"""

from __future__ import annotations

import re
import sys
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.steps import PROFILER_STEP
from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.host import HostActivity, HostRows
    from traceanalyzer.model.trace import Trace

INSTALLED = re.compile(r"(^|/)(site-packages|dist-packages)/")
# The profiler cuts installation prefixes off, so a path may begin with the name of the package.
CORE = frozenset({"torch", "torchvision", "torchaudio", "triton", "functorch", "numpy"})
PACKAGES = re.compile(
    r"(PIL|accelerate|apex|bitsandbytes|cv2|datasets|deepspeed|diffusers|einops|flash_attn|flashinfer|hydra|ignite"
    r"|keras|lightning|megatron|numba|omegaconf|pandas|peft|pytorch_lightning|scipy|sentence_transformers|sglang"
    r"|skimage|sklearn|tensorboard|timm|tokenizers|tqdm|transformer_engine|transformers|trl|vllm|wandb|xformers)"
)
SAMPLES = 15
PYTHON = re.compile(r"(^|/)lib/python3[^/]*/(?!site-packages|dist-packages)|^<")


@cache
def origin(path: str) -> str:
    """Whose code a source file is: `user`, `package` (installed) or `core` (Python and PyTorch)."""
    if PYTHON.search(path):
        return "core"
    installed = INSTALLED.search(path)
    top = path[installed.end() if installed else 0 :].split("/", 1)[0].removesuffix(".py")
    if top in CORE or top in sys.stdlib_module_names:
        return "core"
    return "package" if installed or PACKAGES.fullmatch(top) else "user"


def is_user_file(path: str) -> bool:
    """Whether a source file is the user's own code."""
    return origin(path) == "user"


class Evidence:
    """Answers questions about single moments of a linked trace; made once, asked for the few largest gaps."""

    def __init__(self, trace: Trace, host: HostActivity) -> None:
        self.trace, self.host = trace, host
        self._threads: dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def host_call(self, thread: int, start: int, end: int) -> str | None:
        """What the thread did for at least half of the time: API call, else op, else annotation."""
        middle = (start + end) // 2
        parts = (
            self._calls_at(thread, middle),
            self._chain(self.host.ops, self._ops_parent, thread, middle),
            self._annotations_at(thread, middle),
        )
        for rows, open_rows in zip(
            (self.host.api_calls, self.host.ops, self.host.annotations), parts, strict=True
        ):
            for row in open_rows:
                name = rows.name(row)
                if name and not PROFILER_STEP.fullmatch(name) and _fills_half(rows, row, start, end):
                    return name
        return None

    def python_line(self, thread: int, start: int, end: int) -> str | None:
        """file:line of the innermost frame of the user for most of the time, by evenly spaced samples.

        Where no frame is the user's, the innermost one in an installed package.
        """
        moments = [start + (2 * i + 1) * (end - start) // (2 * SAMPLES) for i in range(SAMPLES)]
        lines = [line for line in (self._line_at(thread, time) for time in moments) if line is not None]
        return max(lines, key=lines.count) if lines else None

    def wait_at(self, thread: int, time: int) -> tuple[str | None, str | None]:
        """The wait or pageable copy that the thread was inside at that moment, and the user's line for it."""
        waits = (row for row in self._calls_at(thread, time) if self.host.waits[row] or self.host.copies[row])
        row = next(waits, None)
        return (None, None) if row is None else (self.host.api_calls.name(row), self._line_at(thread, time))

    def _line_at(self, thread: int, time: int) -> str | None:
        codes, paths = self._files
        in_package = None
        for row in self._chain(self.host.python_calls, self._python_parent, thread, time):
            code = int(codes[row])
            if code < 0:
                continue
            if is_user_file(paths[code]):
                return f"{paths[code]}:{self._lines[row]}"
            if in_package is None and origin(paths[code]) == "package":
                in_package = f"{paths[code]}:{self._lines[row]}"
        return in_package

    def _calls_at(self, thread: int, time: int) -> Iterator[int]:
        rows, starts = self._of_thread("api_calls", thread)
        last = int(np.searchsorted(starts, time, side="right"))
        # A runtime call holds at most a few driver calls, so the open ones are among the last few.
        for row in rows[max(0, last - 8) : last][::-1].tolist():
            if self.host.api_calls.end[row] > time:
                yield row

    def _annotations_at(self, thread: int, time: int) -> Iterator[int]:
        rows, starts = self._of_thread("annotations", thread)
        yield from rows[(starts <= time) & (self.host.annotations.end[rows] > time)][::-1].tolist()

    def _chain(self, table: HostRows, parent: NDArray[np.int64], thread: int, time: int) -> Iterator[int]:
        """The rows open at a time, innermost first, by their links to the rows around them."""
        rows, starts = self._of_thread("ops" if table is self.host.ops else "python_calls", thread)
        last = int(np.searchsorted(starts, time, side="right")) - 1
        row = int(rows[last]) if last >= 0 else -1
        while row >= 0:
            if table.end[row] > time:
                yield row
            row = int(parent[row])

    def _of_thread(self, table: str, thread: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of a thread and their starts, ascending."""
        key = (table, thread)
        if key not in self._threads:
            of_host: HostRows = getattr(self.host, table)
            rows = np.flatnonzero(of_host.thread == thread)
            self._threads[key] = rows, of_host.start[rows]
        return self._threads[key]

    @cached_property
    def _ops_parent(self) -> NDArray[np.int64]:
        return ints(self.trace.ops, "parent")

    @cached_property
    def _python_parent(self) -> NDArray[np.int64]:
        return ints(self.trace.python_calls, "parent")

    @cached_property
    def _files(self) -> tuple[NDArray[np.int32], list[str]]:
        return texts(self.trace.python_calls, "file")

    @cached_property
    def _lines(self) -> NDArray[np.int64]:
        return ints(self.trace.python_calls, "line")


def text_at(table: pa.Table, column: str, row: int) -> str | None:
    """One cell of a text column."""
    value = table.column(column)[row].as_py()
    return None if value is None else str(value)


def _fills_half(rows: HostRows, row: int, start: int, end: int) -> bool:
    inside = min(int(rows.end[row]), end) - max(int(rows.start[row]), start)
    return 2 * inside >= end - start
