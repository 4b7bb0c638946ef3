"""`.ncu-rep` through NVIDIA's `ncu_report` module, the extra `ncu`: neither a GPU nor ncu is needed.

The module is a binary of NVIDIA's with a licence of its own, so it is optional. It is run in a process of its own,
`python -m traceanalyzer.ingest.ncu.report FILE`: a file that brings it down is an error, not the end of everything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from traceanalyzer.errors import InputError
from traceanalyzer.own_process import worker_command
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHAPE = {
    "grid": ("launch__grid_dim_x", "launch__grid_dim_y", "launch__grid_dim_z"),
    "block": ("launch__block_dim_x", "launch__block_dim_y", "launch__block_dim_z"),
}
_IDS = {"stream": "launch__stream_id", "context": "launch__context_id"}


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("ncu_report") is not None


def report_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of `kernel_metrics`: every number that was measured, and what the rules say.

    Raises:
        InputError: the module cannot read the file.
    """
    command = worker_command(__name__, str(path))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise InputError(
            path, say("cannot be read by NVIDIA's ncu_report"), say("Write the report again with ncu -o.")
        )
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def _all_rows(path: str) -> list[dict[str, Any]]:
    import ncu_report

    report = ncu_report.load_report(path)
    ranges = [report.range_by_idx(i) for i in range(report.num_ranges())]
    actions = [found.action_by_idx(i) for found in ranges for i in range(found.num_actions())]
    return [row for number, action in enumerate(actions) for row in _rows(number, action)]


def _rows(number: int, action: Any) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = {
        "rank": 0,
        "launch": number,
        "name": action.name(action.NameBase_DEMANGLED),
        **{column: _shape(action, names) for column, names in _SHAPE.items()},
        **{column: _whole(action, name) for column, name in _IDS.items()},
    }
    for name in sorted(action.metric_names()):
        metric = action.metric_by_name(name)
        value = metric.value()
        if isinstance(value, int | float):
            yield {**common, "metric": name, "unit": metric.unit() or None, "value": float(value)}
    for result in action.rule_results_as_dicts():
        message = result.get("rule_message") or {}
        text = message.get("message") if isinstance(message, dict) else None
        yield {**common, "rule": result["rule_identifier"], "text": text or None}


def _shape(action: Any, names: tuple[str, ...]) -> list[int] | None:
    sizes = [_whole(action, name) for name in names]
    return None if None in sizes else [size for size in sizes if size is not None]


def _whole(action: Any, name: str) -> int | None:
    metric = action.metric_by_name(name)
    value = metric.value() if metric is not None else None
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**31 else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_all_rows(sys.argv[1])))
