"""What the analyzers hand on: frozen dataclasses of numbers and small tables, shaped for reports and rules.

Times are int64 nanoseconds on the trace's axis (`*_ns`), sizes are bytes. A field that is None was not measured
and is never shown as 0. Rows are already in the order in which they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration on one rank.

    `end_ns` is the later of the host range's end and the end of the last device work launched in it. The window
    [`start_ns`, `window_end_ns`) follows the device: it begins when the host does, or later, when the device has
    done what was launched before (torch-tb-profiler's definitions), and ends where the next one begins. The last step
    of a recording ends with its work; `recording` counts from 0 where the rank was recorded several times.
    """

    index: int
    name: str
    rank: int
    host_start_ns: int
    host_end_ns: int
    start_ns: int
    end_ns: int
    window_end_ns: int
    recording: int = 0

    @property
    def duration_ns(self) -> int:
        """The window: to the next step's start; for the last one of a recording, to the end of its work."""
        return self.window_end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Steps:
    """`kind` is profiler_step, annotation or window (the whole trace as one step).

    `launched_ns` holds, for each row of the trace's `kernels` and `copies`, when it was launched, as
    `launch_order.launch_moments` says; shapes (kernels,) and (copies,).
    """

    kind: str
    steps: tuple[Step, ...]
    median_ns: int
    outliers: tuple[int, ...] = ()  # indexes into `steps` that lie far from the median
    launched_ns: Mapping[str, NDArray[np.int64]] = field(default_factory=dict, compare=False)

    @property
    def total_ns(self) -> int:
        """All steps of all ranks together."""
        return sum(step.duration_ns for step in self.steps)


@dataclass(frozen=True, slots=True)
class Partition:
    """Where a window of wall time went on one device; the four parts sum to `wall_ns` exactly."""

    wall_ns: int
    compute_ns: int
    exposed_communication_ns: int
    exposed_copy_ns: int
    idle_ns: int


@dataclass(frozen=True, slots=True)
class IdleCause:
    """Idle time of one device that has one cause."""

    cause: str  # a key of analyzers.idle.CAUSES
    total_ns: int
    gaps: int


@dataclass(frozen=True, slots=True)
class IdleGap:
    """One stretch in which no stream of the device had work, with the evidence for its cause."""

    rank: int
    device: int
    start_ns: int
    duration_ns: int
    cause: str
    next_work: str | None  # name of the kernel or copy that ended it
    host_call: str | None  # what the launching thread did most meanwhile
    python: str | None  # file:line of the innermost user frame, where stacks exist
    module: str | None


@dataclass(frozen=True, slots=True)
class IdleLine:
    """Idle time of all devices that one line of the program causes; `python` is None where no frame was open."""

    cause: str
    python: str | None  # file:line of the function
    function: str | None
    total_ns: int
    gaps: int


@dataclass(frozen=True, slots=True)
class DeviceBreakdown:
    """Level-0 partition of one device over the analysed window and over each step."""

    rank: int
    device: int
    name: str | None
    window_start_ns: int
    whole: Partition
    steps: tuple[Partition, ...]  # same order as Steps.steps of this rank
    communication_ns: int  # total, hidden or not
    copy_ns: int
    idle_causes: tuple[IdleCause, ...]

    @property
    def before_steps_ns(self) -> int:
        """The part of the window in which the device still did what was launched before the first step."""
        return self.whole.wall_ns - sum(step.wall_ns for step in self.steps)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the time of every device went, and the longest idle gaps."""

    devices: tuple[DeviceBreakdown, ...]
    largest_gaps: tuple[IdleGap, ...]
    idle_lines: tuple[IdleLine, ...] = ()  # empty without stacks


@dataclass(frozen=True, slots=True)
class KernelRow:
    """All executions of one kernel name. `category` is compute or communication."""

    name: str
    category: str
    count: int
    total_ns: int
    mean_ns: int
    median_ns: int
    min_ns: int
    max_ns: int
    share: float  # of the summed kernel time
    op: str | None  # the op that launches most of it
    module: str | None
    occupancy_percent: float | None  # time-weighted, as estimated by the profiler
    blocks: int | None  # of the longest execution
    threads: int | None
    bound: str | None = None  # as in roofline_results, or mixed
    flops: int | None = None  # of all executions; None unless every one has a cost
    bytes: int | None = None
    percent_of_roof: float | None = None
    measured_bound: str | None = (
        None  # by Nsight Compute, where it profiled the kernel: `bound` is this one then
    )
    rated_bound: str | None = (
        None  # by the roofline; differs from `bound` where Nsight Compute says otherwise
    )


@dataclass(frozen=True, slots=True)
class Kernels:
    """Every kernel name, most time first, and totals over all executions."""

    rows: tuple[KernelRow, ...]
    count: int
    total_ns: int
    median_ns: int | None
    unlinked: int  # executions for which no op was found
    graph_share: float | None = None  # of kernel time that was launched as CUDA graphs; None without launches
    optimizer_kernels: float | None = None  # launched by one `Optimizer.step`; None when none was recorded


@dataclass(frozen=True, slots=True)
class OpRow:
    """Calls of one op (and one set of shapes). Device time counts kernels and copies launched inside."""

    name: str
    input_dims: str | None
    count: int
    total_ns: int
    self_ns: int
    device_ns: int  # launched by the op or the ops inside it
    self_device_ns: int  # launched by the op itself
    kernels: int
    longest: int | None = None  # row of `ops`: of the call that took longest on the host


@dataclass(frozen=True, slots=True)
class Ops:
    """Ops by name and by name and shapes, most device time first."""

    by_name: tuple[OpRow, ...]
    by_shape: tuple[OpRow, ...]  # empty when shapes were not recorded
    unattributed_device_ns: int


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """One nn.Module instance in the tree; `path` joins class names with '/'. Rows are in depth-first order."""

    path: str
    name: str
    depth: int
    calls: int
    host_ns: int
    device_ns: int  # with the modules inside
    self_device_ns: int


@dataclass(frozen=True, slots=True)
class Modules:
    """`source` says where the tree came from: nn_module frames, module_hierarchy text or annotations."""

    source: str | None
    rows: tuple[ModuleRow, ...]
    unattributed_device_ns: int


@dataclass(frozen=True, slots=True)
class StackNode:
    """A Python call path: all calls of one function below one node. Times are with the frames inside."""

    parent: int  # index of the calling node, -1 at the root
    depth: int
    name: str  # file(line): function, as recorded
    host_ns: int
    device_ns: int


@dataclass(frozen=True, slots=True)
class PythonStacks:
    """Nodes in depth-first order; `left_out` counts the smallest ones, which are not kept.

    `unattributed_device_ns` is device time whose launch lies in no recorded Python frame.
    """

    nodes: tuple[StackNode, ...]
    left_out: int
    unattributed_device_ns: int


@dataclass(frozen=True, slots=True)
class CopyRow:
    """Copies and memsets of one kind, direction and pair of memory kinds."""

    kind: str  # memcpy | memset
    direction: str | None
    src_kind: str | None
    dst_kind: str | None
    count: int
    bytes: int | None
    total_ns: int
    exposed_ns: int  # while nothing else ran on the device
    op: str | None
    longest: int | None = None  # row of `copies`


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies and memsets, most time first."""

    rows: tuple[CopyRow, ...]


