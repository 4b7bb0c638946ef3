"""A real recording of Nsight Systems: ranges of every kind, calls into the operating system, samples of the CPU."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from nsys_files import RECORDED, as_folder, recorded

from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path

NO_CACHE = LoadOptions(use_cache=False)


def test_every_kind_of_range(tmp_path: Path) -> None:
    rows = load(recorded(tmp_path), options=NO_CACHE).annotations.to_pylist()
    kinds = {(r["name"], r["style"], r["domain"], r["color"], r["category"]) for r in rows}
    green = 0xFF00C000
    pushed = [("push_pop", None, green, 7)]
    assert kinds == {
        *((f"step {i}", *kind) for i in range(3) for kind in pushed),
        *((part, *kind) for part in ("forward", "backward", "optimizer") for kind in pushed),
        ("read batch", "push_pop", "loader", green, 7),
        ("training", "start_end", None, None, None),
        ("never ended", "start_end", None, None, None),
        ("trained", "mark", None, None, None),
    }
    assert len({r["tid"] for r in rows if r["domain"] is None}) == 1
    assert len({r["tid"] for r in rows if r["domain"] == "loader"}) == 3


def test_ranges_of_the_program_are_the_modules(tmp_path: Path) -> None:
    modules = {r["module"] for r in load(recorded(tmp_path), options=NO_CACHE).annotations.to_pylist()}
    assert {"step", "step/forward", "step/backward", "step/optimizer"} <= modules


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_folder_holds_the_same(tmp_path: Path, form: str) -> None:
    database = recorded(tmp_path)
    folder = as_folder(database, tmp_path / form, form)
    one, other = load(database, options=NO_CACHE), load(folder, options=NO_CACHE)
    assert one.annotations.num_rows
    assert one.others.num_rows
    assert all(one.tables[name].equals(other.tables[name]) for name in one.tables)


@pytest.mark.skipif(
    shutil.which("nsys") is None, reason="NOT CHECKED: no nsys on PATH to export a .nsys-rep with"
)
def test_a_report_is_exported_and_holds_the_same(tmp_path: Path) -> None:
    one = load(recorded(tmp_path), options=NO_CACHE)
    other = load(RECORDED / "train.nsys-rep", options=NO_CACHE)
    assert other.sources[0].format == "nsys-rep"
    assert all(one.tables[name].equals(other.tables[name]) for name in one.tables)
