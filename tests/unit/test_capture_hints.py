"""What to capture is said in the words of the profiler that made the file."""

from __future__ import annotations

from pathlib import Path

from traceanalyzer.model.trace import HOW_TO_CAPTURE, Capability, Source, how_to_capture, remedies
from traceanalyzer.pipeline import analyze, load

TORCH = Source("run.json", "chrome", "", 0, 0, 0)
NSYS = Source("run.sqlite", "nsys", "", 0, 0, 0)


def test_every_capability_has_a_hint_for_each_profiler() -> None:
    assert set(how_to_capture([TORCH])) == set(how_to_capture([NSYS])) == set(Capability)


def test_nsys_users_are_not_told_torch_options() -> None:
    told = how_to_capture([NSYS])
    assert "nsys profile" in told[Capability.DEVICE_WORK]
    assert not any("record_shapes=True" in hint and "emit_nvtx" not in hint for hint in told.values())
    assert how_to_capture([TORCH]) == HOW_TO_CAPTURE


def test_of_both_together_each_is_asked_for_what_it_records() -> None:
    told = how_to_capture([TORCH, NSYS])
    assert told[Capability.DEVICE_WORK] == how_to_capture([NSYS])[Capability.DEVICE_WORK]
    assert told[Capability.SHAPES] == HOW_TO_CAPTURE[Capability.SHAPES]


def test_one_recording_that_serves_for_two_things_is_asked_for_once() -> None:
    lacking = [Capability.DEVICE_WORK, Capability.LAUNCHES]
    assert remedies(lacking, [TORCH]) == (HOW_TO_CAPTURE[Capability.DEVICE_WORK],), (
        "its launches come with it"
    )
    assert remedies([Capability.LAUNCHES], [TORCH]) == (HOW_TO_CAPTURE[Capability.LAUNCHES],)
    assert len(remedies(lacking, [NSYS])) == 1


def test_a_run_on_the_cpu_is_not_told_to_record_the_cpu() -> None:
    recorded = Path(__file__).parents[2] / "fixtures" / "recorded" / "cpu_train.json.gz"
    analysis = analyze(load(recorded))
    told = [*(f.fix for f in analysis.findings), *(n.needs for n in analysis.not_assessed)]
    assert HOW_TO_CAPTURE[Capability.DEVICE_WORK] in "".join(told)
    assert HOW_TO_CAPTURE[Capability.LAUNCHES] not in "".join(told)
