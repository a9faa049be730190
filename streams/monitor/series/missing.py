"""Which share of a feature's values is missing."""

from collections.abc import Mapping

import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags, Ints
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.tally import MISSING
from tidegauge.streams.monitor.series.view import Categories, Numbers, View
from tidegauge.streams.monitor.words import cut, moment, percents


class Missing(Share):
    """The share of rows in which a feature is null, or absent."""

    statistic = "missing"
    kind = "quality"
    reads = (Categories, Numbers)
    about = "the share of rows without the feature has changed"
    needs_profile = False
    of_score = False  # a prediction has one
    least_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        return ~view.known

    def count(self, view: View) -> tuple[Ints, Ints]:
        """Return in how many rows each column has it, and of how many that can be said."""
        return view.tally[MISSING], np.full(len(view.columns), len(view))

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        return f"{cut(alarm.feature)} is missing in {now} of rows (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of rows without {cut(feature)}"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        name, since = cut(alarm.feature), moment(alarm.since_ms)
        if alarm.direction == "down":
            return (
                f"Look at the pipeline that fills {name}: it comes more often since {since}, in "
                "rows of which the model may not have seen the like."
            )
        return (
            f"Look at the pipeline that fills {name}: it has been absent more often since {since}. "
            "Scores made without it are suspect."
        )
