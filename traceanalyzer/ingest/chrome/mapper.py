"""The mapper room: columns of text → columns of the model's tables.

Groups of the same shape are gathered until there is enough text to convert whole columns at once. The result is a
list of Arrow tables per model table, with an `order` column (the position in the file) instead of ids; `assemble.py`
sorts and numbers them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.chrome import values
from traceanalyzer.ingest.chrome.decoder import NAMED_PHASES, SEPARATOR, Group
from traceanalyzer.ingest.chrome.vocabulary import (
    COLLECTIVE_ARGS,
    DEVICE_TYPES,
    Kind,
    Target,
    target_of,
)
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.table import arrow_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLUSH_BYTES = 2 << 20
"""Text of one shape that is gathered before it is converted: bounds memory, amortises numpy's call costs."""

_TYPES = {table.name: {c.name: arrow_type(c.type) for c in table.columns} for table in BY_NAME.values()}


@dataclass(slots=True)
class _Pending:
    groups: list[Group] = field(default_factory=list)
    bytes: int = 0


class Mapper:
    """Takes groups, gives Arrow tables. `untimed` counts events that no time could be read of."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pa.Table]] = defaultdict(list)
        self.labels: dict[int, str] = {}
        self.untimed = 0
        self._pending: dict[tuple[str, ...], _Pending] = {}

    def add(self, group: Group) -> None:
        """Take one group; it is converted when enough of its shape has come together."""
        shape = (group.phase, group.category, *group.args)
        if group.phase in NAMED_PHASES:
            shape = (*shape, _name_of(group))
        pending = self._pending.setdefault(shape, _Pending())
        pending.groups.append(group)
        pending.bytes += sum(map(len, group.fields.values())) + sum(map(len, group.args.values()))
        if pending.bytes >= FLUSH_BYTES:
            del self._pending[shape]
            self._convert(pending.groups)

    def finish(self) -> dict[str, list[pa.Table]]:
        """Convert what is left and hand over the parts."""
        for pending in self._pending.values():
            self._convert(pending.groups)
        self._pending.clear()
        return dict(self.parts)

    def _convert(self, groups: list[Group]) -> None:
        first, rows = groups[0], sum(g.rows for g in groups)
        fields = {k: SEPARATOR.join(g.fields[k] for g in groups) for k in first.fields}
        args = {k: SEPARATOR.join(g.args[k] for g in groups) for k in first.args}
        order = np.concatenate([g.order for g in groups])
        target = target_of(first.phase, first.category, _name_of(first))
        build = _Build(target, rows, order, fields, args)
        if target.table == "counters":
            self._add_counters(build)
            return
        if target.table == "processes":
            self._add_process_names(build)
            return
        build.common()
        self._lanes(build)
        build.arguments()
        build.derived()
        self._emit(build)

    def _lanes(self, build: _Build) -> None:
        for key in ("pid", "tid"):
            column = values.ints(build.fields[key], build.rows)
            for row, raw in column.misfits.items():
                label = values.one_text(raw) or ""
                number = -(1 << 32) - crc32(label.encode())
                self.labels[number] = label
                column.values[row] = number
                if column.valid is not None:
                    column.valid[row] = True
            build.lanes[key] = column
        if build.target.lane == "device":
            for key, column_name in (("pid", "device"), ("tid", "stream")):
                build.put(column_name, build.lanes[key])
        if build.target.lane == "host" or build.target.table == "annotations":
            for key in ("pid", "tid"):
                lane = build.lanes[key]
                if lane.valid is not None:
                    lane = values.Column(np.where(lane.valid, lane.values, -1))
                build.put(key, lane)

    def _emit(self, build: _Build) -> None:
        timed = build.timed
        extras = build.extras()
        table = pa.table({**build.columns, "order": pa.array(build.order)})
        collectives = build.collectives()
        if not timed.all():
            self.untimed += int((~timed).sum())
            table = table.filter(pa.array(timed))
        self.parts[build.target.table].append(table)
        if extras is not None:
            self.parts["extras"].append(extras)
        if collectives is not None:
            self.parts["collectives"].append(collectives)

    def _add_counters(self, build: _Build) -> None:
        """A counter event is one sample of each of its series."""
        build.common()
        self._lanes(build)
        for series, blob in build.args.items():
            column = values.floats(blob, build.rows)
            one = _Build(build.target, build.rows, build.order, {}, {})
            one.columns = {k: v for k, v in build.columns.items() if k != "dur"}
            one.constant("metric", series)
            one.put("value", column)
            one.timed = build.timed
            self._emit(one)

    def _add_process_names(self, build: _Build) -> None:
        self._lanes(build)
        build.columns["event"] = values.texts(build.fields["name"])
        for key in ("name", "labels"):
            if key in build.args:
                build.columns[key] = values.texts(build.args[key])
        if "sort_index" in build.args:
            build.put("sort_index", values.ints(build.args["sort_index"], build.rows))
        self.parts["processes"].append(pa.table({**build.columns, "order": pa.array(build.order)}))


def _name_of(group: Group) -> str:
    """The name of the first event: what tells instants and metadata apart."""
    if group.phase not in NAMED_PHASES:
        return ""
    return values.one_text(group.fields["name"].split(SEPARATOR, 1)[0]) or ""


class _Build:
    """The columns of one converted shape in the making."""

    def __init__(
        self,
        target: Target,
        rows: int,
        order: NDArray[np.int64],
        fields: dict[str, bytes],
        args: dict[str, bytes],
    ) -> None:
        self.target, self.rows, self.order, self.fields, self.args = target, rows, order, fields, args
        self.columns: dict[str, Any] = {}
        self.lanes: dict[str, values.Column] = {}
        self.misfits: dict[str, dict[int, bytes]] = {}
        self.timed = np.ones(rows, bool)

    def put(self, name: str, column: values.Column) -> None:
        type_ = _TYPES[self.target.table].get(name, pa.int64())
        mask = None if column.valid is None else ~column.valid
        if pa.types.is_int32(type_):
            narrow = column.values.astype(np.int32)
            fits = narrow == column.values
            if not fits.all():
                mask = ~fits if mask is None else mask | ~fits
            self.columns[name] = pa.array(narrow, mask=mask)
        else:
            self.columns[name] = pa.array(column.values, mask=mask)

    def constant(self, name: str, value: str | bool) -> None:
        if value == "":
            return  # an event without a category: null
        if isinstance(value, bool):
            self.columns[name] = pa.array(np.full(self.rows, value))
        else:
            self.columns[name] = pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(self.rows, np.int32)), pa.array([value], pa.string())
            )

    def common(self) -> None:
        """name, ts, dur and the target's constants."""
        self.columns["name"] = values.texts(self.fields["name"])
        ts = values.nanoseconds(self.fields["ts"], self.rows)
        if ts.valid is not None:
            self.timed = ts.valid
        self.put("ts", ts)
        if "dur" in self.fields and "dur" in _TYPES[self.target.table]:
            dur = values.nanoseconds(self.fields["dur"], self.rows)
            self.put("dur", dur)
            self.misfits["dur"] = dur.misfits
        if self.target.table == "flows":
            self.put("flow_id", values.ints(self.fields["id"], self.rows))
        for name, value in self.target.constants.items():
            self.constant(name, value)

    def arguments(self) -> None:
        """The args that have a column."""
        for key, (name, kind) in self.target.args.items():
            blob = self.args.get(key)
            if blob is not None:
                self._argument(key, name, kind, blob)

    def _argument(self, key: str, name: str, kind: Kind, blob: bytes) -> None:
        if kind in {"int", "float"}:
            column = (values.ints if kind == "int" else values.floats)(blob, self.rows)
            before = self.columns.get(name)
            if before is not None and column.valid is not None:  # device and stream: keep the lane's
                lane = np.asarray(before.fill_null(0))
                column.values = np.where(column.valid, column.values, lane)
                column.valid = column.valid | np.asarray(before.is_valid())
            self.put(name, column)
            self.misfits[key] = column.misfits
        elif kind == "triple":
            self.columns[name] = values.triples(blob)
        else:
            self.columns[name] = (values.texts if kind == "text" else values.json_texts)(blob)

    def derived(self) -> None:
        """Columns that Kineto packs into a name or a number."""
        if self.target.table == "copies" and self.target.constants["kind"] == "memcpy":
            for column, part in zip(
                ("direction", "src_kind", "dst_kind"), _copy_parts(self.columns["name"]), strict=True
            ):
                self.columns[column] = part
        if self.target.table == "allocations":
            numbers = self.columns.pop("device_type_number", None)
            if numbers is not None:
                self.columns["device_type"] = _device_types(numbers)
            if "action" not in self.columns and "bytes" in self.columns:
                released = np.asarray(self.columns["bytes"].fill_null(0)) < 0
                self.columns["action"] = pa.DictionaryArray.from_arrays(
                    pa.array(released.astype(np.int32)), pa.array(["alloc", "free"])
                )

    def collectives(self) -> pa.Table | None:
        """The rows of `collectives` for kernels and ops that carry a collective's arguments."""
        if "Collective name" not in self.args:
            return None
        shared = ("name", "ts", "dur", "device", "stream", "correlation", "external_id")
        one = _Build(Target("collectives"), self.rows, self.order, {}, {})
        one.columns = {k: self.columns[k] for k in shared if k in self.columns}
        one.constant("on_gpu", self.target.lane == "device")
        for key, (name, kind) in COLLECTIVE_ARGS.items():
            if key in self.args:
                one._argument(key, name, kind, self.args[key])
        table = pa.table({**one.columns, "order": pa.array(self.order)})
        return table if self.timed.all() else table.filter(pa.array(self.timed))

    def extras(self) -> pa.Table | None:
        """Args without a column, and values that did not fit theirs, as one JSON object a row."""
        known = set(self.target.args)
        if "Collective name" in self.args:
            known |= set(COLLECTIVE_ARGS)
        if self.target.table == "counters":
            known |= set(self.args)
        unknown = [k for k in self.args if k not in known]
        odd = sorted({row for column in self.misfits.values() for row in column})
        if not unknown and not odd:
            return None
        rows = np.arange(self.rows) if unknown else np.array(odd)
        keys = [msgspec.json.encode(k) for k in unknown]
        pieces = [self.args[k].split(SEPARATOR) for k in unknown]
        template = b",".join(key + b":%b" for key in (k.replace(b"%", b"%%") for k in keys))
        objects = [template % row for row in zip(*pieces, strict=True)] if unknown else [b""] * len(rows)
        at = {int(row): i for i, row in enumerate(rows)}
        for key, column in self.misfits.items():
            for row, raw in column.items():
                pair = msgspec.json.encode(key) + b":" + raw
                objects[at[row]] = objects[at[row]] + b"," + pair if objects[at[row]] else pair
        blob = SEPARATOR.join(b"{" + o + b"}" for o in objects)
        keep = self.timed[rows]
        table = pa.table(
            {
                "table": pa.DictionaryArray.from_arrays(
                    pa.array(np.zeros(len(rows), np.int32)), pa.array([self.target.table])
                ),
                "row_order": pa.array(self.order[rows]),
                "json": values.json_texts(blob),
            }
        )
        return table if keep.all() else table.filter(pa.array(keep))


