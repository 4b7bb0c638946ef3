"""Reports in another language: which one, what is translated, and that no sentence is forgotten."""

from __future__ import annotations

import itertools
import json
import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import report_cases as cases
import sentences

from traceanalyzer import languages
from traceanalyzer.cli.command_line import COMMANDS, run
from traceanalyzer.cli.progress import TerminalProgress
from traceanalyzer.cli.table import width_of
from traceanalyzer.languages import catalogue, of_locale, speaking, spoken
from traceanalyzer.pipeline import analyze, load
from traceanalyzer.reporters import render
from traceanalyzer.text import join, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAID = sentences.sentences()
ROOMS = languages.rooms("zh")
FIXTURES = Path(__file__).parents[2] / "fixtures"
SNAPSHOT = FIXTURES / "snapshots/oom.pickle.gz"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_SG"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "en"),
        ({"LANG": "zh_HK"}, "en"),
        ({"LANG": "zh_Hant_TW.UTF-8"}, "en"),
        ({"LANG": "zh_Hans_HK.UTF-8"}, "zh"),
        ({"LANG": "zh.UTF-8"}, "zh"),
        ({}, "en"),
    ],
)
def test_the_locale_chooses_the_language_and_traditional_characters_are_none_of_ours(
    environment: Mapping[str, str], language: str
) -> None:
    assert of_locale(environment) == language


def test_a_language_is_spoken_only_within_its_block() -> None:
    idle = say("Idle")
    with speaking("zh"):
        assert spoken(idle) == "空闲"
        with speaking("en"):
            assert spoken(idle) == "Idle"
    assert spoken(idle) == "Idle"


def test_every_sentence_is_a_literal_that_can_be_looked_up() -> None:
    assert [s.place for s in SAID if s.template is None] == []


def test_every_sentence_is_in_the_chinese_catalogue() -> None:
    assert [f"{s.place}: {s.template}" for s in sentences.missing("zh")] == []


FORMS = re.compile(r"\{(\w+):[^{}|]*\|[^{}]*\}")
NEVER_ONE = {"sms", "streams", "total"}
"""Places for numbers that are not said when they are 1."""
COUNTS = {name for s in SAID for name in FORMS.findall(s.template or "")} - NEVER_ONE
NO_NOUN = re.compile("and|are|as|asynchronous|by|has|in|is|of|or|per|that|was|when|with")
"""Words after which no noun comes that the number before them counts."""


def counted(words: str) -> Iterator[str]:
    """The words that a number may count."""
    return itertools.takewhile(lambda word: not NO_NOUN.fullmatch(word), words.split())


def test_of_one_thing_no_sentence_speaks_as_of_many() -> None:
    wrong = []
    for template in {s.template for s in SAID if s.template}:
        values = {name: 717 if name in COUNTS else 1 for name in sentences.places_of(template)}
        told = say(FORMS.sub("…", template)).filled(**values)  # without the words that follow their number
        for words in re.findall(r"\b717((?: [a-z]+)+)", told):
            wrong += [template for word in counted(words) if word.endswith("s") and word != "ns"]
    assert wrong == []


def test_the_chinese_has_the_same_places_for_values() -> None:
    catalogue = [pair for room in ROOMS.values() for pair in room.items()]
    assert catalogue
    wrong = [en for en, zh in catalogue if sentences.places_of(en) != sentences.places_of(zh)]
    assert wrong == []


def test_the_catalogue_holds_nothing_that_is_no_longer_said() -> None:
    used = {s.template for s in SAID if s.room != languages.SCRIPTS}
    of_scripts = {s.template for s in SAID if s.room == languages.SCRIPTS}
    kept = [
        (en, of_scripts if name == languages.SCRIPTS else used) for name, room in ROOMS.items() for en in room
    ]
    assert [en for en, said in kept if en not in said] == []


def test_no_sentence_is_translated_in_two_rooms() -> None:
    of_others = [en for name, room in ROOMS.items() if name != languages.SCRIPTS for en in room]
    assert len(of_others) == len(set(of_others))


def test_the_page_says_its_language_and_speaks_it() -> None:
    page = render(cases.training(), "html", language="zh")
    assert '<html lang="zh-CN">' in page
    assert "时间去向" in page
    assert "Where the time went" not in page
    assert '<html lang="en">' in render(cases.training(), "html")


@pytest.mark.parametrize("form", ["markdown", "text"])
def test_summaries_are_in_the_language_asked_for(form: str) -> None:
    text = render(cases.training(), form, language="zh")
    assert "建议措施" in text
    assert "What to do" not in text


def english(shown: str) -> list[str]:
    """Words of our own English sentences in a text, of two and more."""
    words = {
        part.strip(" .,;:()")
        for template, other in catalogue("zh").items()
        for part in re.split(r"{[^{}]*}|`[^`]*`|\n", template)
        if part.strip(" .,;:()") not in other
    }
    return [part for part in words if re.search(r"[A-Za-z]{2,} .*[A-Za-z]{2,}", part) and part in shown]


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
@pytest.mark.parametrize("recording", ["simulated/sim_training_mixed.json.gz", "snapshots/oom.pickle.gz"])
def test_nothing_of_a_chinese_report_stays_english(recording: str, form: str) -> None:
    shown = render(analyze(load(FIXTURES / recording)), form, language="zh")
    assert english(re.sub(r"<(script|style).*?</\1>", "", shown, flags=re.DOTALL)) == []
    assert english("… 2 in libraries") == ["in libraries"]


