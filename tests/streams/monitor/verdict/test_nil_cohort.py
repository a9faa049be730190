"""Shares that should be nil: how many of 100 rows are told, and when."""

import pytest

from tidegauge.streams.monitor.series.view import Labels, Records, View
from tidegauge.streams.monitor.verdict.nil_cohort import FINE, FIRST, NilCohort
from tidegauge.streams.monitor.windows.bounds import Bounds


@pytest.mark.parametrize(
    ("reads", "hits", "windows"),
    [
        (Records, 6, 1),
        (Records, 5, 2),
        (Records, 3, 2),
        (Records, 2, None),
        (Labels, 6, 1),  # with duplicates it has two series, which share a budget
        (Labels, 5, 3),
        (Labels, 3, 3),
        (Labels, 2, None),
    ],
)
def test_so_many_of_a_hundred_rows_are_told_as_soon_as_the_pages_say(
    reads: type[View], hits: int, windows: int | None
) -> None:
    cohort = NilCohort("fraud", "topic", reads)
    told = None
    for window in range(100):
        part = cohort.begin()
        cohort.count(part, {FINE: 100 - hits, FIRST: hits})
        if told is None and cohort.judge(part, Bounds(index=window, rows=100), {}).fired:
            told = window + 1
    assert told == windows
