"""The one place where tables and columns are defined: type, unit and meaning.

Every source writes these tables; `trace-analyze query` and the reference in the docs are generated from here.
Each table begins with `id`, the row's index in its table (so a link to a row is an array index), and is sorted by
rank, then start, then longest first. Columns marked `linked` are filled in by `model/link.py`, not by a source.

Types are written as Arrow spells them; `text` is dictionary<int32, string>, `json` the same holding JSON in its
shortest spelling.
"""

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


_ID = Column("id", "int64", "row number in this table")
_NAME = Column("name", "text", "name as recorded")
_RANK = Column("rank", "int32", "rank of the process in the distributed job; 0 when alone")
_TS = Column("ts", "int64", "start, counted from the start of the trace", "ns")
_DUR = Column("dur", "int64", "duration; null when the source gave none", "ns")
_PID = Column("pid", "int64", "process; negative for a row that no process owns")
_TID = Column("tid", "int64", "thread; negative for a row that no thread owns")
_DEVICE = Column("device", "int32", "accelerator index within the rank's host")
_STREAM = Column("stream", "int64", "stream (queue) on the device")
_CORRELATION = Column("correlation", "int64", "joins an API call with the device work it launched")
_EXTERNAL = Column("external_id", "int64", "id of the op that was running, as the profiler saw it")
_STEP = Column("step", "int32", "index of the step this row belongs to; null outside all steps", linked=True)
_MODULE = Column("module", "text", "path of the nn.Module that was running", linked=True)
_STACK = Column("stack", "int64", "row of stacks: the innermost frame", refers="stacks")
_POOL = Column(
    "pool", "text", "allocator pool, two ids; 0,0 is the default, others belong to graphs or the user"
)
_HOST = (_ID, _NAME, _RANK, _TS, _DUR, _PID, _TID)
_GPU = (_ID, _NAME, _RANK, _TS, _DUR, _DEVICE, _STREAM)
_LAUNCHED = (
    Column("api_call", "int64", "row of api_calls that launched this", linked=True),
    Column("op", "int64", "row of ops that launched this: the innermost op", linked=True),
    Column("link", "text", "how the op was found: nesting | external_id | flow | graph | none", linked=True),
    _MODULE,
    _STEP,
)

