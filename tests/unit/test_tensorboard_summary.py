"""A trace as a row beside others: the report's words, and unknown where nothing was measured."""

from __future__ import annotations

import pytest
import report_cases as cases

from traceanalyzer.tensorboard.summary import summarize


def test_a_row_says_what_the_report_says() -> None:
    row = summarize(cases.training())
    assert "57 % of the step" in row.verdict
    assert row.finding == "The data loader holds the GPU up"
    assert row.saving
    assert row.has_steps
    assert sum(part.width for part in row.parts) == pytest.approx(100, abs=0.01)


def test_what_was_not_measured_is_not_zero() -> None:
    row = summarize(cases.nothing())
    assert (row.busy, row.step) == ("–", "–")
    assert row.parts == ()
    assert row.finding == ""
    assert row.not_assessed == len(cases.nothing().not_assessed)
    assert row.saving == ""
