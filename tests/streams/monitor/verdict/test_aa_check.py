"""The alert that what a model learned is not one thing."""

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import RetrainingSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import watch
from tidegauge.streams.monitor.verdict.aa_check import Inside, reference_alert
from tidegauge.streams.monitor.verdict.incidents import LISTED, Origin
from tidegauge.streams.monitor.verdict.wording import log_line
from tidegauge.streams.monitor.windows.bounds import Bounds, Start

STARTS = [Start(window, window * 60_000, window) for window in range(30)]


def told(statistic: str, columns: int) -> Alert:
    """Return the alert that so many columns changed in window 20 of 30."""
    profile = SeriesProfile(values=[0.0] * 30, rows=[100.0] * 30, sd=0.1, shown=0.0, variance=0.01)
    found = [
        Inside(watch(SERIES[statistic], f"x{column}", profile, effect=0.2), 20, 0.1)
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
