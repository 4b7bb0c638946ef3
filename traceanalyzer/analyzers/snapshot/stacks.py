"""Call stacks of a snapshot: whose line, which module, which phase. Each distinct stack is looked at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.evidence import origin
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_AUTOGRAD_C = re.compile(r"torch::autograd::(Engine|python::PythonEngine|Node|generated|AccumulateGrad)")


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the source."""

    file: str
    line: int
    name: str

    @property
    def python(self) -> bool:
        """Whether it is Python; compiled frames have the file `??`, none, or a C++ source."""
        return self.file.endswith(".py") or self.file.startswith("<")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an allocation comes from, as one stack tells."""

    python: str | None
    function: str | None
    module: str | None


class StackTable:
    """Frames by row of `stacks`, innermost first."""

    def __init__(self, trace: Trace) -> None:
        self._parent, self._frame = ints(trace.stacks, "parent"), ints(trace.stacks, "frame")
        name, self._names = texts(trace.frames, "name")
        file, self._files = texts(trace.frames, "file")
        line = ints(trace.frames, "line", 0)
        self._frames = [
            Frame(self._files[f], n, self._names[m])
            for f, n, m in zip(file.tolist(), line.tolist(), name.tolist(), strict=True)
        ]
        self.frames = cache(self._walk)
        self.place = cache(self._place)
        self.path = cache(self._path)

    def _walk(self, stack: int) -> tuple[Frame, ...]:
        found = []
        while stack >= 0:
            found.append(self._frames[self._frame[stack]])
            stack = int(self._parent[stack])
        return tuple(found)

    def shared(self, stacks: Iterable[int]) -> tuple[Frame, ...]:
        """The frames through which all of some stacks pass, innermost first."""
        outside_in = [self.frames(stack)[::-1] for stack in stacks]
        common = []
        for frames in zip(*outside_in, strict=False):
            if any(frame != frames[0] for frame in frames):
                break
            common.append(frames[0])
        return tuple(common[::-1])

    def outermost(self, method: str, stacks: Ints) -> Ints:
        """The outermost call of a method that each stack passes through, as its row; -1 where it does not."""
        named = np.array([f.name.split(".")[-1] == method for f in self._frames], np.bool_)
        found, at = np.full(len(stacks), -1, np.int64), stacks
        while (at >= 0).any():
            found = np.where((at >= 0) & named[self._frame[at]], at, found)
            at = np.where(at >= 0, self._parent[at], -1)
        return found

    def place_of_all(self, stacks: Sequence[int]) -> Place:
        """The innermost line of the user's own code through which all of some stacks pass, else that of the first."""
        own = next((f for f in self.shared(stacks) if f.python and origin(f.file) == "user"), None)
        if own is None or len(stacks) == 1:
            return self.place(stacks[0])
        return Place(f"{own.file}:{own.line}", own.name, None)

    def _place(self, stack: int) -> Place:
        python = [f for f in self.frames(stack) if f.python and not f.file.startswith("<autograd")]
        kinds = [origin(f.file) for f in python]
        chosen = next(
            (f for kind in ("user", "package") for f, k in zip(python, kinds, strict=True) if k == kind),
            python[0] if python else None,
        )
        if chosen is None:
            return Place(None, None, None)
        module = next(filter(None, map(_module, python)), None)
        return Place(f"{chosen.file}:{chosen.line}", chosen.name, module)

    def _path(self, stack: int) -> tuple[str, ...]:
        """The Python frames from the user's innermost line outwards; a run of library frames is one entry.

        Without a line of the user's all Python frames are told.
        """
        python = [f for f in self.frames(stack) if f.python]
        own = [origin(f.file) == "user" for f in python]
        first = own.index(True) if True in own else 0
        told: list[str] = []
        folded = 0
        for frame, is_own in zip(python[first:], own[first:], strict=True):
            if is_own or True not in own:
                if folded:
                    told.append(say("… {count} in libraries", count=folded))
                folded = 0
                told.append(f"{frame.file}:{frame.line} {frame.name}")
            else:
                folded += 1
        return tuple(told)


def _module(frame: Frame) -> str | None:
    """The class of a forward method; the file where only the method's own name was recorded, as torch does."""
    if frame.name.endswith(".forward"):
        return frame.name.removesuffix(".forward")
    if frame.name == "forward" and origin(frame.file) == "user":
        return say("forward in {file}", file=PurePath(frame.file).name)
    return None


def in_backward(frames: tuple[Frame, ...]) -> bool:
    """Whether autograd was running backwards."""
    return any(
        f.file == "<autograd>"
        or (not f.python and _AUTOGRAD_C.search(f.name) is not None)
        or (f.name == "backward" and "torch/" in f.file)
        for f in frames
    )
