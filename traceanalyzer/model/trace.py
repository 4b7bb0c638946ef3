"""A trace: Arrow tables, the sources they came from, and what those sources could see."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from traceanalyzer.display import Displayed
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.text import Text, packed, said, say, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pyarrow as pa

    from traceanalyzer.model.mapping import Attribution
    from traceanalyzer.model.recordings import Recording


class Capability(StrEnum):
    """Something that a trace can show. What is absent is reported with how to capture it."""

    DEVICE_WORK = "device_work"
    LAUNCHES = "launches"
    STEPS = "steps"
    SHAPES = "shapes"
    STACKS = "stacks"
    MODULES = "modules"
    MEMORY = "memory"
    MEMORY_SNAPSHOT = "memory_snapshot"
    OOM = "oom"
    SYNC_EVENTS = "sync_events"
    COLLECTIVE_ARGUMENTS = "collective_arguments"
    DEVICE_PROPERTIES = "device_properties"


HOW_TO_CAPTURE: Mapping[Capability, Text] = {
    Capability.DEVICE_WORK: say("profile with activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]"),
    Capability.LAUNCHES: say("profile with ProfilerActivity.CPU as well, so that launches are recorded"),
    Capability.STEPS: say(
        "profile with schedule=schedule(wait=1, warmup=1, active=3, repeat=1), without which no steps are "
        "recorded, and call prof.step() once per iteration"
    ),
    Capability.SHAPES: say("profile with record_shapes=True"),
    Capability.STACKS: say("profile with with_stack=True"),
    Capability.MODULES: say("profile with with_stack=True (nn.Module frames are recorded with the stacks)"),
    Capability.MEMORY: say("profile with profile_memory=True"),
    Capability.MEMORY_SNAPSHOT: say(
        "call torch.cuda.memory._record_memory_history() before the run and "
        "torch.cuda.memory._dump_snapshot('run.pickle') after it"
    ),
    Capability.OOM: say("give a memory snapshot taken after the error, or the log that holds the error"),
    Capability.SYNC_EVENTS: say(
        "profile with experimental_config="
        "torch._C._profiler._ExperimentalConfig(enable_cuda_sync_events=True)"
    ),
    Capability.COLLECTIVE_ARGUMENTS: say(
        "record with PyTorch 2.3 or newer and ProfilerActivity.CPU, which write process groups and arguments of "
        "collectives"
    ),
    Capability.DEVICE_PROPERTIES: say(
        "record with a PyTorch that writes deviceProperties, or name the GPU with --gpu"
    ),
}


_WITH_NSYS: Mapping[Capability, Text] = {
    **HOW_TO_CAPTURE,
    Capability.DEVICE_WORK: say("record with nsys profile --trace=cuda,nvtx,osrt"),
    Capability.LAUNCHES: say("record with nsys profile --trace=cuda,nvtx,osrt"),
    Capability.STEPS: say("push an NVTX range per iteration and name it with --step"),
    Capability.SHAPES: say("run under torch.autograd.profiler.emit_nvtx(record_shapes=True)"),
    Capability.STACKS: say("record with nsys profile --python-backtrace=cuda --cudabacktrace=all"),
    Capability.MODULES: say(
        "push an NVTX range per module, or record with nsys profile --pytorch=autograd-nvtx"
    ),
    Capability.MEMORY: say("record with nsys profile --cuda-memory-usage=true"),
    Capability.SYNC_EVENTS: say("record with nsys profile --trace=cuda,nvtx"),
    Capability.COLLECTIVE_ARGUMENTS: say(
        "record with NCCL 2.18 or newer and export with --include-blobs=true"
    ),
    Capability.DEVICE_PROPERTIES: say(
        "export the whole recording, not a cut of it, or name the GPU with --gpu"
    ),
}


_DEVICE_BY_NSYS = frozenset(
    {
        Capability.DEVICE_WORK,
        Capability.LAUNCHES,
        Capability.SYNC_EVENTS,
        Capability.DEVICE_PROPERTIES,
    }
)
"""What nsys records when torch.profiler runs beside it: only one of them can trace the device."""


def how_to_capture(sources: Sequence[Source]) -> Mapping[Capability, Text]:
    """What to do for each capability, in the words of the profiler that records it in such files."""
    if not any(s.of_nsys for s in sources):
        return HOW_TO_CAPTURE
    if all(s.of_nsys for s in sources):
        return _WITH_NSYS
    return {c: (_WITH_NSYS if c in _DEVICE_BY_NSYS else HOW_TO_CAPTURE)[c] for c in HOW_TO_CAPTURE}


def remedies(missing: Collection[Capability], sources: Sequence[Source]) -> tuple[Text, ...]:
    """What to do for all that is missing, each remedy once.

    What records device work records its launches as well: they are asked for by themselves only where there is
    device work without them.
    """
    how = how_to_capture(sources)
    implied = {Capability.LAUNCHES} if Capability.DEVICE_WORK in missing else set()
    return tuple(dict.fromkeys(how[capability] for capability in missing if capability not in implied))


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a source that a reader must know.

    `partial` notes mean that part of the input could not be read, so every figure may be too small.
    """

    kind: str  # "partial" | "repaired" | "info"
    message: Text
    remedy: Text | str = ""

    def packed(self) -> dict[str, Any]:
        """Plain values that JSON can hold; `unpacked` takes them back."""
        return {"kind": self.kind, "message": packed(self.message), "remedy": packed(self.remedy)}

    @classmethod
    def unpacked(cls, plain: Mapping[str, Any]) -> Note:
        """The note of its plain values."""
        return cls(plain["kind"], said(unpacked(plain["message"])), unpacked(plain["remedy"]))


