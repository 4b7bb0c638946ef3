"""`make fuzz`: damage real and simulated traces at random; whatever comes of it must be an answer or one clear line.

    python tests/fuzz/run.py [--minutes 5] [--seed 0] [FILE…]

Each round takes a file, damages it (cuts, flips, swaps, doubles, planted tokens, deep nesting, wrong types) and walks
it through load, analyze and every reporter. A crash is printed with its seed and the input is kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
import traceback
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, format_of, load, report

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
TOKENS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"NaN", b"-1", b"1e308", b"1e-308", b"\x00", b"\xff",
    b'"ph"', b'"X"', b'"ts":', b"9" * 30, b"0.0000001", b'"\\ud800"', b"true", b"-", b"\xe2\x80\xae",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, -1, 0, 2**63, -(2**63), 2**64, 1e308, -1e308, 0.1, "", "x" * 5000, "7", [], [1, 2], {}, {"a": {"b": 1}},
    "</script><script>alert(1)</script>", "\u202e", "-0", 4294967295,
]  # fmt: skip
MAX_SECONDS = 60


def damage_bytes(data: bytes, random_: random.Random) -> bytes:
    """Some edits of the text that know nothing of JSON."""
    out = bytearray(data)
    for _ in range(random_.choice([1, 1, 2, 5, 20])):
        at, kind = random_.randrange(max(len(out), 1)), random_.randrange(6)
        length = random_.choice([1, 3, 40, 1000])
        match kind:
            case 0:
                del out[at : at + length]
            case 1:
                out[at:at] = random_.choice(TOKENS)
            case 2:
                out[at : at + 1] = bytes([random_.randrange(256)])
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                del out[max(at, 2) :]
            case 5:
                out[at:at] = random_.randbytes(length)
    return bytes(out)


def damage_values(data: bytes, random_: random.Random) -> bytes:
    """Valid JSON with values that nobody expects."""
    document = json.loads(data)
    events = document["traceEvents"] if isinstance(document, dict) else document
    for _ in range(random_.choice([1, 5, 50])):
        event = random_.choice(events) if events else None
        if not isinstance(event, dict):
            continue
        target = event["args"] if isinstance(event.get("args"), dict) and random_.random() < 0.5 else event
        key = random_.choice([*target, "new key", "args", "dur", "ts"])
        if random_.random() < 0.15:
            target.pop(key, None)
        else:
            target[key] = deepcopy(random_.choice(VALUES))  # it may be damaged in its turn
    if random_.random() < 0.3:
        random_.shuffle(events)
    return json.dumps(document).encode()


def one_round(path: Path, folder: Path) -> None:
    """Everything a user can do with a file; only a TraceAnalyzerError may come out."""
    trace = load(path, options=LoadOptions(use_cache=False))
    analysis = analyze(trace)
    for name in ("page.html", "data.json", "text.md", "text.txt"):
        report(analysis, folder / name, format=format_of(Path(name)))


def fuzz(files: list[Path], minutes: float, seed: int, say: Callable[[str], None] = print) -> int:
    """Rounds until the time is over; the number of crashes."""
    originals = [gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes() for f in files]
    until, rounds, crashes = time.monotonic() + minutes * 60, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.monotonic() < until:
            random_ = random.Random(seed + rounds)
            data = random_.choice(originals)
            damaged = (damage_bytes if random_.random() < 0.6 else damage_values)(data, random_)
            path = folder / "damaged.json"
            path.write_bytes(gzip.compress(damaged, 1) if random_.random() < 0.1 else damaged)
            began = time.monotonic()
            try:
                one_round(path, folder)
            except TraceAnalyzerError as error:
                if "\n" in str(error):
                    say(f"seed {seed + rounds}: an error of several lines: {error}")
                    crashes += 1
            except Exception:
                crashes += 1
                kept = Path(tempfile.gettempdir(), f"fuzz-{seed + rounds}.json")
                kept.write_bytes(path.read_bytes())
                say(f"seed {seed + rounds}, kept as {kept}:\n{traceback.format_exc(limit=-6)}")
            if time.monotonic() - began > MAX_SECONDS:
                crashes += 1
                say(f"seed {seed + rounds}: took {time.monotonic() - began:.0f} s")
            rounds += 1
    say(f"{rounds} rounds, {crashes} crashes")
    return crashes


def main() -> int:
    """Run from the command line; exit code 1 when anything crashed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = ROOT.parent / "shared" / "corpus" / "traces"
    small = [p for p in sorted(corpus.glob("*.json.gz")) if p.stat().st_size < 100_000]
    files = options.files or [*sorted((ROOT / "fixtures").glob("*/*.json.gz")), *small]
    return 1 if fuzz(files, options.minutes, options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
