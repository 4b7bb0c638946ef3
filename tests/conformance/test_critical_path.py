"""The critical path against HTA 0.5.0's (`critical_path_analysis`, on the same range of the same files).

HTA weighs nodes by operators and takes what lies between two top-level operators for nothing; its path begins with
the first event of the range and ends with the last. A replay counts that time as work of the host: its path fills
the range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.analyzers.replay.graph import build
from traceanalyzer.analyzers.replay.together import Replayed, replay
from traceanalyzer.analyzers.results import Step, Steps

from .corpus import hta_answers, load, needs_corpus

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace

US = 1_000


def _range(trace: Trace, name: str, instance: int) -> Steps:
    """The range that HTA was asked about, as the only step."""
    rows = [
        r for r in trace.annotations.select(["name", "ts", "dur", "on_gpu"]).to_pylist() if r["name"] == name
    ]
    row = [r for r in rows if not r["on_gpu"]][instance]
    start, end = row["ts"], row["ts"] + row["dur"]
    return Steps("annotation", (Step(0, name, 0, start, end, start, end, end),), end - start)


def _both(name: str) -> tuple[dict[str, Any], Replayed]:
    hta = hta_answers(name)["critical_path"]["result"]
    trace = load(name)
    steps = _range(trace, hta["annotation"], hta["instance"])
    return hta, replay([build(trace, HostActivity.of(trace), steps.steps, 0, 0)])


@needs_corpus
def test_where_the_host_waits_for_the_device_the_paths_are_the_same() -> None:
    hta, replayed = _both("a100_alexnet_sync")
    path, bound = replayed.critical_path(), hta["us_by_bound"]
    assert path["compute"] + path["copy"] == bound["gpu_compute_bound"] * US
    assert path["launch"] == bound["gpu_kernel_launch_overhead"] * US
    event_wait = (
        1 * US
    )  # stream 7 goes on that much after the event of stream 20; HTA weighs such edges nothing
    assert path["stream"] == bound["gpu_kernel_kernel_overhead"] * US + event_wait
    # what HTA leaves out is the host's: between operators, before the first and after the last event of the range
    left_out = replayed.courses[0].total_ns - hta["path_total_us"] * US - event_wait
    assert path["host"] + path["synchronisation"] == bound["cpu_bound"] * US + left_out


@needs_corpus
def test_where_the_device_was_done_before_the_host_asked_the_path_is_the_host_s() -> None:
    """HTA ends its path with the kernels, as waiting for them costs its path less than the operators it left out.

    The last kernel ended before the synchronising call began: it held nothing up, and making it faster saves nothing.
    """
    hta, replayed = _both("a100_simple_add")
    assert hta["us_by_bound"]["gpu_compute_bound"] > 0
    graph = replayed.courses[0].graph
    last_call = int(graph.calls.syncs.nonzero()[0][-1])
    assert graph.works.end.max() < graph.calls.start[last_call]
    path = replayed.critical_path()
    assert path["host"] == replayed.courses[0].total_ns
