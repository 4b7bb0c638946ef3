"""The same export as SQLite, as a folder of Parquet files and as one of Arrow files gives the same tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nsys_files import Export, as_folder

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.inputs import expand
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

NO_CACHE = LoadOptions(use_cache=False)
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "nsys"


def an_export(path: Path) -> Path:
    export = Export().range(9, 90, 300, "step").range(9, 95, 150, "aten::mul, seq = 1, op_id = 2")
    return export.launch(9, 100, 120, 1).kernel(9, 200, 300, 1, "gemm").write(path)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_folder_is_read_like_the_database(tmp_path: Path, form: str) -> None:
    database = an_export(tmp_path / "run.sqlite")
    folder = as_folder(database, tmp_path / "run", form)
    assert list(expand([folder])) == [folder / f"StringIds.{form}"]
    one, other = load(database, options=NO_CACHE), load(folder, options=NO_CACHE)
    assert other.kernels.num_rows == other.ops.num_rows == other.annotations.num_rows == 1
    assert all(one.tables[name].equals(other.tables[name]) for name in one.tables)


def test_runs_with_the_same_names_are_not_taken_for_each_other(tmp_path: Path) -> None:
    sources = []
    for end in (300, 310):
        database = Export().launch(9, 100, 120, 1).kernel(9, 200, end, 1).write(tmp_path / f"{end}.sqlite")
        sources.append(load(as_folder(database, tmp_path / str(end), "parquet"), options=NO_CACHE).sources[0])
    assert sources[0].sha256 != sources[1].sha256


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"NOT CHECKED AGAINST REAL FILES: no corpus at {CORPUS}")
@pytest.mark.parametrize("name", ["h100x2_train", "gtx1060_windows_2022"])
def test_a_real_export_in_a_folder(tmp_path: Path, name: str) -> None:
    folder = as_folder(CORPUS / f"{name}.sqlite", tmp_path / name, "parquet")
    one, other = load(CORPUS / f"{name}.sqlite", options=NO_CACHE), load(folder, options=NO_CACHE)
    assert all(one.tables[table].equals(other.tables[table]) for table in one.tables)


def test_a_damaged_file_and_a_wrong_type_are_one_line(tmp_path: Path) -> None:
    folder = as_folder(an_export(tmp_path / "run.sqlite"), tmp_path / "run", "parquet")
    kernels = folder / "CUPTI_ACTIVITY_KIND_KERNEL.parquet"
    pq.write_table(pa.table({"start": ["noon"], "end": [5]}), kernels)
    with pytest.raises(InputError, match=r"KERNEL\.parquet: cannot be read"):
        load(folder, options=NO_CACHE)
    kernels.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"KERNEL\.parquet: cannot be read"):
        load(folder, options=NO_CACHE)
