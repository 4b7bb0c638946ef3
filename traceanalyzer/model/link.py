"""What the sources leave implicit: who launched what, inside which op, frame, module and step.

`link` adds the columns that `schema.py` marks `linked`. How each device row found its op is kept in `link`:
nesting (its launch call lies inside the op, on the same thread), external_id (the profiler's own note), flow (an
arrow in place of a correlation), graph (one launch of many kernels) or none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.model.annotations import host_ranges
from traceanalyzer.model.columns import ints, nullable, text_column, texts
from traceanalyzer.model.frames import frame_columns, module_paths
from traceanalyzer.model.join import codes_of, first_match
from traceanalyzer.model.moments import joined_rows, running_at
from traceanalyzer.model.ranges import range_modules
from traceanalyzer.model.recordings import part_of, recording_at
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.table import arrow_schema
from traceanalyzer.model.tree import enclosing, inherit, nest, self_times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_HOST_TABLES = ("ops", "python_calls", "api_calls", "allocations", "annotations")
HOWS = ["nesting", "external_id", "flow", "graph", "none"]
_NESTING, _EXTERNAL_ID, _FLOW, _GRAPH, _NONE = range(5)


def link(trace: Trace) -> Trace:
    """The trace with all links; the input is left as it is."""
    return replace(trace, tables=_Linker(trace).tables())


class _Linker:
    """The columns that the links are made of, each made once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.added: dict[str, dict[str, Any]] = {name: {} for name in trace.tables}
        self.lane = self._lanes()
        self.steps = _StepWindows(trace)

    def tables(self) -> dict[str, pa.Table]:
        self._ops_and_frames()
        self._modules_of_frames()
        self._forward()
        self._modules_of_ops()
        self._host_rows("api_calls")
        self._host_rows("allocations")
        for name in ("kernels", "copies"):
            self._device_rows(name)
        self._collectives()
        return {name: _with(name, table, self.added[name]) for name, table in self.trace.tables.items()}

    def ints(self, table: str, column: str, fill: int = -1) -> Ints:
        return ints(self.trace.tables[table], column, fill)

    def part(self, table: str) -> Ints:
        """Rank and recording: what the ids that a profiler counts are unique in."""
        return part_of(self.trace.recordings, self.ints(table, "rank"), self.ints(table, "ts"))

    def _lanes(self) -> dict[str, Ints]:
        """One numbering of host threads over all tables."""
        columns = [
            np.concatenate([self.ints(table, key) for table in _HOST_TABLES])
            for key in ("rank", "pid", "tid")
        ]
        lane = codes_of(*columns) if len(columns[0]) else columns[0]
        bounds = np.cumsum([self.trace.tables[t].num_rows for t in _HOST_TABLES])[:-1]
        return dict(zip(_HOST_TABLES, np.split(lane, bounds), strict=True))

    def _ops_and_frames(self) -> None:
        self.parent: dict[str, Ints] = {}
        self.depth: dict[str, Any] = {}
        for name in ("ops", "python_calls"):
            duration = self.ints(name, "dur", 0)
            self.parent[name], self.depth[name] = nest(self.lane[name], self.ints(name, "ts"), duration)
            self.added[name] |= {
                "parent": nullable(self.parent[name]),
                "depth": pa.array(self.depth[name]),
                "self_dur": pa.array(self_times(self.parent[name], duration)),
            }
        self.op_frame = self._around("python_calls", "ops")
        self.added["ops"]["python_call"] = nullable(self.op_frame)
        self.op_step = self.steps.of(self.ints("ops", "rank"), self.ints("ops", "ts"))
        self.added["ops"]["step"] = nullable(self.op_step, type_=pa.int32())

    def _around(self, outer: str, inner: str) -> Ints:
        """Row of the innermost `outer` interval around the start of each `inner` row."""
        return enclosing(
            self.lane[outer],
            self.ints(outer, "ts"),
            self.ints(outer, "dur", 0),
            self.parent[outer],
            self.lane[inner],
            self.ints(inner, "ts"),
        )

    def _modules_of_frames(self) -> None:
        calls = self.trace.tables["python_calls"]
        self.added["python_calls"] |= frame_columns(calls)
        self.frame_module, self.paths = module_paths(
            calls, self.parent["python_calls"], self.depth["python_calls"]
        )
        self.added["python_calls"]["module"] = text_column(self.frame_module, self.paths)
        self._modules_of_ranges()

    def _modules_of_ranges(self) -> None:
        """Without modules among the frames, the program's NVTX ranges are the tree."""
        annotations = self.trace.tables["annotations"]
        module = np.full(annotations.num_rows, -1, np.int64)
        self.ranges = None if self.paths else range_modules(annotations, self.lane["annotations"])
        if self.ranges is not None and len(self.ranges.rows):
            self.paths = self.ranges.paths
            module[self.ranges.rows] = self.ranges.path
        self.added["annotations"]["module"] = text_column(module, self.paths)

    def _range_around(self, name: str) -> Ints:
        """The path of the range around the start of each row."""
        if self.ranges is None or not len(self.ranges.rows):
            return np.full(self.trace.tables[name].num_rows, -1, np.int64)
        return self.ranges.around(self.lane[name], self.ints(name, "ts"))

    def _forward(self) -> None:
        """Backward ops carry the sequence number of the forward op and a forward thread."""
        seq, fwd_tid = self.ints("ops", "seq"), self.ints("ops", "fwd_tid")
        part, n = self.part("ops"), len(seq)
        own = np.full(n, -1, np.int64)
        backward, forward = (fwd_tid > 0) & (seq >= 0), (fwd_tid <= 0) & (seq >= 0)
        if backward.any() and forward.any():
            # reversed, so that the first match is the last forward op with that number: the one that made the node
            sources = np.flatnonzero(forward)[::-1]
            targets = np.flatnonzero(backward)
            found = first_match((part[targets], seq[targets]), (part[sources], seq[sources]))
            row = np.where(found >= 0, sources[found], -1)
            own[targets] = np.where((row >= 0) & (row < targets), row, -1)
        self.op_forward = inherit(self.parent["ops"], self.depth["ops"], own)
        self.added["ops"]["forward"] = nullable(self.op_forward)

    def _modules_of_ops(self) -> None:
        module = _look_up(self.frame_module, self.op_frame)
        module = np.where(module < 0, self._range_around("ops"), module)
        codes, written = texts(self.trace.tables["ops"], "module_hierarchy")
        if any(written):
            known = {path: i for i, path in enumerate(self.paths)}
            spelled = np.array([known.setdefault(w, len(known)) if w else -1 for w in written] + [-1])
            self.paths = list(known)
            module = np.where(module < 0, spelled[codes], module)
        module = np.where(module < 0, _look_up(module, self.op_forward), module)
        self.op_module = module
        self.added["ops"]["module"] = text_column(module, self.paths)

    def _host_rows(self, name: str) -> None:
        """api_calls and allocations: op, frame, step (and module) by nesting, else by the profiler's own id."""
        op = self._around("ops", name)
        if name == "api_calls":
            op = self._filled_by_external_id(name, op)
        frame = self._around("python_calls", name)
        if name == "allocations":
            self._joined_in_time(op, frame)
        step = self.steps.of(self.ints(name, "rank"), self.ints(name, "ts"))
        self.added[name] |= {
            "op": nullable(op),
            "python_call": nullable(frame),
            "step": nullable(step, type_=pa.int32()),
        }
        if name == "api_calls":
            self.api_op, self.api_frame, self.api_step = op, frame, step
            self.api_range = self._range_around(name)
        else:
            module = _look_up(self.op_module, op)
            module = np.where(module < 0, _look_up(self.frame_module, frame), module)
            self.added[name]["module"] = text_column(module, self.paths)

    def _joined_in_time(self, op: Ints, frame: Ints) -> None:
        """Fill in what ran when a memory snapshot's entries were recorded, which name no thread."""
        rows = joined_rows(self.trace.tables["allocations"], self.trace.sources)
        if len(rows):
            rank, at = (self.ints("allocations", key)[rows] for key in ("rank", "ts"))
            for outer, found in (("ops", op), ("python_calls", frame)):
                table = self.trace.tables[outer]
                found[rows] = running_at(table, self.lane[outer], self.parent[outer], rank, at)

    def _filled_by_external_id(self, name: str, op: Ints) -> Ints:
        """The op rows with those that are missing looked up by the profiler's own id of the running op."""
        lost = np.flatnonzero((op < 0) & (self.ints(name, "external_id") > 0))
        if not len(lost):
            return op
        keys = [self.part(name)[lost], self.ints(name, "external_id")[lost]]
        row = first_match(keys, [self.part("ops"), self.ints("ops", "external_id")])
        # an id that belongs to an op which begins later is a coincidence
        begins_before = _look_up(self.ints("ops", "ts"), row) <= self.ints(name, "ts")[lost]
        op = op.copy()
        op[lost] = np.where((row >= 0) & begins_before, row, -1)
        return op

    def _device_rows(self, name: str) -> None:
        rank, correlation = self.ints(name, "rank"), self.ints(name, "correlation", 0)
        found = first_match(
            (self.part(name), correlation), (self.part("api_calls"), self.ints("api_calls", "correlation", 0))
        )
        api = np.where(correlation > 0, found, -1)
        how = np.full(len(api), _NONE, np.int64)
        by_flow = self._api_by_flow(name, api)
        api = np.where(api < 0, by_flow, api)
        op = _look_up(self.api_op, api)
        how[op >= 0] = _NESTING
        how[(op >= 0) & (by_flow >= 0)] = _FLOW
        nested, op = op, self._filled_by_external_id(name, op)
        how[(nested < 0) & (op >= 0)] = _EXTERNAL_ID
        how[self._is_graph_launch(api)] = _GRAPH
        module = _look_up(self.op_module, op)
        module = np.where(module < 0, _look_up(self.frame_module, _look_up(self.api_frame, api)), module)
        module = np.where(module < 0, _look_up(self.api_range, api), module)
        step = _look_up(self.api_step, api)
        step = np.where(api < 0, self.steps.of(rank, self.ints(name, "ts")), step)
        self.added[name] |= {
            "api_call": nullable(api),
            "op": nullable(op),
            "link": text_column(how, HOWS),
            "module": text_column(module, self.paths),
            "step": nullable(step, type_=pa.int32()),
        }

    def _is_graph_launch(self, api: Ints) -> NDArray[np.bool_]:
        codes, names = texts(self.trace.tables["api_calls"], "name")
        launches = np.array([*("graphlaunch" in n.lower() for n in names), False])
        return np.asarray(launches[_look_up(codes.astype(np.int64), api)])

    def _api_by_flow(self, name: str, api: Ints) -> Ints:
        """For device rows without a correlated call: over the arrow that ends on them."""
        result, lost = np.full(len(api), -1, np.int64), np.flatnonzero(api < 0)
        flows = self.trace.tables["flows"]
        if not len(lost) or not flows.num_rows:
            return result
        codes, ends = texts(flows, "end")
        kind_codes, kinds = texts(flows, "kind")
        launch = np.array([*(k in {"ac2g", "async_cpu_to_gpu", "async_gpu"} for k in kinds), False])[
            kind_codes
        ]
        at = {k: ints(flows, k) for k in ("rank", "pid", "tid", "ts", "flow_id")}
        part = self.part("flows")
        start, finish = (
            np.flatnonzero(launch & (codes == (ends.index(e) if e in ends else -2))) for e in "sf"
        )
        row_keys = [self.ints(name, c)[lost] for c in ("rank", "device", "stream", "ts")]
        arrow = first_match(row_keys, [at[k][finish] for k in ("rank", "pid", "tid", "ts")])
        arrow = np.where(arrow >= 0, finish[arrow], -1) if len(finish) else arrow
        tail = first_match((_look_up(part, arrow), _look_up(at["flow_id"], arrow)),
                           (part[start], at["flow_id"][start]))  # fmt: skip
        tail = np.where((tail >= 0) & (arrow >= 0), start[tail], -1) if len(start) else np.full(len(lost), -1)
        call_keys = [self.ints("api_calls", c) for c in ("rank", "pid", "tid", "ts")]
        call = first_match([_look_up(at[k], tail) for k in ("rank", "pid", "tid", "ts")], call_keys)
        result[lost] = np.where(tail >= 0, call, -1)
        return result

    def _collectives(self) -> None:
        keys = ("rank", "device", "stream", "ts")
        row = first_match(
            [self.ints("collectives", k) for k in keys], [self.ints("kernels", k) for k in keys]
        )
        on_gpu = np.asarray(self.trace.tables["collectives"]["on_gpu"].combine_chunks().fill_null(False))
        self.added["collectives"]["kernel"] = nullable(np.where(on_gpu, row, -1))


