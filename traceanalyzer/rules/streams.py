"""Rules about streams: used without use, or in needless number."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules.base import DEVICE_WORK
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.rules.wording import duration, percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.streams import DeviceStreams, Streams
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts

SHOWN = 8


class SerialisedStreams:
    """Several streams compute, but never at the same time.

    Streams allow kernels to run beside each other. Events, waits for a whole stream, or work on the legacy default
    stream put them in a row again; then the streams cost synchronisation and gain nothing.
    """

    code: ClassVar[str] = "STREAM001"
    title: ClassVar[Text] = say("Streams do not run at the same time")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding per device where a second stream does a real share of the work and nothing overlaps."""
        streams: Streams = facts.results["streams"]
        for device in streams.devices:
            busy = [s.busy_ns for s in device.streams]
            second = busy[1] if len(busy) > 1 else 0
            if second < thresholds.SECOND_STREAM_SHARE * sum(busy):
                continue
            if device.together_ns >= thresholds.STREAM_OVERLAP_SHARE * second:
                continue
            yield Finding(
                code=self.code,
                title=self.title,
                severity="low",
                claim=say(
                    "{streams} streams of rank {rank} device {device} compute, and two of them at a time for "
                    "{share} of the second one's time.",
                    streams=len(busy),
                    rank=device.rank,
                    device=device.device,
                    share=percent(device.together_ns / second),
                ),
                evidence=_described(device),
                fix=say(
                    "Look for what orders them: wait_stream and events for more than is needed, a synchronising "
                    "call, work on the default stream; kernels that fill the device cannot overlap, so one "
                    "stream may do."
                ),
                confidence="medium",
                saving_reason=say("whether the kernels leave room for each other is not known"),
            )


class ManyStreams:
    """A device has very many streams.

    The driver maps streams to a limited number of hardware queues (8 by default, CUDA_DEVICE_MAX_CONNECTIONS); streams
    that share a queue wait for each other. Each stream also has a memory pool of its own in the caching allocator.
    """

    code: ClassVar[str] = "STREAM002"
    title: ClassVar[Text] = say("Very many streams")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding per device with more streams than hardware queues."""
        streams: Streams = facts.results["streams"]
        for device in streams.devices:
            if len(device.streams) <= thresholds.HARDWARE_QUEUES:
                continue
            yield Finding(
                code=self.code,
                title=self.title,
                severity="low",
                claim=say(
                    "Rank {rank} device {device} computes on {number} {number:stream|streams}; {queues} hardware "
                    "queues serve them by default.",
                    rank=device.rank,
                    device=device.device,
                    number=len(device.streams),
                    queues=thresholds.HARDWARE_QUEUES,
                ),
                evidence=_described(device),
                fix=say(
                    "Make a few streams once and use them again; or raise CUDA_DEVICE_MAX_CONNECTIONS (up to 32)."
                ),
                confidence="medium",
                saving_reason=say("what sharing queues costs does not show in a trace"),
            )


def _described(device: DeviceStreams) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            say(
                "stream {stream}: {kernels} {kernels:kernel|kernels}, busy for {time}",
                stream=s.stream,
                kernels=f"{s.kernels:,}",
                time=duration(s.busy_ns),
            ),
            table="kernels",
            row=s.longest,
        )
        for s in device.streams[:SHOWN]
    )


RULES = (SerialisedStreams(), ManyStreams())
