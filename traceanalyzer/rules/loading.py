"""Rules about the input pipeline."""

from __future__ import annotations

from traceanalyzer.rules.idle import IdleRule
from traceanalyzer.text import say


class DataloaderStall(IdleRule):
    """The device waits because the next batch is not there.

    The workers of the `DataLoader` (or the main process, with `num_workers=0`) prepare batches more slowly
    than the device uses them. Counted is the idle time that the launching thread spends in
    `DataLoader.__next__`.
    """

    code = "INPUT001"
    title = say("The step waits for the next batch")
    causes = ("dataloader",)
    says = say("the host waits for the next batch")
    fix = say(
        "Let workers prepare batches ahead; move decoding and augmentation into them or onto the "
        "device, or store the data preprocessed.\n"
        "```\n"
        "DataLoader(\n"
        "    dataset, num_workers=8, persistent_workers=True,\n"
        "    pin_memory=True, prefetch_factor=4,\n"
        ")\n"
        "```"
    )


RULES = (DataloaderStall(),)
