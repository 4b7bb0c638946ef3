"""Small Nsight Systems exports for the tests of their reader."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RECORDED = Path(__file__).parents[2] / "fixtures" / "nsys"
HOST = 0x1000000000000  # the bits above process and thread


def global_id(pid: int, tid: int = 0) -> int:
    """A globalTid, or the globalPid of a process."""
    return HOST | pid << 24 | tid


class Export:
    """An export in the making: names become ids, a table has the columns of its rows."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Mapping[str, Any]]] = {}
        self.names: dict[str, int] = {}

    def add(self, table: str, **columns: Any) -> Export:
        """One row."""
        self.tables.setdefault(table, []).append(columns)
        return self

    def name(self, text: str) -> int:
        """The id of a text in StringIds."""
        return self.names.setdefault(text, len(self.names) + 1)

    def launch(self, pid: int, start: int, end: int, correlation: int, name: str = "cudaLaunchKernel_v7000",
               event_class: int = 0) -> Export:  # fmt: skip
        """One API call on the main thread of a process."""
        return self.add(
            "CUPTI_ACTIVITY_KIND_RUNTIME", start=start, end=end, eventClass=event_class,
            globalTid=global_id(pid, pid), correlationId=correlation, nameId=self.name(name), returnValue=0,
        )  # fmt: skip

    def kernel(self, pid: int, start: Any, end: int, correlation: int, name: str = "k", device: int = 0,
               **more: Any) -> Export:  # fmt: skip
        """One kernel."""
        return self.add(
            "CUPTI_ACTIVITY_KIND_KERNEL", start=start, end=end, deviceId=device, contextId=1, streamId=7,
            correlationId=correlation, globalPid=global_id(pid), demangledName=self.name(name),
            shortName=self.name(name), registersPerThread=32, gridX=8, gridY=2, gridZ=1, blockX=128, blockY=1,
            blockZ=1, staticSharedMemory=0, dynamicSharedMemory=1024, **more,
        )  # fmt: skip

    def range(self, pid: int, start: int, end: int | None, text: str, event_type: int = 59, domain: int = 0,
              tid: int | None = None) -> Export:  # fmt: skip
        """One NVTX range, or a mark."""
        return self.add(
            "NVTX_EVENTS", start=start, end=end, eventType=event_type, text=text, textId=None, domainId=domain,
            globalTid=global_id(pid, pid if tid is None else tid),
        )  # fmt: skip

    def write(self, path: Path, *, reverse: bool = False, without: Iterable[str] = ()) -> Path:
        """The file; `without` names tables, or columns as table.column, to leave out."""
        connection = sqlite3.connect(path)
        tables: dict[str, list[Mapping[str, Any]]] = {
            **self.tables,
            "StringIds": [{"id": i, "value": n} for n, i in self.names.items()],
        }
        for table, rows in tables.items():
            if table in without:
                continue
            columns = [c for c in rows[0] if f"{table}.{c}" not in without] if rows else ["id", "value"]
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            values = [[row[c] for c in columns] for row in (rows[::-1] if reverse else rows)]
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        connection.commit()
        connection.close()
        return path


def as_folder(export: Path, folder: Path, form: str) -> Path:
    """What `nsys export --type parquetdir` or `arrowdir` makes of the same report."""
    folder.mkdir()
    connection = sqlite3.connect(export)
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    names = [n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in names:
        cursor = connection.execute(f'SELECT * FROM "{name}"')
        columns = [c[0] for c in cursor.description]
        values = zip(*cursor.fetchall(), strict=True)
        table = pa.table(dict(zip(columns, map(pa.array, values), strict=False)))
        if not table.num_rows:
            continue
        if form == "parquet":
            pq.write_table(table, folder / f"{name}.parquet")
        else:
            with pa.ipc.new_file(folder / f"{name}.arrow", table.schema) as file:
                file.write_table(table)
    connection.close()
    return folder


def recorded(folder: Path) -> Path:
    """The recorded export, unpacked into the folder."""
    path = folder / "train.sqlite"
    path.write_bytes(gzip.decompress((RECORDED / "train.sqlite.gz").read_bytes()))
    return path
