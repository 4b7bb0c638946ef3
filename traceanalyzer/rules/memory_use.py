"""Rules about what memory is for: uses that make the peak and that can be made smaller without the model changing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.sizes import size
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.findings import Evidence, Finding, Severity
from traceanalyzer.rules.snapshot_rule import NO_TIME, SnapshotRule, held_by
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.snapshot_rule import Found


class UseRule(SnapshotRule):
    """A rule about one use of memory that takes a share of the peak; `frees` is the share of it that the fix frees."""

    use: ClassVar[str]
    from_share: ClassVar[float]
    frees: ClassVar[float]
    says: ClassVar[Text]

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The share of the use at the peak, and the lines that allocated it."""
        peak = device.peak
        # not peak.requested_bytes: that is 0 where the blocks of the entries are in no segment
        held, whole = peak.by_category.get(self.use, 0), sum(peak.by_category.values())
        if not held or held < self.from_share * whole:
            return None
        claim = self.says.filled(held=size(held), share=percent(held / whole))
        return claim, int(held * self.frees), held_by(device, peak, self.use)


class LogitsSpike(UseRule):
    """Logits and what the loss makes of them take much of the peak.

    A language model's logits have batch x sequence x vocabulary elements, and the loss makes copies of them in fp32:
    one moment needs more than all layers. In chunks of the tokens, only one chunk's logits exist at a time.
    """

    code, title = "MEM011", say("Logits and loss make the peak")
    use, from_share, frees = "logits", thresholds.LOGITS_SHARE, 7 / 8
    says = say("logits and loss take {held} ({share}) of the peak")
    fix = say(
        "Compute the loss in chunks of the tokens (8 chunks leave an eighth), or with a fused linear cross entropy; "
        "at inference, keep the logits of the last token only."
    )


class OptimizerStateShare(UseRule):
    """The optimizer's state takes much of the peak.

    Adam keeps two numbers per parameter, in fp32 four times the bytes of bf16 weights. An 8-bit optimizer keeps them
    in a quarter; sharding (ZeRO 1, FSDP) divides them by the number of data-parallel ranks.
    """

    code, title, severity = "MEM012", say("Optimizer state takes much of the peak"), "low"
    use, from_share, frees = "optimizer_state", thresholds.OPTIMIZER_STATE_SHARE, 3 / 4
    says = say("the optimizer's state takes {held} ({share}) of the peak")
    fix = say(
        "Shard the state over data-parallel ranks (ZeRO 1, FSDP), or use an 8-bit optimizer where the state is in 32 "
        "bits."
    )


class AutocastCopies(UseRule):
    """Autocast keeps copies of the weights in half precision.

    Under autocast, weights stay in fp32. Each is cast once per region, and the copy is kept until the region ends, and
    by autograd until its backward. With weights in bf16 there are no copies.
    """

    code, title, severity = "MEM013", say("Autocast keeps copies of the weights"), "low"
    use, from_share, frees = "casts", thresholds.CASTS_SHARE, 1.0
    says = say("copies of weights that autocast made take {held} ({share}) of the peak")
    fix = say(
        "Keep the weights in bf16 with fp32 copies in the optimizer or its shards (FSDP mixed precision), or enter "
        "autocast once per part of the model; torch.autocast(cache_enabled=False) where each weight is used once."
    )


class NonPyTorchMemory:
    """Much of what the process holds is not PyTorch's.

    A CUDA context takes 0.3 to 0.6 GiB, NCCL's buffers grow with communicators and channels, and libraries such as
    cuDNN, TensorRT or a second framework allocate by themselves. PyTorch's allocator cannot give that memory back.
    """

    code: ClassVar[str] = "MEM014"
    title: ClassVar[Text] = say("Memory outside of PyTorch")
    severity: ClassVar[Severity] = "medium"
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.OOM})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding per error whose text tells it."""
        for number, oom in enumerate(facts.ooms):
            outside, capacity = oom.non_pytorch_bytes, oom.capacity_bytes
            least = (
                thresholds.NON_PYTORCH_BYTES if capacity is None else thresholds.NON_PYTORCH_SHARE * capacity
            )
            if outside is None or outside < least:
                continue
            yield Finding(
                code=self.code,
                title=self.title,
                severity=self.severity,
                claim=say(
                    "On rank {rank}, {outside} of this process are outside of PyTorch.",
                    rank=oom.rank,
                    outside=size(outside),
                ),
                evidence=(
                    Evidence(
                        say("the error in line {line} of the text", line=oom.line or oom.text_line),
                        row=number,
                        sheet="ooms",
                    ),
                ),
                fix=say(
                    "Make fewer communicators or give NCCL less (NCCL_MAX_NCHANNELS, NCCL_BUFFSIZE), load libraries "
                    "lazily (CUDA_MODULE_LOADING=LAZY), and keep other frameworks in the process from allocating."
                ),
                confidence="medium",
                saving_reason=NO_TIME,
            )


RULES = (LogitsSpike(), OptimizerStateShare(), AutocastCopies(), NonPyTorchMemory())
