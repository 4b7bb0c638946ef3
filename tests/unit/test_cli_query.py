"""SQL sees the trace, all of it, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer import pipeline
from traceanalyzer.cli.command_line import run
from traceanalyzer.cli.prompt import converse, statements
from traceanalyzer.cli.sql import connect
from traceanalyzer.cli.table import Output
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.model.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path


def a_trace() -> Trace:
    kernels = [
        {"name": "gemm", "ts": 10, "dur": 5, "device": 0, "stream": 7, "grid": [1, 2, 3], "occupancy": 0.5},
        {"name": "copy, strided", "ts": 20, "dur": None, "device": 0, "stream": 7, "occupancy": float("nan")},
    ]
    ops = [{"name": "aten::mm", "ts": 1, "dur": 30, "pid": 1, "tid": 2}]
    filled = {"kernels": from_rows("kernels", kernels), "ops": from_rows("ops", ops)}
    return Trace((), {name: filled.get(name, empty(name)) for name in BY_NAME}, frozenset())


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "load", lambda *_, **__: a_trace())


@pytest.fixture
def query(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def answer(statement: str, *options: str) -> str:
        code = run(["query", "run.json", statement, *options])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return answer


Query = Callable[..., str]


def test_text(query: Query) -> None:
    assert query("SELECT name, dur FROM kernels ORDER BY ts").splitlines() == [
        "name            dur",
        "gemm              5",
        "copy, strided  NULL",
    ]


def test_csv(query: Query) -> None:
    rows = list(csv.reader(io.StringIO(query("SELECT name, dur, grid FROM kernels ORDER BY ts", "--csv"))))
    assert rows == [["name", "dur", "grid"], ["gemm", "5", "[1, 2, 3]"], ["copy, strided", "", ""]]


def test_json(query: Query) -> None:
    content = json.loads(query("SELECT name, occupancy, grid FROM kernels ORDER BY ts", "--json"))
    assert content == {
        "schema_version": 1,
        "columns": ["name", "occupancy", "grid"],
        "rows": [
            {"name": "gemm", "occupancy": 0.5, "grid": [1, 2, 3]},
            {"name": "copy, strided", "occupancy": None, "grid": None},
        ],
    }


@pytest.mark.parametrize("table", BY_NAME)
def test_every_table_can_be_asked(table: str, query: Query) -> None:
    rows = json.loads(query(f"SELECT * FROM {table}", "--json"))
    assert rows["columns"] == a_trace().tables[table].column_names


def test_events_holds_what_happened_in_every_table(query: Query) -> None:
    got = json.loads(query("SELECT table_name, name, ts, dur, tid, stream FROM events ORDER BY ts", "--json"))
    assert [tuple(row.values()) for row in got["rows"]] == [
        ("ops", "aten::mm", 1, 30, 2, None),
        ("kernels", "gemm", 10, 5, None, 7),
        ("kernels", "copy, strided", 20, None, None, 7),
    ]


def test_top_limits_text_by_default_and_csv_only_when_asked(query: Query) -> None:
    many = "SELECT * FROM range(1000)"
    assert len(query(many).splitlines()) == 1 + 50
    assert len(query(many, "--csv").splitlines()) == 1 + 1000
    assert len(query(many, "--csv", "--top", "3").splitlines()) == 1 + 3


@pytest.mark.parametrize(
    "escape",
    [
        "SELECT * FROM '{secret}'",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM glob('{folder}/*')",
        "FROM (COPY kernels TO '{folder}/out.csv')",
        "SELECT 1; COPY kernels TO '{folder}/out.csv'",
        "SELECT 1; ATTACH '{folder}/out.db'",
        "SELECT 1; EXPORT DATABASE '{folder}/out'",
        "SELECT 1; INSTALL httpfs",
        "SELECT 1; LOAD httpfs",
        "SELECT 1; SET enable_external_access = true",
        "SELECT * FROM secret_frame",
    ],
)
def test_sql_can_neither_read_nor_write_anything_else(
    escape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("token\nhunter2\n")
    secret_frame = a_trace().kernels  # DuckDB would find a variable of this name by default
    assert secret_frame is not None
    assert run(["query", "run.json", escape.format(secret=secret, folder=tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err
    assert captured.err.startswith("trace-analyze: SQL: ")
    assert len(captured.err.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["secret.csv"]


def test_a_statement_without_a_file_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["query", "SELECT 1 FROM kernels"]) == 2
    assert "no input" in capsys.readouterr().err


def test_statements_can_be_piped_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) n\nFROM kernels;\nSELECT 7 seven"))
    assert run(["query", "run.json", "--csv"]) == 0
    assert capsys.readouterr().out == "n\n2\nseven\n7\n"


def test_what_the_prompt_obeys_can_be_piped_in_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(".tables\nSELECT 7 seven;\n.quit\nSELECT 8 eight;"))
    assert run(["query", "run.json", "--csv"]) == 0
    out = capsys.readouterr().out
    assert "kernels" in out
    assert "seven\n7\n" in out
    assert "eight" not in out


def test_every_statement_of_a_line_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["query", "run.json", "SELECT 1 one; SELECT ';' two;", "--csv"]) == 0
    assert capsys.readouterr().out == "one\n1\ntwo\n;\n"


def test_statements_end_with_a_semicolon_dots_stand_alone_and_ctrl_c_gives_up() -> None:
    lines = [".tables", "", "SELECT 1", "  + 1;", "SELECT given", None, ".quit", "SELECT", ".5"]
    assert list(statements(lines)) == [".tables", "SELECT 1\n+ 1;", ".quit", "SELECT\n.5"]


def test_the_prompt_answers_explains_and_survives_mistakes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(
        [
            ".tables",
            ".schema copies",
            ".schema nonsense",
            ".help",
            "SELEC 1;",
            "SELECT 6 * 7 n;",
            ".quit",
            "SELECT 9;",
        ]
    )
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    with connect(a_trace()) as connection:
        converse(connection, Output("csv", None))
    captured = capsys.readouterr()
    assert re.search(r"^kernels +2 +one kernel execution", captured.out, re.MULTILINE)
    assert re.search(r"^copies +bytes +int64 +bytes +bytes moved", captured.out, re.MULTILINE)
    assert ".quit" in captured.out
    assert captured.out.endswith("n\n42\n")
    assert "no table 'nonsense'" in captured.err
    assert "SQL: Parser Error" in captured.err


def test_the_prompt_ends_with_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_: object) -> Any:
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    with connect(a_trace()) as connection:
        converse(connection, Output("text", None))
