"""What Nsight Compute measured of kernels: how near to the peaks each launch came, and which launch of a trace it is.

The label is NVIDIA's "speed of light" rule (SOLBottleneck of Nsight Compute), recomputed: both throughputs below 60 %
of peak mean a grid too small to fill the device once, or latency; below 80 %, ten points make the difference; from
80 % on the busier unit is saturated. ncu fixes the clocks and empties the caches, so its durations stand beside those
of the trace and never in their place.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traceanalyzer.model.columns import ints, present, texts, triples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.model.trace import Capability, Trace

SATURATED, IDLE, CLEAR_LEAD = 80.0, 60.0, 10.0
"""Percent of peak: the thresholds of NVIDIA's rule."""
_COMPUTE = ("Compute (SM) Throughput", "Compute (SM) [%]", "SM [%]",
            "sm__throughput.avg.pct_of_peak_sustained_elapsed")  # fmt: skip
_MEMORY = (
    "Memory Throughput",
    "Memory [%]",
    "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed",
)
_WAVES = ("Waves Per SM", "launch__waves_per_multiprocessor")
_OCCUPANCY = ("Achieved Occupancy", "sm__warps_active.avg.pct_of_peak_sustained_active")
_DURATION = ("Duration", "gpu__time_duration.sum")
_NS = {"n": 1, "u": 1_000, "m": 1_000_000, "s": 1_000_000_000}
_BOTTLENECK = "SOLBottleneck"
_SAID = (
    ("Memory is more heavily utilized", ("memory",)),
    ("Compute is more heavily utilized", ("compute",)),
    ("well-balanced", ("balanced",)),
    ("grid is too small", ("small grid",)),
    ("low compute throughput and memory bandwidth", ("latency",)),
    ("greater than 80", ("compute saturated", "memory saturated")),
)
"""Words of ncu's rule, and the labels that they leave open."""


BOUND_OF_LABEL: Mapping[str, str] = {
    "compute": "compute",
    "compute saturated": "compute",
    "memory": "memory_bandwidth",
    "memory saturated": "memory_bandwidth",
    "balanced": "balanced",
    "latency": "latency",
    "small grid": "latency",
}


@dataclass(frozen=True, slots=True)
class ProfiledLaunch:
    """One launch under ncu. Percentages are of the device's peak; None is not measured.

    `match` is `matched` (`kernel` is its row in `kernels`), `ambiguous` (the trace has such launches, but not as
    many as ncu profiled) or `unmatched`. `said` is ncu's own rule, `agrees` whether the label fits it.
    """

    rank: int
    launch: int
    name: str
    compute_percent: float | None
    memory_percent: float | None
    occupancy_percent: float | None
    waves: float | None
    label: str | None
    said: str | None
    agrees: bool | None
    duration_ns: int | None
    match: str
    kernel: int | None


@dataclass(frozen=True, slots=True)
class KernelMetrics:
    """All profiled launches in their order; empty when ncu was not used."""

    launches: tuple[ProfiledLaunch, ...]

    def bounds(self) -> dict[int, str]:
        """What limits each row of `kernels` that a labelled launch was matched with, in the roofline's words."""
        return {
            launch.kernel: BOUND_OF_LABEL[launch.label]
            for launch in self.launches
            if launch.kernel is not None and launch.label is not None
        }


class KernelMetricsAnalyzer:
    """Labels each profiled launch and looks for it in the trace."""

    name: ClassVar[str] = "kernel_metrics"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> KernelMetrics:  # noqa: ARG002
        """Launches in the order of rank and number."""
        profiled = _profiled(trace)
        matches = _matches(trace, profiled)
        return KernelMetrics(tuple(_launch(key, profiled[key], *matches[key]) for key in sorted(profiled)))


def speed_of_light(compute: float, memory: float, waves: float | None) -> str | None:
    """NVIDIA's label from percentages of peak; None when it hangs on waves per SM and they are not known."""
    if max(compute, memory) >= SATURATED:
        return "compute saturated" if compute >= memory else "memory saturated"
    if max(compute, memory) < IDLE:
        if waves is None:
            return None
        return "small grid" if waves < 1 else "latency"
    if abs(compute - memory) < CLEAR_LEAD:
        return "balanced"
    return "compute" if compute > memory else "memory"


def labels_of(said: str) -> tuple[str, ...]:
    """The labels that the text of ncu's rule stands for; none when it says something else."""
    return next((labels for words, labels in _SAID if words in said), ())


