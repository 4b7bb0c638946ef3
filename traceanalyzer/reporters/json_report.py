"""The stable JSON of an analysis: keys are only added, and what was not measured is null.

The shape is defined by `schema.json` beside this file. Durations and times are integer nanoseconds from the
start of the trace, sizes are bytes; the same analysis gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.reporters import json_costs
from traceanalyzer.reporters.facts import ReportFacts
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from traceanalyzer.analyzers.results import DeviceBreakdown, Holder, MemoryTimeline
    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot
    from traceanalyzer.model.trace import Source
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding

SCHEMA_VERSION = 1
_NODE = ("parent", "depth", "name", "host_ns", "device_ns")

Document = dict[str, Any]


def render(analysis: Analysis, *, top: int | None = None) -> str:  # noqa: ARG001 - every reporter takes it
    """The document as indented JSON that ends with a newline. It is complete whatever `top` is."""
    text = json.dumps(document(analysis), ensure_ascii=False, allow_nan=False)
    return msgspec.json.format(text, indent=1) + "\n"  # json's own indenting is not in C


def schema() -> Document:
    """The JSON Schema (draft 2020-12) that every document fits."""
    loaded: Document = json.loads(files("traceanalyzer.reporters").joinpath("schema.json").read_text("utf-8"))
    return loaded


def document(analysis: Analysis) -> Document:
    """The document as plain dictionaries and lists. Tables are complete; none is cut to a top N."""
    facts = ReportFacts.of(analysis)
    capabilities = analysis.trace.capabilities
    needs = how_to_capture(analysis.trace.sources)
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "traceanalyzer", "version": __version__},
        "simulated": facts.simulated,
        "sources": [_source(s) for s in analysis.trace.sources],
        "capabilities": [c.value for c in Capability if c in capabilities],
        "missing_capabilities": [
            {"capability": c.value, "needs": needs[c]} for c in Capability if c not in capabilities
        ],
        "warnings": list(analysis.warnings),
        "quality": [{"level": q.level, "message": q.message, "remedy": q.remedy} for q in facts.quality],
        "verdict": asdict(analysis.verdict),
        "steps": _steps(facts),
        "breakdown": [_device(d) for d in facts.devices] if facts.breakdown else None,
        "idle_gaps": _rows(facts.breakdown.largest_gaps if facts.breakdown else None),
        "idle_lines": _rows(facts.breakdown.idle_lines if facts.breakdown else None),
        "host_time": _rows(facts.host_time.rows) if facts.host_time and facts.host_time.rows else None,
        "kernels": _rows(facts.kernels.rows if facts.kernels else None),
        "kernel_totals": _without(facts.kernels, "rows"),
        **json_costs.sections(analysis.results),
        "ops": _rows(facts.ops.by_name if facts.ops else None, facts.unknown_columns),
        "ops_by_shape": _rows(facts.ops.by_shape if facts.ops else None, facts.unknown_columns),
        "op_totals": _without(facts.ops, "by_name", "by_shape", unknown=facts.unknown_columns),
        "modules": _rows(facts.modules.rows if facts.modules else None, facts.unknown_columns),
        "module_totals": _without(facts.modules, "rows", unknown=facts.unknown_columns),
        "python_stacks": _stacks(facts),
        "host_stacks": _host_stacks(facts),
        "copies": _rows(facts.copies.rows if facts.copies else None),
        "collectives": _rows(facts.collectives.rows if facts.collectives else None),
        "host_communication": _rows(facts.host_communication.rows if facts.host_communication else None),
        "collective_totals": _without(facts.collectives, "rows"),
        "launches": _launches(facts),
        "memory": _memory(facts),
        "findings": [plain(f) for f in facts.findings],
        "combined_saving": _lists(asdict(analysis.combined)) if analysis.combined else None,
        "not_assessed": [asdict(n) for n in analysis.not_assessed],
        "passed": [p.code for p in analysis.passed],
        "diff": _diff(analysis),
    }


def _diff(analysis: Analysis) -> Document | None:
    """What changed since the baseline; null without one."""
    if analysis.baseline is None:
        return None
    from traceanalyzer.reporters import comparison
    from traceanalyzer.rules.comparison import compare

    changes: Document = _lists(comparison.document(compare(analysis.baseline, analysis)))
    return changes


def _rows(rows: Iterable[Any] | None, unknown: frozenset[str] = frozenset()) -> list[Document] | None:
    """Rows as dictionaries; the fields named as `unknown` are null."""
    if rows is None:
        return None
    told = (_lists(asdict(row)) for row in rows)
    return [{key: None if key in unknown else item for key, item in row.items()} for row in told]


def _lists(value: Any) -> Any:
    """Tuples as lists, as a reader of the JSON would get them."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _stacks(facts: ReportFacts) -> Document | None:
    """Call paths in depth-first order, as columns: there are thousands."""
    found = facts.python_stacks
    if found is None:
        return None
    columns: Document = {key: [getattr(node, key) for node in found.nodes] for key in _NODE}
    return columns | {"left_out": found.left_out, "unattributed_device_ns": found.unattributed_device_ns}


