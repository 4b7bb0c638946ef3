"""Rules about operators that take a slow way, or do what need not be done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.cost.inputs import shapes_of
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import DEVICE_WORK, WITH_SHAPES
from traceanalyzer.rules.compute import unfused_attention
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.kernel_rule import KernelRule, changes_type
from traceanalyzer.rules.roofs import by_name, roofline, time_of
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.phases_results import Phases
    from traceanalyzer.analyzers.ranges import Ranges
    from traceanalyzer.analyzers.results import Ops
    from traceanalyzer.analyzers.roofline_results import RooflineRow
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.findings import Counted

_SORTS = re.compile(
    r"radix_?sort|DeviceRadix|thrust.*sort|merge_?sort|indexing_backward|sort_by_key", re.IGNORECASE
)
_SCATTERS = re.compile(
    r"embedding.*backward|EmbeddingBackward|aten::(_index_put_impl_|index_put_|index_add_)|IndexBackward"
)
_FILLS = re.compile(r"^aten::(zero_|fill_|_foreach_zero_)$")
_DOUBLE = re.compile(r"dgemm|f64f64|_d884|gemm.*double|double.*gemm", re.IGNORECASE)
SHOWN = 5


class DoublePrecision(KernelRule):
    """Products of 64-bit numbers run on the GPU.

    Consumer and inference GPUs do double precision at 1/32 to 1/64 of the rate of single precision, data-centre GPUs
    at half of it. Data from NumPy is double unless converted, and carries everything computed from it along.
    """

    code = "TC002"
    title = say("Products in double precision")
    least_share = thresholds.CAUSE_SHARE
    says = say("Products of 64-bit numbers take {share}.")
    fix = say(
        "Convert inputs where they enter (torch.from_numpy(x).float()), and look for float64 constants."
    )

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """Told by the name of the kernel, or by the type of the operator's inputs."""
        return [
            r
            for r in roofline(facts).rows
            if _DOUBLE.search(r.kernel) or (r.dtype == "fp64" and "gemm" in r.kernel.lower())
        ]


class SortedGradients(KernelRule):
    """Gradients of embeddings or indexing are sorted before they are summed.

    Several positions can point to the same row, so the backward pass sorts the indices first to add the gradients of
    each row without conflicts. For large vocabularies and short sequences the sort can cost more than the sum.
    """

    code = "SORT001"
    title = say("Gradients of lookups are sorted")
    says = say("Sorting indices for the gradients of embeddings or indexing takes {share}.")
    fix = say(
        "nn.EmbeddingBag or a one-hot product for small tables; index_select or gather instead of "
        "x[idx]; sparse=True with an optimizer for sparse gradients; torch.compile uses atomic "
        "additions instead."
    )

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """Kernels that sort within such an operator."""
        return [
            r for r in roofline(facts).rows if r.op and _SCATTERS.search(r.op) and _SORTS.search(r.kernel)
        ]


class StridedCopies(KernelRule):
    """Tensors are copied only to change their order in memory.

    `.contiguous()`, `.clone()` and `reshape` of a transposed or sliced tensor read and write all of it, with scattered
    accesses on one side, and compute nothing.
    """

    code = "STRIDE001"
    title = say("Time goes into reordering tensors")
    requires = WITH_SHAPES
    least_share = thresholds.CAUSE_SHARE
    says = say("Copies of tensors into another order take {share}.")
    fix = say(
        "Choose the layout once: use operators that take strides (F.scaled_dot_product_attention on "
        "transposed views), drop needless .contiguous(), and let torch.compile fold what remains "
        "into its neighbours."
    )

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """Kernels of copy_ between tensors of one type."""
        return [r for r in roofline(facts).rows if r.op == "aten::copy_" and not changes_type(r)]


