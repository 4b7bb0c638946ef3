"""Finding the row of `gpus.toml` for a device: by name, else by memory and multiprocessors, else by the user."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from traceanalyzer.errors import UsageError
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEMORY_TOLERANCE = 0.02  # drivers reserve a little of the memory, and not always the same
UNKNOWN = say(
    "{what}; give its peaks with --peak, such as --peak bf16=989 --peak bandwidth=3350, or name it with --gpu"
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """Dense peaks of one GPU, in TFLOP/s (TOP/s for integers), GB/s and MB; None where not known.

    `sources` says where each figure is from, by the name of its field.
    """

    name: str
    match: str = ""
    memory_bytes: int | None = None
    sms: int | None = None
    fp64_tflops: float | None = None
    fp64_matrix_tflops: float | None = None
    fp32_tflops: float | None = None
    tf32_tflops: float | None = None
    bf16_tflops: float | None = None
    fp16_tflops: float | None = None
    fp8_tflops: float | None = None
    fp4_tflops: float | None = None
    int8_tops: float | None = None
    bandwidth_gb_per_s: float | None = None
    l2_mb: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """What is known, by field: the peaks, the bandwidth and the cache."""
        return {name: value for name in SHORT_NAMES if (value := getattr(self, name)) is not None}

    def unverified(self, *figures: str) -> tuple[str, ...]:
        """Those of these fields whose figure no published source has."""
        return tuple(name for name in figures if self.sources.get(name, "").startswith("unverified"))

    def peak(self, dtype: str, *, matrix: bool) -> str | None:
        """The field with the peak for arithmetic in this type; `matrix` on matrix units, else on the vector units.

        A type that the GPU has no units for is computed in the next wider one that it has.
        """
        vector = "fp64_tflops" if dtype in ("fp64", "complex128") else "fp32_tflops"
        candidates = (*(_MATRIX_PEAKS.get(dtype, ()) if matrix else ()), vector)
        return next((name for name in candidates if getattr(self, name) is not None), None)

    def peak_flops(self, dtype: str, *, matrix: bool) -> float | None:
        """FLOP/s for arithmetic in this type, see `peak`."""
        name = self.peak(dtype, matrix=matrix)
        return None if name is None else float(getattr(self, name)) * 1e12

    @property
    def peaks(self) -> dict[str, float]:
        """FLOP/s by type on matrix units, and as "fp32 vector" and "fp64 vector" on the others; what is known."""
        known = {dtype: getattr(self, names[0]) for dtype, names in _MATRIX_PEAKS.items()}
        known |= {"fp32 vector": self.fp32_tflops, "fp64 vector": self.fp64_tflops}
        return {dtype: value * 1e12 for dtype, value in known.items() if value is not None}

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second to and from device memory."""
        return None if self.bandwidth_gb_per_s is None else self.bandwidth_gb_per_s * 1e9


_MATRIX_PEAKS: Mapping[str, tuple[str, ...]] = {
    "fp64": ("fp64_matrix_tflops",),
    "tf32": ("tf32_tflops",),
    "bf16": ("bf16_tflops",),
    "fp16": ("fp16_tflops",),
    "fp8": ("fp8_tflops", "fp16_tflops"),
    "fp4": ("fp4_tflops", "fp8_tflops", "fp16_tflops"),
    "int8": ("int8_tops",),
}

SHORT_NAMES: Mapping[str, str] = {
    "fp64_tflops": "fp64",
    "fp64_matrix_tflops": "fp64_matrix",
    "fp32_tflops": "fp32",
    "tf32_tflops": "tf32",
    "bf16_tflops": "bf16",
    "fp16_tflops": "fp16",
    "fp8_tflops": "fp8",
    "fp4_tflops": "fp4",
    "int8_tops": "int8",
    "bandwidth_gb_per_s": "bandwidth",
    "l2_mb": "l2",
}
"""The figures of a `Gpu` by field, as users call them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user says of the hardware: a GPU of the table by name, and peaks that win over the table.

    `peaks` holds fields of `Gpu` by name.
    """

    gpu: str | None = None
    peaks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """The GPU that a device is, or None; `reason` says how it was found, or why not."""

    gpu: Gpu | None
    reason: Text


