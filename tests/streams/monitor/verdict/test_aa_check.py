"""The alert that what a model learned is not one thing."""

import pytest

from tidegauge.detectors.statistics.change import Change
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import RetrainingSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import watch
from tidegauge.streams.monitor.verdict.aa_check import Inside, changes_inside, reference_alert
from tidegauge.streams.monitor.verdict.incidents import LISTED, Origin
from tidegauge.streams.monitor.verdict.wording import log_line
from tidegauge.streams.monitor.windows.bounds import Bounds, Start

CHANGE = Change(index=20, before=0.0, shift=0.1, statistic=300.0, p_value=0.00001)
STARTS = [Start(window, window * 60_000, window) for window in range(30)]


def told(statistic: str, columns: int) -> Alert:
    """Return the alert that so many columns changed in window 20 of 30."""
    profile = SeriesProfile(values=[0.0] * 30, rows=[100.0] * 30, sd=0.1, shown=0.0, variance=0.01)
    found = [
        Inside(watch(SERIES[statistic], f"x{column}", profile, effect=0.2), CHANGE)
        for column in range(columns)
    ]
    origin = Origin("fraud", "3", "predictions", "topic", 0, RetrainingSpec(), 0)
    return reference_alert(origin, found, STARTS, Bounds(index=29, last_ts_ms=1_800_000))


def test_of_many_series_it_lists_the_largest_and_counts_the_others() -> None:
    alert = told("rank", LISTED + 7)
    assert (len(alert.series), alert.more_series) == (LISTED, 7)
    assert f" and {LISTED + 6} more" in alert.title


def test_its_line_in_the_log_says_what_it_says() -> None:
    alert = told("unseen", 2)
    assert log_line(alert) == f"warning firing: {alert.title}"


def test_what_was_before_and_after_counts_the_rows_of_each_window() -> None:
    values, rows = [0.0] * 20 + [0.05] * 10, [20.0] * 20 + [2000.0] * 10
    profile = SeriesProfile(values=list(values), rows=rows, sd=0.1, shown=0.05, variance=0.04)
    watched = watch(SERIES["missing"], "amount", profile, effect=0.2)
    origin = Origin("fraud", "3", "predictions", "topic", 0, RetrainingSpec(), 0)
    found = changes_inside([watched], {"missing(amount)": profile})
    (alarm,) = reference_alert(origin, found, STARTS, Bounds(index=29)).series
    assert alarm.value.reference == pytest.approx(0.0, abs=1e-12)
    assert alarm.value.current == pytest.approx(0.05)
