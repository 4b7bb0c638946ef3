"""Rules of memory on files that have their problem and on ones without; what holds for all rules."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from linked import Linked
from situations import CASES, communicating, late_kernels, pausing, queued_kernels, stalled_by

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.model.trace import HOW_TO_CAPTURE, Capability, Note
from traceanalyzer.rules import RULES, Judgement, judge
from traceanalyzer.rules.findings import Evidence, Finding, Speedup
from traceanalyzer.text import say


def judged(b: Linked, capabilities: set[Capability] | None = None, **source: Any) -> Judgement:
    trace = b.trace(capabilities, **source)
    return judge(trace, run_analyzers(trace)[0])


BY_CODE = {rule.code: rule for rule in RULES}


def codes(found: Judgement) -> list[str]:
    return [f.code for f in found[1]]


@pytest.mark.parametrize("code", CASES)
def test_the_problem_is_found(code: str) -> None:
    assert code in codes(judged(CASES[code][0]()))


@pytest.mark.parametrize("code", CASES)
def test_its_absence_passes(code: str) -> None:
    found = judged(CASES[code][1]())
    assert code not in codes(found)
    assert code in [p.code for p in found[3]]


def test_missing_capture_options_are_named() -> None:
    full = set(Capability)
    (finding,) = [f for f in judged(queued_kernels(), full - {Capability.STACKS})[1] if f.code == "CAPT001"]
    assert "with_stack=True" in finding.fix
    assert "CAPT001" not in codes(judged(queued_kernels(), full))


def test_a_file_that_was_cut_before_its_device_work_is_not_said_to_be_recorded_without() -> None:
    notes = (Note("partial", "cut off at byte 17", "Record again."),)
    b = Linked()
    b.op("aten::mm", 0, 10, self_dur=10_000)
    headline = judged(b, set(), notes=notes)[0].headline
    assert headline.startswith("What could be read of the trace holds no GPU work; of all operators aten::mm")
    assert "profile with" not in headline


@pytest.mark.parametrize(
    ("direction", "kinds", "advice"),
    [("HtoD", ("pinned", "device"), "Copy the next batch"), ("DtoH", ("device", "pinned"), "loss.item()")],
)
def test_copies_that_only_run_are_hidden_by_their_direction(
    direction: str, kinds: tuple[str, str], advice: str
) -> None:
    b = Linked()
    b.launch("gemm", 0, 5, 500)
    b.copy(direction, 510, 900, *kinds, api_call=b.call("cudaMemcpyAsync", 500, 502), stream=9, bytes=1 << 24)
    b.launch("gemm", 895, 901, 1500)
    b.step(1, 0, 1500)
    (finding,) = (f for f in judged(b)[1] if f.code == "COPY002")
    assert advice in finding.fix


def test_slow_launches_lead_to_the_lines_that_cost_most_not_to_those_of_the_longest_gaps() -> None:
    """Of very many gaps only the longest are looked at one by one: many short ones of a line sum up to more."""
    b = Linked()
    often, once = b.frame("often.py", 1, 0, 29_990), b.frame("once.py", 2, 30_000, 30_900)
    for i in range(300):
        b.launch("k", 100 * i + 60, 100 * i + 65, 100 * i + 70, python_call=often)
    b.launch("k", 30_850, 30_860, 30_870, python_call=once)
    b.step(1, 0, 30_900)
    (finding,) = (f for f in judged(b)[1] if f.code == "IDLE001")
    assert finding.lines[0] == "often.py:1"
    (line,) = (e for e in finding.evidence if e.sheet == "idle-lines" and e.python == "often.py:1")
    assert line.text.startswith("300 gaps, 28.")


@pytest.mark.parametrize(("ends", "found"), [(30_000, True), (300, False)])
def test_a_program_of_which_one_small_part_is_compiled_is_not_called_compiled(
    ends: float, found: bool
) -> None:
    b = late_kernels()
    b.annotation("Torch-Compiled Region: 0/0", 0, ends)
    assert ("GRAPH002" in codes(judged(b))) is found


def test_only_a_training_run_has_an_optimizer_to_fuse() -> None:
    b = late_kernels()
    (finding,) = (f for f in judged(b)[1] if f.code == "IDLE001")
    assert "optimizer" not in finding.fix
    b.annotation("Optimizer.step#AdamW.step", 0, 1)
    (finding,) = (f for f in judged(b)[1] if f.code == "IDLE001")
    assert "fused=True" in finding.fix


@pytest.mark.parametrize("call", ["cudaHostRegister", "cudaMallocHost", "cudaFreeHost", "hipHostMalloc"])
def test_host_memory_that_is_pinned_is_not_cured_by_settings_of_the_device_allocator(call: str) -> None:
    (finding,) = (f for f in judged(stalled_by("api_calls", call)).findings if f.code == "ALLOC001")
    assert "pins or unpins host memory" in finding.claim
    assert "CUDA_ALLOC_CONF" not in finding.fix
    assert "empty_cache" not in finding.fix
    (finding,) = (f for f in judged(stalled_by("api_calls", "cudaMalloc")).findings if f.code == "ALLOC001")
    assert "device memory" in finding.claim
    assert "empty_cache" in finding.fix


def test_a_program_without_pytorch_gets_no_advice_on_its_allocator() -> None:
    b = stalled_by("api_calls", "cudaMalloc")
    found = judged(b, format="nsys sqlite").findings
    (finding,) = (f for f in found if f.code == "ALLOC001")
    assert "empty_cache" not in finding.fix
    assert "creates the CUDA context" in finding.fix


def test_what_a_cut_may_have_lost_is_not_said_to_be_unrecorded() -> None:
    notes = (Note("partial", "cut off at byte 17", "Record again."),)
    b = Linked()
    b.op("aten::mm", 0, 10)
    (finding,) = [f for f in judged(b, set(), notes=notes)[1] if f.code == "CAPT001"]
    assert str(finding.claim) == "Recorded without shapes, Python stacks."
    assert "CAPT001" not in codes(judged(b, {Capability.SHAPES, Capability.STACKS}, notes=notes))


def test_a_partial_input_is_a_finding() -> None:
    notes = (Note("partial", "cut off at byte 17", "Record again."), Note("info", "a remark"))
    (finding,) = [f for f in judged(queued_kernels(), notes=notes)[1] if f.code == "QUAL002"]
    assert [e.text for e in finding.evidence] == ["test.json: cut off at byte 17"]
    assert "QUAL002" not in codes(judged(queued_kernels(), notes=notes[1:]))


def test_codes_are_unique() -> None:
    assert len(BY_CODE) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_explains_itself(rule: Any) -> None:
    doc = type(rule).__doc__
    assert doc
    assert len(doc.split()) > 8
    assert doc.splitlines()[0].endswith(".")


@pytest.mark.parametrize("code", CASES)
def test_findings_are_complete(code: str) -> None:
    for finding in judged(CASES[code][0]()).findings:
        assert finding.title
        assert finding.claim.endswith(".")
        assert finding.fix
        assert finding.saving_ns is not None or finding.saving_reason


def test_what_cannot_be_assessed_says_what_to_capture() -> None:
    _, findings, not_assessed, passed, _ = judged(queued_kernels(), {Capability.DEVICE_WORK})
    by_code = {n.code: n.needs for n in not_assessed}
    assert by_code["SYNC001"] == HOW_TO_CAPTURE[Capability.LAUNCHES]
    assert not set(by_code) & ({f.code for f in findings} | {p.code for p in passed})
    assert set(by_code) | {f.code for f in findings} | {p.code for p in passed} == set(BY_CODE)


def test_findings_come_in_order_of_saving_times_confidence() -> None:
    b = communicating(900, 2000)
    b.launch("gemm", called=2300, start=2305, end=2400)
    found = judged(b)[1]
    savings = [f.saving_ns[1] if f.saving_ns else 0 for f in found]
    assert savings == sorted(savings, reverse=True)


def test_the_evidence_names_the_line() -> None:
    (finding,) = [f for f in judged(pausing(2000))[1] if f.code == "IDLE004"]
    assert any("data.py:12" in e.text and e.start_ns == 500_000 for e in finding.evidence)


def test_a_broken_rule_of_a_third_party_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        code, title, requires = "X001", "A broken rule", frozenset()

        def check(self, facts: Any) -> list[Finding]:
            raise ZeroDivisionError("oops")

    monkeypatch.setattr(
        "traceanalyzer.rules.load_plugins", lambda group: ([Broken()], ["p could not be loaded"])
    )
    not_assessed = judged(queued_kernels()).not_assessed
    assert [(n.code, n.needs) for n in not_assessed if n.code in ("X001", "PLUGIN")] == [
        ("PLUGIN", "p could not be loaded"),
        ("X001", "the rule failed with ZeroDivisionError: oops"),
    ]


NAN = float("nan")


def offered(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> Judgement:
    """What is judged beside a plugin whose rule finds this."""
    right: dict[str, Any] = {"code": "X001", "severity": "low", "evidence": (), "confidence": "low"}
    texts = {name: say("x") for name in ("title", "claim", "fix")}

    class Plugin:
        code, title, requires = "X001", "A rule of a plugin", frozenset()

        def check(self, facts: Any) -> list[Any]:
            return [Finding(**(right | texts | fields))]

    monkeypatch.setattr("traceanalyzer.rules.load_plugins", lambda group: ([Plugin()], []))
    return judged(queued_kernels())


@pytest.mark.parametrize(
    "wrong",
    [
        *({"evidence": (Evidence(say("x"), table="kernels", row=row),)} for row in ("0", 0.5, NAN, 1 << 70)),
        *(
            {"evidence": (Evidence(say("x"), **{name: "0"}),)}
            for name in ("start_ns", "duration_ns", "rank", "tid")
        ),
        {"evidence": (Evidence(say("x"), table=0),)},
        {"evidence": (Evidence(None),)},
        {"evidence": ("a fact",)},
        {"evidence": None},
        {"severity": "critical"},
        {"severity": ["low"]},
        {"confidence": "certain"},
        *(
            {"saving_ns": saving}
            for saving in (("1", "2"), (0, NAN), (2, 1), (-1, 1), (1,), 7, (0, float("inf")))
        ),
        {"saving_bytes": NAN},
        {"saving_reason": None},
        *({"speedups": speedups} for speedups in ("gemm", 2.0, ("gemm",), None)),
        *({"speedups": (Speedup("gemm", *ends),)} for ends in ((1, NAN), ("1", "0"), (0.5, 1), (1, -1))),
        {"speedups": (Speedup(7, 1, 0.5),)},
        *({name: None} for name in ("code", "title", "claim", "fix")),
    ],
    ids=str,
)
def test_a_finding_of_a_third_party_that_cannot_be_shown_is_reported(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    found = offered(monkeypatch, **wrong)
    (reported,) = [n.needs for n in found.not_assessed if n.code == "X001"]
    assert re.match("the rule failed with (Type|Value)Error: ", reported)
    assert "X001" not in codes(found)
    assert codes(found) == codes(judged(queued_kernels()))


def test_a_finding_of_a_third_party_may_hold_numbers_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    proof = Evidence(say("x"), table="kernels", row=np.int64(0))
    found = offered(monkeypatch, saving_ns=(np.int64(0), np.float32(1.5)), evidence=[proof])
    (finding,) = [f for f in found.findings if f.code == "X001"]
    assert json.dumps([finding.saving_ns, finding.evidence[0].row]) == "[[0, 2], 0]"


@pytest.mark.parametrize("name", ["code", "title"])
@pytest.mark.parametrize("value", [None, property(lambda self: 1 / 0)], ids=["no text", "fails"])
def test_a_rule_of_a_third_party_without_a_name_is_reported(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    right = {"code": "X001", "title": "A rule", "requires": frozenset(), "check": lambda self, facts: ()}
    nameless = type("Nameless", (), right | {name: value})()
    monkeypatch.setattr("traceanalyzer.rules.load_plugins", lambda group: ([nameless], []))
    found = judged(queued_kernels())
    assert [n.needs for n in found.not_assessed if "the rule failed with" in n.needs]
    assert codes(found) == codes(judged(queued_kernels()))
