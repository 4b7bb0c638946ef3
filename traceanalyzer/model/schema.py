"""All tables and their columns: type, unit and meaning. Those of memory are in `schema_memory.py`.

Every source writes these tables; `trace-analyze query` and the reference in the docs are generated from here.
Each table begins with `id`, the row's index in its table (so a link to a row is an array index), and is sorted by
rank, then start, then longest first. Columns marked `linked` are filled in by `model/link.py`, not by a source.

Types are written as Arrow spells them; `text` is dictionary<int32, string>, `json` the same holding JSON in its
shortest spelling.
"""

from __future__ import annotations

from traceanalyzer.model.schema_memory import ALLOCATIONS, BLOCKS, OOM_MESSAGES, SEGMENTS
from traceanalyzer.model.table import (
    CORRELATION,
    DEVICE,
    DUR,
    EXTERNAL,
    GPU,
    HOST,
    ID,
    LAUNCHED,
    MODULE,
    NAME,
    PID,
    RANK,
    STACK,
    STEP,
    STREAM,
    TID,
    TS,
    Column,
    Table,
)

OPS = Table(
    "ops",
    "one operator call on the host (cpu_op)",
    (
        *HOST,
        EXTERNAL,
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
        MODULE,
        STEP,
    ),
)
ANNOTATIONS = Table(
    "annotations",
    "one named range: record_function, ProfilerStep, NVTX, and their projection on the GPU",
    (
        *HOST,
        Column("on_gpu", "bool", "projected on a device by the profiler"),
        Column("device", "int32", "accelerator index when on_gpu"),
        Column("stream", "int64", "stream when on_gpu"),
        Column("domain", "text", "NVTX domain (null for the default or an unnamed one), or user_annotation"),
        Column("style", "text", "push_pop | start_end | mark, for NVTX"),
        Column("category", "int64", "NVTX category"),
        Column("color", "int64", "ARGB colour given by the program"),
        EXTERNAL,
        Column("record_function_id", "int64", "the profiler's id of the recorded range"),
        Column("ev_idx", "int64", "index of the event in the profiler's own order"),
        Column("module", "text", "path of the range when NVTX ranges are the module tree", linked=True),
    ),
)
PYTHON_CALLS = Table(
    "python_calls",
    "one Python function call on the host (python_function)",
    (
        *HOST,
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
        MODULE,
    ),
)
API_CALLS = Table(
    "api_calls",
    "one call into the accelerator's runtime or driver",
    (
        *HOST,
        CORRELATION,
        EXTERNAL,
        Column("layer", "text", "runtime | driver | the source's own category"),
        Column("cbid", "int32", "the tracer's id of the API function"),
        Column("return_value", "int64", "error code; 0 is success"),
        Column("op", "int64", "row of the innermost op around this call", linked=True),
        Column("python_call", "int64", "row of the innermost Python frame around this call", linked=True),
        STEP,
    ),
)
KERNELS = Table(
    "kernels",
    "one kernel execution on a device",
    (
        *GPU,
        CORRELATION,
        EXTERNAL,
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
        *LAUNCHED,
    ),
)
COPIES = Table(
    "copies",
    "one memcpy or memset on a device",
    (
        *GPU,
        CORRELATION,
        EXTERNAL,
        Column("context", "int64", "device context"),
        Column("kind", "text", "memcpy | memset"),
        Column("direction", "text", "HtoD | DtoH | DtoD | PtoP | HtoH; null for memset or unknown"),
        Column("src_kind", "text", "pageable | pinned | device | managed"),
        Column("dst_kind", "text", "pageable | pinned | device | managed"),
        Column("bytes", "int64", "bytes moved or set", "bytes"),
        Column("bandwidth", "double", "as reported by the profiler", "GB/s"),
        *LAUNCHED,
    ),
)
SYNCS = Table(
    "syncs",
    "one synchronisation as seen by the device tracer (cuda_sync)",
    (
        *GPU,
        CORRELATION,
        EXTERNAL,
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
        ID,
        NAME,
        RANK,
        TS,
        DUR,
        Column("on_gpu", "bool", "from the kernel's row; else from the op that asked for it"),
        Column("kernel", "int64", "row of kernels", linked=True),
        DEVICE,
        STREAM,
        CORRELATION,
        EXTERNAL,
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
STACKS = Table(
    "stacks",
    "one frame in its place on a call stack; its parent is the frame that called it",
    (
        ID,
        Column("parent", "int64", "row of stacks of the caller; null for the outermost", refers="stacks"),
        Column("frame", "int64", "row of frames", refers="frames"),
        Column("depth", "int32", "number of callers"),
    ),
)
FRAMES = Table(
    "frames",
    "one place in the source that occurs on call stacks",
    (
        ID,
        Column("name", "text", "function"),
        Column("file", "text", "source file; ?? for compiled code"),
        Column("line", "int32", "line; 0 when unknown"),
        Column("fx_node", "text", "node of the compiled graph (torch.fx)"),
    ),
)
FLOWS = Table(
    "flows",
    "one end of an arrow between two rows",
    (
        ID,
        NAME,
        RANK,
        TS,
        PID,
        TID,
        Column("kind", "text", "ac2g (launch to device) | fwdbwd (forward to backward) | …"),
        Column("end", "text", "s start | t step | f finish"),
        Column("flow_id", "int64", "joins the ends of one arrow"),
    ),
)
COUNTERS = Table(
    "counters",
    "one sample of a counter",
    (
        ID,
        NAME,
        RANK,
        TS,
        PID,
        TID,
        Column("metric", "text", "series within the counter"),
        Column("value", "double", "sampled value"),
    ),
)
KERNEL_METRICS = Table(
    "kernel_metrics",
    "one metric of one launch that Nsight Compute profiled, or what one of its rules says of it",
    (
        ID,
        Column("name", "text", "kernel as ncu spells it"),
        RANK,
        Column("launch", "int64", "number of the launch in its file"),
        PID,
        DEVICE,
        STREAM,
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
        *HOST,
        Column("category", "text", "category as recorded"),
        Column("phase", "text", "Chrome trace phase"),
        STACK,
    ),
)
SAMPLES = Table(
    "samples",
    "what one thread was running when a CPU was sampled",
    (
        ID,
        RANK,
        TS,
        PID,
        TID,
        Column("cpu", "int32", "core"),
        Column("state", "text", "state of the thread: Running, Waiting, …"),
        STACK,
    ),
)
DEVICES = Table(
    "devices",
    "one accelerator as described by the source",
    (
        ID,
        RANK,
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
        ID,
        RANK,
        PID,
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
        ID,
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
