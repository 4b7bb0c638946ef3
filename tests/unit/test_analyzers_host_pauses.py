"""Stretches in which a program on the CPU is in no operator: how long, and where."""

from __future__ import annotations

from linked import Linked

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.host_pauses import PLACED, HostPause
from traceanalyzer.model.trace import Capability

ON_CPU = set(Capability) - {Capability.DEVICE_WORK, Capability.LAUNCHES}


def test_only_long_stretches_outside_of_operators_and_within_steps_are_pauses():
    traced = Linked()
    traced.annotation("ProfilerStep#1", 0, 10_000)
    traced.op("aten::mm", 0, 1000)
    traced.op("aten::mm", 1900, 3000)  # after 900 us
    traced.op("aten::mm", 5000, 9000)  # after 2 ms
    traced.op("aten::mm", 12_000, 13_000)  # 1 ms of the pause before it is in the step
    found = run_analyzers(traced.trace(ON_CPU))[0]["host_time"]
    assert found.pause_ns == 3_000_000
    assert found.pauses == (
        HostPause(0, 3_000_000, 2_000_000, None, None),
        HostPause(0, 9_000_000, 1_000_000, None, None),
    )


def test_a_pause_has_the_range_that_fills_half_of_it_and_the_line_of_the_user():
    traced = Linked()
    traced.annotation("ProfilerStep#1", 0, 9000)
    traced.op("aten::mm", 0, 1000)
    traced.annotation("save", 1000, 8000)
    outer = traced.frame("train.py", 12, 1000, 8000)
    traced.frame("torch/serialization.py", 800, 1500, 8000, depth=1, parent=outer)
    traced.op("aten::mm", 8000, 9000)
    (pause,) = run_analyzers(traced.trace(ON_CPU))[0]["host_time"].pauses
    assert (pause.within, pause.python) == ("save", "train.py:12")


def test_what_has_a_name_of_its_own_is_no_pause():
    traced = Linked()
    traced.annotation("ProfilerStep#1", 0, 9000)
    traced.op("aten::mm", 0, 1000)
    traced.annotation("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", 1000, 9000)
    assert run_analyzers(traced.trace(ON_CPU))[0]["host_time"].pause_ns == 0


def test_of_many_pauses_the_longest_have_a_place_and_all_count():
    traced = Linked()
    many = PLACED + 50
    for i in range(many):
        traced.op("aten::mm", 2000 * i, 2000 * i + 500)
    traced.op("aten::mm", 2000 * many, 2000 * many + 500)
    found = run_analyzers(traced.trace(ON_CPU))[0]["host_time"]
    assert (len(found.pauses), found.pause_ns) == (PLACED, many * 1_500_000)
