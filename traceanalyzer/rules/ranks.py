"""Rules about ranks beside each other: who waits for whom, and how communication is cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import DEVICE_WORK
from traceanalyzer.rules.findings import Evidence, Finding, Speedup, severity
from traceanalyzer.rules.wording import count, duration, percent, size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceanalyzer.analyzers.peers import PeerRow, Peers
    from traceanalyzer.analyzers.ranges import Ranges
    from traceanalyzer.analyzers.results import CollectiveRow
    from traceanalyzer.rules.base import Facts

ASSUMED = say("which ranks take part was not recorded: all that are given are taken to")


class Straggler:
    """One rank comes late to the collectives, and all others wait for it.

    A collective ends for all ranks together, so the rank that arrives last has the shortest kernel: what the others
    take longer is time that they waited. One rank with more work (an uneven batch, an extra evaluation, logging on rank
    0), a slower or hotter GPU, or a host that launches late holds up the whole job.

    Needs the traces of two ranks and more, which must have run the same collectives in the same order. The saving is
    that of a replay of all of them in which the slowest works like the median of the others.
    """

    code: ClassVar[str] = "COMM003"
    title: ClassVar[Text] = say("All ranks wait for one")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def lacks(self, facts: Facts) -> str:
        """Where there is communication, a second rank to compare with, and which ranks take part in it."""
        peers: Peers = facts.results["peers"]
        if peers.rows or not facts.collectives.rows:
            return ""
        if len({device.rank for device in facts.breakdown.devices}) > 1:
            of_nccl = facts.collectives.of_nccl
            if of_nccl and all(row.group is None for row in of_nccl):
                return how_to_capture(facts.sources)[Capability.COLLECTIVE_ARGUMENTS]
            return say(
                "give the traces of all ranks of a process group together, recorded over the same steps"
            )
        return say("give the traces of all ranks of the job together: DIR with one file per rank")

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when one rank causes most of the waiting."""
        peers: Peers = facts.results["peers"]
        worst = straggler(facts)
        if worst is None:
            return
        waiting_ns = worst.caused_ns * len(peers.rows)
        share = facts.share(waiting_ns)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "The other ranks wait for rank {rank} in {last} of {matched} {matched:collective|collectives}: "
                "{share}.",
                rank=worst.rank,
                last=worst.last,
                matched=worst.joined,
                share=facts.of_step(share),
            ),
            evidence=tuple(
                Evidence(
                    say(
                        "rank {rank}: {compute} of compute, waits {wait} in collectives, is the last in {last}",
                        rank=r.rank,
                        compute=duration(r.compute_ns),
                        wait=duration(r.wait_ns),
                        last=r.last,
                    ),
                    table="kernels",
                    row=r.longest,
                )
                for r in peers.rows
            )
            + ((Evidence(ASSUMED),) if peers.assumed else ()),
            fix=say(
                "Compare this rank with the others: compute time says whether it has more work or a slower "
                "GPU; if it is equal, look at its host (data loading, logging, other processes)."
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(waiting_ns),
            counts=counted.exposed_communication(facts, sum(r.wait_ns for r in peers.rows)),
            speedups=_without_waiting(peers, worst.rank),
        )


def straggler(facts: Facts) -> PeerRow | None:
    """The rank that causes most of the waiting in collectives; None where none does."""
    peers: Peers | None = facts.results.get("peers")
    if peers is None or not peers.rows:
        return None
    return waited_for(peers.rows, facts.wall_ns)


def waited_for(rows: Sequence[PeerRow], whole_ns: int) -> PeerRow | None:
    """The rank that the others wait for, where it costs enough of all ranks' time and is one rank, not each in turn."""
    worst = max(rows, key=lambda r: (r.caused_ns, -r.rank))
    enough = whole_ns > 0 and worst.caused_ns * len(rows) / whole_ns >= thresholds.CAUSE_SHARE
    mostly = worst.last >= thresholds.DOMINANT_SHARE * worst.joined
    alone = worst.caused_ns >= 2 * worst.wait_ns  # they do not take turns in waiting for each other
    return worst if enough and mostly and alone else None


def _without_waiting(peers: Peers, straggler: int) -> tuple[Speedup, ...]:
    """For a replay of the first rank alone: collectives without half of its waiting, and without all of it."""
    first = peers.rows[0]
    if first.rank == straggler or not first.matched_ns:
        return ()
    waiting = first.wait_ns / first.matched_ns
    return tuple(Speedup(name, 1 - waiting / 2, 1 - waiting) for name in peers.kernels)