def _host_stacks(facts: ReportFacts) -> Document | None:
    """Native call paths of samples and of system calls; null without any."""
    found = facts.host_stacks
    if found is None or not (found.samples.name or found.system_calls.name):
        return None
    document: Document = _lists(asdict(found))
    return document


def _without(result: Any, *tables: str, unknown: frozenset[str] = frozenset()) -> Document | None:
    """The plain fields of a result, without its tables; the fields named as `unknown` are null."""
    if result is None:
        return None
    chosen = [f for f in result.__dataclass_fields__ if f not in tables]
    return {f: None if f in unknown else getattr(result, f) for f in chosen}


def _source(source: Source) -> Document:
    return {
        "path": source.path,
        "format": source.format,
        "sha256": source.sha256,
        "bytes": source.bytes,
        "events": source.events,
        "rank": source.rank,
        "epoch_ns": source.epoch_ns,
        "simulated": source.simulated,
        "metadata": _plain(source.metadata),
        "notes": [asdict(note) for note in source.notes],
    }


def _plain(value: Any) -> Any:
    """Header values as JSON, keys in order; what JSON has no word for becomes null or text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value - value != 0:  # NaN and infinities
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _steps(facts: ReportFacts) -> Document | None:
    if facts.steps is None:
        return None
    return {
        "kind": facts.steps.kind,
        "count": len(facts.steps.steps),
        "median_ns": facts.step_ns,
        "outliers": list(facts.steps.outliers),
        "list": [asdict(step) | {"duration_ns": step.duration_ns} for step in facts.steps.steps],
    }


def _device(device: DeviceBreakdown) -> Document:
    return {
        "rank": device.rank,
        "device": device.device,
        "name": device.name,
        "window_start_ns": device.window_start_ns,
        **asdict(device.whole),
        "communication_ns": device.communication_ns,
        "copy_ns": device.copy_ns,
        "idle_causes": {c.cause: c.total_ns for c in device.idle_causes},
        "idle_cause_gaps": {c.cause: c.gaps for c in device.idle_causes},
        "steps": [asdict(step) for step in device.steps],
    }


def _launches(facts: ReportFacts) -> Document | None:
    if facts.launches is None:
        return None
    return {
        "devices": _rows(facts.launches.devices),
        "api": _rows(facts.launches.api),
        "queue": [
            {"rank": rank, "device": device, "points": [list(point) for point in points]}
            for (rank, device), points in sorted(facts.launches.queue.items())
        ],
    }


def _memory(facts: ReportFacts) -> Document | None:
    """The whole section is null when nothing told of memory: no events, no snapshot, no error message."""
    timelines = facts.memory.timelines if facts.memory else ()
    snapshot, ooms = facts.analysis.results.get("snapshot"), facts.analysis.results.get("oom")
    if not timelines and not (ooms and ooms.rows):
        return None
    fullest = _fullest(timelines) if timelines else None
    holders = fullest.live_at_peak if fullest else ()
    device = (
        max(snapshot.devices, key=lambda d: d.peak_reserved_bytes) if snapshot and snapshot.devices else None
    )
    return {
        "peak_device": fullest
        and {"rank": fullest.rank, "type": fullest.device_type, "device": fullest.device},
        "peak_allocated_bytes": fullest and fullest.peak_allocated_bytes,
        "peak_reserved_bytes": fullest and fullest.peak_reserved_bytes,
        "peak_by_stack": _held_by(holders, "python") if fullest else None,
        "peak_by_module": _held_by(holders, "module") if fullest else None,
        "peak_by_category": device and dict(sorted(device.peak.by_category.items())),
        "fragmentation": device and _fragmentation(device),
        "oom": {"errors": [_lists(asdict(row)) for row in ooms.rows]} if ooms and ooms.rows else None,
        "snapshots": [_lists(asdict(one)) for one in snapshot.devices]
        if snapshot and snapshot.devices
        else None,
        "timelines": _rows(timelines),
    }


def _fragmentation(device: DeviceSnapshot) -> Document:
    """Free memory inside what is reserved, at the end of the snapshot of the fullest device."""
    free: Document = _lists(asdict(device.free_at_end))
    where = {"rank": device.rank, "device": device.device}
    return where | free | {"pinned_segments": [asdict(segment) for segment in device.pinned]}


def _fullest(timelines: Sequence[MemoryTimeline]) -> MemoryTimeline:
    """The accelerator with the highest peak; the CPU only when it is all there is."""
    return max(timelines, key=lambda t: (t.device_type != "cpu", t.peak_allocated_bytes or 0))


def _held_by(holders: Iterable[Holder], field: str) -> list[Document] | None:
    """Bytes per value of a field, the largest first; None when the field was never recorded."""
    held: dict[str | None, int] = {}
    for holder in holders:
        key = getattr(holder, field)
        held[key] = held.get(key, 0) + holder.bytes
    if not any(key is not None for key in held):
        return None
    return [
        {field: key, "bytes": held[key]} for key in sorted(held, key=lambda k: (-held[k], k is None, k or ""))
    ]


def plain(finding: Finding) -> Document:
    """A finding as its JSON has it: `counts` is what rules tell each other."""
    document: Document = _lists(asdict(finding))
    del document["counts"]
    return document
