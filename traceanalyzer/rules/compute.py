"""Rules about what kernels do with the GPU's arithmetic and memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.cost.inputs import shapes_of
from traceanalyzer.cost.names import does_products
from traceanalyzer.rules.base import DEVICE_WORK, WITH_SHAPES
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.kernel_rule import KernelRule, changes_type
from traceanalyzer.rules.roofs import (
    attainable,
    cure,
    evidence,
    roofline,
    share_of,
    time_of,
)
from traceanalyzer.rules.wording import duration, percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.roofline_results import DeviceRoof, RooflineRow
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts

_UNALIGNED = re.compile(r"align[12](?![0-9])")
_FP32_PRODUCT = re.compile(r"sgemm|scudnn|f32f32_f32f32|_ffma_", re.IGNORECASE)
_LAYOUT = re.compile(r"nchwToNhwc|nhwcToNchw|batched_transpose|transpose_readWrite", re.IGNORECASE)
_SOFTMAX = frozenset({"aten::_softmax", "aten::_safe_softmax", "aten::_softmax_backward_data"})
_BMM = frozenset({"aten::bmm", "aten::baddbmm", "aten::matmul"})


def fp32_products(facts: Facts) -> list[RooflineRow]:
    """Products of fp32 numbers on the vector units."""
    rows = roofline(facts).rows
    return [
        r
        for r in rows
        if r.matrix_units is False
        and does_products(r.kernel)
        and (r.dtype == "fp32" or (r.dtype is None and _FP32_PRODUCT.search(r.kernel)))
    ]


class Fp32Products:
    """Products of fp32 matrices run without Tensor Cores.

    Since Ampere, Tensor Cores multiply fp32 numbers in TF32: the range of fp32 with 10 bits of mantissa, at 8
    to 16 times the rate of the vector units; the sum is kept in fp32. PyTorch leaves it off for matrix products.
    In bf16 or fp16, with autocast, products run at twice that rate and move half of the bytes.

    Before Ampere there is no TF32 and no bf16: Volta's and Turing's Tensor Cores multiply float16 numbers.

    Told by the names of the kernels: `sgemm`, `simt` and `scudnn` are the vector units.
    """

    code: ClassVar[str] = "TC001"
    title: ClassVar[Text] = say("fp32 products without Tensor Cores")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when such products take enough of the step."""
        rows = fp32_products(facts)
        share = share_of(rows, facts)
        if share < thresholds.CAUSE_SHARE:
            return
        dtype, fix = _faster_type(facts)
        peaks = [d.peaks[dtype] for d in roofline(facts).devices if dtype in d.peaks]
        flops = [r.flops for r in rows]
        slow = fast = None
        if peaks and None not in flops:
            floor = sum(r.count for r in rows) * thresholds.KERNEL_FLOOR_NS
            ideal = sum(f for f in flops if f is not None) / min(peaks) * 1e9
            slow = max(ideal / thresholds.ATTAINABLE_LOW, floor)
            fast = max(ideal / thresholds.ATTAINABLE_HIGH, floor)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say("fp32 products on the vector units take {share}.", share=facts.of_step(share)),
            evidence=evidence(rows),
            fix=fix,
            confidence=facts.confidence,
            **cure(rows, slow, fast, facts),
        )


def _faster_type(facts: Facts) -> tuple[str, Text]:
    """The type that this GPU multiplies faster with the least change to a program, and how to ask for it."""
    known = [device.peaks for device in roofline(facts).devices if device.peaks]
    if not known or any("tf32" in peaks for peaks in known):
        return "tf32", say(
            'torch.set_float32_matmul_precision("high") and torch.backends.cudnn.allow_tf32 = True; or '
            "torch.autocast with bfloat16 (float16 before Ampere)."
        )
    if all("bf16" in peaks for peaks in known):
        return "bf16", say("torch.autocast with bfloat16: this GPU has no units for TF32.")
    return "fp16", say(
        "torch.autocast with float16, and torch.amp.GradScaler in training: this GPU's Tensor Cores know neither TF32 "
        "nor bfloat16."
    )


def unaligned_products(facts: Facts) -> list[RooflineRow]:
    """Products whose kernel was chosen for odd sizes."""
    rows = roofline(facts).rows
    return [r for r in rows if does_products(r.kernel) and _UNALIGNED.search(r.kernel)]


