"""How fast a large memory snapshot is read, against a plain pickle.load of the same file.

`python tests/benchmarks/snapshot.py --entries 1000000 --depth 20`: each way in a process of its own, with its peak
memory. The goal is at most 1.5 times the time and 6 times the file's size.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20
WAYS = {
    "pickle.load": "import pickle; pickle.load(open(PATH, 'rb'))",
    "read": "from traceanalyzer.ingest.snapshot.read import MemorySnapshot\n"
    "from traceanalyzer.ingest.options import LoadOptions\nfrom pathlib import Path\n"
    "MemorySnapshot().read(Path(PATH), LoadOptions(use_cache=False))",
    "analyze": "import traceanalyzer as ta\nfrom traceanalyzer.ingest.options import LoadOptions\n"
    "ta.analyze(ta.load(PATH, options=LoadOptions(use_cache=False)))",
}


def make(path: Path, entries: int, depth: int) -> None:
    """Blocks that come and go: a fresh list of shared frames per call, as torch writes them."""
    outer = [{"filename": f"m{i}.py", "line": i, "name": "_call_impl"} for i in range(depth - 1)]
    inner = [{"filename": "/app/model.py", "line": i, "name": "forward"} for i in range(200)]
    trace, address = [], 0x7F00_0000_0000
    for i in range(entries // 3):
        where, ways = address + i % 1000 * MIB, [[inner[i % 200], *outer], [inner[-1 - i % 200], *outer]]
        for action, frames in zip(
            ("alloc", "free_requested", "free_completed"), (*ways, ways[1]), strict=True
        ):
            trace.append(
                {"action": action, "addr": where, "size": 500_000, "stream": 0, "frames": frames,
                 "time_us": 1_700_000_000_000_000 + len(trace), "compile_context": "N/A", "user_metadata": ""}
            )  # fmt: skip
    path.write_bytes(pickle.dumps({"segments": [], "device_traces": [trace], "external_annotations": []}, 4))


def measure(program: str, path: Path) -> tuple[float, int]:
    """Wall time in s and peak resident memory in bytes, its worker processes included."""
    source = f"PATH = {str(path)!r}\n{program}"
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", source])
    usage = os.wait4(process.pid, 0)[2]
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def main() -> None:
    """Print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--depth", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshot.pickle")
        make(path, chosen.entries, chosen.depth)
        size = path.stat().st_size
        print(f"{chosen.entries:,} entries, {size / MIB:.1f} MiB")  # noqa: T201
        plain = 0.0
        for name, program in WAYS.items():
            seconds, peak = measure(program, path)
            plain = plain or seconds
            line = f"{name:12} {seconds:6.2f} s = {seconds / plain:.2f}, {peak / MIB:,.0f} MiB = {peak / size:.1f}"
            print(line)  # noqa: T201


if __name__ == "__main__":
    main()
