"""`python -m traceanalyzer.ingest.snapshot.worker`: read one snapshot in a process of its own.

What a pickle builds cannot be foreseen: it may be nested until the interpreter overflows its stack, or ask for
more memory than there is. Here that ends this process only, and the limit on memory makes it end soon. Exit code 3
means that the file was refused; the reason is on stdout.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.ingest.snapshot.assemble import assemble, save
from traceanalyzer.ingest.snapshot.refused import REFUSED, Refused
from traceanalyzer.ingest.snapshot.unpickle import load_entries
from traceanalyzer.ingest.snapshot.walk import walk
from traceanalyzer.ingest.source import Truncated, blocks, compression_of
from traceanalyzer.own_process import start_light

if TYPE_CHECKING:
    from traceanalyzer.ingest.snapshot.assemble import Read

OBJECT_BYTES_PER_BYTE = 24
"""Objects of a real snapshot take 5 times its pickle; JSON without shared stacks takes up to 20 times its text."""
FREE_BYTES = 4 << 30


def main(arguments: list[str]) -> int:
    """Arguments: path, folder for the result, options as JSON."""
    path, folder, options = arguments
    start_light()
    gc.disable()  # what is made here lives until the end, and looking at all of it again and again takes long
    try:
        save(read(Path(path), LoadOptions(**json.loads(options))), Path(folder))
    except (Refused, InputError, MemoryError) as error:
        print(error if str(error) else "needs more memory than a file of this size may")  # noqa: T201
        return REFUSED
    return 0


def read(path: Path, options: LoadOptions) -> Read:
    """The tables of a snapshot.

    Raises:
        Refused: it is damaged, too large, or no snapshot.
    """
    file, size = _open(path, options)
    limit_memory(size)
    with file:
        content, stacks = load_entries(file, size)
    return assemble(walk(content, size, stacks))


def _open(path: Path, options: LoadOptions) -> tuple[IO[bytes], int]:
    """The inflated content and its size; a plain file is not held in memory."""
    import io

    with path.open("rb") as file:
        plain = compression_of(file.read(4)) == "plain"
    if plain:
        return path.open("rb"), path.stat().st_size
    try:
        content = b"".join(blocks(path, options))
    except Truncated as error:
        raise Refused(f"is compressed and cut off ({error})") from None
    return io.BytesIO(content), len(content)


def limit_memory(content_bytes: int) -> None:
    """Let this process have no more address space than a real snapshot of this size needs."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit = FREE_BYTES + OBJECT_BYTES_PER_BYTE * content_bytes
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # taking millions of objects down one by one would cost as much as loading them
