"""Checks for continuous integration: annotations of a GitHub workflow, and JUnit XML."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from xml.sax.saxutils import escape, quoteattr

from traceanalyzer.reporters import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Case:
    """One check: its name, the group it belongs to, what there is to say of it, and the `file:line` it is about."""

    name: str
    group: str
    message: str
    outcome: Literal["passed", "failed", "skipped"]
    level: Literal["error", "warning", "notice"] = "notice"
    place: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """The checks of one command."""

    name: str
    cases: tuple[Case, ...]


def github(suite: Suite) -> str:
    """One workflow command per check that failed: `::warning title=SYNC001::…` shows on the pull request.

    With a line of code it shows there; GitHub knows paths from the root of the repository on. Percent signs and line
    ends are written as GitHub's toolkit does, so that no name becomes a command.
    """
    lines = (
        f"::{case.level} {_file(case.place)}title={_property(case.name)}::{_data(case.message)}"
        for case in suite.cases
        if case.outcome == "failed"
    )
    return "".join(line + "\n" for line in lines)


def _file(place: str) -> str:
    path, _, line = place.rpartition(":")
    return f"file={_property(path)},line={line}," if path and line.isdecimal() else ""


def _data(text: str) -> str:
    return names.prose(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def junit(suite: Suite) -> str:
    """JUnit XML as Jenkins and GitLab read it."""
    failures = sum(case.outcome == "failed" for case in suite.cases)
    skipped = sum(case.outcome == "skipped" for case in suite.cases)
    head = f'tests="{len(suite.cases)}" failures="{failures}" skipped="{skipped}"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuite name={quoteattr(suite.name)} {head}>"]
    for case in suite.cases:
        test = f"  <testcase name={_attribute(case.name)} classname={_attribute(case.group)}"
        match case.outcome:
            case "passed":
                lines.append(f"{test}/>")
            case "skipped":
                lines.append(f"{test}><skipped message={_attribute(case.message)}/></testcase>")
            case "failed":
                first = case.message.partition("\n")[0]
                failure = f"<failure type={_attribute(case.level)} message={_attribute(first)}>"
                lines.append(f"{test}>{failure}{escape(names.prose(case.message))}</failure></testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def _attribute(text: str) -> str:
    return quoteattr(names.prose(text))


FORMATS: Mapping[str, Callable[[Suite], str]] = MappingProxyType({"github": github, "junit": junit})
