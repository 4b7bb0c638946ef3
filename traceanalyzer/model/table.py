"""What a table of the model is, its types in Arrow, and the columns that many tables have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `linked` columns are added after reading; `refers` names the table it points into."""

    name: str
    type: str
    meaning: str
    unit: str = ""
    linked: bool = False
    refers: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the model and what a row of it is."""

    name: str
    rows: str
    columns: tuple[Column, ...]

    @property
    def source_columns(self) -> tuple[Column, ...]:
        """The columns that a source writes (not `id`, not the links)."""
        return tuple(c for c in self.columns if not c.linked and c.name != "id")


def arrow_type(spelling: str) -> pa.DataType:
    """The Arrow type that a column's `type` stands for."""
    import pyarrow as pa

    match spelling:
        case "text" | "json":
            return pa.dictionary(pa.int32(), pa.string())
        case "int32[3]":
            return pa.list_(pa.int32(), 3)
        case "bool":
            return pa.bool_()
        case "double":
            return pa.float64()
        case _:
            return pa.type_for_alias(spelling)


def arrow_schema(table: Table, *, linked: bool = False) -> pa.Schema:
    """The Arrow schema of a table as sources write it, or with the link columns when `linked`."""
    import pyarrow as pa

    return pa.schema([(c.name, arrow_type(c.type)) for c in table.columns if linked or not c.linked])


ID = Column("id", "int64", "row number in this table")
NAME = Column("name", "text", "name as recorded")
RANK = Column("rank", "int32", "rank of the process in the distributed job; 0 when alone")
TS = Column("ts", "int64", "start, counted from the start of the trace", "ns")
DUR = Column("dur", "int64", "duration; null when the source gave none", "ns")
PID = Column("pid", "int64", "process; negative for a row that no process owns")
TID = Column("tid", "int64", "thread; negative for a row that no thread owns")
DEVICE = Column("device", "int32", "accelerator index within the rank's host")
STREAM = Column("stream", "int64", "stream (queue) on the device")
CORRELATION = Column("correlation", "int64", "joins an API call with the device work it launched")
EXTERNAL = Column("external_id", "int64", "id of the op that was running, as the profiler saw it")
STEP = Column("step", "int32", "index of the step this row belongs to; null outside all steps", linked=True)
MODULE = Column("module", "text", "path of the nn.Module that was running", linked=True)
STACK = Column("stack", "int64", "row of stacks: the innermost frame", refers="stacks")
POOL = Column(
    "pool", "text", "allocator pool, two ids; 0,0 is the default, others belong to graphs or the user"
)
HOST = (ID, NAME, RANK, TS, DUR, PID, TID)
GPU = (ID, NAME, RANK, TS, DUR, DEVICE, STREAM)
LAUNCHED = (
    Column("api_call", "int64", "row of api_calls that launched this", linked=True),
    Column("op", "int64", "row of ops that launched this: the innermost op", linked=True),
    Column("link", "text", "how the op was found: nesting | external_id | flow | graph | none", linked=True),
    MODULE,
    STEP,
)
