"""What every command that reads traces shares: its arguments, its limits, and the reading itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.language import speaks
from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.analysis import Analysis

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
        click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path()),
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to analyze: what counts as a step, what the user says of the hardware, a second trace of the program."""

    step: str | None
    gpu: str | None
    peaks: tuple[str, ...]
    mapping: str | None = None


def analysis_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options on how to analyze; it gets `wanted`. What it says, it says in --lang."""

    @wraps(command)
    def with_wanted(
        *, step: str | None, gpu: str | None, peak: tuple[str, ...], mapping: str | None, **rest: Any
    ) -> Any:
        return command(wanted=Wanted(step, gpu, peak, mapping), **rest)

    decorators = (
        click.option(
            "--step",
            metavar="NAME",
            help="Annotations of this name, glob or regular expression count as steps.",
        ),
        click.option(
            "--gpu", metavar="NAME", help="Take the devices for this GPU, such as 'H100 80GB HBM3'."
        ),
        click.option(
            "--peak",
            metavar="NAME=NUMBER",
            multiple=True,
            help="A peak of the GPU that wins over the table: bf16=989 (TFLOP/s), bandwidth=3350 (GB/s).",
        ),
        click.option(
            "--mapping",
            metavar="FILE",
            type=click.Path(),
            help="A second trace of the program, with CUDA graphs off: it says what kernels in graphs belong to.",
        ),
    )
    decorated: Callable[..., Any] = with_wanted
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return speaks(decorated)


def load(inputs: Sequence[str], options: LoadOptions, mapping: str | None = None) -> Trace:
    """Read the inputs into one linked trace; `-` is stdin. Progress on stderr where somebody watches."""
    from traceanalyzer import pipeline
    from traceanalyzer.cli.progress import for_terminal
    from traceanalyzer.own_process import start_light

    if "-" in inputs and sys.stdin.isatty():
        raise TraceAnalyzerError(say("stdin is a terminal. Pipe a trace into it, or name a file."))
    start_light()
    return pipeline.load(*inputs, options=options, progress=for_terminal(), mapping=mapping)


def load_rows(inputs: Sequence[str], options: LoadOptions) -> Trace:
    """Read the inputs for their rows: files of several runs may stand side by side, and stderr says that they do."""
    from traceanalyzer.cli.table import printable

    trace = load(inputs, options)
    if trace.unrelated:
        click.echo(f"trace-analyze: {printable(trace.unrelated)}", err=True)
    return trace


def analyze(inputs: Sequence[str], options: LoadOptions, wanted: Wanted) -> Analysis:
    """Read the inputs and analyze them."""
    return analyze_trace(load(inputs, options, wanted.mapping), wanted)


def analyze_trace(trace: Trace, wanted: Wanted) -> Analysis:
    """Analyze what was read, as the options ask for."""
    from traceanalyzer import pipeline
    from traceanalyzer.hardware.gpus import Choice, parse_peaks

    hardware = Choice(wanted.gpu, parse_peaks(wanted.peaks)) if wanted.gpu or wanted.peaks else None
    return pipeline.analyze(trace, step=wanted.step, hardware=hardware)


def check_place(name: str, inputs: Sequence[str], force: bool) -> None:
    """Refuse to write there before the work, not after it."""
    if name == "-":
        return
    place = Path(name)
    if not place.parent.is_dir():
        raise TraceAnalyzerError(say("{name}: the folder does not exist. Create it first.", name=name))
    if not place.exists():
        return
    if place.is_dir():
        raise TraceAnalyzerError(say("{name}: is a folder. Name a file in it.", name=name))
    if any(Path(i).exists() and place.samefile(i) for i in inputs if i != "-"):
        raise TraceAnalyzerError(say("{name}: is one of the inputs. Name another output with -o.", name=name))
    if not force:
        raise TraceAnalyzerError(
            say("{name}: exists. Name another output with -o, or overwrite it with --force.", name=name)
        )


def stem(inputs: Sequence[str]) -> str:
    """What outputs are named after: the first input without folder and trace suffixes."""
    if inputs[0] == "-":
        return "stdin"
    path = Path(inputs[0])
    name = path.resolve().name if path.is_dir() else path.name
    for suffix in (".gz", ".zst", ".json", ".pt.trace"):
        name = name.removesuffix(suffix)
    # A glob that the shell left alone names no file.
    return "".join(c for c in name if c not in "*?[]") or "trace"
