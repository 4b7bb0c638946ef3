"""Communication that the host runs itself: what it costs a device, and which rank the others wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers.ranges import RangeRow
from traceanalyzer.rules.findings import Evidence
from traceanalyzer.rules.idle import IdleRule, ran
from traceanalyzer.rules.ranks import waited_for
from traceanalyzer.rules.wording import duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.host_communication import HostCommunication
    from traceanalyzer.analyzers.peers import PeerRow
    from traceanalyzer.rules.base import Facts

SHOWN = 3


class WaitsForRanks(IdleRule):
    """The host waits for other ranks in communication of its own, and launches nothing.

    Tensors on the CPU, objects (`all_gather_object`, `broadcast_object_list`) and barriers go over Gloo where the
    process group has it. Until all ranks have joined, the thread that launches stands still. Counted is the idle time
    in which such a collective runs, one of the launching threads asked for it, and they neither compute nor call the
    driver.
    """

    code = "COMM006"
    title = say("The host waits for other ranks")
    causes = ("host_communication",)
    says = say("the host waits for other ranks")
    late = say("the host waits for other ranks, mostly for rank {rank}")
    fix = say(
        "Take barriers, objects and tensors on the CPU out of the step: exchange them every so many steps, as device "
        "tensors over NCCL, or from another thread."
    )

    def reason(self, facts: Facts) -> Text:
        """Why, and for whom."""
        late = late_rank(facts)
        return self.says if late is None else self.late.filled(rank=late.rank)

    def facts(self, facts: Facts) -> Iterable[Evidence]:
        """The communication, and the ranks beside each other."""
        yield from super().facts(facts)
        yield from waited(facts)


def late_rank(facts: Facts) -> PeerRow | None:
    """The rank that most of the waiting is for; None where there is none, or it is not known."""
    found: HostCommunication | None = facts.results.get("host_communication")
    if found is None or not found.ranks:
        return None
    return waited_for(found.ranks, facts.steps.total_ns)


def waited(facts: Facts) -> Iterable[Evidence]:
    """The kinds of communication that ran longest, then how long each rank waited for the others."""
    found: HostCommunication | None = facts.results.get("host_communication")
    if found is None:
        return
    for row in found.rows[:SHOWN]:
        yield ran(RangeRow(row.name, row.count, row.total_ns))
    for rank in found.ranks:
        yield Evidence(
            say(
                "rank {rank}: {compute} in operators, waits {wait} in collectives, is the last in {last}",
                rank=rank.rank,
                compute=duration(rank.compute_ns),
                wait=duration(rank.wait_ns),
                last=rank.last,
            ),
            table="annotations",
            row=rank.longest,
        )
    if len({step.rank for step in facts.steps.steps}) < 2:
        yield Evidence(say("the traces of all ranks together would tell which one comes last"))


RULES = (WaitsForRanks(),)
