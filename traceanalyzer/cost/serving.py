"""Custom ops of serving engines (vLLM, SGLang) that are neither products, attention nor norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.cost.call import Formula


def _rotary(call: Call) -> Cost:
    """(positions, query, key, …, cos_sin_cache): query and key are rotated in place, 3 FLOPs per element."""
    positions, q, k = call.tensor(0), call.tensor(1), call.optional(2)
    rotated = [t for t in (q, k) if t is not None]
    cache = next((t for t in call.every_tensor()[2:] if len(t.shape) == 2 and t not in rotated), None)
    looked_up = positions.elements * cache.shape[-1] * cache.itemsize if cache else 0
    moved = 2 * sum(t.bytes for t in rotated) + positions.bytes + looked_up
    return Cost(3 * sum(t.elements for t in rotated), moved, q.dtype)


def _quantize(call: Call) -> Cost:
    """(out, x, scale): every element is read, scaled and written in the narrow type."""
    out, x = call.tensor(0), call.tensor(1)
    return Cost(2 * x.elements, out.bytes + x.bytes, x.dtype)


def _to_cache(call: Call) -> Cost:
    """(key, value, key_cache, value_cache, slots): written into the cache in the cache's type."""
    key, value, cache, slots = call.tensor(0), call.tensor(1), call.tensor(2), call.tensor(4)
    elements = key.elements + value.elements
    return Cost(0, key.bytes + value.bytes + elements * cache.itemsize + slots.bytes, key.dtype)


FORMULAS: Mapping[str, Formula] = {
    "_C::rotary_embedding": _rotary,
    "_C::batched_rotary_embedding": _rotary,
    "sgl_kernel::apply_rope_pos_ids_cos_sin_cache": _rotary,
    "_C::static_scaled_fp8_quant": _quantize,
    "_C::dynamic_scaled_fp8_quant": _quantize,
    "_C::dynamic_per_token_scaled_fp8_quant": _quantize,
    "_C::static_scaled_int8_quant": _quantize,
    "_C::dynamic_scaled_int8_quant": _quantize,
    "_C_cache_ops::reshape_and_cache": _to_cache,
    "_C_cache_ops::reshape_and_cache_flash": _to_cache,
}
