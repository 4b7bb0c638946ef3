"""The entry point: help is quick, mistakes are one line, exit codes are 0, 1 or 2."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psutil
import pytest
from chrome_files import op

from traceanalyzer import __version__, pipeline
from traceanalyzer.cli.command_line import COMMANDS, run, trace_analyze
from traceanalyzer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def trace_analyze_process(*arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from traceanalyzer.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **kwargs)


def failing(error: BaseException) -> Callable[..., Any]:
    def load(*_: object, **__: object) -> Any:
        raise error

    return load


def test_help_lists_every_command_in_the_literal_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"  {name} ") for name, _ in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize(("name", "help_line"), COMMANDS)
def test_the_literal_help_is_the_command_s_own(name: str, help_line: str) -> None:
    command = import_module(f"traceanalyzer.cli.{name}").command
    assert isinstance(command, click.Command)
    assert command.short_help == help_line


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_every_command_and_option_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = trace_analyze.get_command(click.Context(trace_analyze), name)
    assert command is not None
    assert command.help
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []
    assert run([name, "--help"]) == 0
    assert name in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom traceanalyzer.cli.command_line import run\nrun(['--help'])\n"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'duckdb', 'plotly', 'rich', 'jinja2', 'msgspec', 'torch'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "meant"), [("reprot", "report"), ("kernel", "kernels"), ("qurey", "query")]
)
def test_a_mistyped_command_is_answered_with_the_nearest(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([typed, "run.json"]) == 2
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["report"], ["kernels", "--top", "0", "x"], ["info", "--nonsense", "x"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage:" in captured.err


def test_an_input_error_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "load", failing(InputError("run.json", "is empty", "Record again.", 0)))
    assert run(["info", "run.json"]) == 2
    assert capsys.readouterr() == ("", "trace-analyze: run.json: is empty at byte 0. Record again.\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(13, "Permission denied", "x.json"), 2, "x.json: Permission denied"),
        (MemoryError(), 2, "not enough memory"),
        (KeyError("ts"), 2, "This is a bug"),
        (KeyboardInterrupt(), 130, "trace-analyze: interrupted"),
    ],
)
def test_whatever_goes_wrong_is_no_traceback(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pipeline, "load", failing(error))
    assert run(["info", "run.json"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, "after a line break behind ^C"


def test_the_name_of_what_was_written_cannot_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "\x1b[2Jpwned.json.gz"
    shutil.copy(Path(__file__).parents[2] / "fixtures/simulated/sim_gemm_bound.json.gz", tmp_path / name)
    assert run(["report", name, "--no-cache", "--format", "text"]) == 0
    out, err = capsys.readouterr()
    assert "pwned.report.txt" in err
    assert "\x1b" not in out + err


def test_a_name_from_a_file_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "load", failing(InputError("\x1b]0;pwned\x07\nx", "is empty", "No.")))
    run(["info", "x"])
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="there are no such signals elsewhere")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_the_command_stops_its_workers_and_leaves_no_files(tmp_path: Path, number: int) -> None:
    """`timeout`, Slurm and Kubernetes send SIGTERM, a lost ssh session SIGHUP."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run without this signal, as under nohup")
    event = json.dumps(op("aten::mm", "1.000", "5.000"))
    (tmp_path / "run.json").write_text('{"traceEvents": [' + f"{event},\n" * 400_000 + event + "]}")
    (folder := tmp_path / "temporary").mkdir()
    command = [sys.executable, "-c", "from traceanalyzer.cli import main; main()", "summary", "run.json"]
    process = subprocess.Popen(
        [*command, "--no-cache", "--workers", "3"], cwd=tmp_path, env=os.environ | {"TMPDIR": str(folder)}
    )
    while not any(folder.iterdir()):  # nothing has been given to workers yet
        time.sleep(0.01)
    time.sleep(0.2)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(timeout=30) == 128 + number
    assert workers
    assert psutil.wait_procs(workers, timeout=0.5)[1] == []
    assert not any(folder.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="there are no such signals elsewhere")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_within_a_callback_of_python_ends_the_command_all_the_same(number: int, code: int) -> None:
    """What is raised there is dropped: a command that was told to end went on for as long as it took."""
    program = (
        "import os, time, weakref\n"
        "from traceanalyzer.cli import command_line, main\n"
        "class Lock: pass\n"
        "def told_to_end(_):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    for _ in range(1000): pass\n"
        "def command(*_, **__):\n"
        "    lock = Lock()\n"
        "    watched = weakref.ref(lock, told_to_end)\n"
        "    del lock\n"
        "    time.sleep(20)\n"
        "command_line.trace_analyze.main = command\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False
    )
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "imported", ["click", "typing", "traceanalyzer.languages", "traceanalyzer.cli.group"]
)
def test_ctrl_c_while_the_program_is_imported_is_a_line_and_no_traceback(imported: str) -> None:
    code = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {imported!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from traceanalyzer.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; exec({code!r})"],
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ntrace-analyze: interrupted\n")


def test_a_missing_file_is_exit_code_2_in_a_process() -> None:
    done = trace_analyze_process("info", "/no/such/trace.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/no/such/trace.json" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a pipe closes otherwise elsewhere")
def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    code = (
        "from traceanalyzer.cli import command_line, main, table\nimport click\n"
        "@click.command()\ndef command(): [click.echo('x' * 1000) for _ in range(10000)]\n"
        "command_line.trace_analyze.get_command = lambda *_: command\nmain(['report'])"
    )
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" | head -1; exit ${PIPESTATUS[0]}', sys.executable, code],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("variables", "color"), [({"NO_COLOR": "1"}, False), ({}, None), ({"NO_COLOR": ""}, None)]
)
def test_no_color_is_honoured(
    variables: dict[str, str], color: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: list[bool | None] = []

    @click.command()
    def command() -> None:
        seen.append(click.globals.resolve_color_default())

    monkeypatch.setattr(trace_analyze, "get_command", lambda *_: command)
    assert run(["info"]) == 0
    assert seen == [color]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str) -> None:
    done = trace_analyze_process(env={**os.environ, "_TRACE_ANALYZE_COMPLETE": f"{shell}_source"})
    assert "_TRACE_ANALYZE_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("trace-analyze", "dif"), "plain,diff"),
        (("trace-analyze", "diff", "--fail"), "plain,--fail-on-slower"),
        (("trace-analyze", "report", "run"), "file,run"),
        (("trace-analyze", "findings", "--output-format", "jun"), "plain,junit"),
    ],
)
def test_the_shell_completes_commands_options_values_and_files(words: tuple[str, ...], expected: str) -> None:
    environment = os.environ | {
        "_TRACE_ANALYZE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-c", "from traceanalyzer.cli import main; main()"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert expected in told.stdout.splitlines()


@pytest.mark.skipif(os.name != "posix", reason="a pipe closes otherwise elsewhere")
def test_an_error_that_nobody_reads_keeps_its_exit_code() -> None:
    code = (
        "import os, sys\nfrom traceanalyzer import cli\n"
        "r, w = os.pipe(); os.close(r); os.dup2(w, 2)\n"
        "cli.main(['summary', '/no/such/trace.json'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert done.returncode == 2, "1 would say that a gate failed"


def test_a_file_instead_of_a_command_is_told_what_to_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "my run.json"
    trace.write_text("{}")
    assert run([str(trace)]) == 2
    assert f"It is a file: say trace-analyze report '{trace}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "own"), [("report", "--output"), ("findings", "--fail-on"), ("kernels", "--csv")]
)
def test_help_begins_with_what_is_particular_to_the_command(
    command: str, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.index(own) < told.index("--step") < told.index("--max-inflated-bytes")
