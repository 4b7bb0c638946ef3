"""Every sentence that the product can say: in its Python, the page's templates and scripts, and the commands' help.

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

import click
from jinja2 import Environment, nodes

from traceanalyzer.cli.command_line import COMMANDS, trace_analyze
from traceanalyzer.cli.help import flat, paragraphs
from traceanalyzer.languages import HELP, SCRIPTS, rooms
from traceanalyzer.rules.explain import pages
from traceanalyzer.rules.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "traceanalyzer"
_SEPARATORS = (", ", "; ")
_PLACE = re.compile(r"{(\w+)[^{}]*}")
_VALUE = re.compile(r"{\w+[^{}|]*}")  # and not `{count:row|rows}`, which are words
_IN_SCRIPT = re.compile(r'\bsay\(\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template where it is said. `template` is None where it is no literal, so that nobody can translate it."""

    place: str
    template: str | None

    @property
    def room(self) -> str | None:
        """The room of the catalogue that it has to be in, where only that one is opened."""
        if ".js:" in self.place:
            return SCRIPTS
        return HELP if self.place.startswith(("help", "cli/help.py", "cli/mistakes.py")) else None


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
    return found + list(_of_help())


def _of_help() -> Iterator[Sentence]:
    """What `--help` of every command says, its options and what click adds."""
    yield from (Sentence(f"help {name}", line) for name, line in COMMANDS)
    context = click.Context(trace_analyze)
    commands = [trace_analyze, *(trace_analyze.get_command(context, name) for name, _ in COMMANDS)]
    for command in filter(None, commands):
        yield from (Sentence(f"help {command.name}", text) for text in paragraphs(command.help or ""))
        for option in command.get_params(click.Context(command)):
            if isinstance(option, click.Option):
                yield Sentence(f"help {command.name} {option.opts[0]}", flat(option.help or ""))
    yield from (Sentence("help", heading) for heading in ("Options:", "Commands:"))


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
    """`count(n, "gap")` says one gap or several: the whole template."""
    literal = thing.value if isinstance(thing, ast.Constant) else None
    if not isinstance(literal, str):
        yield Sentence(place, None)
        return
    yield Sentence(place, f"{{number}} {{number:{literal}|{plural(literal)}}}")


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
    return any(c.isalpha() for c in _VALUE.sub("", template)) or template in _SEPARATORS


def missing(language: str) -> list[Sentence]:
    """What is said but not in the catalogue; each template once."""
    known = rooms(language)
    of_all = {template for name, room in known.items() if name != SCRIPTS for template in room}
    lacking = {
        (s.template, s.room): s
        for s in sentences()
        if s.template
        and _has_words(s.template)
        and s.template not in (known.get(s.room, {}) if s.room else of_all)
    }
    return list(lacking.values())


if __name__ == "__main__":
    for sentence in missing("zh"):
        sys.stdout.write(f'{json.dumps(sentence.template, ensure_ascii=False)} = ""  # {sentence.place}\n')
