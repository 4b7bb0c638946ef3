"""The step of a trace against the step of the same program without a profiler, on a real GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.accuracy.recordings import plain_recordings
from traceanalyzer import pipeline

# Where recording itself changes the pace of the device: each kernel of a recorded CUDA graph takes longer, and the
# driver's copies of pageable memory took 19 to 32 ms without a profiler, too.
SLOWED = {"copy_pageable", "tiny_kernels_graph"}
RECORDINGS = [
    r
    for r in plain_recordings(Path(__file__).parents[2] / "fixtures" / "gpu")
    if r.expected.step != "overhead" and r.workload not in SLOWED
]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r.workload)
def test_where_the_gpu_sets_the_pace_the_profiled_step_is_the_unprofiled_one(recording):
    """The host runs ahead of the device here: its own ranges are far shorter, or longer, than a step."""
    analysis = pipeline.analyze(pipeline.load(recording.trace))
    assert analysis["steps"].median_ns == pytest.approx(recording.step_ns, rel=0.16)