OPS = Table(
    "ops",
    "one operator call on the host (cpu_op)",
    (
        *_HOST,
        _EXTERNAL,
        Column("seq", "int64", "autograd sequence number: joins forward and backward"),
        Column(
            "fwd_tid", "int64", "thread of the forward call of a backward op, as the profiler numbers threads"
        ),
        Column("input_dims", "json", "shape of every input"),
        Column("input_types", "json", "type of every input"),
        Column("input_strides", "json", "strides of every input"),
        Column("concrete_inputs", "json", "values of scalar inputs"),
        Column("call_stack", "text", "Python call stack as text (old traces)"),
        Column("module_hierarchy", "text", "module path as text (with_modules)"),
        Column("kernel_backend", "text", "triton or another code generator (Inductor)"),
        Column("kernel_file", "text", "generated source file (Inductor)"),
        Column("kernel_kwargs", "text", "compile-time arguments (Triton)"),
        Column("record_function_id", "int64", "the profiler's id of the recorded range"),
        Column("ev_idx", "int64", "index of the event in the profiler's own order"),
        Column("range_text", "text", "text of the NVTX range that says this op ran (emit_nvtx)"),
        Column("parent", "int64", "row of the innermost op around this one", linked=True),
        Column("depth", "int32", "number of ops around this one", linked=True),
        Column("self_dur", "int64", "duration without child ops", "ns", linked=True),
        Column("forward", "int64", "row of the forward op whose gradient this op computes", linked=True),
        Column("python_call", "int64", "row of the innermost Python frame around this op", linked=True),
        _MODULE,
        _STEP,
    ),
)
ANNOTATIONS = Table(
    "annotations",
    "one named range: record_function, ProfilerStep, NVTX, and their projection on the GPU",
    (
        *_HOST,
        Column("on_gpu", "bool", "projected on a device by the profiler"),
        Column("device", "int32", "accelerator index when on_gpu"),
        Column("stream", "int64", "stream when on_gpu"),
        Column("domain", "text", "NVTX domain (null for the default or an unnamed one), or user_annotation"),
        Column("style", "text", "push_pop | start_end | mark, for NVTX"),
        Column("category", "int64", "NVTX category"),
        Column("color", "int64", "ARGB colour given by the program"),
        _EXTERNAL,
        Column("record_function_id", "int64", "the profiler's id of the recorded range"),
        Column("ev_idx", "int64", "index of the event in the profiler's own order"),
        Column("module", "text", "path of the range when NVTX ranges are the module tree", linked=True),
    ),
)
PYTHON_CALLS = Table(
    "python_calls",
    "one Python function call on the host (python_function)",
    (
        *_HOST,
        Column("python_id", "int64", "the profiler's id of the call"),
        Column("parent_id", "int64", "the profiler's id of the calling frame"),
        Column("module_id", "int64", "the profiler's id of the nn.Module"),
        Column("file", "text", "source file", linked=True),
        Column("line", "int32", "line of the function's definition", linked=True),
        Column("function", "text", "function name", linked=True),
        Column("ev_idx", "int64", "index of the event in the profiler's own order"),
        Column("parent", "int64", "row of the calling frame, by nesting", linked=True),
        Column("depth", "int32", "number of frames around this one", linked=True),
        Column("self_dur", "int64", "duration without the frames it called", "ns", linked=True),
        _MODULE,
    ),
)
API_CALLS = Table(
    "api_calls",
    "one call into the accelerator's runtime or driver",
    (
        *_HOST,
        _CORRELATION,
        _EXTERNAL,
        Column("layer", "text", "runtime | driver | the source's own category"),
        Column("cbid", "int32", "the tracer's id of the API function"),
        Column("return_value", "int64", "error code; 0 is success"),
        Column("op", "int64", "row of the innermost op around this call", linked=True),
        Column("python_call", "int64", "row of the innermost Python frame around this call", linked=True),
        _STEP,
    ),
)
KERNELS = Table(
    "kernels",
    "one kernel execution on a device",
    (
        *_GPU,
        _CORRELATION,
        _EXTERNAL,
        Column("context", "int64", "device context"),
        Column("grid", "int32[3]", "blocks in x, y, z"),
        Column("block", "int32[3]", "threads per block in x, y, z"),
        Column("registers", "int32", "registers per thread"),
        Column("shared_memory", "int64", "shared memory per block", "bytes"),
        Column("blocks_per_sm", "double", "blocks divided by the number of SMs"),
        Column("warps_per_sm", "double", "warps divided by the number of SMs"),
        Column("occupancy", "double", "achieved occupancy as estimated by the profiler", "%"),
        Column("priority", "int32", "stream priority"),
        Column("queued", "int64", "queueing time stamp as recorded; 0 when the tracer took none"),
        Column("graph", "int64", "CUDA graph"),
        Column("graph_node", "int64", "node of a CUDA graph"),
        *_LAUNCHED,
    ),
)
COPIES = Table(
    "copies",
    "one memcpy or memset on a device",
    (
        *_GPU,
        _CORRELATION,
        _EXTERNAL,
        Column("context", "int64", "device context"),
        Column("kind", "text", "memcpy | memset"),
        Column("direction", "text", "HtoD | DtoH | DtoD | PtoP | HtoH; null for memset or unknown"),
        Column("src_kind", "text", "pageable | pinned | device | managed"),
        Column("dst_kind", "text", "pageable | pinned | device | managed"),
        Column("bytes", "int64", "bytes moved or set", "bytes"),
        Column("bandwidth", "double", "as reported by the profiler", "GB/s"),
        *_LAUNCHED,
    ),
)
SYNCS = Table(
    "syncs",
    "one synchronisation as seen by the device tracer (cuda_sync)",
    (
        *_GPU,
        _CORRELATION,
        _EXTERNAL,
        Column("kind", "text", "Context Sync | Stream Sync | Event Sync | Stream Wait Event"),
        Column("waits_on_stream", "int64", "stream waited for"),
        Column("waits_on_event", "int64", "CUDA event waited for"),
        Column("waits_on_correlation", "int64", "correlation of the call that recorded that event"),
    ),
)
COLLECTIVES = Table(
    "collectives",
    "the arguments of one communication kernel or op",
    (
        _ID,
        _NAME,
        _RANK,
        _TS,
        _DUR,
        Column("on_gpu", "bool", "from the kernel's row; else from the op that asked for it"),
        Column("kernel", "int64", "row of kernels", linked=True),
        _DEVICE,
        _STREAM,
        _CORRELATION,
        _EXTERNAL,
        Column("collective", "text", "allreduce, all_gather, …"),
        Column("dtype", "text", "element type"),
        Column("in_elements", "int64", "elements sent"),
        Column("out_elements", "int64", "elements received"),
        Column("in_split", "text", "split sizes of an all-to-all"),
        Column("out_split", "text", "split sizes of an all-to-all"),
        Column("group_size", "int32", "ranks in the group"),
        Column("group", "text", "process group name"),
        Column("group_description", "text", "process group description"),
        Column("group_ranks", "text", "ranks of the group as recorded"),
        Column("seq", "int64", "sequence number within the group"),
        Column("src_rank", "int32", "sender of a point-to-point operation"),
        Column("dst_rank", "int32", "receiver of a point-to-point operation"),
    ),
)
ALLOCATIONS = Table(
    "allocations",
    "one allocation or release of memory",
    (
        _ID,
        _NAME,
        _RANK,
        _TS,
        _PID,
        _TID,
        Column("action", "text", "alloc | free | oom | …"),
        Column("device_type", "text", "cpu | cuda | the number the profiler gave"),
        _DEVICE,
        Column("address", "int64", "address (two's complement when above 2^63)"),
        Column("bytes", "int64", "block size; negative when released", "bytes"),
        Column("allocated", "int64", "allocated in total afterwards", "bytes"),
        Column("reserved", "int64", "reserved in total afterwards", "bytes"),
        Column("ev_idx", "int64", "index of the event in the profiler's own order"),
        _STREAM,
        Column(
            "requested",
            "int64",
            "size as a snapshot's entry has it: asked for (alloc, free_*, oom), of the segment (segment_*), active in "
            "total (snapshot); null for a profiler's events",
            "bytes",
        ),
        Column("active", "int64", "allocated or waiting for a stream in total afterwards", "bytes"),
        Column("requested_total", "int64", "requested by active blocks in total afterwards", "bytes"),
        Column("device_free", "int64", "free on the device at an oom, as the driver told", "bytes"),
        _POOL,
        _STACK,
        Column("compile_context", "text", "torch.compile frame that was running"),
        Column("user_metadata", "text", "text that the program set"),
        Column("op", "int64", "row of the innermost op around this event", linked=True),
        Column("python_call", "int64", "row of the innermost Python frame around it", linked=True),
        _MODULE,
        _STEP,
    ),
)
SEGMENTS = Table(
    "segments",
    "one piece of device memory that the allocator held when a memory snapshot was taken",
    (
        _ID,
        _RANK,
        _DEVICE,
        _STREAM,
        Column("address", "int64", "address (two's complement when above 2^63)"),
        Column("bytes", "int64", "size", "bytes"),
        Column("allocated", "int64", "in blocks that the program holds, as recorded", "bytes"),
        Column("active", "int64", "allocated or waiting for a stream, as recorded", "bytes"),
        Column("requested", "int64", "asked for by active blocks, as recorded", "bytes"),
        Column("kind", "text", "small | large"),
        _POOL,
        Column("expandable", "bool", "grows by mapping pages (expandable_segments)"),
        _STACK,
    ),
)
BLOCKS = Table(
    "blocks",
    "one block of a segment when a memory snapshot was taken",
    (
        _ID,
        _RANK,
        _DEVICE,
        Column("segment", "int64", "row of segments", refers="segments"),
        Column("address", "int64", "address (two's complement when above 2^63)"),
        Column("bytes", "int64", "size", "bytes"),
        Column("requested", "int64", "asked for; null for an inactive block, where it is stale", "bytes"),
        Column("state", "text", "active_allocated | active_pending_free | inactive"),
        _STACK,
    ),
)
STACKS = Table(
    "stacks",
    "one frame in its place on a call stack; its parent is the frame that called it",
    (
        _ID,
        Column("parent", "int64", "row of stacks of the caller; null for the outermost", refers="stacks"),
        Column("frame", "int64", "row of frames", refers="frames"),
        Column("depth", "int32", "number of callers"),
    ),
)
FRAMES = Table(
    "frames",
    "one place in the source that occurs on call stacks",
    (
        _ID,
        Column("name", "text", "function"),
        Column("file", "text", "source file; ?? for compiled code"),
        Column("line", "int32", "line; 0 when unknown"),
        Column("fx_node", "text", "node of the compiled graph (torch.fx)"),
    ),
)
OOM_MESSAGES = Table(
    "oom_messages",
    "one out-of-memory error found in a text",
    (
        _ID,
        _RANK,
        Column("line", "int64", "line of the text where it begins"),
        Column(
            "kind",
            "text",
            "cuda | hip | xpu | npu | musa | mlu | mps | cpu | driver | vllm | jax | tensorflow",
        ),
        _DEVICE,
        Column(
            "requested",
            "int64",
            "what could not be allocated (for CUDA the segment, not the tensor)",
            "bytes",
        ),
        Column("capacity", "int64", "memory of the device", "bytes"),
        Column("free", "int64", "free on the device", "bytes"),
        Column("allowed", "int64", "limit set by a memory fraction or a high watermark", "bytes"),
        Column("other_processes", "int64", "in use by other processes, as far as named", "bytes"),
        Column("process", "int64", "in use by this process, with what is not PyTorch's", "bytes"),
        Column("allocated", "int64", "allocated by PyTorch", "bytes"),
        Column("private_pools", "int64", "of it in private pools such as those of CUDA graphs", "bytes"),
        Column("unallocated", "int64", "reserved by PyTorch but not allocated", "bytes"),
        Column("non_pytorch", "int64", "in use by this process outside PyTorch's allocator", "bytes"),
        Column("text", "text", "the message"),
    ),
)
FLOWS = Table(
    "flows",
    "one end of an arrow between two rows",
    (
        _ID,
        _NAME,
        _RANK,
        _TS,
        _PID,
        _TID,
        Column("kind", "text", "ac2g (launch to device) | fwdbwd (forward to backward) | …"),
        Column("end", "text", "s start | t step | f finish"),
        Column("flow_id", "int64", "joins the ends of one arrow"),
    ),
)
COUNTERS = Table(
    "counters",
    "one sample of a counter",
    (
        _ID,
        _NAME,
        _RANK,
        _TS,
        _PID,
        _TID,
        Column("metric", "text", "series within the counter"),
        Column("value", "double", "sampled value"),
    ),
)
KERNEL_METRICS = Table(
    "kernel_metrics",
    "one metric of one launch that Nsight Compute profiled, or what one of its rules says of it",
    (
        _ID,
        Column("name", "text", "kernel as ncu spells it"),
        _RANK,
        Column("launch", "int64", "number of the launch in its file"),
        _PID,
        _DEVICE,
        _STREAM,
        Column("context", "int64", "device context"),
        Column("grid", "int32[3]", "blocks in x, y, z"),
        Column("block", "int32[3]", "threads per block in x, y, z"),
        Column("section", "text", "section of the details page; null for the raw page"),
        Column("metric", "text", "metric as ncu calls it; null for a rule"),
        Column("unit", "text", "unit as ncu writes it"),
        Column("value", "double", "the metric's value, when it is a number"),
        Column("text", "text", "the metric's value when it is none; what the rule says"),
        Column("rule", "text", "rule, null for a metric"),
    ),
)
OTHERS = Table(
    "others",
    "one row of a kind that no table is made for; kept, not dropped",
    (
        *_HOST,
        Column("category", "text", "category as recorded"),
        Column("phase", "text", "Chrome trace phase"),
        _STACK,
    ),
)
SAMPLES = Table(
    "samples",
    "what one thread was running when a CPU was sampled",
    (
        _ID,
        _RANK,
        _TS,
        _PID,
        _TID,
        Column("cpu", "int32", "core"),
        Column("state", "text", "state of the thread: Running, Waiting, …"),
        _STACK,
    ),
)
DEVICES = Table(
    "devices",
    "one accelerator as described by the source",
    (
        _ID,
        _RANK,
        Column("device", "int32", "accelerator index"),
        Column("name", "text", "product name; null when the source left it empty"),
        Column("memory", "int64", "total memory", "bytes"),
        Column("sms", "int32", "multiprocessors (compute units)"),
        Column("compute_major", "int32", "compute capability, major"),
        Column("compute_minor", "int32", "compute capability, minor"),
        Column("warp_size", "int32", "threads per warp"),
        Column("max_threads_per_sm", "int32", "threads per multiprocessor"),
        Column("shared_memory_per_sm", "int64", "shared memory per multiprocessor", "bytes"),
        Column("registers_per_sm", "int64", "registers per multiprocessor"),
        Column("memory_bandwidth", "int64", "peak bandwidth of the device's memory", "bytes/s"),
        Column("clock", "int64", "highest clock of the multiprocessors", "Hz"),
        Column("l2_cache", "int64", "size of the L2 cache", "bytes"),
    ),
)
PROCESSES = Table(
    "processes",
    "one process or thread and what it calls itself",
    (
        _ID,
        _RANK,
        _PID,
        Column("tid", "int64", "thread; null when the row describes the process"),
        Column("name", "text", "process or thread name"),
        Column("labels", "text", "labels such as CPU or GPU 0"),
        Column("sort_index", "int64", "position asked for in a viewer"),
    ),
)
EXTRAS = Table(
    "extras",
    "what a row carried beyond the columns of its table",
    (
        _ID,
        Column("table", "text", "table of the row"),
        Column("row", "int64", "id of the row"),
        Column("json", "json", "the remaining args as a JSON object"),
    ),
)

TABLES: tuple[Table, ...] = (
    OPS,
    ANNOTATIONS,
    PYTHON_CALLS,
    API_CALLS,
    KERNELS,
    COPIES,
    SYNCS,
    COLLECTIVES,
    ALLOCATIONS,
    SEGMENTS,
    BLOCKS,
    STACKS,
    FRAMES,
    OOM_MESSAGES,
    FLOWS,
    COUNTERS,
    KERNEL_METRICS,
    OTHERS,
    SAMPLES,
    DEVICES,
    PROCESSES,
    EXTRAS,
)
BY_NAME: dict[str, Table] = {t.name: t for t in TABLES}


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
