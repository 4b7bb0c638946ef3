"""Shapes and types as a trace holds them, damaged ones too."""

from __future__ import annotations

import pytest

from traceanalyzer.cost.call import parse_call
from traceanalyzer.cost.inputs import shapes_of, types_of

DAMAGED = ["", "null", "7.5", "{}", "[[2,3", '"x"', "[" * 100_000]


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("[[2,3],[],[4]]", [(2, 3), (), (4,)]),
        ("[[2,3],[[4],[5]],7]", [(2, 3), (), ()]),
        ("[[2,3.5],[true],[null],{}]", [(), (), (), ()]),
        (None, []),
        *((text, []) for text in DAMAGED),
    ],
)
def test_each_input_has_a_shape_or_none(text: str | None, shapes: list[tuple[int, ...]]) -> None:
    assert shapes_of(text) == shapes


def test_each_input_has_a_type_or_none() -> None:
    assert types_of('["float", "", 7, ["float"]]') == ["float", "", "", ""]
    assert all(types_of(text) == [] for text in DAMAGED)


@pytest.mark.parametrize("types", ['[["float"],"float"]', '[{},"float"]', "7", '["float"]'])
def test_a_call_with_damaged_types_has_inputs_that_are_not_known(types: str) -> None:
    call = parse_call("aten::mm", "[[2,3],[3,4]]", types, None, None)
    assert call is not None
    assert call.inputs.count(None) >= 1
