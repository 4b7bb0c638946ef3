"""Sentences whose words can be exchanged."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from traceanalyzer.text import Text, join, packed, said, say, unpacked

ZH = {"{share} of {what} is idle": "{what}有 {share} 空闲", "the step": "该步", "pin_memory={True}": "设置"}


def test_a_sentence_is_the_string_it_says() -> None:
    text = say("{share} of {what} is idle", share="54 %", what=say("the step"))
    assert text == "54 % of the step is idle"
    assert json.dumps({"claim": text}) == '{"claim": "54 % of the step is idle"}'


def test_values_keep_their_place_in_another_language_and_are_translated_themselves() -> None:
    text = say("{share} of {what} is idle", share="54 %", what=say("the step"))
    assert text.translated(ZH) == "该步有 54 % 空闲"
    assert text.translated({}) == text


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "1 row has"),
        ("1", "1 row has"),
        (0, "0 rows have"),
        (2, "2 rows have"),
        ("1,024", "1,024 rows have"),
    ],
)
def test_words_follow_the_number_before_them(number: int | str, words: str) -> None:
    text = say("{count} {count:row has|rows have} no end", count=number)
    assert text == f"{words} no end"
    assert text.translated({text.template: "{count} 行没有结束时间"}) == f"{number} 行没有结束时间"
    assert say(text.template).filled(count=number) == text
    assert copy.deepcopy(text) == text


def test_braces_in_values_and_in_plain_sentences_are_only_characters() -> None:
    assert say("{share} of {what} is idle", share="{0}", what="{x!r}") == "{0} of {x!r} is idle"
    assert say("pin_memory={True}") == "pin_memory={True}"
    assert say("pin_memory={True}").translated(ZH) == "设置"


def test_copies_keep_the_parts() -> None:
    text = say("{share:.1f}", share=0.25)
    for other in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert isinstance(other, Text)
        assert (other, other.template, dict(other.values)) == (text, text.template, dict(text.values))


def test_joined_sentences_are_translated_one_by_one() -> None:
    assert join("; ", [say("the step"), say("a { b")]).translated(ZH) == "该步; a { b"


def test_a_sentence_written_before_its_values_are_known_is_filled_later() -> None:
    idle = say("{share} of {what} is idle")
    assert idle == "{share} of {what} is idle"
    assert idle.filled(share="54 %", what=say("the step")).translated(ZH) == "该步有 54 % 空闲"


def test_json_keeps_the_parts_of_a_sentence() -> None:
    text = say("{share} of {what} is idle", share="54 %", what=say("the step"))
    again = unpacked(json.loads(json.dumps(packed(text))))
    assert (again, again.translated(ZH)) == (text, text.translated(ZH))
    assert unpacked(packed("a name")) == "a name"


def test_words_from_elsewhere_are_the_same_in_every_language() -> None:
    assert said("the step").translated(ZH) == "the step"
    assert said(say("the step")).translated(ZH) == "该步"
