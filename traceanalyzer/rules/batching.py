"""A rule about small products that one batched product could do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import LAUNCHED, ORDINARY, WITH_SHAPES
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.roofs import by_name, roofline
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceanalyzer.analyzers.repeats import RepeatRow, Repeats
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.findings import Counted

SHOWN = 5


class RepeatedProducts:
    """Small products of one shape are launched one by one.

    A loop over heads, experts, samples or blocks multiplies matrices that are too small for the device. Each product
    costs the host as much as a large one; stacked, one batched product does them all, side by side on the device.

    Counted are products of one shape that directly follow each other on a stream, each of less than 10 µs. Where one
    needs the result of the one before, they cannot be batched: that is not in a trace.
    """

    code: ClassVar[str] = "BATCH001"
    title: ClassVar[Text] = say("Small products are launched one by one")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED | WITH_SHAPES

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when the runs take enough of the step."""
        repeats: Repeats = facts.results["repeats"]
        span = sum(row.span_ns for row in repeats.rows)
        share = facts.share(span)
        if share < thresholds.CAUSE_SHARE:
            return
        products = sum(row.products for row in repeats.rows)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "Runs of small products of one shape take {share}; each could be one batched product.",
                share=facts.of_step(share),
            ),
            evidence=tuple(map(_run, repeats.rows[:SHOWN])),
            fix=say(
                "Where no product needs the result of another, stack the matrices and multiply them at once.\n"
                "```\n"
                "torch.bmm(a, b)            # a: (n, i, k), b: (n, k, j); with a bias torch.baddbmm\n"
                "torch.vmap(layer)(samples)  # a whole loop over samples\n"
                "```"
            ),
            confidence="medium",
            saving_ns=(0, facts.per_step(round(span * (1 - sum(r.runs for r in repeats.rows) / products)))),
            counts=_counted(repeats.rows, facts),
        )


def _counted(rows: Sequence[RepeatRow], facts: Facts) -> tuple[Counted, ...]:
    """The kernels, and the idle time between them."""
    time: dict[str, int] = {}
    for row in rows:
        time[row.kernel] = time.get(row.kernel, 0) + row.total_ns
    idle = sum(row.span_ns - row.total_ns for row in rows)
    return (*counted.idle(facts, *ORDINARY, ns=idle), *counted.kernels(time, by_name(roofline(facts).rows)))


def _run(row: RepeatRow) -> Evidence:
    return Evidence(
        say(
            "{op} {dims}: {products} in {runs}, {total} of kernels in {span}",
            op=row.op,
            dims=row.input_dims,
            products=count(row.products, "product"),
            runs=count(row.runs, "sequence"),
            total=duration(row.total_ns),
            span=duration(row.span_ns),
        ),
        table="kernels",
        row=row.longest,
        name=row.kernel,
    )


RULES = (RepeatedProducts(),)