def test_names_of_formats_and_of_what_was_recorded_twice_are_translated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["info", str(SNAPSHOT), "--lang", "zh"]) == 0
    assert "格式      显存快照" in capsys.readouterr().out
    assert run(["info", str(Path(__file__)), "--lang", "zh"]) == 2
    assert "支持：torch.profiler 的 Chrome trace" in capsys.readouterr().err
    with speaking("zh"):
        assert spoken(join(", ", [say("{table} of nsys", table="ops")])) == "nsys 的 ops"


def test_json_is_english_in_every_language() -> None:
    assert render(cases.training(), "json", language="zh") == render(cases.training(), "json")


def test_values_of_a_translated_page_are_escaped() -> None:
    hostile = cases.with_names("<script>alert(1)</script>")
    assert "<script>alert" not in render(hostile, "html", language="zh")


def test_the_scripts_find_their_words_in_the_page() -> None:
    page = render(cases.training(), "html", language="zh")
    begin = page.index('id="words">') + len('id="words">')
    words = json.loads(page[begin : page.index("</script>", begin)])
    assert words == ROOMS[languages.SCRIPTS]
    assert 'id="words"' not in render(cases.training(), "html")


@pytest.mark.parametrize("chosen", [["--lang", "zh"], []])
def test_commands_speak_the_language_of_the_option_or_the_locale(
    chosen: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not chosen:
        monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run(["oom", str(SNAPSHOT), *chosen]) == 0
    assert "时显存不足" in capsys.readouterr().out
    assert run(["explain", "SYNC002", *chosen]) == 0
    assert "从设备逐个读取数值" in capsys.readouterr().out
    assert run(["findings", str(SNAPSHOT), "--output-format", "sarif", *chosen]) == 0
    assert re.search("[\u4e00-\u9fff]", capsys.readouterr().out) is None, "programs read English"


def test_notes_of_a_file_read_from_the_cache_are_translated_too(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(
        '{"traceEvents": [{"ph": "X", "name": "aten::mm", "ts": 1, "dur": 1, "pid"'
    )
    for _ in ("read", "from the cache"):
        (note,) = load(tmp_path / "run.json").sources[0].notes
        with speaking("zh"):
            assert spoken(note.message).startswith("文件在 JSON 中间结束")


HELP = [[], *([name] for name, _ in COMMANDS)]


@pytest.mark.parametrize("command", HELP, ids=lambda command: " ".join(command) or "group")
def test_help_is_chinese_and_no_line_is_wider_than_a_terminal(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--help", "--lang", "zh"] if command else ["--lang", "zh", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"用法：{' '.join(['trace-analyze', *command])} [OPTIONS]")
    assert "选项：\n" in out
    assert [line for line in out.splitlines() if width_of(line) > 80 and " " in line.strip()] == []
    assert re.findall(r"[a-z]+(?: [a-z]+){3,}", out) == [], "no sentence is left in English"
    assert run([*command, "--help"]) == 0
    english = capsys.readouterr().out
    assert re.search(r"[\u4e00-\u9fff]|\\b", english) is None


def test_help_opens_one_room_of_the_catalogue(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "rooms", lambda _: pytest.fail("all rooms take longer than the help"))
    languages.catalogue.cache_clear()
    assert run(["report", "--help", "--lang", "zh"]) == 0
    assert "覆盖已存在的文件" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("reprot x", "错误：没有命令 'reprot'。是否想用 'report'\uff1f"),
        ("report", "错误：缺少参数 'INPUT...'。"),
        ("kernels --top 0 x", "错误：'--top' 的值无效：0 不在范围 x>=1 内。"),
        ("kernels --nonsense x", "错误：没有选项 "),
        ("findings --output-format tex x", "错误：'--output-format' 的值无效：'tex' 不是以下之一："),
        ("diff a b --fail-on-slower x", "错误：'--fail-on-slower' 的值无效：'x' 不是形如 5% 的比例"),
        ("diff a", "错误：diff 比较两个输入 BEFORE 和 AFTER\uff1b给出了 1 个。"),
        ("kernels a --json --csv", "错误：--json 和 --csv 互相排斥。"),
        ("explain NONE", "没有规则 NONE。"),
        ("info /no/such/file", "trace-analyze: /no/such/file：没有这个文件。请检查路径。"),
    ],
)
def test_mistakes_are_answered_in_the_language_with_the_same_exit_code(
    line: str, answer: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(line.split()) == 2
    assert re.search("[\u4e00-\u9fff]", capsys.readouterr().err) is None
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert answer in err


@pytest.mark.parametrize("place", ["before", "after"])
def test_what_was_written_is_told_in_the_language(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", str(SNAPSHOT), "-o", str(tmp_path / "page.json")]
    assert run(["--lang", "zh", *words] if place == "before" else [*words, "--lang=zh"]) == 0
    assert f"已写出 {tmp_path / 'page.json'}" in capsys.readouterr().err


def test_progress_is_told_in_the_language() -> None:
    stream = StringIO()
    progress = TerminalProgress(stream)
    progress.start("run.json", 100)
    with speaking("zh"):
        progress.advance(50)
    assert "正在读取 run.json  50 %" in stream.getvalue()