class UnalignedProducts:
    """Matrix sizes are not multiples of 8, so products run in kernels for unaligned data.

    Tensor Core kernels load 16 bytes at a time: 8 numbers of 2 bytes, 16 of fp8. When a row's length is odd, its
    rows begin at odd addresses, and the library must take a kernel that loads number by number: `align1` or
    `align2` in its name. Padding the dimension to the next multiple of 8 (64 is better) brings the fast kernels
    back; the padding can be masked or cut off afterwards.
    """

    code: ClassVar[str] = "ALIGN001"
    title: ClassVar[Text] = say("Matrix sizes that Tensor Cores cannot load")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when such kernels take enough of the step."""
        rows = unaligned_products(facts)
        share = share_of(rows, facts)
        if share < thresholds.CAUSE_SHARE:
            return
        odd = sorted({n for row in rows for n in _odd_sizes(row)}, reverse=True)
        which = (
            say(" Sizes that are no multiples of 8: {odd}.", odd=", ".join(map(str, odd[:6]))) if odd else ""
        )
        busy = time_of(rows) / max(1, sum(roofline(facts).bound_ns.values()))
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "Products in kernels for unaligned data take {share} and {busy} of the kernel time.{which}",
                share=facts.of_step(share),
                busy=percent(busy),
                which=which,
            ),
            evidence=evidence(rows),
            fix=say(
                "Pad the odd dimension to a multiple of 8 (F.pad, or a padded batch with a mask); for a "
                "sequence length in attention, use F.scaled_dot_product_attention, whose fused kernels take "
                "any length."
            ),
            confidence=facts.confidence,
            **cure(rows, *attainable(rows), facts),
        )


def _shapes(row: RooflineRow) -> list[tuple[int, ...]]:
    """The shapes of the tensors among the arguments."""
    return [shape for shape in shapes_of(row.input_dims) if shape]


def _odd_sizes(row: RooflineRow) -> set[int]:
    return {n for shape in _shapes(row) for n in shape[-2:] if n % 8 and n > 8}


def unfused_attention(facts: Facts) -> list[RooflineRow]:
    """Softmax over scores (…, Sq, Sk) and what else works on scores of these sizes."""
    rows = roofline(facts).rows
    scores = {
        tuple(shape[-2:])
        for row in rows
        if row.op in _SOFTMAX
        for shape in _shapes(row)[:1]
        if len(shape) >= 3 and min(shape[-2:]) >= thresholds.ATTENTION_LENGTH
    }
    if not scores:
        return []
    found = [r for r in rows if r.input_dims and _on_scores(r, scores)]
    return found if any(r.op in _BMM for r in found) else []


def _on_scores(row: RooflineRow, scores: set[tuple[int, ...]]) -> bool:
    shapes = _shapes(row)
    if any(len(s) >= 3 and tuple(s[-2:]) in scores for s in shapes):
        return True
    return row.op in _BMM and len(shapes) >= 2 and (shapes[-2][-2], shapes[-1][-1]) in scores


class UnfusedAttention:
    """Attention is computed step by step: product, softmax, product, with the scores in memory.

    The scores have one number per pair of positions. Written and read by every step, they dominate the traffic as
    soon as sequences are long. Fused attention (FlashAttention and its kin) keeps them on the chip: it reads Q, K
    and V and writes the output, and needs memory in proportion to the length, not its square.
    """

    code: ClassVar[str] = "SDPA001"
    title: ClassVar[Text] = say("Attention is not fused")
    requires: ClassVar[frozenset[Capability]] = WITH_SHAPES

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when the steps of attention take enough."""
        rows = unfused_attention(facts)
        share = share_of(rows, facts)
        if share < thresholds.CAUSE_SHARE:
            return
        products = [r for r in rows if r.op in _BMM]
        peaks = [
            p
            for d in roofline(facts).devices
            if (p := d.bf16_tflops if products[0].dtype in ("bf16", "fp16") else d.tf32_tflops)
        ]
        slow = fast = None
        if peaks:
            ideal = sum(r.flops or 0.0 for r in products) / (min(peaks) * 1e12) * 1e9
            slow, fast = ideal / thresholds.FUSED_LOW, ideal / thresholds.FUSED_HIGH
        softmax = time_of(r for r in rows if r.op in _SOFTMAX)
        rest = time_of(rows) - softmax - time_of(products)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "The steps of unfused attention take {share}: {softmax} softmax, {products} "
                "products{rest}, in the whole trace.",
                share=facts.of_step(share),
                softmax=duration(softmax),
                products=duration(time_of(products)),
                rest=say(", {rest} the rest", rest=duration(rest)) if rest else "",
            ),
            evidence=evidence(rows),
            fix=say(
                "F.scaled_dot_product_attention(q, k, v, is_causal=...) in place of the three steps; with "
                'transformers, attn_implementation="sdpa" or "flash_attention_2".'
            ),
            confidence=facts.confidence,
            **cure(rows, slow, fast, facts),
        )