@dataclass(frozen=True, slots=True)
class Source:
    """One input file and what became of it.

    `epoch_ns` is the wall-clock time of `ts == 0` (ns since 1970) or None when the file does not tell;
    `metadata` holds only the header keys on an allow-list (versions, capture options, distributed info).
    """

    path: str
    format: str
    sha256: str
    bytes: int
    events: int
    rank: int
    epoch_ns: int | None = None
    simulated: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    @property
    def of_nsys(self) -> bool:
        """Whether Nsight Systems recorded it."""
        return self.format.startswith("nsys")

    @property
    def of_ncu(self) -> bool:
        """Whether Nsight Compute measured it."""
        return self.format.startswith("ncu")


@dataclass(frozen=True)
class Trace(Displayed):
    """Tables by name (also as attributes: `trace.kernels.to_pandas()`), sources and capabilities.

    `mapping` is what a second trace of the same program says of the kernels, where one was given. `recordings` are
    those of ranks that were recorded several times, in the order of ranks and starts. `unrelated` says why the sources
    are not of one run, so that nothing can be told of all of them together; empty where they may be.
    """

    sources: tuple[Source, ...]
    tables: Mapping[str, pa.Table]
    capabilities: frozenset[Capability]
    mapping: Attribution | None = None
    recordings: tuple[Recording, ...] = ()
    unrelated: Text | str = ""
    _found: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, name: str, find: Callable[[Trace], Any]) -> Any:
        """What `find` says of this trace, which it is asked once: tables do not change."""
        if name not in self._found:
            self._found[name] = find(self)
        return self._found[name]

    def __getattr__(self, name: str) -> pa.Table:
        if name in BY_NAME:
            return self.tables[name]
        raise AttributeError(f"a Trace has no table {name!r}; it has {', '.join(BY_NAME)}")

    def __repr__(self) -> str:
        """A line for a prompt: the files, and which tables have rows."""
        rows = ", ".join(
            f"{table.num_rows:,} {name}" for name, table in self.tables.items() if table.num_rows
        )
        more = f" and {len(self.sources) - 1} more" if len(self.sources) > 1 else ""
        return f"<Trace {self.sources[0].path if self.sources else ''!r}{more}: {rows or 'no rows'}>"

    @property
    def simulated(self) -> bool:
        """Whether any source says that it was written by a simulator, not by a profiler."""
        return any(s.simulated for s in self.sources)