class RepeatedFills(KernelRule):
    """Gradients are filled with zeros before every backward pass.

    `zero_grad(set_to_none=False)`, and hand-written loops of `p.grad.zero_()`, write all gradients once, and the
    backward pass then reads them to add to zero. With `None` the first gradient is simply stored.
    """

    code = "ZERO001"
    title = say("Gradients are zeroed instead of dropped")
    least_share = thresholds.HOST_STALL_SHARE
    says = say("Filling tensors with zeros takes {share}, in a program that calls zero_grad.")
    fix = say("optimizer.zero_grad(set_to_none=True), which is the default since PyTorch 2.0.")

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """Kernels of the filling operators, where gradients are zeroed."""
        ranges: Ranges = facts.results["ranges"]
        if not ranges.annotated(re.compile(r"^Optimizer\.zero_grad#")):
            return []
        return [r for r in roofline(facts).rows if r.op and _FILLS.search(r.op)]


class WeightCasts(KernelRule):
    """Autocast converts the weights in every step.

    Under autocast the weights stay in fp32, and each forward pass converts them anew: their whole size is read and
    written once per step, and the copies need memory until the end of the autocast region. With weights kept in bf16
    (and fp32 copies in the optimizer, if needed) the conversion goes away. Converted more often than once per layer
    and step, autocast's cache is off or the region is entered several times.
    """

    code = "CAST002"
    title = say("Autocast converts weights in every step")
    requires = WITH_SHAPES
    says = say("Converting weights for autocast takes {share}.")
    fix = say(
        "Keep the weights in bf16 and enter autocast once per step.\n"
        "```\n"
        "model.to(torch.bfloat16)          # with an optimizer that keeps fp32 copies\n"
        "```"
    )

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """Casts from fp32 of tensors with the shape of a linear layer's weight or a convolution's filter."""
        ops: Ops = facts.results["ops"]
        weights = {
            shapes[1]
            for row in ops.by_shape
            if row.name in ("aten::linear", "aten::conv2d", "aten::convolution")
            for shapes in [shapes_of(row.input_dims)]
            if len(shapes) > 1 and shapes[1]
        }
        return [
            r
            for r in roofline(facts).rows
            if r.op == "aten::copy_"
            and changes_type(r)
            and _first_shape(r) in weights
            and "float" in (r.input_types or "")
        ]


def _first_shape(row: RooflineRow) -> tuple[int, ...]:
    return next(iter(shapes_of(row.input_dims)), ())


class MathAttention:
    """Attention falls back to the mathematical form.

    `F.scaled_dot_product_attention` chooses a fused kernel when it can. Double or fp32 inputs, a head size above 256,
    inputs with broken strides or an explicit choice make it compute product, softmax and product one by one, with all
    scores in memory.
    """

    code: ClassVar[str] = "SDPA002"
    title: ClassVar[Text] = say("Attention uses the slow fallback")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when the fallback takes enough of the step."""
        ops: Ops = facts.results["ops"]
        rows = [r for r in ops.by_name if r.name == "aten::_scaled_dot_product_attention_math"]
        spent = min(sum(r.device_ns for r in rows), facts.sum("compute_ns"))
        share = facts.share(spent)
        if not rows or share < thresholds.CAUSE_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "scaled_dot_product_attention computes step by step: {share}.",
                share=facts.of_step(share),
            ),
            evidence=tuple(
                Evidence(
                    say(
                        "{calls}, {time} on the device",
                        calls=count(r.count, "call"),
                        time=duration(r.device_ns),
                    ),
                    table="ops",
                    name=r.name,
                )
                for r in rows
            ),
            fix=say(
                "See why: sdpa_kernel names the reason when a fused kernel is demanded.\n"
                "```\n"
                "with torch.nn.attention.sdpa_kernel(SDPBackend.FLASH_ATTENTION):\n"
                "    ...\n"
                "```"
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(spent),
            counts=_on_scores(spent, facts),
        )


def _on_scores(spent_ns: int, facts: Facts) -> tuple[Counted, ...]:
    """The kernels that work on attention's scores, of which an operator's are so much; none where no shape tells."""
    rows = unfused_attention(facts)
    part = min(1.0, spent_ns / max(1, time_of(rows)))
    counts = {name: ns * part for name, ns in by_name(rows).items()}
    return counted.kernels(counts, by_name(roofline(facts).rows))


class BiasBeforeNorm:
    """Convolutions add a bias that the normalisation after them removes again.

    Batch normalisation subtracts the mean of every channel, and with it any constant that was added to the channel. The
    bias costs a kernel (or a part of one) forward, a reduction over the whole gradient backward, and its own update.
    """

    code: ClassVar[str] = "CONV001"
    title: ClassVar[Text] = say("Convolutions have a bias in front of batch normalisation")
    requires: ClassVar[frozenset[Capability]] = WITH_SHAPES

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when convolutions with a bias have the channels of a batch normalisation."""
        ops: Ops = facts.results["ops"]
        shapes = [(r, shapes_of(r.input_dims)) for r in ops.by_shape]
        normed = {s[0] for r, s in shapes if r.name == "aten::batch_norm" and s and len(s[0]) >= 2}
        channels = {shape[1] for shape in normed}
        biased = [
            (r, s[2][0])
            for r, s in shapes
            if r.name in ("aten::conv1d", "aten::conv2d", "aten::conv3d")
            and len(s) > 2
            and len(s[2]) == 1
            and s[2][0] in channels
        ]
        if not biased:
            return
        calls = sum(r.count for r, _ in biased)
        yield Finding(
            code=self.code,
            title=self.title,
            severity="low",
            claim=say(
                "{calls} add a bias that batch normalisation takes out again.", calls=count(calls, "convolution")
            ),
            evidence=tuple(
                Evidence(say("{calls} with {channels} {channels:channel|channels}: {dims}",
                             calls=count(r.count, "call"), channels=c, dims=(r.input_dims or "")[:80]),
                         table="ops", row=r.longest, name=r.name, sheet="ops-by-shape")
                for r, c in biased[:SHOWN]
            ),
            fix=say("nn.Conv2d(..., bias=False) in front of nn.BatchNorm2d; for inference fold the two into one."),
            confidence="medium",
            saving_reason=say("kernels that add the bias are often part of the convolution's own"),
        )  # fmt: skip


