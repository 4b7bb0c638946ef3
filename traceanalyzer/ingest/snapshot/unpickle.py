"""Loading without trust: a pickle that holds anything but plain containers is refused, and nothing in it runs.

A pickle is a program. The loader here knows no class and no function, so that the program can build dicts, lists,
tuples, texts and numbers only; the worker's memory limit and process stop what is built to exhaust or crash.
"""

from __future__ import annotations

import gc
import io
import pickle
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

from traceanalyzer.ingest.snapshot.entries import Entries
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.stacks import Stacks
from traceanalyzer.ingest.snapshot.stream import EntryStream

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _PlainContainers(pickle.Unpickler):
    """The C unpickler without any way to a class, a function or an object outside the file."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise Refused(f"asks for {module}.{name}, but a memory snapshot holds plain containers only")

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002
        raise Refused(
            "refers to an object outside the file, but a memory snapshot holds plain containers only"
        )


class _DroppingEntries(_PlainContainers):
    """The same, with a stream that asks for an object in the place of each list of entries."""

    def __init__(self, stream: EntryStream, entries: Callable[[], Any]) -> None:
        super().__init__(stream)
        self._stream, self._entries, self._given = stream, entries, 0

    def persistent_load(self, pid: Any) -> Any:
        if pid != () or self._given == self._stream.asked:
            return super().persistent_load(pid)
        self._given += 1
        return self._entries()


def loads(content: bytes) -> Any:
    """The plain containers that a pickle or JSON text holds.

    Raises:
        Refused: with the reason, when the content is damaged or more than plain containers.
    """
    return _guarded(_load, io.BytesIO(content))


def load_entries(file: IO[bytes], max_rows: int) -> tuple[Any, Stacks]:
    """The same with `Entries` in the place of each device's list of entries, and the stacks that they refer to.

    So the entries need not all be in memory. A file that is not written as torch does it gives lists all the same.

    Args:
        file: at its start, and seekable.
        max_rows: more entries than this cannot come from the file.
    """
    return _guarded(_load_entries, file, max_rows)


def _guarded(load: Callable[..., T], *arguments: Any) -> T:
    """The cyclic garbage collector is off: millions of new containers would make it look at each again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return load(*arguments)
    except Refused:
        raise
    except MemoryError:
        raise Refused("asks for more memory than a file of this size can need") from None
    except Exception as error:  # the unpickler raises nearly every built-in error on damaged input
        raise Refused(f"is damaged or cut off ({type(error).__name__}: {error})") from None
    finally:
        if was_on:
            gc.enable()


def _load(file: IO[bytes]) -> Any:
    is_pickle = file.read(1) == b"\x80"
    file.seek(0)
    return _PlainContainers(file).load() if is_pickle else _json(file.read())


def _load_entries(file: IO[bytes], max_rows: int) -> tuple[Any, Stacks]:
    stream, stacks = EntryStream(file), Stacks(max_rows)
    if stream.framed:
        unpickler = _DroppingEntries(stream, lambda: Entries(stacks, max_rows))
        stream.numbered = unpickler.memo.copy
        try:
            content = unpickler.load()
            _take_lists(content, stacks, max_rows)
            stream.stacks_of(stacks.references)
            stacks.resolve(unpickler.load())
        except (Refused, MemoryError):
            raise
        except Exception:
            if not stream.asked:
                raise
        else:
            return content, stacks
        file.seek(0)  # the content is damaged, or looked like an entry where there is none
    return _load(file), Stacks(max_rows)


def _take_lists(content: Any, stacks: Stacks, max_rows: int) -> None:
    """Lists that began before the stream knew how an entry begins hold runs too, which refer to the same stacks."""
    traces = content.get("device_traces") if isinstance(content, dict) else None
    if not isinstance(traces, list):
        return
    for device, trace in enumerate(traces):
        if trace and isinstance(trace, list):
            traces[device] = Entries.of(trace, stacks, max_rows)


def _json(content: bytes) -> Any:
    import msgspec

    return msgspec.json.decode(content)