class LayoutChanges(KernelRule):
    """Convolutions change the layout of their data and back.

    Tensor Core convolutions work on channels-last data (NHWC). On data in PyTorch's default layout (NCHW) the
    library transposes the input before and the result after each one, at the cost of reading and writing all
    of it.
    """

    code = "LAYOUT001"
    title = say("Layout changes around convolutions")
    least_share = thresholds.LAYOUT_SHARE
    says = say("Changing layouts for convolutions takes {share}.")
    fix = say(
        "model.to(memory_format=torch.channels_last) and the same for the input; then check that no "
        "op in between falls back to the default layout."
    )

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """Kernels that transpose for a convolution, told by their names."""
        return [r for r in roofline(facts).rows if _LAYOUT.search(r.kernel)]


class Casts(KernelRule):
    """Tensors are copied only to change their type.

    Autocast converts weights and inputs in front of every product; `.float()` and `.to(dtype)` in a model do it
    by hand. Each cast reads and writes the whole tensor and computes nothing.
    """

    code = "CAST001"
    title = say("Time goes into changing types")
    requires = WITH_SHAPES
    least_share = thresholds.CAUSE_SHARE
    says = say("Casts between types take {share}.")
    fix = say(
        "Keep weights and activations in one type (model.to(torch.bfloat16)), keep autocast's cache "
        "on, and let torch.compile fuse the casts that must stay."
    )

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """Kernels of copy_ between tensors of different types."""
        return [r for r in roofline(facts).rows if r.op == "aten::copy_" and changes_type(r)]


class InefficientKernels:
    """Long kernels come nowhere near what the GPU can do.

    The roof of a kernel is the time that its arithmetic or its traffic with memory takes at the GPU's peak. A
    kernel that works for long and needs a multiple of its roof is limited by neither: its parallelism is too
    small, its accesses are scattered, or it does more than it must. Kernels that another rule names are left out.
    """

    code: ClassVar[str] = "EFF001"
    title: ClassVar[Text] = say("Kernels far below what the GPU can do")
    requires: ClassVar[frozenset[Capability]] = WITH_SHAPES

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when such kernels take enough, or one that says why efficiency is not known."""
        unknown = [d for d in roofline(facts).devices if d.gpu is None]
        if unknown:
            yield self._no_roof(unknown[0])
            return
        named = [*fp32_products(facts), *unaligned_products(facts), *unfused_attention(facts)]
        rows = [
            r
            for r in roofline(facts).rows
            if r.efficiency is not None
            and r.efficiency < thresholds.FAR_FROM_ROOF
            and r.confidence != "low"
            and r.total_ns >= r.count * thresholds.TINY_KERNEL_NS
            and r not in named
        ]
        share = share_of(rows, facts)
        if share < thresholds.CAUSE_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "Kernels that reach less than {least} of their roof take {share}.",
                least=percent(thresholds.FAR_FROM_ROOF),
                share=facts.of_step(share),
            ),
            evidence=evidence(rows),
            fix=say(
                "Look at the longest with Nsight Compute (ncu) or rocprof-compute; larger batches, "
                "contiguous inputs or torch.compile often bring another kernel."
            ),
            confidence=facts.confidence,
            **cure(rows, *attainable(rows), facts),
        )

    def _no_roof(self, device: DeviceRoof) -> Finding:
        return Finding(
            code=self.code,
            title=say("No roofline"),
            severity="info",
            claim=say(
                "How well kernels use the GPU cannot be told: {reason}.",
                reason=device.reason,
            ),
            evidence=(
                Evidence(
                    say("labels of kernels rest on their names only"),
                    rank=device.rank,
                    device=device.device,
                    sheet="launches",
                ),
            ),
            fix=say("Give the peaks of the GPU, or name one that is known."),
            confidence="high",
            saving_reason=say("nothing is lost; this says why efficiency is missing"),
        )


RULES = (
    Fp32Products(),
    UnalignedProducts(),
    UnfusedAttention(),
    LayoutChanges(),
    Casts(),
    InefficientKernels(),
)
