"""What memory snapshots tell: frozen rows, bytes and ns; None means that the file does not show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from traceanalyzer.text import Text


@dataclass(frozen=True, slots=True)
class StackHolder:
    """Blocks that one call stack allocated and that are live at a moment, largest groups first."""

    bytes: int
    requested_bytes: int
    count: int
    category: str  # of snapshot_categories.CATEGORIES
    inferred_from: Text  # how the category was told
    python: str | None  # file:line of the innermost frame of the user's own code, else of any Python code
    function: str | None
    module: (
        str | None
    )  # of a profile beside the snapshot; else class of the innermost forward method, else its file
    pool: str | None
    stream: int | None
    annotation: str | None  # innermost annotation around the allocation
    compile_context: str | None
    stack: int | None  # row of stacks
    op: str | None  # that needed it, where a profile of the same run is there, too
    path: tuple[str, ...]  # the stack, the user's innermost line first, frames of libraries counted


@dataclass(frozen=True, slots=True)
class Moment:
    """Who holds memory at one moment.

    `entry` is the position in the device's trace (None: at the end, as the segments tell). `unseen_bytes` are
    active but were allocated before the window by somebody unknown.
    """

    name: str  # peak | oom | end | time
    entry: int | None
    at_ns: int | None
    allocated_bytes: int
    active_bytes: int
    requested_bytes: int
    reserved_bytes: int
    holders: tuple[StackHolder, ...]
    by_category: dict[str, int]  # requested bytes
    unseen_bytes: int


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """What lies free within the reserved memory; `largest_*` are single blocks. None: not known at that moment."""

    total_bytes: int
    largest_bytes: int | None
    largest_small_bytes: int | None
    other_streams_largest_bytes: int | None
    other_pools_largest_bytes: int | None
    whole_segments_bytes: int | None  # would be given back by empty_cache()
    split_bytes: int | None  # in segments that hold other blocks as well


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One segment at a moment; `runs` are (offset, bytes, category) of neighbouring blocks, the gaps are free."""

    address: int
    bytes: int
    active_bytes: int
    blocks: int
    stream: int
    pool: str | None
    runs: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class SegmentMap:
    """The segments in use with most free memory at a moment; how many there are of all, and that hold nothing."""

    count: int
    bytes: int
    rows: tuple[SegmentRow, ...]
    empty_count: int
    empty_bytes: int


@dataclass(frozen=True, slots=True)
class Composition:
    """Active bytes by category at some moments, in ns (or entries, when they carry no time)."""

    at: tuple[int, ...]
    by_category: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """A stack whose blocks stay from step to step, or from round to round of a loop whose steps are not marked."""

    python: str | None
    function: str | None
    category: str
    bytes_per_step: int
    total_bytes: int
    steps: int  # in which it left something
    stack: int | None
    marked: bool = True  # False: rounds of a loop, told by stacks that come again


@dataclass(frozen=True, slots=True)
class PinnedSegment:
    """A segment that a few small blocks keep from being given back."""

    address: int
    bytes: int
    active_bytes: int
    python: str | None
    function: str | None = None


@dataclass(frozen=True, slots=True)
class Churn:
    """What the allocator asked of the driver within the window, where the driver makes the device wait."""

    segment_allocs: int
    segment_frees: int
    late_segment_allocs: int | None  # after the second step began, without mappings; None without steps
    retries: int  # after the driver refused memory
    empty_cache_runs: int
    empty_cache_python: str | None
    empty_cache_lines: tuple[tuple[str, int], ...] = ()  # (line, calls), most calls first
    at_ns: int | None = None  # when memory was first given back, or asked for after the first step
    errors: int = 0  # retries that did not help
    mappings: int = 0  # of segment_allocs: expandable segments grow by them, as they are meant to
    unmappings: int = 0  # of segment_frees


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for an OOM; `bytes` is what it accounts for."""

    name: str
    bytes: int | None
    evidence: Text
    confidence: Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something to change, what it frees on this run at most, and when it applies."""

    what: Text
    frees_bytes: int | None
    condition: Text | str


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The recorded requests of one device under other settings of the allocator, as far as the first OOM.

    Without an answer `peak_reserved_bytes` is None and `reason` says why. `runs_out` is None when no failed request
    tells how much memory there was.
    """

    rank: int
    device: int
    settings: str  # as PYTORCH_CUDA_ALLOC_CONF has them
    limit_bytes: int | None = None  # most that could be reserved
    recorded_peak_reserved_bytes: int | None = None
    replayed_peak_reserved_bytes: int | None = None  # with the recorded settings
    error_share: float | None = None  # of that replay: largest difference of reserved, as a share of the peak
    same_segments_share: float | None = None  # bytes of recorded segments that it has in the same sizes
    recorded_oom: bool | None = None
    whole_run: bool | None = None  # else what was reserved before the window stayed as it was
    peak_reserved_bytes: int | None = None  # with the other settings
    runs_out: bool | None = None
    runs_out_at_entry: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Oom:
    """One out-of-memory error: the request, whether it could have fitted, why it did not, what to change."""

    source: str  # snapshot | message
    rank: int
    device: int | None
    entry: int | None
    at_ns: int | None
    line: int | None  # of the text, for a message
    kind: str
    requested_bytes: int | None
    segment_bytes: int | None  # what the driver was asked for
    device_free_bytes: int | None
    python: str | None
    function: str | None
    annotation: str | None
    headline: Text
    free: FreeMemory | None
    causes: tuple[Cause, ...]
    changes: tuple[Change, ...]
    moment: Moment | None
    what_if: WhatIf | None = None  # expandable segments, where fragmentation is a cause
    map: SegmentMap | None = None  # of the moment
    capacity_bytes: int | None = None  # of the device, as a message tells
    non_pytorch_bytes: int | None = None  # of this process, as a message tells
    text_line: int | None = None  # of the message, for an error of a snapshot whose text is there, too


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One device of one snapshot; `timed` tells whether `points` count ns or entries."""

    rank: int
    device: int
    entries: int
    complete: bool  # the window begins with nothing reserved
    timed: bool
    points: tuple[
        tuple[int, int, int, int, int], ...
    ]  # (ns or entry, allocated, active, requested, reserved)
    peak_reserved_bytes: int
    peak: Moment
    end: Moment
    free_at_end: FreeMemory
    growth: tuple[GrowthRow, ...]
    pinned: tuple[PinnedSegment, ...]
    churn: Churn
    step_peaks: tuple[int, ...]  # active bytes
    step_unused: tuple[int, ...]  # reserved bytes that no moment of the step had in use
    backward_seen: bool
    settings: tuple[tuple[str, str], ...]
    composition: Composition
    map_at_end: SegmentMap | None
    map_at_peak: SegmentMap | None  # None where the entries do not tell
    step_starts_ns: tuple[int, ...] = ()  # of the first entry of each step; empty where entries carry no time
    growth_python: str | None = None  # the line that all of `growth` but KV caches is called from


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All devices of all snapshots."""

    devices: tuple[DeviceSnapshot, ...]


@dataclass(frozen=True, slots=True)
class Ooms:
    """All out-of-memory errors, of snapshots first."""

    rows: tuple[Oom, ...]
