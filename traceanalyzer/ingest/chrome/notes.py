"""What a reader must know about a Chrome trace: what of it could not be read, what was mended, what was odd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.model.trace import Note
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traceanalyzer.ingest.chrome.assemble import Assembled
    from traceanalyzer.ingest.chrome.damage import Damage
    from traceanalyzer.ingest.chrome.share import Share


_WRITTEN_BY_TORCH = {"schemaVersion", "deviceProperties"}
_OTHER_THREADS = say(
    "Start it in the thread that runs the model, while the model runs: it sees that thread only, unless "
    "experimental_config=torch._C._profiler._ExperimentalConfig(profile_all_threads=True) is set."
)
_TORCH_WRITES = ("ops", "annotations", "python_calls", "api_calls", "kernels", "copies", "allocations")


def notes_of(shares: Sequence[Share], done: Assembled, header: Mapping[str, object]) -> Iterator[Note]:
    """What was lost of the file first, then what was mended, then what was left out of its events."""
    damages = [share.damage for share in shares]
    yield from _cut_off(shares, damages)
    yield from _left_out(damages)
    yield from _broken(damages)
    for count, message in (
        (
            sum(d.not_objects for d in damages),
            say(
                "{count} {count:element|elements} of traceEvents {count:is no object and was|are not objects and "
                "were} left out"
            ),
        ),
        (
            sum(s.untimed for s in shares),
            say("{count} {count:event|events} without a readable time {count:was|were} left out"),
        ),
        (
            done.unmatched_begins,
            say(
                "{count} begin or end {count:event has no partner; it has|events have no partner; they have} no "
                "duration"
            ),
        ),
    ):
        if count:
            yield Note("partial", message.filled(count=count))
    if done.negative_durations:
        message = say(
            "{count} {count:event has|events have} a negative duration and {count:counts|count} as 0",
            count=done.negative_durations,
        )
        yield Note("repaired", message, say("The recording clock stepped back; record again."))
    if header.keys() >= _WRITTEN_BY_TORCH and not any(done.tables[n].num_rows for n in _TORCH_WRITES):
        yield Note("info", say("the profiler recorded no work"), _OTHER_THREADS)
    elif done.events and not any(done.tables[name].num_rows for name in _TORCH_WRITES):
        message = say("no event in it is of a kind that torch.profiler writes")
        yield Note(
            "info", message, say("Record with torch.profiler: traces of other programs show nothing here.")
        )


def _cut_off(shares: Sequence[Share], damages: Sequence[Damage]) -> Iterator[Note]:
    offset = next((d.truncated_at for d in damages if d.truncated_at is not None), None)
    broken = next((s.truncated for s in shares if s.truncated), None)
    again = say("Record again and let the profiler finish writing; figures cover what was read.")
    if broken is not None:
        message = say("the compressed data is damaged or cut off: {error}", error=broken)
        yield Note("partial", message, again)
    elif offset is not None:
        message = say("the file ends in the middle of the JSON, at byte {offset}", offset=offset)
        yield Note("partial", message, again)


def _left_out(damages: Sequence[Damage]) -> Iterator[Note]:
    """What lies behind the events that were read, where nothing should."""
    for damage in damages:
        if damage.again_at is not None:
            yield Note(
                "partial",
                say(
                    "traceEvents comes twice: the first list was read, the one at byte {offset} was not",
                    offset=damage.again_at,
                ),
                say("Give each list in a file of its own."),
            )
        if damage.more_at is not None and damage.more_json:
            yield Note(
                "partial",
                say(
                    "another JSON document begins at byte {offset}, as where two recordings are written into one file: "
                    "the first was read, the other {size} {size:byte|bytes} were not",
                    offset=damage.more_at,
                    size=damage.more_bytes,
                ),
                say(
                    "Give each in a file of its own: uncompressed, `head -c {offset}` has the first, "
                    "`tail -c +{next}` the other.",
                    offset=damage.more_at,
                    next=damage.more_at + 1,
                ),
            )
        elif damage.more_at is not None:
            yield Note(
                "partial",
                say(
                    "the JSON ends at byte {offset}; the {size} {size:byte|bytes} behind it were not read",
                    offset=damage.more_at,
                    size=damage.more_bytes,
                ),
                say("Copy or record the file again."),
            )


def _broken(damages: Sequence[Damage]) -> Iterator[Note]:
    dropped = sum(d.dropped_events for d in damages)
    if dropped:
        message = say(
            "{count} {count:stretch|stretches} ({size} {size:byte|bytes}) {count:is|are} not valid JSON and "
            "{count:was|were} left out, the first at byte {first}",
            count=dropped,
            size=sum(d.dropped_bytes for d in damages),
            first=min(d.dropped_at for d in damages if d.dropped_at is not None),
        )
        yield Note("partial", message, say("Copy or record the file again."))
    if any(d.mended for d in damages):
        message = say(
            "illegal escapes, quotes, control characters or NaN were mended, first after byte {first}",
            first=min(d.mended_at for d in damages if d.mended_at is not None),
        )
        yield Note("repaired", message)
