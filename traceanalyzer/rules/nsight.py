"""The rules of `nsys analyze`, with its definitions, beside ours: they apply to exports of Nsight Systems.

What the time that they name costs is told by our own rules; so these promise no saving. The seventh rule of nsys,
dx12_mem_ops, is about Direct3D and has no place here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from traceanalyzer.analyzers.nsys.rules import CHUNKS, GAP_NS, UTILISATION_PERCENT
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.base import DEVICE_WORK
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.rules.wording import duration, size
from traceanalyzer.text import Text, join, said, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from traceanalyzer.rules.base import Facts

SHOWN = 5
_LAUNCHES = frozenset({Capability.LAUNCHES})
_LIMITS = {"gap": duration(GAP_NS), "chunks": CHUNKS, "use": f"{UTILISATION_PERCENT:.0f}"}


class _NsysRule:
    """One table of nsys: its rows are the finding."""

    code: ClassVar[str]
    title: ClassVar[Text]
    requires: ClassVar[frozenset[Capability]]
    table: ClassVar[str]
    elsewhere: ClassVar[str]  # the rule of ours that tells what it costs
    says: ClassVar[Text]  # of `rows`, which take `total`; with the limits of nsys
    fix: ClassVar[Text]

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when nsys' rule has rows."""
        found = facts.results["nsys_rules"].tables[self.table]
        if not found.rows:
            return
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        total = sum(row["Duration (ns)"] for row in rows)
        offset = facts.results["nsys_rules"].capture_start_ns
        yield Finding(
            code=self.code,
            title=self.title,
            severity="low",
            claim=self.says.filled(rows=len(rows), total=duration(total), **_LIMITS),
            evidence=tuple(
                Evidence(
                    _described(row),
                    start_ns=row["Start (ns)"] - offset,
                    duration_ns=row["Duration (ns)"],
                    rank=rank,
                    device=row.get("Device ID"),
                    stream=row.get("Stream ID"),
                    pid=row["PID"] if "TID" in row else None,
                    tid=row.get("TID"),
                )
                for row, rank in zip(rows[:SHOWN], found.ranks[:SHOWN], strict=True)
            ),
            fix=self.fix,
            confidence="high",
            saving_reason=say("{code} tells what it costs", code=self.elsewhere),
        )


def _described(row: Mapping[str, Any]) -> Text:
    """A row in the words of its columns: 12.6 ms, cudaStreamSynchronize, thread 144."""
    parts = [said(duration(row["Duration (ns)"]))]
    if "In-Use (%)" in row:
        parts.append(say("{percent:.1f} % used", percent=row["In-Use (%)"]))
    if "API Name" in row:
        parts.append(said(str(row["API Name"])))
    if "Src Kind" in row:
        moved = size(row["Bytes (MB)"] * 1e6)
        parts.append(
            say("{source} to {target}, {size}", source=row["Src Kind"], target=row["Dst Kind"], size=moved)
        )
    where = (
        say("thread {id}", id=row["TID"]) if "TID" in row else say("GPU {device}", device=row["Device ID"])
    )
    return join(", ", [*parts, where])


class PageableAsyncCopies(_NsysRule):
    """Asynchronous copies from or to pageable memory (nsys: cuda_memcpy_async).

    The driver copies pageable memory through a buffer of its own, so the call blocks although it is called
    asynchronous.
    """

    code = "NSYS001"
    title = say("Asynchronous copies of pageable memory")
    requires = _LAUNCHES
    table = "cuda_memcpy_async"
    elsewhere = "COPY001"
    says = say(
        "{rows} asynchronous {rows:copy uses pageable memory and blocks; it takes|copies use pageable memory "
        "and block; they take} {total}."
    )
    fix = say("Pin the memory: DataLoader(pin_memory=True), tensor.pin_memory(), then non_blocking=True.")


class SynchronousCopies(_NsysRule):
    """Synchronous copies between host and device (nsys: cuda_memcpy_sync).

    The call returns when the copy is done, and the host launches nothing meanwhile. Copies within the device are
    not meant.
    """

    code = "NSYS002"
    title = say("Synchronous copies")
    requires = _LAUNCHES
    table = "cuda_memcpy_sync"
    elsewhere = "SYNC001"
    says = say("{rows} {rows:copy blocks the host; it takes|copies block the host; they take} {total}.")
    fix = say(
        "Use cudaMemcpyAsync on a stream, in PyTorch .to(device, non_blocking=True) from pinned memory."
    )


class SynchronousFills(_NsysRule):
    """Synchronous fills of pinned or managed memory (nsys: cuda_memset_sync).

    The call returns when the memory is set, and the host launches nothing meanwhile.
    """

    code = "NSYS003"
    title = say("Synchronous fills")
    requires = _LAUNCHES
    table = "cuda_memset_sync"
    elsewhere = "SYNC001"
    says = say("{rows} {rows:fill blocks the host; it takes|fills block the host; they take} {total}.")
    fix = say("Use cudaMemsetAsync.")


class BlockingCalls(_NsysRule):
    """Calls that block the host until the device is through (nsys: cuda_api_sync).

    cudaDeviceSynchronize and cudaStreamSynchronize wait for all that was issued before them.
    """

    code = "NSYS004"
    title = say("Calls that wait for the device")
    requires = _LAUNCHES
    table = "cuda_api_sync"
    elsewhere = "SYNC001"
    says = say("The {rows} longest synchronising {rows:call holds|calls hold} the host up for {total}.")
    fix = say(
        "Wait for the one event that is needed, or read results later: no .item(), .cpu() or print in the step."
    )


class LongGaps(_NsysRule):
    """The GPU has nothing to do for half a second and more (nsys: gpu_gaps).

    Between the first and the last work of a device, per process and context.
    """

    code = "NSYS005"
    title = say("Long gaps")
    requires = DEVICE_WORK
    table = "gpu_gaps"
    elsewhere = "IDLE001"
    says = say("The GPU has nothing to do for more than {gap} {rows} {rows:time|times}, {total} in all.")
    fix = say("See what the host did in them: the timeline and the causes of idle time name it.")


class LowUse(_NsysRule):
    """The GPU is used for less than half of the time (nsys: gpu_time_util).

    The time from a device's first to its last work is cut into 30 equal parts; each counts by the time in which
    something ran, whatever its size.
    """

    code = "NSYS006"
    title = say("Little use of the GPU's time")
    requires = DEVICE_WORK
    table = "gpu_time_util"
    elsewhere = "IDLE001"
    says = say(
        "In {rows} of {chunks} {chunks:part|parts} of the time the GPU is used for less than {use} %, {total} "
        "in all."
    )
    fix = say("See what the host did meanwhile: the timeline and the causes of idle time name it.")


RULES = (
    PageableAsyncCopies(),
    SynchronousCopies(),
    SynchronousFills(),
    BlockingCalls(),
    LongGaps(),
    LowUse(),
)
