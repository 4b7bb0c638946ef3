"""The command line, `trace-analyze`: one file per command, named like it.

Data goes to stdout; progress, remarks and errors to stderr. Exit codes: 0 fine, 1 a gate failed, 2 usage or
unreadable input; 130 interrupted and 141 reader gone, as every Unix filter has it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # that of `typing` would be imported before Ctrl+C is answered
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `trace-analyze`; everything is imported in it, so that Ctrl+C meanwhile is answered, too."""
    try:
        from traceanalyzer.cli.command_line import start

        start(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("\ntrace-analyze: interrupted\n")  # the terminal has shown ^C
        sys.exit(130)
