"""Rules about kernels that do not fill the device, and matrix sizes that do not fit its units."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.cost.inputs import shapes_of
from traceanalyzer.cost.names import does_products
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import WITH_SHAPES
from traceanalyzer.rules.compute import unaligned_products
from traceanalyzer.rules.findings import Evidence, Finding, Speedup, severity
from traceanalyzer.rules.roofs import attainable, cure, evidence, roofline, share_of
from traceanalyzer.rules.wording import duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.grids import GridRow, Grids
    from traceanalyzer.analyzers.roofline_results import RooflineRow
    from traceanalyzer.rules.base import Facts

WITH_GRIDS = frozenset({Capability.DEVICE_WORK, Capability.DEVICE_PROPERTIES})
_SHORT_TYPES = {"bf16": 8, "fp16": 8, "fp8": 16, "int8": 16}
SHOWN = 5


class GridRule:
    """Finds kernels that leave a part of the device empty: the common part of the rules below."""

    code: ClassVar[str]
    title: ClassVar[Text]
    requires: ClassVar[frozenset[Capability]] = WITH_GRIDS
    says: ClassVar[Text]
    fix: ClassVar[Text]
    most: ClassVar[float] = 1.0  # which part of the lost time a cure saves at best

    def lacks(self, facts: Facts) -> str:
        """The grid of kernels, and the number of multiprocessors."""
        grids: Grids = facts.results["grids"]
        if grids.known or not facts.kernels.count:
            return ""
        return say("record with a PyTorch that writes deviceProperties and the grids of kernels")

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when such kernels cost enough of the step."""
        grids: Grids = facts.results["grids"]
        rows = sorted((r for r in grids.rows if self.lost_ns(r)), key=lambda r: (-self.lost_ns(r), r.kernel))
        # grids are of the steps, and the wall time is of what the device did before them, too
        lost = min(int(sum(self.lost_ns(r) for r in rows) * facts.lead_in), facts.sum("compute_ns"))
        share = facts.share(lost)
        if share < thresholds.CAUSE_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=self.says.filled(share=facts.of_step(share)),
            evidence=tuple(self._described(r) for r in rows[:SHOWN]),
            fix=self.fix,
            confidence="low",
            saving_ns=(0, facts.per_step(int(lost * self.most))),
            speedups=tuple(
                Speedup(r.kernel, 1.0, 1 - self.most * self.lost_ns(r) / max(r.all_ns, 1))
                for r in sorted(rows, key=lambda r: r.kernel)
            ),
            counts=counted.kernels(
                {r.kernel: self.lost_ns(r) for r in rows}, {r.kernel: r.all_ns for r in rows}
            ),
        )

    def lost_ns(self, row: GridRow) -> int:
        """Kernel time that the rule is about."""
        raise NotImplementedError

    def _described(self, row: GridRow) -> Evidence:
        return Evidence(
            say(
                "{kernel}: {lost} of {total}, {blocks} {blocks:block|blocks}, occupancy {occupancy}",
                kernel=row.kernel[:80],
                lost=duration(self.lost_ns(row)),
                total=duration(row.total_ns),
                blocks=f"{row.blocks:,}",
                occupancy=say("unknown")
                if row.occupancy_percent is None
                else f"{row.occupancy_percent:.0f} %",
            ),
            table="kernels",
            row=row.longest,
            name=row.kernel,
        )


class SmallGrids(GridRule):
    """Kernels have fewer blocks than the device has multiprocessors.

    The rest of the device is empty while they run, however long they take. Small batches, reductions over a long last
    dimension and single-token decoding are the usual reasons.
    """

    code = "GRID001"
    title = say("Kernels too small for the device")
    says = say("Kernels with fewer blocks than the GPU has multiprocessors take {share}.")
    fix = say(
        "Give them more to do at a time: larger batches, split-K or stream-K products, a split over "
        "the sequence (flash decoding), or run independent ones on two streams."
    )
    most = 0.5

    def lost_ns(self, row: GridRow) -> int:
        """All of their time."""
        return row.small_ns


