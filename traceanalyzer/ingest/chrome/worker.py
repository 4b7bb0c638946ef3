"""`python -m traceanalyzer.ingest.chrome.worker`: do one share in a process of its own.

A plain subprocess rather than multiprocessing, so that a script that calls `traceanalyzer.load` needs no
`if __name__ == "__main__"`. Exit code 3 means that the file is damaged and the parent must read it alone.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.own_process import start_light

DAMAGED = 3


def main(arguments: list[str]) -> int:
    """Arguments: path, folder of the claims, folder for the result, options as JSON."""
    gc.disable()
    start_light()
    from traceanalyzer.ingest.chrome.damage import Broken
    from traceanalyzer.ingest.chrome.layout import NotJson
    from traceanalyzer.ingest.chrome.share import claims, read_share, save

    path, common, own, options = arguments
    try:
        share = read_share(Path(path), LoadOptions(**json.loads(options)), claims(Path(common)))
    except (Broken, NotJson, InputError):
        return DAMAGED
    save(share, Path(own))
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # the parent waits: nothing is left to tidy up
