"""An SQLite file that nobody vouches for, as Arrow columns.

Opened read-only and immutable, so nothing is written beside it. Only ordinary tables are read, and of those only the
columns that are asked for: views, virtual tables and generated columns could run what the file's author wrote.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.collector import no_collection
from traceanalyzer.ingest.nsys.pages import ROWID, Pages, Unusual
from traceanalyzer.model.columns import ints, one_chunk, text_column
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MAGIC = b"SQLite format 3\0"
CHUNK_ROWS = 1 << 12
"""Rows that exist as Python objects at a time: as many as fit into the processor's cache."""


class Rows:
    """Some columns of one table; a column that the file does not have reads as null throughout."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, column: str) -> bool:
        """Whether the file has the column, with any value in it."""
        return column in self.table.column_names and self.table[column].null_count < len(self)

    def ints(self, column: str, missing: int = -1) -> Ints:
        """A column of integers, shape (rows,), with `missing` for null."""
        if column not in self.table.column_names:
            return np.full(len(self), missing, np.int64)
        return ints(self.table, column, missing)

    def arrow(self, column: str) -> pa.Array:
        """A column as it is."""
        return one_chunk(self.table[column])

    def distinct(self) -> Rows:
        """The combinations of values, each once."""
        names = self.table.column_names
        return Rows(self.table.group_by(names).aggregate([])) if names else self

    def where(self, keep: NDArray[np.bool_]) -> Rows:
        """The rows where `keep` is true."""
        return self if keep.all() else Rows(self.table.filter(pa.array(keep)))


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of one table by their places in a row.

    `key` is the place of the one that SQLite keeps as the rowid; a table with generated columns is not `plain`.
    """

    places: Mapping[str, int]
    key: int | None
    plain: bool


class Tables(Protocol):
    """The tables of one export, in whichever container."""

    @property
    def tables(self) -> frozenset[str]:
        """Names of the tables that are there."""

    def read(self, table: str, columns: Sequence[str], text: Sequence[str] = ()) -> Rows:
        """Those of the integer `columns` and the `text` columns that exist; no rows when the table does not.

        `rowid`, the row's number from 1 on, may be among the columns.

        Raises:
            InputError: a column holds something else than its type, or the container is damaged.
        """


class Database:
    """The tables of one file. Use as a context manager.

    Raises:
        InputError: the file is damaged, or a column holds something else than its type.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._complaints():
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            self._connection.text_factory = lambda raw: raw.decode(errors="replace")
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA cell_size_check = ON")
            # rootpage is 0 for virtual tables
            found = self._connection.execute(
                "SELECT name, rootpage FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
            )
            self._roots = {name: root for name, root in found if '"' not in name}
        self.tables = frozenset(self._roots)
        self._pages = Pages(path)

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._pages.close()

    def read(self, table: str, columns: Sequence[str], text: Sequence[str] = ()) -> Rows:
        """See `Tables`."""
        layout = self._layout(table)
        fields = [pa.field(c, pa.int64()) for c in columns if c in layout.places]
        schema = pa.schema(fields + [pa.field(c, pa.string()) for c in text if c in layout.places])
        if table not in self.tables or not len(schema):
            return Rows(schema.empty_table())
        try:
            if not layout.plain:
                raise Unusual
            places = [layout.places[name] for name in schema.names]
            batches = list(self._pages.batches(self._roots[table], places, schema, layout.key))
        except Unusual:
            batches = self._select(table, schema)
        return Rows(pa.Table.from_batches(batches, schema))

    def _layout(self, table: str) -> _Layout:
        if table not in self.tables:
            return _Layout({}, None, plain=True)
        with self._complaints():
            columns = self._connection.execute(f'PRAGMA table_xinfo("{table}")').fetchall()
        # of a single key, declared as exactly INTEGER, SQLite makes another name of the rowid
        keys = [place for place, _, type_, _, _, key, _ in columns if key]
        is_rowid = len(keys) == 1 and columns[keys[0]][2].upper() == "INTEGER"
        places = {name: place for place, name, *_, hidden in columns if not hidden}
        return _Layout({"rowid": ROWID, **places}, keys[0] if is_rowid else None, len(places) == len(columns))

    def _select(self, table: str, schema: pa.Schema) -> list[pa.RecordBatch]:
        names = ", ".join(c if c == "rowid" else f'"{c}"' for c in schema.names)
        batches = []
        with self._complaints(), no_collection():
            cursor = self._connection.execute(f'SELECT {names} FROM "{table}"')
            while rows := cursor.fetchmany(CHUNK_ROWS):
                batches.append(self._batch(table, rows, schema))
        return batches

    def _batch(self, table: str, rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
        columns = list(zip(*rows, strict=True))
        arrays = []
        for field, values in zip(schema, columns, strict=True):
            try:
                arrays.append(pa.array(values, field.type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                raise InputError(
                    self.path,
                    say(
                        "column {column} of table {table} holds something else than {type}",
                        column=field.name,
                        table=table,
                        type=field.type,
                    ),
                    say("Export again with `nsys export --type sqlite`."),
                ) from None
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeError) as error:
            raise InputError(
                self.path,
                say("is a damaged SQLite file ({error})", error=error),
                say("Copy it again, or export again with `nsys export --type sqlite`."),
            ) from None


class Strings:
    """The table StringIds: names are ids into it."""

    def __init__(self, database: Tables) -> None:
        rows = database.read("StringIds", ("id",), ("value",))
        self._ids = rows.ints("id")
        self._values = rows.arrow("value") if rows.has("value") else pa.nulls(len(rows), pa.string())
        order = np.argsort(self._ids, kind="stable")
        self._ids, self._order = self._ids[order], order

    def of(self, ids: Ints) -> pa.DictionaryArray:
        """The texts of ids as a column; null for an id that is not there, or has no text."""
        distinct, codes = np.unique(ids, return_inverse=True)
        place = np.searchsorted(self._ids, distinct)
        inside = place < len(self._ids)
        inside[inside] = self._ids[place[inside]] == distinct[inside]
        values = self._values.take(pa.array(self._order[place[inside]]))
        inside[inside] = np.asarray(values.is_valid())
        at = np.cumsum(inside) - 1
        return text_column(np.where(inside, at, -1)[codes], values.drop_null().to_pylist())
