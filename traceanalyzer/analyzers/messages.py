"""How many bytes a communication kernel is about: from the collective's recorded arguments, else from its op."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.cost.call import parse_call
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

# c10::ScalarType names as the profiler writes them, in bytes.
ELEMENT_BYTES: Mapping[str, int] = {
    name: size
    for size, names in (
        (
            1,
            "bool byte char uint8 int8 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
            "float8_e8m0fnu",
        ),
        (2, "short int16 half float16 bfloat16"),
        (4, "int int32 float float32 complexhalf"),
        (8, "long int64 double float64 complexfloat"),
        (16, "complexdouble"),
    )
    for name in names.split()
}
# Ops whose first tensor is the message; their kernels carry no arguments of a collective.
_BY_FIRST_TENSOR = ("symm_mem::", "_C_custom_ar::", "vllm::all_reduce", "sgl_kernel::all_reduce", "c10d::")


def recorded_bytes(collectives: pa.Table) -> tuple[Ints, Ints]:
    """Bytes sent and received by each row of `collectives`, shape (rows,); -1 where not recorded."""
    code, names = texts(collectives, "dtype")
    sizes = [ELEMENT_BYTES.get(name.lower().removeprefix("torch."), -1) for name in names]
    element = np.array([*sizes, -1])[code]
    sent, received = (ints(collectives, column) for column in ("in_elements", "out_elements"))
    return _bytes(sent, element), _bytes(received, element)


def message_bytes(trace: Trace, kernels: Ints) -> Ints:
    """The larger of what each of these rows of `kernels` sends and receives, shape (rows,); -1 where unknown."""
    of_kernel = np.full(trace.kernels.num_rows, -1, np.int64)
    linked = ints(trace.collectives, "kernel")
    known = linked >= 0
    of_kernel[linked[known]] = np.maximum(*recorded_bytes(trace.collectives))[known]
    found = of_kernel[kernels]
    op = ints(trace.kernels, "op")[kernels]
    lost = np.flatnonzero((found < 0) & (op >= 0))
    if len(lost):
        found[lost] = _first_tensor(trace.ops, op[lost])
    return found


def _bytes(elements: Ints, element: Ints) -> Ints:
    return np.where((elements >= 0) & (element > 0), elements * element, -1)


def _first_tensor(ops: pa.Table, rows: Ints) -> Ints:
    columns = [texts(ops, name) for name in ("name", "input_dims", "input_types")]
    key = codes_of(*(code[rows].astype(np.int64) for code, _ in columns))
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    sizes = []
    for row in rows[first].tolist():
        name, dims, types = (words[code[row]] if code[row] >= 0 else None for code, words in columns)
        call = parse_call(name, dims, types, None, None, "") if name else None
        tensors = call.every_tensor() if call and name and name.startswith(_BY_FIRST_TENSOR) else ()
        sizes.append(round(tensors[0].bytes) if tensors else -1)
    return np.array(sizes, np.int64)[which]