@lru_cache(maxsize=1)
def known_gpus() -> tuple[Gpu, ...]:
    """All rows of the table, in its order."""
    text = files("traceanalyzer.hardware").joinpath("gpus.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return tuple(_gpu(row, table["sources"]) for row in table["gpu"])


def _gpu(row: dict[str, Any], named: Mapping[str, str]) -> Gpu:
    whole, parts = row.pop("source"), row.pop("sources", {})
    return Gpu(**row, sources={name: named[parts.get(name, whole)] for name in SHORT_NAMES if name in row})


def look_up(
    name: str | None, memory_bytes: int | None, sms: int | None, choice: Choice | None = None
) -> Match:
    """The GPU with this name, memory and number of multiprocessors.

    Raises:
        UsageError: `choice` names a GPU that the table does not have.
    """
    choice = choice or Choice()
    found = _named(choice.gpu) if choice.gpu else _recognised(name or "", memory_bytes, sms)
    if not choice.peaks:
        return found
    base = found.gpu or Gpu(name or "unknown GPU")
    given: dict[str, Any] = dict(choice.peaks)
    spec = replace(base, **given, sources={**base.sources, **dict.fromkeys(given, "given by the user")})
    given_by_user = say("peaks given by the user")
    return Match(spec, join("; ", [found.reason, given_by_user]) if found.gpu else given_by_user)


def parse_peaks(entries: Iterable[str]) -> dict[str, float]:
    """`("bf16=989", "bandwidth=3350")` as fields of `Gpu`: TFLOP/s, GB/s and MB.

    Raises:
        UsageError: an entry has another form, or names nothing that a GPU has.
    """
    short = {name: figure for figure, name in SHORT_NAMES.items()}
    peaks = {}
    for entry in entries:
        key, _, value = entry.partition("=")
        if key not in short or not re.fullmatch(r"\d+(\.\d+)?", value) or not float(value):
            offered = ", ".join(sorted(short))
            raise UsageError(
                say(
                    "--peak {entry}: write NAME=NUMBER, where NAME is one of {names}",
                    entry=entry,
                    names=offered,
                )
            )
        peaks[short[key]] = float(value)
    return peaks


def _named(wanted: str) -> Match:
    folded = wanted.casefold()
    for gpu in known_gpus():
        if gpu.name.casefold() == folded or re.search(gpu.match, wanted):
            return Match(gpu, say("named by the user as {name}", name=wanted))
    partial = [g for g in known_gpus() if folded in g.name.casefold()]
    if len(partial) == 1:
        return Match(partial[0], say("named by the user as {name}", name=wanted))
    offered = ", ".join(g.name for g in (partial or known_gpus()))
    raise UsageError(
        say(
            "--gpu {name}: no single GPU of that name is known; known are {names}", name=wanted, names=offered
        )
    )


def _recognised(name: str, memory_bytes: int | None, sms: int | None) -> Match:
    if " MIG " in name:
        return Match(
            None,
            UNKNOWN.filled(
                what=say("{name} is a part of a GPU, whose share of the peaks is not known", name=name)
            ),
        )
    for gpu in known_gpus():
        if name and re.search(gpu.match, name):
            return Match(gpu, say("by its name"))
    for gpu in known_gpus():
        if memory_bytes and gpu.memory_bytes and gpu.sms == sms:
            off = abs(memory_bytes - gpu.memory_bytes) / gpu.memory_bytes
            if off < MEMORY_TOLERANCE:
                return Match(
                    gpu, say("by its memory and {sms} {sms:multiprocessor|multiprocessors}", sms=sms)
                )
    called = (
        say("no GPU called {name} is known", name=name) if name else say("the trace does not name the GPU")
    )
    return Match(None, UNKNOWN.filled(what=called))