def _copy_parts(names: pa.DictionaryArray) -> list[pa.DictionaryArray]:
    """Direction, source and destination kinds from names like `Memcpy HtoD (Pageable -> Device)`."""
    parsed = [_parse_copy(name) for name in names.dictionary.to_pylist()]
    codes = names.indices
    out = []
    for part in range(3):
        plain = pa.array([p[part] for p in parsed], pa.string()).take(codes)
        out.append(plain.dictionary_encode())
    return out


def _parse_copy(name: str) -> tuple[str | None, str | None, str | None]:
    words = name.split()
    direction = words[1] if len(words) > 1 and "to" in words[1] else None
    if direction is None and name.startswith("Copy") and "To" in name:  # ROCm: CopyHostToDevice
        source, _, target = name.removeprefix("Copy").partition("To")
        direction = f"{source[:1]}to{target[:1]}"
    if "(" in name and "->" in name:
        left, _, right = name[name.index("(") + 1 :].rstrip(")").partition("->")
        return direction, left.strip().lower() or None, right.strip().lower() or None
    return direction, None, None


def _device_types(numbers: pa.Array) -> pa.DictionaryArray:
    encoded = numbers.dictionary_encode()
    names = [DEVICE_TYPES.get(n, str(n)) for n in encoded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int32()), pa.array(names, pa.string()))
