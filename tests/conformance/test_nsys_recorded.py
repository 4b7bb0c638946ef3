"""Our tables against those of `nsys stats` on the recording in fixtures/nsys, which needs no corpus."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from traceanalyzer.analyzers.nsys.ranges import nvtx_pushpop_sum, nvtx_startend_sum, nvtx_sum
from traceanalyzer.analyzers.nsys.tables import osrt_sum
from traceanalyzer.pipeline import load

from .corpus import NO_CACHE
from .nsys import OLD_NAMES, differences

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceanalyzer.analyzers.nsys.tables import StatsTable
    from traceanalyzer.model.trace import Trace

RECORDED = Path(__file__).parents[2] / "fixtures" / "nsys"


@pytest.mark.parametrize("table", [nvtx_sum, nvtx_pushpop_sum, nvtx_startend_sum, osrt_sum])
def test_equal_to_nsys(table: Callable[[Trace], StatsTable], tmp_path: Path) -> None:
    export = tmp_path / "train.sqlite"
    export.write_bytes(gzip.decompress((RECORDED / "train.sqlite.gz").read_bytes()))
    with (RECORDED / f"train.{OLD_NAMES[table.__name__]}.csv").open(newline="") as file:
        theirs = list(csv.DictReader(file))
    assert theirs
    assert differences(table(load(export, options=NO_CACHE)), theirs) == []
