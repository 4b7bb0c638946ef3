"""What every command that reads traces shares: its arguments, its limits, and the reading itself."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.errors import InputError, TraceAnalyzerError
from traceanalyzer.ingest.options import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traceanalyzer.model.trace import Trace
    from traceanalyzer.pipeline import Analysis

STDIN = "stdin"
_DEFAULTS = LoadOptions()


def reads_inputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command INPUT… and the options on how to read; it gets `inputs` and `options`."""

    @wraps(command)
    def with_options(
        *,
        no_cache: bool,
        max_inflated_bytes: int,
        max_ratio: float,
        workers: int | None,
        **rest: Any,
    ) -> Any:
        options = LoadOptions(not no_cache, max_inflated_bytes, max_ratio, workers)
        return command(options=options, **rest)

    decorators = (
        click.argument("inputs", metavar="INPUT...", nargs=-1, required=True),
        click.option("--no-cache", is_flag=True, help="Parse anew and leave no copy in the cache."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Processes that parse. Default: one per core, at most 4.",
        ),
        click.option(
            "--max-inflated-bytes",
            type=click.IntRange(min=1),
            default=_DEFAULTS.max_inflated_bytes,
            show_default=True,
            help="Refuse a compressed file that inflates to more.",
        ),
        click.option(
            "--max-ratio",
            type=click.FloatRange(min=1),
            default=_DEFAULTS.max_ratio,
            show_default=True,
            help="Refuse a compressed file that inflates by a larger factor.",
        ),
    )
    decorated: Callable[..., Any] = with_options
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return decorated


step_option = click.option(
    "--step", metavar="NAME", help="Annotations of this name count as steps, instead of ProfilerStep."
)


def load(inputs: Sequence[str], options: LoadOptions) -> Trace:
    """Read the inputs into one linked trace; `-` is stdin. Progress on stderr where somebody watches."""
    from traceanalyzer import pipeline
    from traceanalyzer.cli.progress import for_terminal

    if "-" not in inputs:
        return pipeline.load(*inputs, options=options, progress=for_terminal())
    with tempfile.TemporaryDirectory(prefix="trace-analyze-") as folder:
        spooled = Path(folder) / STDIN
        _spool_stdin(spooled)
        paths = [str(spooled) if name == "-" else name for name in inputs]
        try:
            # A cache entry would outlive the only name by which it could be found.
            trace = pipeline.load(*paths, options=replace(options, use_cache=False), progress=for_terminal())
        except InputError as error:
            if error.path != str(spooled):
                raise
            raise InputError(STDIN, error.problem, error.remedy, error.offset) from None
    sources = (replace(s, path=STDIN) if s.path == str(spooled) else s for s in trace.sources)
    return replace(trace, sources=tuple(sources))


def analyze(inputs: Sequence[str], options: LoadOptions, step: str | None) -> Analysis:
    """Read the inputs and analyze them."""
    from traceanalyzer import pipeline

    return pipeline.analyze(load(inputs, options), step=step)


def stem(inputs: Sequence[str]) -> str:
    """What outputs are named after: the first input without folder and trace suffixes."""
    if inputs[0] == "-":
        return STDIN
    path = Path(inputs[0])
    name = path.resolve().name if path.is_dir() else path.name
    for suffix in (".gz", ".zst", ".json", ".pt.trace"):
        name = name.removesuffix(suffix)
    # A glob that the shell left alone names no file.
    return "".join(c for c in name if c not in "*?[]") or "trace"


def _spool_stdin(path: Path) -> None:
    """Traces are read more than once (format, hash, content), which a pipe does not allow."""
    if sys.stdin.isatty():
        raise TraceAnalyzerError("stdin is a terminal. Pipe a trace into it, or name a file.")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
