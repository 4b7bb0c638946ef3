"""What is decoded from the pages of an SQLite file is what SQLite says of it; what is unusual is left to SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.nsys.database import Database
from traceanalyzer.ingest.nsys.pages import Pages, Unusual

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NUMBERS = (None, 0, 1, -1, 127, -128, 32_767, -32_768, 8_388_607, -8_388_608, 2**31 - 1, -(2**31), 2**47 - 1, -(2**47),
           2**63 - 1, -(2**63) + 1)  # fmt: skip
"""The ends of every size in which SQLite keeps integers."""
TABLE = 'CREATE TABLE t ("start" INTEGER, "text" TEXT, "end" INTEGER)'


def write(
    path: Path,
    rows: Iterable[Sequence[Any]],
    table: str = TABLE,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> Path:
    """A file with one table, and statements before it is made and after it is filled."""
    connection = sqlite3.connect(path)
    for statement in (*before, table):
        connection.execute(statement)
    connection.executemany("INSERT INTO t (start, text, end) VALUES (?, ?, ?)", rows)
    for statement in after:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


def asked(path: Path, columns: str = 'rowid, "start", "end", "text"') -> list[tuple[Any, ...]]:
    """The rows, from SQLite."""
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT {columns} FROM t").fetchall()
    connection.close()
    return rows


def read(path: Path) -> list[tuple[Any, ...]]:
    """The rows, from the reader."""
    with Database(path) as database:
        rows = database.read("t", ("rowid", "start", "end"), ("text",)).table
    return list(zip(*rows.to_pydict().values(), strict=True))


def decoded(path: Path) -> bool:
    """Whether the pages themselves can be read."""
    root = sqlite3.connect(path).execute("SELECT rootpage FROM sqlite_master WHERE name = 't'").fetchone()[0]
    pages = Pages(path)
    schema = pa.schema([("start", pa.int64()), ("text", pa.string()), ("end", pa.int64())])
    try:
        list(pages.batches(root, [0, 1, 2], schema, None))
    except Unusual:
        return False
    finally:
        pages.close()
    return True


def mixed(count: int) -> list[tuple[Any, ...]]:
    """Rows whose every cell has another size than the one before it."""
    texts = (None, "", "a", "x" * 57, "x" * 58, "ü" * 40, "x" * 300)
    return [
        (NUMBERS[i % len(NUMBERS)], texts[i % len(texts)], NUMBERS[(i * 7 + 3) % len(NUMBERS)])
        for i in range(count)
    ]


@pytest.mark.parametrize("page_size", [512, 4096, 65_536])
@pytest.mark.parametrize("count", [0, 1, 20, 20_000])
def test_pages_say_what_sqlite_says(tmp_path: Path, page_size: int, count: int) -> None:
    path = write(tmp_path / "a.sqlite", mixed(count), before=[f"PRAGMA page_size = {page_size}"])
    assert read(path) == asked(path)
    assert decoded(path)


def test_rows_that_were_deleted_leave_no_trace(tmp_path: Path) -> None:
    after = ["DELETE FROM t WHERE rowid % 3 = 0", "UPDATE t SET text = text || '!' WHERE rowid % 5 = 0"]
    path = write(tmp_path / "a.sqlite", mixed(5_000), after=after)
    assert read(path) == asked(path)
    assert decoded(path)


def test_another_name_of_the_rowid_is_a_column(tmp_path: Path) -> None:
    rows = [(3 * i + 5, f"text {i}", i) for i in range(3_000)]
    path = write(
        tmp_path / "a.sqlite", rows, "CREATE TABLE t (text TEXT, start INTEGER PRIMARY KEY, end INTEGER)"
    )
    assert read(path) == [(start, start, end, text) for start, text, end in rows]


@pytest.mark.parametrize(
    "how",
    [
        {"rows": [*mixed(50), (1, "long " * 2_000, 2)]},
        {"rows": mixed(50), "before": ["PRAGMA encoding = 'UTF-16'"]},
        {"rows": mixed(50), "after": ["UPDATE t SET rowid = -rowid"]},
        {"rows": mixed(50), "after": ["UPDATE t SET rowid = 9223372036854775807 WHERE rowid = 50"]},
        {"rows": mixed(50), "after": ["UPDATE t SET text = CAST('a blob' AS BLOB) WHERE rowid = 7"]},
        {
            "rows": mixed(50),
            "after": ["ALTER TABLE t DROP COLUMN end", "ALTER TABLE t ADD COLUMN end DEFAULT 5"],
        },
    ],
)
def test_what_is_unusual_is_asked_of_sqlite(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / "a.sqlite", **how)
    assert not decoded(path)
    said = [tuple(c.decode() if isinstance(c, bytes) else c for c in row) for row in asked(path)]
    assert read(path) == said


def test_text_that_is_not_utf8_is_mended(tmp_path: Path) -> None:
    path = write(tmp_path / "a.sqlite", [(1, "a", 2)], after=["UPDATE t SET text = CAST(x'41ff' AS TEXT)"])
    assert read(path) == [(1, 1, 2, "A\N{REPLACEMENT CHARACTER}")]


def test_generated_columns_never_run(tmp_path: Path) -> None:
    table = 'CREATE TABLE t (extra INTEGER AS (1 / 0), start INTEGER, text TEXT, "end" INTEGER)'
    path = write(tmp_path / "a.sqlite", mixed(50), table)
    assert read(path) == asked(path)
    with Database(path) as database:
        assert not database.read("t", ("extra",)).has("extra")


def test_a_table_without_rowids_is_asked_of_sqlite(tmp_path: Path) -> None:
    table = 'CREATE TABLE t (start INTEGER PRIMARY KEY, text TEXT, "end" INTEGER) WITHOUT ROWID'
    path = write(tmp_path / "a.sqlite", [(i, str(i), -i) for i in range(300)], table)
    with Database(path) as database:
        rows = database.read("t", ("start", "end")).table
    assert list(zip(*rows.to_pydict().values(), strict=True)) == [(i, -i) for i in range(300)]


@pytest.mark.parametrize("value", ["word", b"blob"])
def test_a_column_of_numbers_that_holds_something_else_is_told(tmp_path: Path, value: Any) -> None:
    path = write(tmp_path / "a.sqlite", [*mixed(50), (value, "a", 1)])
    with pytest.raises(InputError, match="column start of table t holds something else than int64"):
        read(path)


CELL = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))


@given(rows=st.lists(st.tuples(CELL, st.one_of(st.none(), st.text()), CELL), max_size=60))
def test_whatever_is_written_is_read(rows: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as folder:
        path = write(Path(folder, "a.sqlite"), rows, before=["PRAGMA page_size = 512"])
        assert read(path) == asked(path)


@pytest.mark.parametrize("page", [2, 3, 40])  # the root, with pages below it, and leaves
def test_a_count_of_cells_that_no_page_holds_is_told_in_a_line(tmp_path: Path, page: int) -> None:
    path = write(tmp_path / "a.sqlite", mixed(800), before=["PRAGMA page_size = 512"])
    content = bytearray(path.read_bytes())
    content[(page - 1) * 512 + 3 : (page - 1) * 512 + 5] = b"\xff\xff"
    path.write_bytes(content)
    assert not decoded(path)
    with pytest.raises(InputError, match="damaged"):
        read(path)


@given(
    damage=st.lists(st.tuples(st.integers(100, 40_000), st.integers(0, 255)), min_size=1, max_size=20),
    cut=st.integers(0, 3_000),
)
def test_damage_is_told_in_a_line_or_read_over(damage: list[tuple[int, int]], cut: int) -> None:
    with TemporaryDirectory() as folder:
        path = write(Path(folder, "a.sqlite"), mixed(800), before=["PRAGMA page_size = 512"])
        content = bytearray(path.read_bytes())
        for at, byte in damage:
            content[at % len(content)] = byte
        path.write_bytes(content[: len(content) - cut])
        try:
            read(path)
        except InputError as error:
            assert "damaged" in str(error) or "something else" in str(error)  # noqa: PT017
