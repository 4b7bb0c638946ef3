"""The replay of several ranks together on hand-written traces: who waits for whom, and what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from tests.linked import US, Linked
from traceanalyzer.analyzers import run_analyzers, thresholds
from traceanalyzer.analyzers.replay.ranks import Replay, replayable
from traceanalyzer.analyzers.replay.straggler import straggler
from traceanalyzer.analyzers.replay.whatif import WhatIf, what_if
from traceanalyzer.analyzers.steps import StepsAnalyzer
from traceanalyzer.errors import UsageError
from traceanalyzer.model.by_rank import by_rank
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.rules.findings import Finding
from traceanalyzer.rules.savings import with_savings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from traceanalyzer.model.trace import Trace

ALL_REDUCE = "ncclDevKernel_AllReduce"


def collective(
    rows: Linked, rank: int, called: float, start: float, end: float, **arguments: Any
) -> dict[str, Any]:
    """A communication kernel on a stream of its own, and its arguments: of a group of ranks 0 and 1 unless told."""
    name = arguments.pop("name", ALL_REDUCE)
    kernel = rows.launch(name, called, start, end, rank=rank, stream=20)
    told = {"collective": "allreduce", "group": "0", "group_size": 2, "group_ranks": "[0, 1]", **arguments}
    rows.add("collectives", name, start, end, rank=rank, on_gpu=True, kernel=kernel, **told)
    return kernel


def late(waits: int = 0, works: int = 1, clock: float = 0, **arguments: Any) -> Linked:
    """One step of two ranks: one `works` 195 µs longer on its host before the collective, where the other `waits`.

    The clock of the one that works is ahead by `clock` µs. The transfer takes 64 µs.
    """
    rows = Linked()
    for rank, busy, ahead in ((waits, 0, 0.0), (works, 195, clock)):
        rows.step(1, ahead, ahead + 380, rank=rank)
        if busy:
            rows.annotation("load", ahead + 1, ahead + 196, rank=rank)
        rows.launch("gemm", ahead + 5 + busy, ahead + 10 + busy, ahead + 60 + busy, rank=rank)
        collective(rows, rank, ahead + 8 + busy, ahead + 61 + busy, ahead + 320, seq=1, **arguments)
        rows.call("cudaDeviceSynchronize", ahead + 25 + busy, ahead + 331, rank=rank)
    return rows


def asked(rows: Linked, *remove: str, rank: int | None = None, **speedup: float) -> WhatIf:
    trace = rows.trace()
    return what_if(trace, StepsAnalyzer().analyze(trace, {}), remove, [*speedup.items()], rank)


def step_us(result: WhatIf) -> float:
    assert result.together is not None
    return result.together.step_ns[0] / US


def joined(rows: Linked, ranks: Sequence[int] = (0, 1)) -> Replay:
    trace = rows.trace()
    return Replay.of(trace, StepsAnalyzer().analyze(trace, {}), ranks)


def notes(result: WhatIf) -> str:
    return " ".join(result.notes)


def test_what_makes_the_last_rank_faster_makes_all_of_them_faster() -> None:
    result = asked(late(), "load")
    assert result.ranks == (0, 1)
    assert (result.measured_ns, step_us(result)) == (380 * US, 380 - 195)
    assert "1 collective begins when the last of its ranks has come, and ends for all of them" in notes(
        result
    )


def test_what_makes_a_rank_faster_that_waits_anyway_saves_nothing() -> None:
    assert step_us(asked(late(), rank=0, gemm=2.0)) == 380
    assert "on rank 0 alone" in notes(asked(late(), rank=0, gemm=2.0))
    assert step_us(asked(late(), rank=1, gemm=2.0)) == 380 - 25


@pytest.mark.parametrize(("waits", "works"), [(0, 1), (1, 0)])
def test_the_straggler_works_like_the_others(waits: int, works: int) -> None:
    result = asked(late(waits, works), "COMM003")
    (outcome,) = result.changes
    assert outcome.step_ns == (185 * US, pytest.approx((380 - 195 / 2) * US, abs=US))


def test_a_straggler_with_a_slow_gpu_works_like_the_others() -> None:
    rows = Linked()
    for rank, times in ((0, 1), (1, 3)):
        rows.step(1, 0, 30, rank=rank)
        rows.launch("gemm", 5, 10, 10 + 100 * times, rank=rank)
        rows.launch("relu", 8, 10 + 100 * times, 10 + 101 * times, rank=rank)
        collective(rows, rank, 12, 11 + 101 * times, 400, seq=1)
    assert step_us(asked(rows, "COMM003")) == 400 - 202


def test_the_clocks_of_ranks_need_not_agree() -> None:
    told = [asked(late(clock=clock), "load", gemm=2.0) for clock in (0, 7_000)]
    assert told[0].changes == told[1].changes


def test_a_faster_collective_saves_of_the_transfer_and_not_of_the_wait() -> None:
    assert step_us(asked(late(), **{ALL_REDUCE: 2.0})) == 380 - 32


def test_the_critical_path_goes_on_at_the_rank_that_came_last() -> None:
    path = asked(late()).path
    assert sum(path.values()) == 380 * US
    assert path["communication"] == 64 * US
    assert path["compute"] == 50 * US


def test_a_collective_that_one_rank_leaves_out_does_not_wait_for_it() -> None:
    rows = late()
    rows.annotation("all_reduce", 202, 205.5, rank=1)
    assert (
        step_us(asked(rows, "all_reduce", rank=1)) == 255 + 11 + 49
    )  # its own work, the way back, what follows


def test_without_the_trace_of_a_partner_communication_is_as_recorded() -> None:
    result = asked(late(group_size=3, group_ranks="[0, 1, 2]"), gemm=2.0)
    assert (result.ranks, step_us(result)) == ((0,), 380 - 25)
    assert "other ranks are taken to do what they did" in notes(result)


def test_pairs_that_send_and_receive_are_no_collective() -> None:
    assert asked(late(collective="send", name="ncclDevKernel_SendRecv")).ranks == (0,)
    assert asked(late(collective="all_to_allv", name="ncclDevKernel_SendRecv")).ranks == (0, 1)


def test_where_no_arguments_were_recorded_all_ranks_are_taken_to_take_part() -> None:
    rows = late()
    rows.rows["collectives"].clear()
    result = asked(rows, "load")
    assert (result.ranks, step_us(result)) == ((0, 1), 380 - 195)
    assert "Which ranks take part was not recorded" in notes(result)


def sent(*sizes: int, received: Sequence[int] | None = None, **arguments: Any) -> Linked:
    """Rank 0 sends these to rank 1, each 500 µs after the one before; the receiver comes 100 µs early."""
    rows = Linked()
    for rank, kind, peer, early in ((0, "send", "dst_rank", 0), (1, "recv", "src_rank", 100)):
        elements = sizes if rank == 0 or received is None else received
        rows.step(1, 0, 500 * len(sizes) + 20, rank=rank)
        for number, size in enumerate(elements):
            at = 500 * number + 200 - early
            told = {
                "collective": kind,
                peer: 1 - rank,
                "out_elements": size,
                "seq": 10 * rank + number,
                **arguments,
            }
            collective(rows, rank, at - 10, at, 500 * number + 250, name="ncclDevKernel_SendRecv", **told)
    return rows


def test_a_message_goes_when_its_sender_and_its_receiver_have_come() -> None:
    run = joined(sent(4, 8, 4))
    assert run.meetings.members == ((0, 1),) * 3
    assert (len(run.meetings.sent), run.meetings.apart) == (3, 0)
    assert [g.duration.tolist() for g in run.graphs] == [[50 * US] * 3] * 2


@pytest.mark.parametrize("received", [(4, 8), (4, 8, 8)], ids=["fewer", "another size"])
def test_messages_of_which_the_two_ranks_tell_different_things_are_not_paired(
    received: tuple[int, ...],
) -> None:
    assert joined(sent(4, 8, 4, received=received)).ranks == (0,)


def test_messages_of_different_process_groups_are_not_paired() -> None:
    rows = sent(4)
    rows.rows["collectives"][0]["group"] = "other"
    assert joined(rows).ranks == (0,)


def test_sequence_numbers_tell_what_belongs_together_where_a_recording_begins_later() -> None:
    rows = late()
    collective(rows, 0, 1, 2, 4, seq=0)
    result = asked(rows, "load")
    assert (result.ranks, step_us(result)) == ((0, 1), 380 - 195)
    assert "1 communication kernel keeps its recorded duration" in notes(result)


def test_without_them_unequal_numbers_cannot_be_matched() -> None:
    rows = late()
    collective(rows, 0, 1, 2, 4)
    for row in rows.rows["collectives"]:
        row["seq"] = None
    assert asked(rows).ranks == (0,)


def test_what_ended_on_one_rank_before_it_began_on_the_other_is_no_collective_of_both() -> None:
    rows = Linked()
    for rank in (0, 1):
        rows.step(1, 0, 5_000, rank=rank)
        for seq in range(3):
            moved = 400 * (rank == 1 and seq == 2)
            collective(rows, rank, 10 + 900 * seq, 15 + 900 * seq + moved, 90 + 900 * seq + moved, seq=seq)
    run = joined(rows)
    assert (len(run.meetings.members), run.meetings.apart) == (2, 2)


def in_two_groups_each() -> Linked:
    """Ranks 0 and 1, then 2 and 3 reduce; then 0 with 2, and 1 with 3. Rank 3 is 500 µs late: in the end for all."""
    rows = Linked()
    for rank, (first, second) in enumerate((("01", "02"), ("01", "13"), ("23", "02"), ("23", "13"))):
        late, began = 500 * (rank == 3), 500 * (rank >= 2)
        rows.step(1, 0, 700, rank=rank)
        rows.annotation("load", 0.5, 0.5 + late, rank=rank)
        collective(rows, rank, 2 + late, 6 + late, 50 + began, group=first, group_ranks=first, seq=1)
        collective(rows, rank, 4 + late, 52 + began, 600, group=second, group_ranks=second, seq=1)
        rows.call("cudaDeviceSynchronize", 8 + late, 602, rank=rank)
    return rows


def test_a_rank_waits_for_those_that_others_of_its_groups_wait_for() -> None:
    rows = in_two_groups_each()
    run = joined(rows, (0, 1, 2, 3))
    assert sorted(run.meetings.members) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert step_us(asked(rows, "load")) == step_us(asked(rows, "load", rank=3)) == 200
    assert step_us(asked(rows, "load", rank=0)) == 700


def test_the_finding_and_its_cure_mean_the_same_straggler() -> None:
    rows = in_two_groups_each()
    peers = run_analyzers(rows.trace())[0]["peers"]
    caused = {r.rank: (r.caused_ns, r.last, r.joined) for r in peers.rows}
    assert caused == {0: (0, 1, 2), 1: (0, 0, 2), 2: (500 * US // 3, 1, 2), 3: (1_000 * US // 3, 2, 2)}
    assert straggler(joined(rows, (0, 1, 2, 3)).graphs) == 3


def test_ranks_that_come_to_collectives_in_different_orders_do_not_block_each_other() -> None:
    rows = Linked()
    for rank, groups in ((0, "ab"), (1, "ba")):
        rows.step(1, 0, 400, rank=rank)
        for place, group in enumerate(groups):
            kernel = collective(rows, rank, 10 + place, 20 + place, 300, group=group, seq=1)
            kernel["stream"] = ord(group)
    run = joined(rows)
    assert (len(run.meetings.members), run.meetings.apart) == (1, 2)
    assert run.step_ns == 400 * US


def test_steps_that_one_rank_did_not_record_are_not_replayed() -> None:
    rows = late()
    rows.step(0, -50, -1, rank=0)
    rows.launch("gemm", -40, -35, -30, rank=0)
    assert {(g.first_step, g.steps) for g in joined(rows).graphs} == {(1, 1), (0, 1)}


def test_ranks_share_the_number_of_nodes_that_are_replayed() -> None:
    rows = Linked()
    for rank in (0, 1):
        for step in range(9):
            rows.step(step, 100 * step, 100 * step + 99, rank=rank)
            collective(rows, rank, 100 * step + 1, 100 * step + 5, 100 * step + 50, seq=step)
    trace = rows.trace()
    run = Replay.of(trace, StepsAnalyzer().analyze(trace, {}), (0, 1), most_nodes=3 * 4)
    assert {(g.first_step, g.steps) for g in run.graphs} == {(3, 3)}
    assert len(run.meetings.members) == 3


def test_a_rank_that_misses_what_was_measured_makes_the_whole_distrusted() -> None:
    rows = late()
    rows.launch("gemm", 332, 900, 1200, rank=0)  # nothing explains why it began so late
    result = asked(rows, "load")
    assert result.distrust is not None
    assert result.changes == ()
    assert joined(rows).error_share < -thresholds.REPLAY_ERROR_SHARE


def test_the_straggler_s_cure_needs_several_ranks() -> None:
    with pytest.raises(UsageError, match="COMM003 needs a replay of several ranks"):
        asked(late(group_size=3), "COMM003")


def test_a_rank_taken_out_of_a_trace_keeps_its_links() -> None:
    trace = late().trace()
    for number, one in enumerate(by_rank(trace, (0, 1))):
        assert set(ints(one.kernels, "rank").tolist()) == {number}
        codes, names = texts(one.api_calls, "name")
        launched_by = [names[c] for c in codes[ints(one.kernels, "api_call")]]
        assert launched_by == ["cudaLaunchKernel"] * 2
        codes, names = texts(one.kernels, "name")
        assert [names[c] for c in codes[ints(one.collectives, "kernel")]] == [ALL_REDUCE]


def with_ranks(trace: Trace, **ranks: int) -> Trace:
    """The trace with all rows of these tables on one rank."""
    tables = dict(trace.tables)
    for name, rank in ranks.items():
        column = pa.array([rank] * tables[name].num_rows, pa.int32())
        tables[name] = tables[name].set_column(tables[name].schema.get_field_index("rank"), "rank", column)
    return replace(trace, tables=tables)


def test_a_rank_without_calls_is_not_replayed() -> None:
    trace = with_ranks(late().trace(), api_calls=0)
    assert replayable(trace, StepsAnalyzer().analyze(trace, {})) == (0,)


def test_where_calls_and_device_work_are_of_different_ranks_findings_keep_their_bounds() -> None:
    trace = with_ranks(late().trace(), api_calls=0, kernels=1)
    finding = Finding("GC001", "title", "medium", "claim", (), "fix", "high", saving_ns=(1, 2))
    (judged,), combined = with_savings(trace, {"steps": StepsAnalyzer().analyze(trace, {})}, [finding])
    assert (judged.saving_ns, combined) == ((1, 2), None)
    assert "without launches" in judged.saving_reason
