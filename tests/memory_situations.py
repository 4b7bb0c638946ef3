"""Snapshots and texts with one problem of memory each, and others as like them as possible without it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapshot_files import BASE, MIB, USER, block, entry, frame, segment, snapshot, write

from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceanalyzer.model.trace import Capability, Trace

START = 1_700_000_000_000_000
FORWARD = frame("/app/model.py", 40, "Block.forward")
BACKWARD = frame("<autograd>", 0, "MulBackward0")
KV = frame("/app/serve.py", 70, "append_kv")
FREED = ("free_requested", "free_completed")


@dataclass(frozen=True)
class Files:
    """What to write into a folder and read as one trace; like `Linked`, it makes a trace."""

    contents: dict[str, Any]

    def trace(self, capabilities: set[Capability] | None = None, **source: Any) -> Trace:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.contents.items():
                path = Path(folder, name)
                _ = path.write_text(content) if isinstance(content, str) else write(path, content)
            trace = load(folder, options=LoadOptions(use_cache=False))
        chosen = trace.capabilities if capabilities is None else frozenset(capabilities)
        return replace(trace, capabilities=chosen)


def one(content: Any) -> Files:
    return Files({"run.pickle": content})


def steps(count: int, of_us: int = 100) -> list[dict[str, Any]]:
    marks = []
    for i in range(count):
        for stage, at in (("START", i * of_us), ("END", (i + 1) * of_us)):
            marks.append(
                {"stage": stage, "name": f"ProfilerStep#{i + 1}", "device": 0, "time_us": START + at}
            )
    return marks


def stepping(place: dict[str, Any], *, kept: bool, count: int = 6, sizes: tuple[int, ...] = ()) -> Files:
    """Each step allocates a block of 2 MiB, in one segment that is large enough for all."""
    trace = [entry("segment_alloc", BASE, 40 * MIB, START, [place])]
    blocks = []
    for i in range(count):
        where, size = (BASE + i * 2 * MIB, 2 * MIB) if kept else (BASE, (sizes or (2 * MIB,) * count)[i])
        trace.append(entry("alloc", where, size, START + i * 100 + 10, [place]))
        if kept:
            blocks.append(block(where, size, size, frames=[place]))
        else:
            trace += [entry(a, where, size, START + i * 100 + 20, [place]) for a in FREED]
    used = sum(b["size"] for b in blocks)
    blocks.append(block(BASE + used, 40 * MIB - used, 0, "inactive"))
    return one(snapshot([segment(BASE, blocks)], trace, steps(count)))


def fragmenting(*, grows: bool) -> Files:
    """Each step makes a segment of 20 MiB and keeps 2 MiB of it, or uses the first one again."""
    trace, segments = [], []
    for i in range(7):
        where, at = BASE + i * (1 << 30), START + i * 100
        if grows or i == 0:
            trace += [
                entry("segment_alloc", where, 20 * MIB, at + 1),
                entry("alloc", where, 2 * MIB, at + 2, [USER]),
            ]
            rest = block(where + 2 * MIB, 18 * MIB, 0, "inactive")
            segments.append(segment(where, [block(where, 2 * MIB, 2 * MIB, frames=[USER]), rest]))
        used = segments[-1]["address"] + 2 * MIB
        trace += [entry(a, used, 3 * MIB, at + 5, [USER]) for a in ("alloc", *FREED)]
    return one(snapshot(segments, trace, steps(7)))


def held(active: int, of: int = 20 * MIB) -> Files:
    """Two segments, one full, one with so much in use."""
    blocks = [block(BASE, active, active, frames=[USER]), block(BASE + active, of - active, 0, "inactive")]
    full = segment(BASE + (1 << 30), [block(BASE + (1 << 30), of, of, frames=[USER])])
    return one(snapshot([segment(BASE, blocks), full], []))


def thrashing(times: int) -> Files:
    """empty_cache() in a loop: a segment of its own every time."""
    trace = []
    for i in range(times):
        at = START + i * 10
        trace += [entry("segment_alloc", BASE, 20 * MIB, at), entry("alloc", BASE, 20 * MIB, at + 1)]
        trace += [entry(a, BASE, 20 * MIB, at + 2) for a in FREED]
        trace += [entry("segment_free", BASE, 20 * MIB, at + 3, [USER]), entry("snapshot", 0, 0, at + 4)]
    return one(snapshot([], trace))


def reserving(used: int) -> Files:
    trace = [entry("segment_alloc", BASE, 40 * MIB, START), entry("alloc", BASE, used, START + 1, [USER])]
    blocks = [block(BASE, used, used, frames=[USER]), block(BASE + used, 40 * MIB - used, 0, "inactive")]
    return one(snapshot([segment(BASE, blocks)], trace))


def inferring(*, backward: bool) -> Files:
    """An activation that stays, and another allocation in backward or not."""
    trace = [
        entry("segment_alloc", BASE, 20 * MIB, START),
        entry("alloc", BASE, 18 * MIB, START + 1, [FORWARD]),
        entry("alloc", BASE + 18 * MIB, 2 * MIB, START + 2, [BACKWARD if backward else USER]),
    ]
    blocks = [block(BASE, 18 * MIB, 18 * MIB, frames=[FORWARD]), block(BASE + 18 * MIB, 2 * MIB, 2 * MIB)]
    return one(snapshot([segment(BASE, blocks)], trace))


def peaking(place: dict[str, Any], share: float) -> Files:
    """A segment of 40 MiB, a share of which a place allocates, and other code the rest."""
    mine = int(share * 40) * MIB
    trace = [
        entry("segment_alloc", BASE, 40 * MIB, START),
        entry("alloc", BASE, mine, START + 1, [place, USER]),
        entry("alloc", BASE + mine, 40 * MIB - mine, START + 2, [USER]),
    ]
    blocks = [block(BASE, mine, mine, frames=[place, USER])]
    blocks.append(block(BASE + mine, 40 * MIB - mine, 40 * MIB - mine, frames=[USER]))
    return one(snapshot([segment(BASE, blocks)], trace))


def ranks(*used: int) -> Files:
    return Files({f"rank{i}.pickle": next(iter(reserving(u).contents.values())) for i, u in enumerate(used)})


LOSS = frame("/venv/lib/site-packages/torch/nn/functional.py", 3462, "cross_entropy")
STATE = frame("/venv/lib/site-packages/torch/optim/adamw.py", 117, "_init_group")
CAST = frame("??", 0, "at::autocast::cached_cast(c10::ScalarType, at::Tensor const&, c10::DeviceType)")
OUTSIDE = (
    "CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of 23.60 GiB of which 20.00 MiB is "
    "free. Including non-PyTorch memory, this process has 23.50 GiB memory in use. Of the allocated memory "
    "{held} GiB is allocated by PyTorch, and 0.50 GiB is reserved by PyTorch but unallocated."
)

ERROR = "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.80 GiB total capacity; 6.10 GiB already allocated)"

CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "MEM001": (lambda: Files({"a.log": ERROR}), lambda: reserving(40 * MIB)),
    "MEM002": (lambda: stepping(USER, kept=True), lambda: stepping(USER, kept=False)),
    "MEM003": (lambda: stepping(KV, kept=True), lambda: stepping(USER, kept=True)),
    "MEM004": (lambda: held(MIB), lambda: held(15 * MIB)),
    "MEM005": (lambda: thrashing(3), lambda: thrashing(1)),
    "MEM006": (lambda: reserving(20 * MIB), lambda: reserving(39 * MIB)),
    "MEM007": (
        lambda: stepping(USER, kept=False, sizes=(30 * MIB, *(2 * MIB,) * 5)),
        lambda: stepping(USER, kept=False, sizes=(30 * MIB, *(29 * MIB,) * 5)),
    ),
    "MEM008": (lambda: inferring(backward=False), lambda: inferring(backward=True)),
    "MEM010": (lambda: fragmenting(grows=True), lambda: fragmenting(grows=False)),
    "MEM011": (lambda: peaking(LOSS, 0.3), lambda: peaking(LOSS, 0.1)),
    "MEM012": (lambda: peaking(STATE, 0.5), lambda: peaking(STATE, 0.2)),
    "MEM013": (lambda: peaking(CAST, 0.1), lambda: peaking(CAST, 0.025)),
    "MEM014": (
        lambda: Files({"a.log": OUTSIDE.format(held="19.00")}),
        lambda: Files({"a.log": OUTSIDE.format(held="22.00")}),
    ),
    "MEM009": (lambda: ranks(40 * MIB, 20 * MIB), lambda: ranks(40 * MIB, 39 * MIB)),
}
