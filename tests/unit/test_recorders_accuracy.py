"""What the accuracy page counts: ncu's rule, labels, savings; and what it says without a GPU."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from fixtures.accuracy import ncu_rule
from fixtures.accuracy.compare import results
from fixtures.accuracy.kernels import Traced, agreement, spelling
from fixtures.accuracy.page import NOTHING, Results, page
from fixtures.accuracy.recordings import plain_recordings, without_shapes
from fixtures.accuracy.savings import Saving
from fixtures.accuracy.score import Said, confusion, score
from fixtures.recorders.ncu import clean_csv

ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared" / "corpus"
DETAILS = [
    CORPUS / "ncu" / "t4_copy_blocked_details.csv",
    CORPUS / "oracles" / "ncu" / "rtx3070_manual_nvtx.details.2022.3.csv",
    CORPUS / "oracles" / "ncu" / "rtx3070_manual_nvtx.details.2024.2.csv",
]
# What the sentences of ncu's rule SOLBottleneck mean; where one unit is saturated it names the one to look at.
SENTENCES = {
    "Memory is more heavily utilized than Compute": "memory_bandwidth",
    "Compute is more heavily utilized than Memory": "compute",
    "Start by analyzing DRAM": "memory_bandwidth",
    "Start by analyzing workloads in the Compute": "compute",
    "This kernel grid is too small": "small_grid",
    "latency issues": "latency",
    "well-balanced": "balanced",
}


@pytest.mark.parametrize(
    ("sm", "memory", "waves", "expected"),
    [
        (85, 84, 5, "compute"),
        (30, 92, 5, "memory_bandwidth"),
        (80, 10, 0.1, "compute"),
        (59, 59, 0.5, "small_grid"),
        (59, 59, 1.0, "latency"),
        (59, 59, None, "latency"),
        (70, 60, 5, "compute"),
        (60, 69, 5, "balanced"),
        (1.3, 61.8, 6.4, "memory_bandwidth"),
    ],
)
def test_the_rule(sm, memory, waves, expected):
    assert ncu_rule.label(sm, memory, waves) == expected


RECORDED = [
    ROOT / "fixtures" / "gpu" / f"{name}.plain.ncu.csv.gz"
    for name in ("train", "math_sdpa", "loop_optimizer")
]


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.name.split(".")[0])
def test_the_rule_says_what_ncu_says_on_an_h200(path):
    check_the_rule(gzip.decompress(path.read_bytes()).decode())


@pytest.mark.corpus
@pytest.mark.parametrize("path", DETAILS, ids=lambda p: p.stem)
def test_the_rule_says_what_ncu_says(path):
    if not path.is_file():
        pytest.skip("the corpus is not here")
    launches = check_the_rule(clean_csv(path.read_text()))
    assert all(10_000 < launch.duration_ns < 1e9 for launch in launches)


def check_the_rule(text):
    sentences = {
        row["ID"]: row["Rule Description"]
        for row in csv.DictReader(io.StringIO(text))
        if row["Rule Name"] == "SOLBottleneck"
    }
    launches = ncu_rule.read(text)
    assert len(launches) == len(sentences) > 0
    for launch, sentence in zip(launches, sentences.values(), strict=True):
        assert launch.label == next(label for words, label in SENTENCES.items() if words in sentence)
    return launches


# --- kernels ---

ADD = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<float>)"  # noqa: E501


@pytest.mark.parametrize(
    ("traced_name", "ncu_name"),
    [
        ("void f<a, b>(int*)", "void f<a, b>(int *)"),
        (
            ADD,
            "void at::vectorized_elementwise_kernel<4, at::CUDAFunctor_add<float>, array<char *, 3>>(int, T2, T3)",
        ),
        (
            "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::"
            "TensorListMetadata<2>, std::plus<float> >(at::native::(anonymous namespace)::TensorListMetadata<2>)",
            "void unnamed>::multi_tensor_apply_kernel<unnamed>::TensorListMetadata<2>, std::plus<float>>(T1, T2...)",
        ),
        ("void at::native::norm<float, false>(int)", "void unnamed>::norm<float, 0>(int, T2)"),
        (
            "void at::native::map<at::native::sqrt_kernel(at::TensorIterator&)::{lambda()#2}::operator()() const>(int)",
            "void at::map<at::sqrt_kernel(at::TensorIterator &)::[lambda() (instance 2)]::operator ()() const>(int)",
        ),
    ],
)
def test_names_are_compared_without_what_printers_differ_in(traced_name, ncu_name):
    assert spelling(traced_name) == spelling(ncu_name)


def test_what_a_kernel_does_is_part_of_its_name():
    assert spelling(ADD) != spelling(ADD.replace("add", "mul"))


SHAPE = (8, 1, 1, 128, 1, 1)


def launch(name, ns, sm, memory, **how):
    return ncu_rule.Launch(name, ns, sm, memory, waves=4, **{"shape": SHAPE, **how})


def row(name, ns, bound, shape=SHAPE, moved=None):
    return Traced(name, shape, bound, ns, moved)


def test_agreement_is_by_the_time_in_the_trace_and_says_what_ncu_did_not_see():
    found = agreement(
        "w",
        [
            row("gemm(int)", 600, "compute"),
            row(ADD, 200, "memory_bandwidth"),
            row(ADD, 100, "memory_bandwidth", (9, *SHAPE[1:])),
            row("odd", 100, "unknown"),
        ],
        [launch("gemm(int)", 50, 90, 10), launch("gemm(int)", 150, 40, 90), launch(ADD, 1, 10, 90)],
        held_out=True,
    )
    assert found.unmatched == pytest.approx(0.2)
    assert score(found.said).agreement == (150 + 200) / 800
    assert all(s.held_out for s in found.said)


def test_a_name_that_printers_spell_too_differently_is_known_by_its_base():
    found = agreement(
        "w", [row(ADD, 10, "compute")], [launch("vectorized_elementwise_kernel", 1, 90, 10)], held_out=False
    )
    assert found.unmatched == 0


def test_another_kernel_of_the_same_base_is_not_taken_for_it():
    mul = ADD.replace("add", "mul")
    rows = [row(ADD, 10, "compute"), row(mul, 10, "compute")]
    assert agreement("w", rows, [launch(ADD, 1, 90, 10)], held_out=False).unmatched == 0.5


def test_a_page_without_grids_is_matched_by_name():
    found = agreement("w", [row("f", 10, "compute")], [launch("f", 1, 90, 10, shape=None)], held_out=False)
    assert found.unmatched == 0


def test_the_dram_alone_can_have_another_label_than_the_whole_memory_system():
    launches = [launch("f", 1, 50, 90, dram_percent=20)]
    found = agreement("w", [row("f", 10, "memory_bandwidth")], launches, held_out=False)
    assert [s.expected for s in found.said] == ["memory_bandwidth"]
    assert [s.expected for s in found.dram_said] == ["latency"]


def test_bytes_are_compared_with_what_went_through_the_dram():
    launches = [launch("f", 1, 50, 90, dram_bytes=100.0), launch("f", 1, 50, 90, dram_bytes=300.0)]
    rows = [row("f", 10, "compute", moved=150.0), row("g", 10, "compute", moved=1.0)]
    (moved,) = agreement("w", rows, launches, held_out=False).moved
    assert (moved.ours, moved.measured) == (150.0, 200.0)


def test_ncu_says_grid_block_and_bytes():
    text = (
        "ID,Kernel Name,Grid Size,Block Size,Section Name,Metric Name,Metric Unit,Metric Value\n"
        '0,f,"(8, 2, 1)","(128, 1, 1)",Command line profiler metrics,dram__bytes.sum,Mbyte,"1,000.5"\n'
        '0,f,"(8, 2, 1)","(128, 1, 1)",GPU Speed Of Light Throughput,Memory Throughput,%,70\n'
        '0,f,"(8, 2, 1)","(128, 1, 1)",GPU Speed Of Light Throughput,DRAM Throughput,%,30\n'
        '0,f,"(8, 2, 1)","(128, 1, 1)",GPU Speed Of Light Throughput,Compute (SM) Throughput,%,20\n'
    )
    (found,) = ncu_rule.read(text)
    assert (found.shape, found.dram_bytes, found.dram_percent) == ((8, 2, 1, 128, 1, 1), 1000.5e6, 30)
    assert (found.label, found.dram_label) == ("memory_bandwidth", "latency")


def test_a_kernel_without_a_label_is_an_abstention_and_not_an_error():
    found = agreement("w", [row("f", 10, "unknown")], [launch("f", 1, 90, 10)], held_out=False)
    assert score(found.said).coverage == 0
    assert score(found.said).agreement is None


def test_a_grid_that_is_too_small_counts_as_latency():
    launches = [ncu_rule.Launch("f", 1, 5, 5, 0.2, SHAPE)]
    found = agreement("w", [row("f", 10, "latency")], launches, held_out=False)
    assert score(found.said).agreement == 1


# --- scores ---


def test_abstentions_lower_the_coverage_and_not_the_agreement():
    rows = [Said("a", "compute", "compute"), Said("b", "copy", "overhead"), Said("c", "copy", "mixed")]
    found = score(rows)
    assert (found.count, found.agreement, found.coverage) == (3, 0.5, 2 / 3)
    assert score([]).agreement is None


def test_balanced_is_right_for_either_of_its_two_and_for_nothing_else():
    assert Said("a", "balanced", "compute").right
    assert Said("a", "memory_bandwidth", "balanced").right
    assert not Said("a", "balanced", "latency").right
    assert not Said("a", "compute", "memory_bandwidth").right


def test_the_confusion_matrix_holds_every_label_once():
    rows = [Said("a", "compute", "copy", 2), Said("b", "compute", "compute", 3)]
    expected, said, cells = confusion(rows)
    assert expected == ["compute"]
    assert said == ["compute", "copy"]
    assert sum(cells.values()) == 5


# --- savings ---


@pytest.mark.parametrize(
    ("fixed_ns", "low", "high", "result"),
    [(50, 40, 60, "inside"), (90, 40, 60, "too high"), (10, 40, 60, "too low"), (62, 40, 60, "inside"),
     (50, None, None, "not predicted")],
)  # fmt: skip
def test_a_predicted_saving_meets_the_measured_one(fixed_ns, low, high, result):
    assert Saving("w", False, 100, fixed_ns, 100, "SYNC001", low, high).result == result


def test_shares_are_compared_as_recording_makes_the_step_longer():
    slowed = Saving(
        "w", False, plain_ns=100, fixed_ns=50, traced_ns=300, code="SYNC001", low_ns=140, high_ns=160
    )
    assert slowed.result == "inside"


# --- the page ---


def test_without_a_gpu_the_page_says_so_in_each_section_that_needs_one():
    text = page(Results((), (), (), (), (), (), (), (), ()))
    assert text.count(NOTHING) >= 4
    assert "%" not in text.split("## Steps of simulated")[0]


def test_a_page_of_recordings_keeps_the_held_out_ones_apart(tmp_path):
    """A simulated trace in the place of a GPU's: the comparison itself is what is tested."""
    gpu = tmp_path / "gpu"
    gpu.mkdir()
    trace = (ROOT / "fixtures" / "simulated" / "sim_sync_loop.json.gz").read_bytes()
    for name, step_ns in (("item_loop", 9e6), ("nonzero_loop", 8e6)):
        (gpu / f"{name}.plain.trace.json.gz").write_bytes(trace)
        for variant, ns in (("plain", step_ns), ("fixed", step_ns / 2)):
            (gpu / f"{name}.{variant}.times.json").write_text(
                json.dumps({"steps": 20, "in_a_row_ns": ns * 20})
            )
    kernel = next(
        e["name"] for e in json.loads(gzip.decompress(trace))["traceEvents"] if e.get("cat") == "kernel"
    )
    out = io.StringIO()
    columns = ["ID", "Kernel Name", "Section Name", "Metric Name", "Metric Unit", "Metric Value"]
    writer = csv.writer(out)
    writer.writerow(columns)
    for metric, value in (
        ("Compute (SM) Throughput", "90"),
        ("Memory Throughput", "10"),
        ("dram__bytes.sum", "1000"),
    ):
        writer.writerow(["0", kernel, "GPU Speed Of Light Throughput", metric, "byte", value])
    for name in ("item_loop", "nonzero_loop"):
        (gpu / f"{name}.plain.ncu.csv.gz").write_bytes(gzip.compress(out.getvalue().encode()))
    found = results(tmp_path)
    assert [(s.name, s.said, s.held_out) for s in found.steps] == [
        ("item_loop", "overhead", True),
        ("nonzero_loop", "overhead", False),
    ]
    assert [(s.workload, s.code, s.measured) for s in found.savings] == [
        ("item_loop", "SYNC001", 0.5),
        ("nonzero_loop", "SYNC001", 0.5),
    ]
    assert [p.ratio for p in found.pace] == [
        found.savings[0].traced_ns / 9e6,
        found.savings[1].traced_ns / 8e6,
    ]
    assert {s.expected for s in found.kernels[0].said} == {"compute"}
    text = page(found)
    assert "| dev | 1 | 100 % | 100 % |" in text
    assert "held out, without shapes" in text
    assert "| nonzero_loop | overhead | overhead | right | compute 100 % |  |" in text
    assert "| item_loop | overhead | overhead | right |  | yes |" in text, (
        "held out: its kernels are not shown"
    )
    assert NOTHING not in text.split("## Steps, against")[1].split("## Steps of simulated")[0]


def test_a_trace_without_shapes_is_otherwise_the_same(tmp_path):
    (recording, *_) = plain_recordings(ROOT / "fixtures" / "cpu")
    bare = json.loads(without_shapes(recording.trace, tmp_path / "t.json").read_text())
    events = json.loads(gzip.decompress(recording.trace.read_bytes()))["traceEvents"]
    assert len(bare["traceEvents"]) == len(events)
    assert any("Input Dims" in e.get("args", {}) for e in events)
    assert not any("Input Dims" in e.get("args", {}) for e in bare["traceEvents"])


def test_a_trace_of_the_cpu_is_not_given_a_bottleneck():
    from traceanalyzer import pipeline

    for recording in plain_recordings(ROOT / "fixtures" / "cpu"):
        assert pipeline.analyze(pipeline.load(recording.trace)).verdict.bottleneck == "unknown"
