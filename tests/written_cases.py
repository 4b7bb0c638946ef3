"""Rules' cases from tests/rules/*.yml: a trace that has the problem, and one as like it as possible without.

A case is a list of events; times are µs. The first word of an event is a method of `Case` or `Linked` and the rest its
arguments, the last of which may be a mapping of columns; `as: x` names the row, and `$x` in a later column refers to
it. A `repeat` holds events that come several times: `times`, and `every` so many µs; `{i}` in a text counts them.
Traces are of torch.profiler and show all that one can show, unless `recorded` says otherwise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from linked import Linked

from traceanalyzer.model.trace import Capability, Note
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.model.trace import Trace

FILES = sorted(Path(__file__).parent.joinpath("rules").glob("*.yml"))
CASES: dict[str, dict[str, Any]] = {
    code: case for file in FILES for code, case in yaml.safe_load(file.read_text()).items()
}
H100 = {
    "device": 0, "name": "NVIDIA H100 80GB HBM3", "memory": 85018279936, "sms": 132, "max_threads_per_sm": 2048,
}  # fmt: skip
TIMES = {
    "launch": (1, 4),
    "frame": (2, 4),
    "add": (2, 4),
    "host": (2, 4),
    "work": (2, 5),
}  # which arguments are times; of other events the 2nd and 3rd


class Case(Linked):
    """A trace on an H100, written as a list of events."""

    def __init__(self, events: list[Any], ranks: int = 1) -> None:
        super().__init__()
        self.named: dict[str, Any] = {}
        self.source: dict[str, Any] = {}
        self.lacks: set[Capability] = set()
        self.rows["devices"] += [{"rank": rank, **H100} for rank in range(ranks)]
        self.play(events, 0.0, 0)

    def play(self, events: list[Any], offset: float, number: int) -> None:
        for event in events:
            if isinstance(event, dict):
                for i in range(event["times"]):
                    self.play(event["repeat"], offset + i * event.get("every", 0), i)
            else:
                self.make(event, offset, number)

    def make(self, event: list[Any], offset: float, number: int) -> None:
        method, *arguments = event
        columns = dict(arguments.pop()) if isinstance(arguments[-1], dict) else {}
        label = columns.pop("as", None)
        texts = [a.replace("{i}", str(number)) if isinstance(a, str) else a for a in arguments]
        first, last = TIMES.get(method, (1, 3))
        times = [a + offset if first <= i < last else a for i, a in enumerate(texts)]
        made = {key: self.value(key, v) for key, v in columns.items()}
        row = getattr(self, method)(*times, **made)
        if label:
            self.named[label] = row

    def work(
        self, op: str, kernel: str, called: float, start: float, end: float, shapes: list[Any], **how: Any
    ) -> dict[str, Any]:
        """A kernel and the op that launches it, on tensors of these shapes; bf16 unless `dtype` or `types` say."""
        types = how.get("types", [how.get("dtype", "c10::BFloat16")] * len(shapes))
        row = self.op(op, called, called + 3, input_dims=json.dumps(shapes), input_types=json.dumps(types))
        return self.launch(kernel, called, start, end, op=row)

    def recorded(
        self, *, without: Iterable[str] = (), notes: Iterable[list[str]] = (), **source: Any
    ) -> None:
        """What is known of the file: its format, `notes`, and `without` which capabilities it is."""
        self.lacks |= {Capability(name) for name in without}
        self.source |= {**source, "notes": tuple(Note(note[0], *map(say, note[1:])) for note in notes)}

    def trace(self, capabilities: set[Capability] | None = None, **source: Any) -> Trace:
        """The trace as it was `recorded`."""
        return super().trace((capabilities or set(Capability)) - self.lacks, **{**self.source, **source})

    def value(self, key: str, given: Any) -> Any:
        if isinstance(given, str) and given.startswith("$"):
            return self.named[given[1:]]
        return json.dumps(given) if key in ("input_dims", "input_types") else given
