"""Names from untrusted files neither fool nor flood a reader."""

from __future__ import annotations

from unicodedata import category

from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.reporters import names


def test_characters_that_hide_or_reorder_are_spelled_out() -> None:
    assert names.visible("a\u202egnp.exe\x00\x1b[31m") == "a⟨U+202E⟩gnp.exe⟨U+0000⟩⟨U+001B⟩[31m"


@given(st.text(max_size=300))
def test_no_name_brings_a_control_character_to_the_reader(text: str) -> None:
    for shown in (
        names.visible(text),
        names.cut(text),
        names.full(text),
        names.kernel(text),
        names.tail(text),
    ):
        assert all(c.isprintable() or category(c) == "Zs" for c in shown)
        assert not set(shown) & set("\x00\x1b\r\n\u202e\u2066\u200b")


@given(st.text(max_size=5000))
def test_names_are_cut_to_the_limit(text: str) -> None:
    assert len(names.cut(text, 50)) <= 50
    assert len(names.tail(text, 50)) <= 50
    assert len(names.kernel(text, 80)) <= 80


def test_a_cut_name_keeps_both_ends() -> None:
    shown = names.cut("begin" + "x" * 1000 + "end", 40)
    assert shown.startswith("begin")
    assert shown.endswith("end")


def test_a_path_keeps_its_end() -> None:
    path = "/usr/lib/python3/site-packages/transformers/models/owlv2/modeling_owlv2.py(412)"
    assert names.tail(path, 40) == "…/models/owlv2/modeling_owlv2.py(412)"


def test_a_kernel_name_loses_what_all_kernel_names_share() -> None:
    name = (
        "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, "
        "std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul>)"
    )
    assert (
        names.kernel(name, 200)
        == "vectorized_elementwise_kernel<4, CUDAFunctor_add<float>, array<char*, 3ul>>"
    )


def test_an_anonymous_namespace_is_a_namespace() -> None:
    name = "void at::native::(anonymous namespace)::cunn_SoftMaxForward<8, float>(float*, float const*)"
    assert names.kernel(name) == "cunn_SoftMaxForward<8, float>"


def test_an_absurd_name_says_how_long_it_was() -> None:
    shown = names.full("y" * 1_000_000)
    assert len(shown) < names.FULL_LIMIT + 100
    assert "1,000,000 characters" in shown


def test_prose_keeps_its_lines_and_nothing_else() -> None:
    assert names.prose("a\nb\tc\x07") == "a\nb    c⟨U+0007⟩"
