"""Attention: two products per head, Q·Kᵀ and P·V, so 2·B·H·Sq·Sk·(D + Dv); half of it when a square mask is causal.

The backward pass is five such products where the forward pass has two (it computes Q·Kᵀ again), as
torch.utils.flop_counter counts. Bytes are Q, K, V and the output, each once: fused kernels never write the
scores. The unfused chain is bmm, softmax, bmm and is costed as such.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Tensor, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from traceanalyzer.cost.call import Formula


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the arguments of one variant stand.

    `heads_last`: tensors are (B, S, H, D), else (B, H, S, D); (T, H, D) for packed sequences either way.
    `longest`: places of the longest query and key sequence, for packed sequences.
    """

    q: int = 0
    causal: int | None = None
    heads_last: bool = False
    longest: tuple[int, int] | None = None
    custom_mask: bool = False  # `causal` is a number: 0 for none


def _sizes(t: Tensor, heads_last: bool) -> tuple[int, int, int, int]:
    """Batch, heads, length and width; a packed tensor is one batch entry."""
    if len(t.shape) == 3:
        length, heads, width = t.shape
        return 1, heads, length, width
    if len(t.shape) < 4:
        raise Unknown("attention needs three or four dimensions")
    batch, (first, second, width) = prod(t.shape[:-3]), t.shape[-3:]
    return (batch, second, first, width) if heads_last else (batch, first, second, width)


def _forward(places: _Places) -> Callable[[Call], Cost]:
    def formula(call: Call) -> Cost:
        q, k, v = (call.tensor(places.q + i) for i in range(3))
        batch, heads, length_q, width = _sizes(q, places.heads_last)
        _, _, length_k, _ = _sizes(k, places.heads_last)
        width_v = v.shape[-1]
        pairs, assumes = float(length_q * length_k), ""
        if len(q.shape) == 3:
            pairs, assumes = _packed_pairs(call, places, length_q, length_k)
        if _is_causal(call, places) and length_q == length_k:
            pairs /= 2
        flops = 2 * batch * heads * pairs * (width + width_v)
        out = batch * heads * length_q * width_v * q.itemsize
        return Cost(flops, q.bytes + k.bytes + v.bytes + out, q.dtype, matrix=True, assumes=assumes)

    return formula


def _packed_pairs(call: Call, places: _Places, length_q: int, length_k: int) -> tuple[float, str]:
    """How many (query, key) pairs packed sequences have: their lengths are not recorded, only the longest."""
    if places.longest is None or not call.value(places.longest[1]).isdigit():
        return float(length_q * length_k), "all tokens belong to one sequence without earlier context"
    longest = min(int(call.value(places.longest[1])), length_k)
    return float(length_q * longest), "all sequences are as long as the longest"


def _is_causal(call: Call, places: _Places) -> bool:
    if places.causal is None:
        return False
    if places.custom_mask:
        return call.value(places.causal) not in ("", "0")
    return call.value(places.causal) == "True"


def _backward(places: _Places) -> Callable[[Call], Cost]:
    """(grad, q, k, v, …): reads them and the output, writes three gradients."""
    forward = _forward(replace(places, q=1))

    def formula(call: Call) -> Cost:
        once = forward(call)
        q, k, v = (call.tensor(i) for i in (1, 2, 3))
        moved = once.bytes + call.tensor(0).bytes + q.bytes + k.bytes + v.bytes
        return replace(once, flops=once.flops * 2.5, bytes=moved)

    return formula


def _one_sequence(call: Call) -> Cost:
    """VLLM's op over a paged cache: what the sequences looked at before is not recorded."""
    q, k, v = call.tensor(0), call.tensor(1), call.tensor(2)
    tokens, heads, width = q.shape if len(q.shape) == 3 else (q.shape[0], 1, q.shape[-1])
    flops = 2 * heads * tokens * k.shape[0] / 2 * (width + v.shape[-1])
    out = call.tensor(3) if call.optional(3) else q
    moved = q.bytes + k.bytes + v.bytes + out.bytes
    assumes = "all tokens belong to one sequence without earlier context"
    return Cost(flops, moved, q.dtype, matrix=True, assumes=assumes)


_flash_packed = _Places(causal=8, heads_last=True, longest=(5, 6))

FORMULAS: Mapping[str, Formula] = {
    "aten::scaled_dot_product_attention": _forward(_Places(causal=5)),
    "aten::_scaled_dot_product_attention_math": _forward(_Places(causal=5)),
    "aten::_scaled_dot_product_flash_attention": _forward(_Places(causal=4)),
    "aten::_scaled_dot_product_flash_attention_for_cpu": _forward(_Places(causal=4)),
    "aten::_scaled_dot_product_efficient_attention": _forward(_Places(causal=6)),
    "aten::_scaled_dot_product_cudnn_attention": _forward(_Places(causal=6)),
    "aten::_scaled_dot_product_fused_attention_overrideable": _forward(_Places(causal=5)),
    "aten::_flash_attention_forward": _forward(_flash_packed),
    "aten::_efficient_attention_forward": _forward(
        _Places(causal=9, heads_last=True, longest=(6, 7), custom_mask=True)
    ),
    "aten::_cudnn_attention_forward": _forward(_Places(causal=10, longest=(6, 7))),
    "aten::_scaled_dot_product_flash_attention_backward": _backward(_Places(causal=11)),
    "aten::_scaled_dot_product_efficient_attention_backward": _backward(_Places(causal=11)),
    "aten::_scaled_dot_product_cudnn_attention_backward": _backward(_Places(causal=14)),
    "aten::_cudnn_attention_backward": _backward(_Places(causal=14, longest=(11, 12))),
    "aten::_flash_attention_backward": _backward(_Places(causal=11, heads_last=True, longest=(8, 9))),
    "aten::_efficient_attention_backward": _backward(
        _Places(causal=14, heads_last=True, longest=(8, 9), custom_mask=True)
    ),
    "flash_attn::_flash_attn_forward": _forward(_Places(causal=5, heads_last=True)),
    "flash_attn::_flash_attn_varlen_forward": _forward(_Places(causal=9, heads_last=True, longest=(5, 6))),
    "flash_attn::_flash_attn_backward": _backward(_Places(causal=11, heads_last=True)),
    "flash_attn::_flash_attn_varlen_backward": _backward(
        _Places(causal=15, heads_last=True, longest=(11, 12))
    ),
    "FlashAttnFunc": _forward(_Places(causal=5, heads_last=True)),
    "vllm::unified_attention": _one_sequence,
    "vllm::unified_attention_with_output": _one_sequence,
}
