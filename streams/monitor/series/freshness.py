"""How far the event times of rows lie from the times of their records."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.view import Times, View
from tidegauge.streams.monitor.words import durations, moment

MINUTE_MS: Final = 60_000


class Freshness(Series):
    """The logarithm of the minutes between a row's event time and its record's own."""

    statistic = "freshness"
    kind = "quality"
    reads = (Times,)
    about = "event times lie farther from their records' own: rows are held up, or a clock is wrong"
    is_further = is_live = True
    rises_only = True  # as it falls where rows of the past are sent one after the other
    least_sd = 1.0  # with the gate of 0.2: a fifth longer

    def quantity(self, view: View) -> Floats:
        """Return it for each row: of a minute and how far apart they are, either way."""
        assert isinstance(view, Times)
        return np.log1p(np.abs(view.ages_ms) / MINUTE_MS)[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        told = alarm.value.reference, alarm.value.current
        before, now = durations(*(MINUTE_MS * np.expm1(one or 0.0) for one in told))
        return f"rows' event times lie {now} from when they came (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "time from rows' event times to when they came"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            "Check the clock and the time zone of what makes the rows, and whether something holds "
            f"them up on their way, since {moment(alarm.since_ms)}."
        )
