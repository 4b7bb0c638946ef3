"""What memory is for, told by the names on its call stack and by how long it lives.

A judgement, not a measurement: each answer comes with what it rests on, and `unknown` is an answer.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from traceanalyzer.analyzers.snapshot.stacks import in_backward
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from traceanalyzer.analyzers.snapshot.stacks import Frame, StackTable

CATEGORIES = (
    "parameters", "gradients", "optimizer_state", "activations", "kv_cache", "temporaries", "inputs", "logits",
    "casts", "workspace", "unknown",
)  # fmt: skip
_WORKSPACE = re.compile(
    r"cublas(Lt)?(Create|Handle|Workspace)|getCurrentCUDABlasHandle|cudnn.*(workspace|plan)", re.I
)
_CAST = re.compile(r"autocast::cached_cast")
_KV_CACHE = re.compile(r"kv_?cache|append_kv|past_key|key_value|_allocate_kv|DynamicCache|StaticCache", re.I)
_LOGITS = re.compile(r"lm_head|cross_entropy|log_softmax|compute_logits|logits", re.I)
_INPUT = re.compile(
    r"^(to_device|pin_memory|collate|default_collate|_prefetch|send_to_device|next_batch)", re.I
)
_PARAMETER = re.compile(
    r"^(reset_parameters|_apply|from_pretrained|load_state_dict|_load_state_dict.*|load_weights|load_model|"
    r"initialize_parameters|materialize.*)$"
)
_OPTIMIZER_STATE = re.compile(r"^(_init_group|_init_state|init_state|initialize_state)$")
_FORWARD = re.compile(r"forward|_call_impl|__call__")


class Categories:
    """The category of an allocation, from its stack and the stack that released it."""

    def __init__(self, stacks: StackTable) -> None:
        self.stacks = stacks
        self.of_stack = cache(self._of_stack)
        self.of = cache(self._of)

    def _of(self, stack: int, released: int) -> tuple[str, Text]:
        """(category, what it rests on); `released` is the stack of the release, -1 for none, -2 for none recorded."""
        if stack < 0:
            return "unknown", say("no stack was recorded")
        category, why = self.of_stack(stack)
        if why.startswith("within the optimizer") and released == -1:
            return "optimizer_state", say("allocated in the optimizer's step and kept")
        if category == "activations" and released >= 0:
            frames = self.stacks.frames(released)
            if not in_backward(frames) and any(_is_forward(f) for f in frames):
                return "temporaries", say("allocated and released in forward")
        if category == "gradients" and released >= 0 and in_backward(self.stacks.frames(released)):
            return "temporaries", say("allocated and released in backward")
        return category, why

    def _of_stack(self, stack: int) -> tuple[str, Text]:
        frames = self.stacks.frames(stack)
        for pattern, category in (
            (_WORKSPACE, "workspace"), (_CAST, "casts"), (_KV_CACHE, "kv_cache"), (_LOGITS, "logits"),
            (_INPUT, "inputs"),
        ):  # fmt: skip
            for frame in frames:
                if pattern.search(frame.name) or (category == "kv_cache" and pattern.search(frame.file)):
                    return category, say("{name} on the stack", name=frame.name)
        optimizer = next((f for f in frames if "torch/optim/" in f.file), None)
        if optimizer is not None:
            state = next((f for f in frames if _OPTIMIZER_STATE.match(f.name)), None)
            if state is not None:
                return "optimizer_state", say("{name} on the stack", name=state.name)
            return "temporaries", say("within the optimizer, {name}", name=optimizer.name)
        if in_backward(frames):
            return "gradients", say("allocated in backward")
        made = next((f for f in frames if _PARAMETER.match(f.name) or _is_module_init(f)), None)
        if made is not None:
            return "parameters", say("{name} on the stack", name=made.name)
        if any(_is_forward(f) and not _is_wrapper(f) for f in frames):
            return "activations", say("allocated in forward")
        return "unknown", say("no name on the stack tells")


def _is_module_init(frame: Frame) -> bool:
    return frame.name.split(".")[-1] == "__init__" and "torch/nn/" in frame.file


def _is_forward(frame: Frame) -> bool:
    return frame.python and _FORWARD.search(frame.name) is not None


def _is_wrapper(frame: Frame) -> bool:
    """Torch's own way to a module's forward is on stacks that are in no forward of the user, too."""
    return "torch/nn/modules/" in frame.file and "forward" not in frame.name
