"""Whatever several ranks recorded, replaying them together moves nothing that was not changed, and never gets stuck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from linked import US, Linked

from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.analyzers.replay.fixes import RULES
from traceanalyzer.analyzers.replay.graph import build
from traceanalyzer.analyzers.replay.ranks import Replay, replayable
from traceanalyzer.analyzers.replay.together import replay
from traceanalyzer.analyzers.replay.whatif import what_if
from traceanalyzer.analyzers.steps import StepsAnalyzer
from traceanalyzer.errors import UsageError

if TYPE_CHECKING:
    from traceanalyzer.analyzers.results import Steps
    from traceanalyzer.model.trace import Trace


@dataclass(frozen=True)
class Turn:
    """What one rank does up to a collective: host work, a kernel (µs), and what is odd about its part."""

    host: int
    kernel: int
    oddity: str


ODDITIES = ("missing", "twice", "no arguments", "ends late", "ends much later", "waits on the host")
TURN = st.builds(Turn, st.integers(1, 300), st.integers(1, 300), st.sampled_from(("",) * 20 + ODDITIES))
KINDS = ("allreduce", "_allgather_base", "broadcast", "send")


@st.composite
def jobs(draw: st.DrawFn) -> Linked:
    """Up to four ranks that run the same collectives, each with its own clock and its own oddities."""
    ranks = draw(st.integers(1, 4))
    told = draw(st.sampled_from((ranks, ranks, 0, 5))), draw(st.booleans())
    rows, host, device = Linked(), [0.0] * ranks, [0.0] * ranks
    clock = [draw(st.integers(0, 10_000)) for _ in range(ranks)]
    begin = [draw(st.integers(0, 500)) for _ in range(ranks)]
    steps = draw(st.integers(1, 3))
    for step in range(steps):
        first = [max(h, b) for h, b in zip(host, begin, strict=True)]
        host = [f + 1 for f in first]
        for place in range(draw(st.integers(1, 4))):
            turns = [draw(TURN) for _ in range(ranks)]
            kind = draw(st.sampled_from(KINDS))
            _together(rows, turns, kind, (step * 4 + place, *told), clock, host, device)
        for rank in range(ranks):
            end = max(host[rank], device[rank]) + 5
            rows.call("cudaDeviceSynchronize", clock[rank] + host[rank] + 1, clock[rank] + end, rank=rank)
            rows.step(step, clock[rank] + first[rank], clock[rank] + end + 1, rank=rank)
            host[rank] = end + 2
    return rows


def _together(
    rows: Linked, turns: list[Turn], kind: str, told: tuple[int, int, bool], clock: list[int],
    host: list[float], device: list[float],
) -> None:  # fmt: skip
    """One collective of all ranks: it ends for all when the last has come and 40 µs are over."""
    starts = []
    for rank, turn in enumerate(turns):
        called = host[rank] + turn.host
        start = max(called + 4, device[rank] + 1)
        rows.launch(
            "gemm", clock[rank] + called, clock[rank] + start, clock[rank] + start + turn.kernel, rank=rank
        )
        host[rank], device[rank] = called + 3, start + turn.kernel
        starts.append(max(host[rank] + 4, device[rank] + 1))
    ready = max(s for s, turn in zip(starts, turns, strict=True)) + 40
    for rank, (turn, start) in enumerate(zip(turns, starts, strict=True)):
        if turn.oddity == "missing":
            continue
        end = ready + {"ends late": 20, "ends much later": 900}.get(turn.oddity, 0)
        for again in range(2 if turn.oddity == "twice" else 1):
            begun, ended = start + again * (end - start + 1), end + again * 10
            _part(rows, rank, kind, told, turn, (clock[rank], host[rank], begun, ended))
            host[rank], device[rank] = host[rank] + 3, ended
        if turn.oddity == "waits on the host":
            rows.call(
                "cudaStreamSynchronize", clock[rank] + host[rank], clock[rank] + device[rank] + 3, rank=rank
            )
            host[rank] = device[rank] + 4


def _part(
    rows: Linked, rank: int, kind: str, told: tuple[int, int, bool], turn: Turn,
    at: tuple[float, float, float, float],
) -> None:  # fmt: skip
    seq, size, numbered = told
    clock, called, start, end = at
    name = f"ncclDevKernel_{kind}"
    kernel = rows.launch(name, clock + called, clock + start, clock + end, rank=rank)
    if turn.oddity != "no arguments":
        arguments: dict[str, Any] = {"collective": kind, "group": "0", "group_size": size or None}
        rows.add("collectives", name, clock + start, clock + end, rank=rank, on_gpu=True, kernel=kernel,
                 seq=seq if numbered else None, **arguments)  # fmt: skip


def of(rows: Linked) -> tuple[Trace, Steps, Replay]:
    trace = rows.trace()
    steps = StepsAnalyzer().analyze(trace, {})
    return trace, steps, Replay.of(trace, steps, replayable(trace, steps))


@settings(max_examples=150)
@given(jobs())
def test_unchanged_every_rank_takes_as_long_as_by_itself(rows: Linked) -> None:
    trace, steps, together = of(rows)
    for course in together.unchanged.courses:
        own = [s for s in steps.steps if s.rank == course.graph.rank]
        alone = replay([build(trace, HostActivity.of(trace), own, 0, len(own) - 1)]).courses[0]
        assert course.work_end == alone.work_end == course.graph.works.end.tolist()
        assert course.call_end == alone.call_end
        assert course.total_ns == course.graph.measured_ns
        assert course.graph.gap.tolist() == alone.graph.gap.tolist()


@settings(max_examples=150)
@given(jobs())
def test_all_ranks_come_to_their_collectives_in_one_order(rows: Linked) -> None:
    together = of(rows)[2]
    met = [g.meeting[g.meeting >= 0] for g in together.graphs]
    assert all((np.diff(numbers) > 0).all() for numbers in met)
    members = together.meetings.members
    assert all(number in met[member] for number, of_it in enumerate(members) for member in of_it)
    assert sum(map(len, met)) == sum(map(len, members)) == together.meetings.kernels
    assert all(len(of_it) > 1 for of_it in members)
    for graph in together.graphs:
        joined = graph.meeting >= 0
        assert (graph.duration[joined] <= (graph.works.end - graph.works.start)[joined]).all()


@settings(max_examples=100)
@given(jobs(), st.sampled_from([*RULES, "COMM003", "gemm", "nccl*"]), st.booleans())
def test_what_goes_away_makes_nothing_longer(rows: Linked, asked: str, one: bool) -> None:
    trace, steps, together = of(rows)
    rank = together.ranks[-1] if one else None
    change: tuple[list[str], list[tuple[str, float]]] = (
        ([asked], []) if asked.isupper() else ([], [(asked, 3.0)])
    )
    try:
        result = what_if(trace, steps, *change, rank)
    except UsageError:
        return
    assert result.distrust is not None or result.together is not None
    for outcome in result.changes:
        assert 0 <= outcome.step_ns[0] <= outcome.step_ns[1] <= result.measured_ns + US
        assert all(ns >= 0 for ns in outcome.path.values())
