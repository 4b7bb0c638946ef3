"""Lines of code as links: only to the reader's own sources or address, whatever a trace names."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import report_cases as cases

from traceanalyzer.errors import UsageError
from traceanalyzer.reporters import render
from traceanalyzer.source_links import SourceLinks, from_environment, source_links

if TYPE_CHECKING:
    from pathlib import Path

HOST = "https://github.com/org/repo/blob/abc/{path}#L{line}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app/models").mkdir(parents=True)
    (tmp_path / "app/train.py").touch()
    (tmp_path / "app/models/my model.py").touch()
    (tmp_path / "secret.py").touch()
    return tmp_path / "app"


def made(root: Path | None, url: str | None) -> SourceLinks:
    links = source_links(root, url)
    assert links is not None
    return links


@pytest.mark.parametrize(
    "recorded", ["train.py", "/workspace/job/train.py", "./train.py", "C:\\jobs\\app\\train.py"]
)
def test_a_file_opens_in_the_editor_wherever_it_was_recorded(root: Path, recorded: str) -> None:
    assert made(root, None).href(f"{recorded}:57") == f"vscode://file{root}/train.py:57"


def test_a_code_host_gets_the_path_below_the_root(root: Path) -> None:
    links = made(root, HOST)
    assert links.href("/elsewhere/train.py:57") == "https://github.com/org/repo/blob/abc/train.py#L57"
    assert (
        links.href("models/my model.py:3") == "https://github.com/org/repo/blob/abc/models/my%20model.py#L3"
    )


def test_without_a_root_relative_paths_lead_to_the_host_and_absolute_ones_to_the_editor() -> None:
    assert made(None, HOST).href("src/train.py:5") == "https://github.com/org/repo/blob/abc/src/train.py#L5"
    assert made(None, HOST).href("/root/src/train.py:5") is None
    assert (
        made(None, "vscode://file{path}:{line}").href("/root/train.py:5") == "vscode://file/root/train.py:5"
    )


@pytest.mark.parametrize(
    "recorded",
    ["../secret.py:1", "models/../../secret.py:1", "torch/nn/modules/linear.py:116", "train.py", "train.py:x",
     "train.sh:1", "javascript:alert(1)//a.py:1", "", f"{'a' * 300}.py:1"],
)  # fmt: skip
def test_what_is_not_the_reader_s_own_has_no_link(root: Path, recorded: str) -> None:
    assert made(root, None).href(recorded) is None


def test_an_editor_is_not_led_to_another_machine() -> None:
    assert made(None, "vscode://file{path}:{line}").href("//evil.example/share/train.py:1") is None


def test_a_path_cannot_leave_its_place_in_the_address() -> None:
    link = made(None, HOST).href('x"?q=1#\u202e<b>.py:1')
    assert link == "https://github.com/org/repo/blob/abc/x%22%3Fq%3D1%23%E2%80%AE%3Cb%3E.py#L1"


@pytest.mark.parametrize(
    "url",
    ["javascript:alert('{path}')", "file:///{path}", "data:text/html,{path}", "https://host/", "{path}"],
)
def test_other_schemes_and_addresses_without_a_path_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"begins with http:, https: or vscode: and holds \{path\}"):
        source_links(None, url)


def test_a_root_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        source_links(tmp_path / "nowhere", None)


def test_locations_are_found_within_prose(root: Path) -> None:
    pieces = list(made(root, HOST).within("3 gaps at train.py:88 in train.py(9): main, torch/x.py:1"))
    assert [piece for piece, link in pieces if link] == ["train.py:88", "train.py(9)"]
    assert "".join(piece for piece, _ in pieces) == "3 gaps at train.py:88 in train.py(9): main, torch/x.py:1"


def test_the_environment_asks_for_them_where_no_command_line_does(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert from_environment() is None
    monkeypatch.setenv("TRACEANALYZER_SOURCE_ROOT", str(root))
    monkeypatch.setenv("TRACEANALYZER_SOURCE_URL", HOST)
    links = from_environment()
    assert links is not None
    assert links.href("train.py:1") == "https://github.com/org/repo/blob/abc/train.py#L1"


def test_the_page_links_cells_and_evidence_and_nothing_else(root: Path) -> None:
    linked = replace(cases.training(), source_links=source_links(root, HOST))
    page = render(linked, "html")
    links = set(re.findall(r'href="(h[^"]+)"', page))
    assert links == {"https://github.com/org/repo/blob/abc/train.py#L88"}
    assert all('rel="noopener noreferrer"' in a for a in re.findall(r'<a class="source"[^>]*>', page))
    assert re.search(r"<td[^>]*><bdi><a [^>]*>train.py:88</a>", page)
