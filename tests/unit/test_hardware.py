"""Which GPU a device is, and what its row says."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import pytest

from traceanalyzer.errors import UsageError
from traceanalyzer.hardware import Choice, Gpu, known_gpus, look_up, parse_peaks

GIB = 1 << 30


@pytest.mark.parametrize("gpu", known_gpus(), ids=lambda g: g.name)
def test_every_row_has_peaks_and_a_pattern(gpu: Gpu) -> None:
    assert gpu.bandwidth_gb_per_s
    assert gpu.l2_mb
    assert gpu.fp32_tflops
    assert gpu.fp16_tflops
    re.compile(gpu.match)


@pytest.mark.parametrize("gpu", known_gpus(), ids=lambda g: g.name)
def test_every_figure_has_a_source(gpu: Gpu) -> None:
    assert set(gpu.figures) >= {"bandwidth_gb_per_s", "fp32_tflops"}
    assert {name for name, source in gpu.sources.items() if source} == set(gpu.figures)


def test_every_source_of_the_table_is_used() -> None:
    table = tomllib.loads(files("traceanalyzer.hardware").joinpath("gpus.toml").read_text())
    used = {key for row in table["gpu"] for key in (row["source"], *row.get("sources", {}).values())}
    assert used == set(table["sources"])
    for row in table["gpu"]:
        assert set(row.get("sources", {})) <= set(row), row["name"]


def test_a_figure_without_a_published_source_is_unverified_alone() -> None:
    a30 = look_up("NVIDIA A30", None, None).gpu
    assert a30 is not None
    assert a30.unverified("bf16_tflops", "bandwidth_gb_per_s", "l2_mb") == ("l2_mb",)
    given = look_up("NVIDIA A30", None, None, Choice(peaks={"l2_mb": 24.0})).gpu
    assert given is not None
    assert given.unverified("l2_mb") == ()


@pytest.mark.parametrize("gpu", known_gpus(), ids=lambda g: g.name)
def test_narrower_types_are_not_slower(gpu: Gpu) -> None:
    """Catches figures with sparsity or in the wrong column."""
    chain = [gpu.tf32_tflops, gpu.bf16_tflops, gpu.fp8_tflops, gpu.fp4_tflops]
    known = [value for value in chain if value is not None]
    assert known == sorted(known)


def test_names_are_unique() -> None:
    names = [g.name for g in known_gpus()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GB200", "GB200"),
        ("Tesla V100-SXM2-16GB", "V100-SXM2"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("AMD Instinct MI300X", "MI300X"),
    ],
)
def test_by_name(name: str, gpu: str) -> None:
    found = look_up(name, None, None).gpu
    assert found is not None
    assert found.name == gpu


def test_by_memory_and_multiprocessors_when_the_name_says_nothing() -> None:
    found = look_up(None, 206141652992, 304)
    assert found.gpu is not None
    assert found.gpu.name == "MI300X"
    assert "304 multiprocessors" in found.reason
    assert look_up(None, 206141652992, 108).gpu is None
    assert look_up(None, 256 * GIB, 304).gpu is None


def test_an_unknown_gpu_has_no_figures_and_says_what_to_do() -> None:
    found = look_up("Some GPU", 8 * GIB, 20)
    assert found.gpu is None
    assert "no GPU called Some GPU is known" in found.reason
    assert "--peak" in found.reason
    assert "does not name" in look_up("", None, None).reason


def test_a_part_of_a_gpu_has_no_known_peaks() -> None:
    assert look_up("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None, None).gpu is None


def test_the_users_choice_wins() -> None:
    assert (
        look_up("Some GPU", None, None, Choice(gpu="NVIDIA B200")).gpu
        == look_up("NVIDIA B200", None, None).gpu
    )
    given = look_up("NVIDIA H100 PCIe", None, None, Choice(peaks={"bf16_tflops": 500.0})).gpu
    assert given is not None
    assert (given.bf16_tflops, given.bandwidth_gb_per_s) == (500.0, 2039)
    assert given.sources["bf16_tflops"] == "given by the user"
    assert given.sources["fp16_tflops"] != "given by the user"
    alone = look_up(None, None, None, Choice(peaks={"bandwidth_gb_per_s": 100.0})).gpu
    assert alone is not None
    assert alone.peak_flops("bf16", matrix=True) is None


def test_a_name_that_fits_no_or_several_gpus_is_an_error() -> None:
    with pytest.raises(UsageError, match="no single GPU"):
        look_up(None, None, None, Choice(gpu="H99"))
    with pytest.raises(UsageError, match="H100 PCIe"):
        look_up(None, None, None, Choice(gpu="H100"))


def test_peaks_are_written_as_name_and_number() -> None:
    assert parse_peaks(["bf16=989", "bandwidth=3350", "l2=50", "int8=1979"]) == {
        "bf16_tflops": 989.0,
        "bandwidth_gb_per_s": 3350.0,
        "l2_mb": 50.0,
        "int8_tops": 1979.0,
    }
    for wrong in ("bf16", "bf16=fast", "bf16=-1", "bf16=0", "name=3", "sms=3", "sources=3", "link=900"):
        with pytest.raises(UsageError, match="NAME=NUMBER"):
            parse_peaks([wrong])


def test_types_without_units_of_their_own_run_in_wider_ones() -> None:
    a100 = look_up("NVIDIA A100-SXM4-80GB", None, None).gpu
    v100 = look_up("Tesla V100-SXM2-32GB", None, None).gpu
    assert a100 is not None
    assert v100 is not None
    assert a100.peak_flops("fp8", matrix=True) == 312e12
    assert a100.peak_flops("tf32", matrix=True) == 156e12
    assert a100.peak_flops("bf16", matrix=False) == 19.5e12
    assert a100.peak_flops("fp64", matrix=True) == 19.5e12
    assert a100.peak_flops("fp64", matrix=False) == 9.7e12
    assert v100.peak_flops("tf32", matrix=True) == 15.7e12
