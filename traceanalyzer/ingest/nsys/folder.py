"""A folder of Parquet or Arrow files, one for each table, as Arrow columns."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.nsys.database import Rows
from traceanalyzer.ingest.source import sha256_of
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MAGIC = {b"PAR1": ".parquet", b"ARROW1": ".arrow"}


class Folder:
    """The tables of one export in a folder; only the columns that are asked for are read.

    Raises:
        InputError: a file is damaged, or a column holds something else than its type.
    """

    def __init__(self, path: Path) -> None:
        self._files = {
            f.stem: f for f in sorted(path.iterdir()) if f.is_file() and f.suffix in _MAGIC.values()
        }
        self.tables = frozenset(self._files)

    def sha256(self) -> str:
        """A hash over all tables: two runs of a program may well have the same names."""
        total = hashlib.sha256()
        for name, path in self._files.items():
            total.update(f"{name} {sha256_of(path)}\n".encode())
        return total.hexdigest()

    def size(self) -> int:
        """Bytes of all tables."""
        return sum(f.stat().st_size for f in self._files.values())

    @staticmethod
    def format_of(head: bytes) -> str | None:
        """The suffix that belongs to the first bytes of a file, None for other content."""
        return next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), None)

    def read(self, table: str, columns: Sequence[str], text: Sequence[str] = ()) -> Rows:
        """See `Tables`."""
        wanted = [(c, pa.string() if c in text else pa.int64()) for c in (*columns, *text)]
        file = self._files.get(table)
        if file is None:
            return Rows(pa.schema(wanted).empty_table())
        try:
            content = _columns(file, [c for c, _ in wanted])
            made = {c: content[c].cast(type_) for c, type_ in wanted if c in content.column_names}
        except (pa.ArrowException, OSError) as error:
            problem = say("cannot be read ({error})", error=str(error).splitlines()[0])
            raise InputError(
                file, problem, say("Copy it again, or export again with `nsys export`.")
            ) from None
        if "rowid" in columns:
            made["rowid"] = pa.chunked_array([np.arange(1, content.num_rows + 1)])
        return Rows(pa.table(made))


def _columns(file: Path, wanted: Sequence[str]) -> pa.Table:
    """Those of the columns that the file has, with at least one so that rows can be counted."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            return parquet.read(columns=[c for c in names if c in wanted] or names[:1])
    with pa.memory_map(str(file)) as mapped:
        whole = pa.ipc.open_file(mapped).read_all()
        return whole.select([c for c in whole.column_names if c in wanted] or whole.column_names[:1])
