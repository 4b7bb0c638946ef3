"""The commands by name, and how one is run: whatever goes wrong becomes a line on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.group import LazyGroup, ReaderGoneError
from traceanalyzer.cli.language import asked_for, language_option
from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.languages import speaking, spoken
from traceanalyzer.text import said, say
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASK_AGAIN_S = 0.05

# Name and one line of help; the module of the same name holds `command`. In the order of --help.
COMMANDS: tuple[tuple[str, str], ...] = (
    ("report", "Say what limits a run and write the report page."),
    ("open", "Show the report page, or the trace in Perfetto, in the browser."),
    ("summary", "The verdict and where the time went."),
    ("findings", "What the rules found, for people, programs and gates."),
    ("explain", "What a rule looks at and why; without a code, all of them."),
    ("whatif", "What the step would take after a change."),
    ("kernels", "Device kernels by time."),
    ("ops", "Operators by device and host time."),
    ("modules", "The nn.Module tree with device time."),
    ("steps", "Where each step went."),
    ("memory", "Peak memory and who held it."),
    ("oom", "Why memory ran out, who held it, what to change."),
    ("diff", "What changed between two runs."),
    ("query", "SQL over everything that was recorded."),
    ("info", "What a file is, and what it can and cannot show."),
    ("export", "Write the tables for other tools."),
    ("cache", "Show or clear the cache of files read before."),
)


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trace-analyze")
@language_option
@click.pass_context
def trace_analyze(context: click.Context, lang: str | None) -> None:  # noqa: ARG001 - `run` has read it
    """Say what limits a GPU run, where, what to change and what that would save.

    INPUT is any number of torch.profiler traces, Nsight recordings, CUDA memory snapshots and logs with
    out-of-memory errors
    (plain, .gz or .zst; told by content, not by name), directories and globs; `-` reads stdin.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


def start(arguments: Sequence[str] | None = None) -> None:
    """Run one command as a process of its own, and leave with its exit code."""
    for name in (
        "SIGTERM",
        "SIGHUP",
    ):  # what ends a job of a cluster or a lost session leaves no workers and no files
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, _terminated)
    sys.unraisablehook = _end_after_all
    sys.exit(run(arguments))


def _terminated(number: int, _: object) -> None:
    """Unwind as after Ctrl+C, so that workers are stopped and temporary files removed."""
    raise SystemExit(128 + number)


def _end_after_all(lost: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised within a callback of its own, as of an import: there the signal is sent anew."""
    match lost.exc_value:
        case SystemExit(code=int(code)) if code > 128:
            threading.Timer(_ASK_AGAIN_S, os.kill, (os.getpid(), code - 128)).start()
        case KeyboardInterrupt():
            threading.Timer(_ASK_AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)).start()
        case _:
            sys.__unraisablehook__(lost)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # µ on a terminal that has no µ is no reason to fail
    arguments = sys.argv[1:] if arguments is None else arguments
    with speaking(asked_for(arguments)):
        try:
            result = trace_analyze.main(arguments, prog_name="trace-analyze", standalone_mode=False)
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("TRACEANALYZER_DEBUG"):
                raise
            return _failed(error)
    return result if isinstance(result, int) else 0


def _failed(error: BaseException) -> int:
    """Say what went wrong in one line, and with which exit code to leave."""
    code, message = 2, said("")
    match error:
        case click.Abort() | KeyboardInterrupt():
            code, message = 130, say("interrupted")
        case ReaderGoneError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains when it flushes at exit
            code = 141
        case click.ClickException():
            from traceanalyzer.cli.mistakes import show

            show(error)
        case TraceAnalyzerError():
            message = error.message
        case OSError():
            message = said(
                f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
            )
        case MemoryError():
            message = say(
                "not enough memory. Analyse fewer files at once, or use a machine with more memory."
            )
        case _:
            message = say(
                "unexpected {kind}: {error}. This is a bug: please report it, with what TRACEANALYZER_DEBUG=1 shows.",
                kind=type(error).__name__, error=error,
            )  # fmt: skip
    if message:
        line = " ".join(
            spoken(message).split()
        )  # names from files must neither break the line nor steer the terminal
        with suppress(OSError):  # who would read it has left; the exit code still tells
            click.echo(f"trace-analyze: {''.join(c if c.isprintable() else '?' for c in line)}", err=True)
    return code
