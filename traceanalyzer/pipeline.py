"""Read me first: load → link → analyze → find → render.

Every command is one walk through this file. Each room it names may import only from the rooms below it
(see "The house" in CONTRIBUTING.md); the direction is checked by import-linter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceanalyzer.hardware.gpus import Choice
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.ingest.progress import Progress
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.analysis import Analysis


def load(
    *inputs: str | Path,
    options: LoadOptions | None = None,
    progress: Progress | None = None,
    mapping: str | Path | None = None,
) -> Trace:
    """Read any number of files, directories and globs into one linked trace.

    Args:
        inputs: what to read.
        options: limits, and whether to use the cache.
        progress: is told how far the reading is.
        mapping: a second trace of the same program, with graphs off or of their capture: its ops, modules and
            lines are carried over to the kernels that run inside CUDA graphs.
    """
    from traceanalyzer.ingest.inputs import read_inputs

    read = read_inputs(inputs, options, progress)
    from traceanalyzer.model.link import link  # not before: workers start before Arrow is loaded

    trace = link(read)
    if mapping is None:
        return trace
    from traceanalyzer.model.mapping import attribute

    return replace(trace, mapping=attribute(trace, link(read_inputs((mapping,), options, progress))))


def analyze(trace: Trace, *, step: str | None = None, hardware: Choice | None = None) -> Analysis:
    """Run every analyzer, then every rule.

    Args:
        trace: a linked trace.
        step: name, glob or regular expression of the annotations that count as steps.
        hardware: a GPU or peaks that win over what the trace and the table of GPUs say.
    """
    from traceanalyzer.analyzers import run_analyzers
    from traceanalyzer.rules import judge
    from traceanalyzer.rules.analysis import Analysis

    results, warnings = run_analyzers(trace, step=step, hardware=hardware)
    judged = judge(trace, results)
    return Analysis(trace, results, *judged[:4], warnings, judged.combined)


def report(
    analysis: Analysis,
    output: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    top: int = 50,
    language: str | None = None,
    source_root: str | Path | None = None,
    source_url: str | None = None,
) -> Path:
    """Write the report; the format comes from the name unless given (html, json, markdown, text).

    Args:
        analysis: what was found.
        output: the file to write.
        format: html, json, markdown or text.
        top: rows of each table.
        language: en or zh; English unless given.
        source_root: folder of the sources: lines of code in the page open in VS Code.
        source_url: address with {path} and {line} where they lead instead.
    """
    from traceanalyzer.reporters import render
    from traceanalyzer.source_links import source_links
    from traceanalyzer.whole_file import write_whole

    analysis = replace(analysis, source_links=source_links(source_root, source_url) or analysis.source_links)
    path = Path(output)
    write_whole(path, render(analysis, format or format_of(path), top=top, language=language).encode())
    return path


def format_of(path: Path) -> str:
    """The report format that a file name asks for."""
    return {".json": "json", ".md": "markdown", ".txt": "text"}.get(path.suffix.lower(), "html")