class LateBucket:
    """The last collective of a step has nothing left to hide behind.

    Gradients are reduced bucket by bucket while the backward pass goes on. The last bucket can only start when the
    first layers' gradients exist, so all of it is exposed: the larger it is, the longer the step.
    """

    code: ClassVar[str] = "COMM004"
    title: ClassVar[Text] = say("The last bucket of gradients comes late")
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.DEVICE_WORK, Capability.STEPS})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when most exposed communication is that of the last collective of each step."""
        peers: Peers = facts.results["peers"]
        exposed = min(sum(t.exposed_ns for t in peers.tails), facts.sum("exposed_communication_ns"))
        last = min(sum(t.last_exposed_ns for t in peers.tails), exposed)
        per_step = sum(r.count for r in facts.collectives.rows) / facts.device_steps
        share = facts.share(last)
        if share < thresholds.CAUSE_SHARE or last < thresholds.DOMINANT_SHARE * exposed or per_step < 2:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "The last collective of each step runs alone for {share}: {part} of all exposed "
                "communication.",
                share=facts.of_step(share),
                part=percent(last / exposed),
            ),
            evidence=tuple(
                Evidence(
                    say(
                        "rank {rank} device {device}: {last} of {exposed} exposed communication",
                        rank=t.rank,
                        device=t.device,
                        last=duration(t.last_exposed_ns),
                        exposed=duration(t.exposed_ns),
                    ),
                    table="kernels",
                    row=t.longest,
                )
                for t in peers.tails
            ),
            fix=say(
                "Make the last bucket small: a smaller bucket_cap_mb, or a first bucket of its own "
                "(static_graph=True lets DDP order them); large embeddings at the input are the usual last "
                "gradient."
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(last),
            counts=counted.exposed_communication(facts, last),
        )


class LowBandwidth:
    """Large collectives move data far more slowly than links between GPUs do.

    NCCL reaches most of the link's bandwidth with messages of tens of megabytes. When even the fastest execution of a
    large collective stays below what one PCIe gen 4 link moves, traffic takes a detour: over sockets instead of
    InfiniBand, through host memory instead of GPU to GPU, or over a link shared by several ranks.
    """

    code: ClassVar[str] = "COMM005"
    title: ClassVar[Text] = say("Collectives reach little bandwidth")
    requires: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.DEVICE_WORK, Capability.COLLECTIVE_ARGUMENTS}
    )

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when large collectives are slow even at best and exposed."""
        slow = [
            r
            for r in facts.collectives.rows
            if r.bus_gb_per_s is not None
            and max(r.in_bytes or 0, r.out_bytes or 0) / r.count >= thresholds.LARGE_COLLECTIVE_BYTES
            and r.bus_gb_per_s < thresholds.LOW_BUS_GB_PER_S
        ]
        exposed = min(sum(r.exposed_ns for r in slow), facts.sum("exposed_communication_ns"))
        share = facts.share(exposed)
        if share < thresholds.CAUSE_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "Collectives of {limit} and more reach {best} GB/s of bus bandwidth at best, and run alone for "
                "{share}.",
                limit=size(thresholds.LARGE_COLLECTIVE_BYTES),
                best=f"{max(r.bus_gb_per_s or 0.0 for r in slow):.1f}",
                share=facts.of_step(share),
            ),
            evidence=tuple(map(_reached, slow)),
            fix=say(
                "See which way NCCL takes, and open the fast one.\n"
                "```\n"
                "NCCL_DEBUG=INFO python train.py 2>&1 | grep -E 'via|NET/'\n"
                "nvidia-smi topo -m\n"
                "```"
            ),
            confidence="medium",
            saving_ns=facts.saving(exposed),
            counts=counted.exposed_communication(facts, exposed),
        )


def _reached(r: CollectiveRow) -> Evidence:
    return Evidence(
        say(
            "{runs} of {what} over {ranks} {ranks:rank|ranks}, {each} each: {bandwidth} GB/s",
            runs=count(r.count, "execution"),
            what=r.collective or r.name[:60],
            ranks=r.group_size or say("unknown"),
            each=size(max(r.in_bytes or 0, r.out_bytes or 0) / r.count),
            bandwidth=f"{r.bus_gb_per_s:.1f}",
        ),
        table="kernels",
        row=r.longest,
        name=r.name,
        sheet="collectives",
    )


class DataParallelModule:
    """nn.DataParallel drives several GPUs from one process.

    In every forward pass one thread per GPU competes for the interpreter lock, the model is copied to all GPUs, and
    the first GPU gathers all outputs. DistributedDataParallel runs one process per GPU and overlaps its communication.
    """

    code: ClassVar[str] = "DP001"
    title: ClassVar[Text] = say("nn.DataParallel is used")
    requires: ClassVar[frozenset[Capability]] = frozenset()
    _named: ClassVar[re.Pattern[str]] = re.compile(
        r"^DataParallel\.forward|parallel/data_parallel\.py\(\d+\): forward"
    )

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when its forward pass was recorded."""
        ranges: Ranges = facts.results["ranges"]
        rows = [*ranges.annotated(self._named), *ranges.called(self._named)]
        if not rows:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium",
            claim=say(
                "The model runs in nn.DataParallel ({calls}).",
                calls=count(max(r.count for r in rows), "call"),
            ),
            evidence=tuple(
                Evidence(
                    say("{name}: {time}", name=r.name, time=duration(r.total_ns)), table=r.table, name=r.name
                )
                for r in rows
            ),
            fix=say("DistributedDataParallel with one process per GPU, started with torchrun."),
            confidence="high",
            saving_reason=say("a program of another form cannot be told from this trace"),
        )


RULES = (Straggler(), LateBucket(), LowBandwidth(), DataParallelModule())