class TailWaves(GridRule):
    """The last wave of blocks leaves most of the device empty.

    A device takes as many blocks at a time as fit on its multiprocessors: a wave. With 1.1 waves the second one runs
    with a tenth of the device busy and takes as long as the first. Counted is the share of the waves' slots that no
    block fills, in kernels of more than one wave; how many fit is told by the profiler's estimate of the occupancy.
    """

    code = "TAIL001"
    title = say("The last wave of blocks is mostly empty")
    says = say("What the last wave of blocks leaves empty amounts to {share}.")
    fix = say(
        "Choose sizes that fill whole waves: pad or split the batch, let autotuning choose the tile "
        '(torch.compile(mode="max-autotune")), or use persistent (stream-K) kernels.'
    )

    def lost_ns(self, row: GridRow) -> int:
        """The unfilled part."""
        return row.tail_ns


class LowOccupancy(GridRule):
    """Kernels that stream memory keep too few warps on a multiprocessor.

    Loads from memory take hundreds of cycles; other warps fill the time. With few of them (too many registers or too
    much shared memory per block) the device waits. Matrix products are left out: theirs hide the latency in software.
    """

    code = "OCC001"
    title = say("Low occupancy")
    says = say("Kernels with an estimated occupancy below 25 % take {share}.")
    fix = say(
        "For kernels of your own: fewer registers (__launch_bounds__, num_warps), less shared memory "
        "per block, smaller tiles; confirm with Nsight Compute's occupancy section."
    )
    most = 0.5

    def lost_ns(self, row: GridRow) -> int:
        """All of their time, without products."""
        return 0 if does_products(row.kernel) else row.low_ns


class OddSizes:
    """Matrix sizes are not multiples of what Tensor Cores take at a time.

    Tensor Cores work on 16 bytes of a row at a time: 8 numbers of 2 bytes, 16 of 1 byte. Other sizes are padded inside
    the kernel or keep faster kernels out of the choice. ALIGN001 looks at kernels for unaligned data; this looks at
    sizes in any kernel that stays far from its roof.
    """

    code: ClassVar[str] = "ALIGN002"
    title: ClassVar[Text] = say("Matrix sizes are not multiples of 8")
    requires: ClassVar[frozenset[Capability]] = WITH_SHAPES

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when such products are slow and take enough of the step."""
        told = unaligned_products(facts)
        rows = [
            r
            for r in roofline(facts).rows
            if does_products(r.kernel)
            and r not in told
            and r.efficiency is not None
            and r.efficiency < thresholds.COMPUTE_BOUND
            and _odd_sizes(r)
        ]
        share = share_of(rows, facts)
        if share < thresholds.CAUSE_SHARE:
            return
        sizes = sorted({n for r in rows for n in _odd_sizes(r)}, reverse=True)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "Products with sizes such as {sizes} take {share} and stay below half of their roof.",
                sizes=", ".join(map(str, sizes[:SHOWN])),
                share=facts.of_step(share),
            ),
            evidence=evidence(rows),
            fix=say(
                "Pad these dimensions (vocabulary, hidden size, heads) to a multiple of 64, at least of 8 "
                "(fp8: 16)."
            ),
            confidence=facts.confidence,
            **cure(rows, *attainable(rows), facts),
        )


def _odd_sizes(row: RooflineRow) -> set[int]:
    """Innermost sizes of the inputs, along which Tensor Cores load, that are no multiples of what the type needs."""
    unit = _SHORT_TYPES.get(row.dtype or "")
    plain = [shape for shape in shapes_of(row.input_dims) if len(shape) >= 2]
    return {shape[-1] for shape in plain if unit and shape[-1] > unit and shape[-1] % unit}


RULES = (SmallGrids(), TailWaves(), LowOccupancy(), OddSizes())
