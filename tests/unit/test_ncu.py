"""Nsight Compute's pages: metrics and rules, NVIDIA's label, and the launch of a trace that each belongs to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nsys_files import Export

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.kernel_metrics import KernelMetricsAnalyzer, base_name, labels_of, speed_of_light
from traceanalyzer.cli.command_line import run
from traceanalyzer.errors import InputError
from traceanalyzer.ingest.ncu.report import available
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, load
from traceanalyzer.reporters.costs import cost_lines

if TYPE_CHECKING:
    from traceanalyzer.analyzers.kernel_metrics import ProfiledLaunch

ROOT = Path(__file__).parents[2]
NO_CACHE = LoadOptions(use_cache=False)
HEADER = (
    '"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device",'
    '"CC","Section Name","Metric Name","Metric Unit","Metric Value","Rule Name","Rule Type","Rule Description"\n'
)
SOL = "GPU Speed Of Light Throughput"


def line(launch: int, *cells: str, kernel: str = "gemm(float *)") -> str:
    common = [
        str(launch),
        "9",
        "app",
        "secret-host",
        kernel,
        "1",
        "7",
        "(128, 1, 1)",
        "(8, 2, 1)",
        "0",
        "9.0",
    ]
    return ",".join(f'"{cell}"' for cell in [*common, *cells]) + "\n"


def details(path: Path, count: int = 1, kernel: str = "gemm(float *)") -> Path:
    text = "==PROF== Connected to process 9\n" + HEADER
    for launch in range(count):
        text += line(launch, SOL, "Memory Throughput", "%", "61.84", kernel=kernel)
        text += line(launch, SOL, "Compute (SM) Throughput", "%", "1.30", kernel=kernel)
        text += line(launch, SOL, "Duration", "ns", "21,058,944", "", "", "", kernel=kernel)
        text += line(
            launch, "Memory Workload Analysis", "Memory Throughput", "Gbyte/s", "191.2", kernel=kernel
        )
        text += line(launch, "SpeedOfLight", "", "", "", "SOLBottleneck", "OPT",
                     "Memory is more heavily utilized than Compute: …", kernel=kernel)  # fmt: skip
    path.write_text(text + "==PROF== Disconnected\n")
    return path


def launches(*files: Path) -> tuple[ProfiledLaunch, ...]:
    return KernelMetricsAnalyzer().analyze(load(*files, options=NO_CACHE), {}).launches


@pytest.mark.parametrize(
    ("compute", "memory", "waves", "label"),
    [
        (85.0, 10.0, 4.0, "compute saturated"),
        (10.0, 80.0, 4.0, "memory saturated"),
        (79.0, 70.0, 4.0, "balanced"),
        (79.9, 69.9, 4.0, "compute"),
        (30.0, 61.0, 4.0, "memory"),
        (30.0, 59.9, 4.0, "latency"),
        (30.0, 59.9, 0.5, "small grid"),
        (30.0, 59.9, None, None),
        (5.0, 61.0, None, "memory"),
    ],
)
def test_the_label_follows_nvidias_rule(
    compute: float, memory: float, waves: float | None, label: str | None
) -> None:
    assert speed_of_light(compute, memory, waves) == label


def test_metrics_of_the_same_name_are_told_apart_by_their_unit(tmp_path: Path) -> None:
    (launch,) = launches(details(tmp_path / "details.csv"))
    assert (launch.compute_percent, launch.memory_percent, launch.duration_ns) == (1.3, 61.84, 21_058_944)
    assert (launch.label, launch.agrees, launch.match) == ("memory", True, "unmatched")


def test_the_raw_page_has_units_in_its_second_row(tmp_path: Path) -> None:
    page = tmp_path / "raw.csv"
    page.write_text(
        '"ID","Process ID","Process Name","Host Name","Kernel Name","Stream","gpu__time_duration.sum",'
        '"sm__throughput.avg.pct_of_peak_sustained_elapsed",'
        '"gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed"\n'
        '"","","","","","","us","%","%"\n"0","9","app","host","gemm","7","84.48","36.8","88.2"\n'
    )
    (launch,) = launches(page)
    assert (launch.label, launch.duration_ns, launch.said) == ("memory saturated", 84_480, None)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("gemm", "gemm"),
        (
            "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float> >(at::native::Op)",
            "reduce_kernel",
        ),
        ("void (anonymous namespace)::softmax<int, (int)4>(float *, int)", "softmax"),
        ("vector_add(double const*, double const*, unsigned long, double*)", "vector_add"),
        (
            "void unnamed>::cunn_SoftMaxForward<4, float, unnamed>::Epilogue>(T4 *, int)",
            "cunn_SoftMaxForward",
        ),
        ("void unnamed>::apply<unnamed>::Metadata<1>, std::plus<float>>(T1)", "apply"),
        ("void at::<unnamed>::layer_norm<float, <unnamed>::Rms>(int, T2)", "layer_norm"),
    ],
)
def test_base_names(name: str, base: str) -> None:
    assert base_name(name) == base


def test_launches_are_matched_by_name_shape_and_order_or_called_ambiguous(tmp_path: Path) -> None:
    export = Export()
    for i in range(2):
        export.launch(9, 100 * i, 100 * i + 10, i + 1)
        export.kernel(9, 100 * i + 20, 100 * i + 50, i + 1, "void lib::gemm<float>(T1 *)")
    trace = export.write(tmp_path / "run.sqlite")
    same = launches(trace, details(tmp_path / "same.csv", 2))
    assert [(p.match, p.kernel) for p in same] == [("matched", 0), ("matched", 1)]
    assert [p.match for p in launches(trace, details(tmp_path / "fewer.csv", 1))] == ["ambiguous"]
    assert [p.match for p in launches(trace, details(tmp_path / "other.csv", 1, "relu"))] == ["unmatched"]


def test_metrics_beside_a_trace_take_no_rank_and_keep_no_host(tmp_path: Path) -> None:
    trace = Export().launch(9, 1, 2, 1).kernel(9, 3, 4, 1, "gemm").write(tmp_path / "run.sqlite")
    both = load(trace, details(tmp_path / "details.csv"), options=NO_CACHE)
    assert [s.rank for s in both.sources] == [0, 0]
    assert all(not s.notes for s in both.sources)
    assert "secret-host" not in repr(both.kernel_metrics.to_pylist())


def test_a_cut_page_and_one_without_metrics(tmp_path: Path) -> None:
    page = details(tmp_path / "cut.csv")
    page.write_text(page.read_text()[: page.read_text().rindex('"SpeedOfLight"') + 5])
    source = load(page, options=NO_CACHE).sources[0]
    assert [n.message for n in source.notes] == ["1 line is not whole and was left out"]
    page.write_text(HEADER)
    with pytest.raises(InputError, match="holds no metrics"):
        load(page, options=NO_CACHE)


def test_a_report_needs_the_module_or_ncu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "run.ncu-rep"
    report.write_bytes(b"opaque")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("traceanalyzer.ingest.ncu.report.available", lambda: False)
    with pytest.raises(
        InputError,
        match=r"traceanalyzer\[ncu\]', or run where ncu is: ncu --import \S+run.ncu-rep --csv --page details >",
    ):
        load(report, options=NO_CACHE)


@pytest.mark.skipif(not available(), reason="NO NCU_REPORT: install traceanalyzer[ncu]")
def test_what_the_module_cannot_read_is_one_line(tmp_path: Path) -> None:
    report = tmp_path / "run.ncu-rep"
    report.write_bytes(b"NVR\x00" + bytes(range(256)) * 40)
    with pytest.raises(InputError, match=r"holds no profiled kernel|cannot be read by NVIDIA's ncu_report"):
        load(report, options=NO_CACHE)


def test_texts_that_are_no_label_stand_for_none() -> None:
    assert labels_of("something new") == ()


def test_what_ncu_measured_wins_over_the_roofline_and_both_are_told(tmp_path: Path) -> None:
    """By its name it is a GEMM, limited by arithmetic; measured it is limited by memory."""
    export = Export()
    export.kernel(9, 100, 300, 1, name="void gemm<float>(float *)")
    trace = load(export.write(tmp_path / "run.sqlite"), details(tmp_path / "page.csv"), options=NO_CACHE)
    results, _ = run_analyzers(trace)
    (row,) = results["kernels"].rows
    assert (row.bound, row.measured_bound, row.rated_bound) == (
        "memory_bandwidth",
        "memory_bandwidth",
        "compute",
    )
    told = " ".join(cost_lines(results))
    assert "profiled 1 launch: 1 is found in the trace, 0 may be one of several, 0 are not there" in told
    assert "is limited by memory bandwidth as measured, by compute as rated." in told


@pytest.mark.parametrize(
    ("path", "says", "bottleneck"),
    [
        ("gpu/add.plain.ncu.csv.gz", r"100 % of the time .* limited by memory bandwidth", "memory_bandwidth"),
        ("gpu/one_block_reduction.plain.ncu.csv.gz", r"kernels that are far from both limits of the GPU", "latency"),
    ],
)  # fmt: skip
def test_measurements_alone_tell_what_limits_the_kernels(
    path: str, says: str, bottleneck: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = str(ROOT / "fixtures" / path)
    assert run(["summary", measured, "--no-cache"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"Nsight Compute measured \d+ executions? of kernels: .*{says}", out)
    assert "no GPU work" not in out
    assert "Not recorded: the program around the kernels" in out
    assert "Give the trace of the same program as well" in out
    assert analyze(load(measured)).verdict.bottleneck == bottleneck
