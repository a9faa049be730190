"""How many rows come in a window."""

from collections.abc import Mapping

import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.view import View, Windows
from tidegauge.streams.monitor.words import moment, number


class Volume(Series):
    """The logarithm of the rows that come in a window of event time.

    A window that comes after empty ones has its rows shared among all of them.
    """

    statistic = "volume"
    kind = "quality"
    reads = (Windows,)
    about = "more rows come in a window of event time, or fewer"
    rowwise = "nothing"
    is_further = True
    fixed_sd = 1.0  # with the gate of 0.2: a fifth fewer, or more

    def quantity(self, view: View) -> Floats:
        """Return it for each window."""
        assert isinstance(view, Windows)
        return np.log(np.maximum(view.counts, 0.5) / view.lengths)[:, None]  # half a row is none

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = number(alarm.value.reference), number(alarm.value.current)
        return f"{now} rows come in a window (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "number of rows in a window"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        since = moment(alarm.since_ms)
        if alarm.direction == "down":
            return (
                f"Look for what has kept rows away since {since}: a client, a region or a producer "
                "that is gone. What is left may not be like the rest."
            )
        return (
            f"Look for where the further rows come from since {since}: a new client, or rows that "
            "are sent twice."
        )
