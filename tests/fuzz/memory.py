"""`make fuzz`, its part on memory: damage snapshots and error texts; nothing in them may run, and no figure be absurd.

    python tests/fuzz/memory.py [--minutes 5] [--seed 0] [--whole 50]

Each round damages the pickle of a made-up run (cuts, flips, doubles, other numbers, and opcodes that import, call or
build) or a text with errors, and reads it in this process: tables, messages or one line that says why not. One round
in `whole` goes through the worker, the analysis and the page. A file that makes Python import, run or open anything
counts as a crash.
"""

from __future__ import annotations

import argparse
import pickle
import random
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from run import damage_bytes, one_round

from fixtures.allocations.__main__ import generate
from fixtures.allocations.programs import Wanted
from traceanalyzer.errors import InputError, TraceAnalyzerError
from traceanalyzer.ingest.oom_text import messages
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.worker import read

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = b"cos\nsystem\n(S'true'\ntR"
OPCODES = [
    CALLS, b"\x8c\x02os\x8c\x06system\x93", b"R", b"\x81", b"\x92", b"b", b"i", b"o", b"P0\n", b"Q", b"\x82\x01",
    b"}\x94", b"]\x94(", b")", b"(", b"N", b"e", b"u", b"s", b"a", b"t", b"l", b"d", b"0", b"1", b"2", b"\x85", b"\x86",
    b"h\x00", b"j\x00\x00\x00\x00", b"r\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"\x8b\xff\xff\xff\x7f", b".",
]  # fmt: skip
TEXTS = [
    "CUDA out of memory. Tried to allocate 1.50 GiB (GPU 3; 23.70 GiB total capacity; 6.10 GiB already allocated; "
    "12.31 MiB free; 23.00 GiB allowed; 6.30 GiB reserved in total by PyTorch)",
    "[rank1]: CUDA out of memory. Tried to allocate 640.00 MiB. GPU 1 has a total capacty of 23.60 GiB of which "
    "500.00 MiB is free. Process 12 has 1.20 GiB memory in use. Including non-PyTorch memory, this process has 21.00 "
    "GiB memory in use. Of the allocated memory 20.10 GiB is allocated by PyTorch, with 80.00 MiB allocated in private "
    "pools, and 700.00 MiB is reserved by PyTorch but unallocated.",
    "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9.07 GB). Tried to "
    "allocate 256.00 MB on private pool.",
    "OOM when allocating tensor with shape[4,128,1024] and type float on /job:localhost",
]
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "exec",
    "socket.connect",
    "pickle.find_class",
)


def snapshots() -> list[bytes]:
    """Pickles of several frames, as they are read by the thousand, and a small one."""
    runs = (
        Wanted("leak", 4000, depth=6, streams=True),
        Wanted("decode", 60, depth=3),
        Wanted(entries=900, graphs=True),
    )
    return [pickle.dumps(generate(wanted)[0], 4) for wanted in runs]


def damage_opcodes(data: bytes, random_: random.Random) -> bytes:
    """Some opcodes in the place of others."""
    out = bytearray(data)
    for _ in range(random_.choice([1, 1, 3, 10])):
        at = random_.randrange(len(out))
        out[at : at + random_.choice([0, 1, 2, 8])] = random_.choice(OPCODES) * random_.choice([1, 1, 1, 200])
    return bytes(out)


def damage_numbers(data: bytes, random_: random.Random) -> bytes:
    """Other addresses, times and sizes, so that most of these files are read."""
    out = bytearray(data)
    places = [found.start() + 2 for found in re.finditer(rb"\x8a[\x04-\x07]", data)]
    for at in random_.sample(places, min(len(places), random_.choice([1, 3, 30, 300]))):
        out[at + random_.randrange(4)] = random_.randrange(256)
    return bytes(out)


def read_text(text: str) -> None:
    """Figures that a machine can have."""
    for row in messages(text):
        assert all(0 <= v < 1 << 63 for v in row.values() if isinstance(v, int)), row


def read_snapshot(data: bytes, path: Path, *, whole: bool) -> str:
    """Whether it was read or refused."""
    path.write_bytes(data)
    try:
        if whole:
            one_round(path, path.parent)
        else:
            forbid(True)
            read(path, LoadOptions(use_cache=False))
    except (Refused, InputError, TraceAnalyzerError, MemoryError):
        return "refused"
    finally:
        forbid(False)
    return "read"


class Forbidden(BaseException):
    """The file made Python do something; no handler of ordinary errors stops this."""


_watching = False


def forbid(on: bool) -> None:
    """Look out for what a file must not do."""
    global _watching  # noqa: PLW0603
    _watching = on


def _audit(event: str, arguments: Any) -> None:
    if _watching and event in FORBIDDEN:
        raise Forbidden(f"{event} {arguments}")


def fuzz(minutes: float, seed: int, whole: int, say: Callable[[str], None] = print) -> int:
    """Rounds until the time is over; the number of crashes."""
    sys.addaudithook(_audit)
    originals, until = snapshots(), time.monotonic() + minutes * 60
    counts, crashes, rounds = {"read": 0, "refused": 0, "texts": 0}, 0, 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "damaged.pickle")
        for original in (*originals, b'{"segments": []}'):  # imports are done before anything is forbidden
            read_snapshot(original, path, whole=True)
            read(path, LoadOptions(use_cache=False))
        while time.monotonic() < until:
            rounds += 1
            random_ = random.Random(seed + rounds)
            try:
                if random_.random() < 0.3:
                    text = "\n".join(random_.choices(TEXTS, k=3))
                    read_text(damage_bytes(text.encode(), random_).decode(errors="replace"))
                    counts["texts"] += 1
                    continue
                damage = random_.choice([damage_bytes, damage_opcodes, damage_numbers, damage_numbers])
                data = damage(random_.choice(originals), random_)
                counts[read_snapshot(data, path, whole=rounds % whole == 0)] += 1
            except (Exception, Forbidden):
                crashes += 1
                say(f"seed {seed + rounds}:\n{traceback.format_exc(limit=-6)}")
    say(f"{rounds} rounds: {counts}, {crashes} crashes")
    return crashes


def main() -> int:
    """Run from the command line; exit code 1 when anything crashed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", type=int, default=50)
    options = parser.parse_args()
    return 1 if fuzz(options.minutes, options.seed, options.whole) else 0


if __name__ == "__main__":
    sys.exit(main())