_UNNAMED = re.compile(r"\(anonymous namespace\)::|(?:(?<!\w)<)?unnamed>::")
"""A namespace without a name, as compilers and ncu write it; newer ncu shortens `a::b::<unnamed>::` to `unnamed>::`."""


def base_name(kernel: str) -> str:
    """A kernel's name without return type, namespaces, template and parameters: the part all tools spell alike."""
    text, depth, plain = _UNNAMED.sub("", kernel).strip(), 0, []
    for character in text:
        if character in "<":
            depth += 1
        elif character in ">":
            depth = max(depth - 1, 0)
        elif depth == 0 and character == "(":
            break
        elif depth == 0:
            plain.append(character)
    return re.split(r"::| ", "".join(plain).strip())[-1] or text


@dataclass(slots=True)
class _Profile:
    """The rows of one launch: its first row, and its metrics by (name, unit)."""

    first: int
    name: str
    shape: tuple[int, ...] | None
    metrics: dict[str, tuple[float, str]]
    said: str | None = None


def _profiled(trace: Trace) -> dict[tuple[int, int], _Profile]:
    table = trace.kernel_metrics
    found: dict[tuple[int, int], _Profile] = {}
    shape = _shapes(table)
    columns = ("rank", "launch", "name", "section", "metric", "unit", "value", "rule", "text")
    for i, row in enumerate(table.select(columns).to_pylist()):
        key = (row["rank"], row["launch"])
        profile = found.setdefault(key, _Profile(i, row["name"] or "", shape[i], {}))
        if row["rule"] == _BOTTLENECK:
            profile.said = row["text"]
        elif row["metric"] and row["value"] is not None:
            unit = row["unit"] or ""
            # "Memory Throughput" is a percentage in one section and bytes per second in another
            if row["metric"] not in _MEMORY or unit == "%":
                profile.metrics.setdefault(row["metric"], (row["value"], unit))
    return found


def _shapes(table: Any) -> list[tuple[int, ...] | None]:
    known = present(table, "grid") & present(table, "block")
    both = zip(triples(table, "grid").tolist(), triples(table, "block").tolist(), known.tolist(), strict=True)
    return [(*grid, *block) if there else None for grid, block, there in both]


def _metric(profile: _Profile, names: tuple[str, ...]) -> float | None:
    return next((profile.metrics[n][0] for n in names if n in profile.metrics), None)


def _duration_ns(profile: _Profile) -> int | None:
    for name in _DURATION:
        value, unit = profile.metrics.get(name, (0.0, ""))
        if unit[:1] in _NS:
            return round(value * _NS[unit[:1]])
    return None


def _launch(key: tuple[int, int], profile: _Profile, match: str, kernel: int | None) -> ProfiledLaunch:
    compute, memory = _metric(profile, _COMPUTE), _metric(profile, _MEMORY)
    waves = _metric(profile, _WAVES)
    label = None if compute is None or memory is None else speed_of_light(compute, memory, waves)
    open_ = labels_of(profile.said) if profile.said else ()
    return ProfiledLaunch(
        rank=key[0],
        launch=key[1],
        name=profile.name,
        compute_percent=compute,
        memory_percent=memory,
        occupancy_percent=_metric(profile, _OCCUPANCY),
        waves=waves,
        label=label,
        said=profile.said,
        agrees=label in open_ if label and open_ else None,
        duration_ns=_duration_ns(profile),
        match=match,
        kernel=kernel,
    )


def _matches(
    trace: Trace, profiled: Mapping[tuple[int, int], _Profile]
) -> dict[tuple[int, int], tuple[str, int | None]]:
    """By base name, grid and block, in their order; a page without shapes is matched by name and order alone."""
    in_trace: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    wanted: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    shaped = all(p.shape is not None for p in profiled.values())
    for key in sorted(profiled):
        profile = profiled[key]
        wanted[base_name(profile.name), profile.shape if shaped else None].append(key)
    if profiled and trace.kernels.num_rows:
        codes, names = texts(trace.kernels, "name")
        bases = [base_name(n) for n in names]
        shapes = _shapes(trace.kernels) if shaped else [None] * len(codes)
        for row in ints(trace.kernels, "ts").argsort(kind="stable").tolist():
            if codes[row] >= 0:
                in_trace[bases[codes[row]], shapes[row]].append(row)
    result: dict[tuple[int, int], tuple[str, int | None]] = {}
    for what, keys in wanted.items():
        rows = in_trace.get(what, [])
        if len(rows) == len(keys):
            result |= {key: ("matched", row) for key, row in zip(keys, rows, strict=True)}
        else:
            result |= dict.fromkeys(keys, ("ambiguous" if rows else "unmatched", None))
    return result