class _StepWindows:
    """The ProfilerStep ranges on the host: each lasts until the next begins, the last of a recording until its end."""

    def __init__(self, trace: Trace) -> None:
        annotations = trace.tables["annotations"]
        codes, names = texts(annotations, "name")
        is_step = np.array([*(n.startswith("ProfilerStep") for n in names), False])[codes]
        is_step &= host_ranges(annotations)
        rank, start = ints(annotations, "rank")[is_step], ints(annotations, "ts")[is_step]
        end = start + ints(annotations, "dur", 0)[is_step]
        recording = recording_at(trace.recordings, rank, start)
        self.by_rank: dict[int, tuple[Ints, Ints]] = {}
        for r in np.unique(rank).tolist():
            mine = rank == r
            until = np.append(start[mine][1:], 0)
            last = np.flatnonzero(np.append(np.diff(recording[mine]) != 0, True))
            until[last] = np.maximum.accumulate(end[mine])[last]
            self.by_rank[r] = start[mine], until

    def of(self, rank: Ints, at: Ints) -> Ints:
        """Index of the step of its rank in which each time lies, -1 outside."""
        result = np.full(len(rank), -1, np.int64)
        for number, (starts, until) in self.by_rank.items():
            mine = rank == number
            index = np.searchsorted(starts, at[mine], side="right") - 1
            result[mine] = np.where(at[mine] < until[index], index, -1)
        return result


def _look_up(values: Any, rows: Ints) -> Ints:
    """values[row], and -1 where the row is -1."""
    if not len(values):
        return np.full(len(rows), -1, np.int64)
    return np.where(rows >= 0, values[rows], -1)


def _with(name: str, table: pa.Table, added: dict[str, Any]) -> pa.Table:
    """The table with its linked columns, in the schema's order."""
    if not added:
        return table
    target = arrow_schema(BY_NAME[name], linked=True)
    columns = {c: table.column(c) for c in table.column_names} | added
    return pa.table([columns[f.name] for f in target], schema=target)
