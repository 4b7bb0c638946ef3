"""Rules about what makes the host wait for the device: the operators and functions that ask for values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.replay.fixes import SIZED_BY_DATA
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import LAUNCHED
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.idle import HostSync
from traceanalyzer.rules.wording import count, duration, percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.waits import WaitRow, Waits
    from traceanalyzer.rules.base import Facts

READS = frozenset({"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal"})


class WaitRule:
    """Finds waits of certain operators or functions: the common part of the rules below."""

    code: ClassVar[str]
    title: ClassVar[Text]
    requires: ClassVar[frozenset[Capability]] = LAUNCHED
    says: ClassVar[Text]
    fix: ClassVar[Text]

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when the devices are idle enough for these waits."""
        waits: Waits = facts.results["waits"]
        rows = [row for row in waits.rows if self.concerns(row)]
        # what else the host does before the next work has causes of its own
        idle = min(sum(row.idle_ns for row in rows), facts.idle_ns("host_sync"))
        share = facts.share(idle)
        if not rows or share < thresholds.HOST_STALL_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=self.says.filled(
                number=f"{sum(row.count for row in rows) / facts.device_steps:.3g}",
                share=facts.of_step(share),
            ),
            evidence=(*map(_described, rows), _counted_before(facts)),
            fix=self.fix,
            confidence=facts.confidence,
            saving_ns=facts.saving(idle),
            counts=counted.idle(facts, "host_sync", ns=idle),
        )

    def concerns(self, row: WaitRow) -> bool:
        """Whether the rule is about these waits."""
        raise NotImplementedError


def _counted_before(facts: Facts) -> Evidence:
    """That this idle time is not to be added to that of all waits."""
    return Evidence(
        say(
            "part of the {share} that {code} counts for all waits, not beside it",
            share=percent(facts.share(facts.idle_ns("host_sync"))),
            code=HostSync.code,
        )
    )


def _described(row: WaitRow) -> Evidence:
    return Evidence(
        say(
            "{calls} in {op} at {place}: {waited} of waiting, after which the GPU is idle for {idle}",
            calls=count(row.count, "call"),
            op=row.op or say("no operator"),
            place=row.python or say("a place that was not recorded"),
            waited=duration(row.host_ns),
            idle=duration(row.idle_ns),
        ),
        table="api_calls",
        row=row.longest,
        name=row.op,
        sheet="ops",
    )


class ReadsValues(WaitRule):
    """Values are read from the device one by one.

    `tensor.item()`, `float(tensor)`, `if tensor:` and `torch.equal` need a value on the host, so the host waits until
    everything that was launched before has run. Then the queue is empty, and the device waits for the host.

    Counted is the time in which the device is idle from the beginning of such a wait to the next work, at most what
    SYNC001 counts for all waits together; this names the operator and the line that ask.
    """

    code = "SYNC002"
    title = say("Single values are read from the device")
    says = say(
        "{number} {number:wait|waits} per step {number:reads|read} single values (.item()); the GPU idles {share} "
        "for them."
    )
    fix = say(
        "Keep the value on the device, or read it every N steps.\n"
        "```\n"
        "total += loss.detach()            # instead of total += loss.item()\n"
        "if step % 100 == 0:\n"
        "    print(total.item() / 100)\n"
        "```"
    )

    def concerns(self, row: WaitRow) -> bool:
        """Waits inside the operators that bring one number to the host, outside of reports."""
        return row.op in READS and not row.reports


class SizesFromData(WaitRule):
    """An operator's output is as large as its data says, so the host waits for the size.

    `nonzero`, `x[mask]`, `masked_select`, `unique` and `repeat_interleave` without `output_size` must know how many
    elements there are before they can allocate the result. The count is made on the device and read by the host.
    """

    code = "SYNC003"
    title = say("Sizes that depend on data make the host wait")
    says = say(
        "{number} {number:wait|waits} per step {number:asks|ask} for the size of a result; the GPU idles {share} "
        "for them."
    )
    fix = say(
        "Keep the size fixed: select with a mask by arithmetic, give the size, or count on the host.\n"
        "```\n"
        "x = torch.where(mask, x, 0.0)                       # instead of x[mask]\n"
        "torch.repeat_interleave(x, n, output_size=total)    # no wait\n"
        "torch.nonzero_static(mask, size=most)               # PyTorch 2.2 and newer\n"
        "```"
    )

    def concerns(self, row: WaitRow) -> bool:
        """Waits inside operators with outputs of unknown size."""
        return bool(SIZED_BY_DATA.search(row.op or "")) and not row.reports


class Reporting(WaitRule):
    """Logging, printing or a progress bar waits for the device.

    A metric that is printed must be on the host, so a progress bar with the loss in it waits for the device in every
    step. The wait lies within a function of a logger, tracker or progress bar, as the Python stacks show.
    """

    code = "SYNC004"
    title = say("Reporting waits for the device")
    requires = LAUNCHED | {Capability.STACKS}
    says = say(
        "{number} {number:wait|waits} per step {number:is|are} for reports (logs, progress bars); the GPU idles "
        "{share} for them."
    )
    fix = say(
        "Report every N steps, and values that were copied without waiting.\n"
        "```\n"
        'logged = loss.detach().to("cpu", non_blocking=True)  # read it one step later\n'
        "```"
    )

    def concerns(self, row: WaitRow) -> bool:
        """Waits inside functions that report."""
        return row.reports


RULES = (ReadsValues(), SizesFromData(), Reporting())
