"""What ran on the host: CUDA API calls, calls into the operating system, samples, and the profiler's own overhead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.ingest.nsys.build import ABSENT, Build
from traceanalyzer.ingest.nsys.processes import on_thread
from traceanalyzer.ingest.nsys.stacks import SAMPLES, SYSTEM_CALLS
from traceanalyzer.model.columns import text_column
from traceanalyzer.model.join import first_match

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.ingest.nsys.database import Rows, Strings, Tables
    from traceanalyzer.ingest.nsys.processes import Ranks
    from traceanalyzer.ingest.nsys.stacks import Stacks

_DRIVER, _SYSTEM_CALL, _BACKTRACE = 1, 27, 67
"""ENUM_NSYS_EVENT_CLASS."""
_STATES = ["Unknown", "Running", "Interruptible", "Uninterruptible", "Stopped", "Terminated", "Unscheduled", "Waiting",
           "OS runtime", "Initialized", "Transition"]  # fmt: skip
"""ENUM_SAMPLING_THREAD_STATE."""
_VERSION = re.compile(r"(_pts[dz])?_v\d{4,}(_pts[dz])?$|_pts[dz]$")


def plain_name(symbol: str) -> str:
    """The API function without the version of its symbol: cudaLaunchKernel_ptsz_v7000 is cudaLaunchKernel."""
    return _VERSION.sub("", symbol)


def add_api_calls(database: Tables, strings: Strings, ranks: Ranks, build: Build) -> None:
    """CUPTI_ACTIVITY_KIND_RUNTIME: runtime and driver. A second record of a call, for its backtrace, is left out."""
    columns = ("start", "end", "eventClass", "globalTid", "correlationId", "nameId", "returnValue")
    rows = database.read("CUPTI_ACTIVITY_KIND_RUNTIME", columns)
    rows = rows.where(~_repeated(rows))
    build.used_threads.append(np.unique(rows.ints("globalTid")))
    names = strings.of(rows.ints("nameId"))
    kind = rows.ints("eventClass")
    layer = np.where(kind < 0, -1, kind == _DRIVER)
    correlation = rows.ints("correlationId", ABSENT)
    mine = ranks.owns_device_work(rows.ints("globalTid"))
    build.add(
        "api_calls",
        {
            **on_thread(rows, ranks),
            "name": _renamed(names),
            "layer": text_column(layer, ["runtime", "driver"]),
            # without device work there is nothing to join, and ids are counted per process
            "correlation": np.where(mine, correlation, ABSENT),
            "return_value": rows.ints("returnValue", ABSENT),
        },
    )


def _repeated(rows: Rows) -> NDArray[np.bool_]:
    again: NDArray[np.bool_] = rows.ints("eventClass") == _BACKTRACE
    if not again.any():
        return again
    keys = [rows.ints(c) for c in ("globalTid", "correlationId")]
    found = first_match([k[again] for k in keys], [k[~again] for k in keys]) >= 0
    again[again] = found
    return again


def _renamed(names: pa.DictionaryArray) -> pa.DictionaryArray:
    plain: dict[str, int] = {}
    codes = [plain.setdefault(plain_name(n), len(plain)) for n in names.dictionary.to_pylist()]
    own = np.asarray(names.indices.fill_null(-1))
    return text_column(np.array([*codes, -1])[own], list(plain))


def add_system_calls(database: Tables, strings: Strings, stacks: Stacks, ranks: Ranks, build: Build) -> None:
    """OSRT_API: calls into the C library that took long, and who made those that took longer."""
    _add_others("OSRT_API", "osrt", database, strings, ranks, build, stacks)


def add_samples(database: Tables, stacks: Stacks, ranks: Ranks, build: Build) -> None:
    """COMPOSITE_EVENTS: what threads were running when the CPU was sampled."""
    rows = database.read("COMPOSITE_EVENTS", ("id", "start", "cpu", "threadState", "globalTid"))
    build.used_threads.append(np.unique(rows.ints("globalTid")))
    thread = on_thread(rows, ranks)
    del thread["dur"]
    state = rows.ints("threadState")
    build.add(
        "samples",
        {
            **thread,
            "cpu": rows.ints("cpu", ABSENT),
            "state": text_column(np.where(state < len(_STATES), state, -1), _STATES),
            "stack": stacks.of(SAMPLES, rows.ints("id")),
        },
    )


def add_overhead(database: Tables, strings: Strings, ranks: Ranks, build: Build) -> None:
    """PROFILER_OVERHEAD: time that the profiler took for itself."""
    _add_others("PROFILER_OVERHEAD", "overhead", database, strings, ranks, build)


def _add_others(
    table: str,
    category: str,
    database: Tables,
    strings: Strings,
    ranks: Ranks,
    build: Build,
    stacks: Stacks | None = None,
) -> None:
    rows = database.read(table, ("start", "end", "globalTid", "nameId", "eventClass", "callchainId"))
    # the others are notices such as "profiling started"
    rows = rows.where(np.isin(rows.ints("eventClass", _SYSTEM_CALL), [_SYSTEM_CALL]))
    build.used_threads.append(np.unique(rows.ints("globalTid")))
    columns = {**on_thread(rows, ranks), "name": strings.of(rows.ints("nameId")), "category": category}
    if stacks is not None:
        columns["stack"] = stacks.of(SYSTEM_CALLS, rows.ints("callchainId"))
    build.add("others", {**columns, "phase": "X"})
