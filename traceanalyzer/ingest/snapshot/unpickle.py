"""Loading without trust: a pickle that holds anything but plain containers is refused, and nothing in it runs.

A pickle is a program. The loader here knows no class and no function, so that the program can build dicts, lists,
tuples, texts and numbers only; the worker's memory limit and process stop what is built to exhaust or crash.
"""

from __future__ import annotations

import gc
import io
import pickle
from typing import IO, Any, NoReturn


class Refused(Exception):
    """The content is not a snapshot, or asks for something that no snapshot needs; the text says what."""


class _PlainContainers(pickle.Unpickler):
    """The C unpickler without any way to a class, a function or an object outside the file."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise Refused(f"asks for {module}.{name}, but a memory snapshot holds plain containers only")

    def persistent_load(self, pid: Any) -> NoReturn:  # noqa: ARG002
        raise Refused(
            "refers to an object outside the file, but a memory snapshot holds plain containers only"
        )


def load(file: IO[bytes]) -> Any:
    """The plain containers that a pickle or JSON file holds.

    The cyclic garbage collector is off meanwhile: millions of new containers would make it look at each of them
    again and again, which costs more than the loading.

    Raises:
        Refused: with the reason, when the content is damaged or more than plain containers.
    """
    start = file.read(1)
    file.seek(0)
    was_on = gc.isenabled()
    gc.disable()
    try:
        return _PlainContainers(file).load() if start == b"\x80" else _json(file.read())
    except Refused:
        raise
    except MemoryError:
        raise Refused("asks for more memory than a file of this size can need") from None
    except Exception as error:  # the unpickler raises nearly every built-in error on damaged input
        raise Refused(f"is damaged or cut off ({type(error).__name__}: {error})") from None
    finally:
        if was_on:
            gc.enable()


def loads(content: bytes) -> Any:
    """`load` for content in memory."""
    return load(io.BytesIO(content))


def _json(content: bytes) -> Any:
    import msgspec

    return msgspec.json.decode(content)