@dataclass(frozen=True, slots=True)
class CollectiveRow:
    """Communication kernels of one kind; `*_bytes` is None when the arguments were not recorded."""

    name: str
    collective: str | None
    dtype: str | None
    group: str | None
    group_size: int | None
    count: int
    in_bytes: int | None
    out_bytes: int | None
    total_ns: int
    min_ns: int
    max_ns: int
    exposed_ns: int
    bus_gb_per_s: float | None  # NCCL's definition, the best execution
    longest: int | None = None  # row of `kernels`


@dataclass(frozen=True, slots=True)
class Collectives:
    """Communication kernels, most time first."""

    rows: tuple[CollectiveRow, ...]
    overlap_share: float | None  # of communication time that compute hides

    @property
    def of_nccl(self) -> tuple[CollectiveRow, ...]:
        """Those whose process group a profiler can record: kernels of NCCL, and of RCCL, which are named so, too."""
        return tuple(r for r in self.rows if "nccl" in r.name.lower())


@dataclass(frozen=True, slots=True)
class DeviceLaunches:
    """How far the host runs ahead of one device. Percentiles over linked kernels; None without links."""

    rank: int
    device: int
    kernels: int
    linked: int
    delay_p5_ns: int | None  # kernel start - launch start
    delay_p50_ns: int | None
    delay_p95_ns: int | None
    queue_p50: int | None  # work launched and not yet finished, sampled at each launch
    queue_max: int | None
    launch_call_p50_ns: int | None  # duration of the launching API call
    tiny_share: float | None  # of kernels shorter than thresholds.TINY_KERNEL_NS
    bound: str  # host | device | unknown


@dataclass(frozen=True, slots=True)
class ApiRow:
    """Calls of one runtime or driver function."""

    name: str
    count: int
    total_ns: int
    max_ns: int


@dataclass(frozen=True, slots=True)
class Launches:
    """How launches reach the devices, and what the runtime's functions cost."""

    devices: tuple[DeviceLaunches, ...]
    api: tuple[ApiRow, ...]
    queue: dict[tuple[int, int], tuple[tuple[int, int], ...]] = field(default_factory=dict)
    """Per (rank, device): (time, depth) points for a chart, thinned."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who allocated memory that is live at the peak."""

    bytes: int
    count: int
    op: str | None
    module: str | None
    python: str | None  # file:line, innermost user frame first
    name: str | None  # enclosing annotation


@dataclass(frozen=True, slots=True)
class MemoryTimeline:
    """The [memory] events of one device on one rank.

    `points` are (ns, allocated, reserved) thinned so that every extreme is kept. `live_at_peak` accounts for
    `accounted_bytes` of the peak; the rest was allocated before the window.
    """

    rank: int
    device_type: str
    device: int
    events: int
    peak_allocated_bytes: int | None
    peak_allocated_ns: int | None
    peak_reserved_bytes: int | None
    points: tuple[tuple[int, int | None, int | None], ...]
    live_at_peak: tuple[Holder, ...]
    accounted_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The timelines of all devices; empty when memory was not recorded."""

    timelines: tuple[MemoryTimeline, ...]
