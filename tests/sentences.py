"""Every sentence that the product can say, found in its source: Python, the page's templates and its scripts.

Run as a program it prints what the Chinese catalogue lacks, as lines of TOML to translate.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, nodes

from traceanalyzer.languages import SCRIPTS, rooms
from traceanalyzer.rules.explain import pages
from traceanalyzer.rules.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "traceanalyzer"
_SEPARATORS = (", ", "; ")
_PLACE = re.compile(r"{(\w+)[^{}]*}")
_IN_SCRIPT = re.compile(r'\bsay\(\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template where it is said. `template` is None where it is no literal, so that nobody can translate it."""

    place: str
    template: str | None

    @property
    def of_script(self) -> bool:
        """Whether a script says it: these have a room of their own."""
        return ".js:" in self.place


def sentences() -> list[Sentence]:
    """All of them, in the order of the files."""
    found: list[Sentence] = []
    for path in sorted(PACKAGE.rglob("*")):
        place = str(path.relative_to(PACKAGE))
        match path.suffix:
            case ".py" if place == "analyzers/thresholds.py":
                found += _meanings(place, path.read_text("utf-8"))
            case ".py" if place != "text.py":
                found += _of_python(place, path.read_text("utf-8"))
            case ".j2":
                found += _of_template(place, path.read_text("utf-8"))
            case ".js":
                found += _of_script(place, path.read_text("utf-8"))
    found += [Sentence(f"explain {page.code}", text.template) for page in pages() for text in page.paragraphs]
    return found


def _of_python(place: str, source: str) -> Iterator[Sentence]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            literal = (
                first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
            )
            if node.func.id == "say" and not place.endswith("html/environment.py"):
                yield Sentence(f"{place}:{node.lineno}", literal)
            elif (
                node.func.id == "count" and place.startswith(("rules/", "analyzers/")) and len(node.args) == 2
            ):
                yield from _counted(f"{place}:{node.lineno}", node.args[1])
            elif node.func.id == "join" and literal is not None:
                yield Sentence(f"{place}:{node.lineno}", literal)


def _meanings(place: str, source: str) -> Iterator[Sentence]:
    """The page shows what each threshold means: the text below it."""
    for node, after in pairwise(ast.parse(source).body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            yield Sentence(f"{place}:{after.lineno}", " ".join(str(after.value.value).split()))


def _counted(place: str, thing: ast.expr) -> Iterator[Sentence]:
    """`count(n, "gap")` says one gap or several."""
    literal = thing.value if isinstance(thing, ast.Constant) else None
    if not isinstance(literal, str):
        yield Sentence(place, None)
        return
    yield from (Sentence(place, f"{{number}} {words}") for words in (literal, plural(literal)))


def _of_template(place: str, source: str) -> Iterator[Sentence]:
    for node in Environment().parse(source).find_all(nodes.Call):
        if isinstance(node.node, nodes.Name) and node.node.name == "say":
            first = node.args[0]
            literal = first.value if isinstance(first, nodes.Const) else None
            yield Sentence(f"{place}:{node.lineno}", literal)


def _of_script(place: str, source: str) -> Iterator[Sentence]:
    for found in _IN_SCRIPT.finditer(source):
        line = source.count("\n", 0, found.start()) + 1
        yield Sentence(f"{place}:{line}", json.loads(f'"{found[1]}"'))


def places_of(template: str) -> set[str]:
    """The names of the values that a template has places for."""
    return set(_PLACE.findall(template))


def _has_words(template: str) -> bool:
    """A template of places and signs alone may stay as it is."""
    return any(c.isalpha() for c in _PLACE.sub("", template)) or template in _SEPARATORS


def missing(language: str) -> list[Sentence]:
    """What is said but not in the catalogue; each template once."""
    known = rooms(language)
    of_scripts = known.get(SCRIPTS, {})
    of_others = {template for name, room in known.items() if name != SCRIPTS for template in room}
    lacking = {
        (s.template, s.of_script): s
        for s in sentences()
        if s.template
        and _has_words(s.template)
        and s.template not in (of_scripts if s.of_script else of_others)
    }
    return list(lacking.values())


if __name__ == "__main__":
    for sentence in missing("zh"):
        sys.stdout.write(f'{json.dumps(sentence.template, ensure_ascii=False)} = ""  # {sentence.place}\n')