class Recomputation:
    """Activations are computed twice (checkpointing).

    Checkpointed layers keep only their input and run their forward pass again in the backward pass: about a third
    more compute for much less memory. Where memory is left, checkpointing fewer layers, or only the cheap operators of
    each, gives the time back.
    """

    code: ClassVar[str] = "CKPT001"
    title: ClassVar[Text] = say("Activations are recomputed")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK
    _recomputes: ClassVar[re.Pattern[str]] = re.compile(
        r"torch/utils/checkpoint\.py\(\d+\): (recompute_fn|backward)|CheckpointFunctionBackward"
    )

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding, for information, when layers are checkpointed."""
        ops: Ops = facts.results["ops"]
        ranges: Ranges = facts.results["ranges"]
        named = [(r.name, r.count, r.table) for r in ranges.called(self._recomputes)]
        named += [
            (r.name, r.count, "ops")
            for r in ops.by_name
            if r.name in ("CheckpointFunctionBackward", "CheckpointFunction")
        ]
        calls = max((n for _, n, _ in named), default=0)
        if not calls:
            return
        phases: Phases = facts.results["phases"]
        recomputing = int(
            (phases.recompute_share or 0) * facts.per_step(facts.wall_ns - facts.sum("idle_ns"))
        )
        yield Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say(
                "Activation checkpointing recomputes the forward pass of {calls}.", calls=count(calls, "part")
            ),
            evidence=tuple(
                Evidence(say("{name}: {calls}", name=name, calls=count(n, "call")), table=table, name=name)
                for name, n, table in named[:SHOWN]
            ),
            fix=say(
                "If memory is left, checkpoint fewer layers, or select what is kept: "
                "create_selective_checkpoint_contexts keeps the products and recomputes only cheap operators."
            ),
            confidence="high",
            saving_ns=(0, recomputing) if recomputing else None,
            saving_reason=say(
                "recomputing buys memory; how much time it costs depends on which layers can do without"
            ),
        )


RULES = (
    DoublePrecision(),
    SortedGradients(),
    StridedCopies(),
    RepeatedFills(),
    WeightCasts(),
    MathAttention(),
    BiasBeforeNorm(),
    Recomputation(),
)
