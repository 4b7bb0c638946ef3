"""Sentences that can be said in another language: what is put into them is kept apart from their words."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_FORMS = re.compile(r"\{(\w+):([^{}|]*)\|([^{}|]*)\}")


class Text(str):
    """An English sentence that remembers its template and what was put into it.

    It is a string like any other; a report in another language looks the template up in that language's
    catalogue and puts the same values into it. Values that are sentences themselves are translated too.
    """

    __slots__ = ("template", "values")
    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, values: Mapping[str, Any]) -> Text:
        """The sentence.

        `{name}` in the template stands for `values["name"]`, format specs included, and `{name:row|rows}` for the
        first word where that is 1, for the second where it is another number.
        """
        text = super().__new__(cls, inflected(template, values).format_map(values) if values else template)
        text.template, text.values = template, MappingProxyType(dict(values))
        return text

    def __reduce__(self) -> tuple[type[Text], tuple[str, dict[str, Any]]]:
        """Copies and pickles keep the parts."""
        return Text, (self.template, dict(self.values))

    def filled(self, **values: Any) -> Text:
        """The same sentence with values, for one that was written down before they were known."""
        return Text(self.template, values)

    def translated(self, catalogue: Mapping[str, str]) -> str:
        """The sentence in the words of a catalogue of templates; English where the catalogue has none."""
        template = catalogue.get(self.template, self.template)
        if not self.values:
            return template
        return inflected(template, self.values).format_map(
            {name: translated(value, catalogue) for name, value in self.values.items()}
        )


def inflected(template: str, values: Mapping[str, Any]) -> str:
    """The template with the words that its numbers ask for: `{count} {count:row|rows}` speaks of 1 row."""
    if "|" not in template:
        return template
    return _FORMS.sub(lambda form: form[2] if values[form[1]] in (1, "1") else form[3], template)


def say(template: str, /, **values: Any) -> Text:
    """`say("{share} of the step is idle", share=percent(x))`: the literal template is the catalogue's key.

    `{count:row|rows}` is one word where `count` is 1, and the other where it is not. Without values the template is
    taken as it stands, braces included.
    """
    return Text(template, values)


def said(text: str) -> Text:
    """Words that come from elsewhere, such as a name, as a sentence that is the same in every language."""
    return text if isinstance(text, Text) else Text("{text}", {"text": text})


def join(separator: str, parts: Sequence[str]) -> Text:
    """Sentences, phrases or names in a row, each sentence still translatable, and the separator too."""
    names = [f"part_{i}" for i in range(len(parts))]
    template = "{separator}".join(f"{{{name}}}" for name in names)
    return Text(template, dict(zip(names, parts, strict=True)) | {"separator": Text(separator, {})})


def packed(value: Any) -> Any:
    """A sentence with its parts as plain values that JSON can hold; anything else as it is."""
    if not isinstance(value, Text):
        return value
    return {"template": value.template, "values": {name: packed(v) for name, v in value.values.items()}}


def unpacked(plain: Any) -> Any:
    """What `packed` took apart."""
    if not isinstance(plain, dict):
        return plain
    return Text(plain["template"], {name: unpacked(v) for name, v in plain["values"].items()})


def translated(value: Any, catalogue: Mapping[str, str]) -> Any:
    """A value in the words of a catalogue, when it is a sentence; anything else as it is."""
    return value.translated(catalogue) if isinstance(value, Text) else value
