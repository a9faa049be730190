"""Which share of rows comes behind later ones."""

from collections.abc import Mapping

import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags, Ints
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Times, View
from tidegauge.streams.monitor.words import moment, percents


class Late(Share):
    """The share of rows that come behind the latest one by more than they may."""

    statistic = "late"
    kind = "quality"
    reads = (Times,)
    about = "rows come out of order: more than a minute, or the lateness, behind later ones"
    is_further = is_live = True
    rises_only = True  # fewer are good news
    least_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows do."""
        assert isinstance(view, Times)
        return view.behind[:, None]

    def count(self, view: View) -> tuple[Ints, Ints]:
        """Return how many rows do, and of how many that can be said: of all."""
        assert isinstance(view, Times)
        return np.array([np.count_nonzero(view.behind)]), np.array([len(view)])

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        return f"{now} of the rows come behind later ones (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "share of rows that come behind later ones"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            f"Look for a client whose clock is behind, or that is held up or sends old rows, since "
            f"{moment(alarm.since_ms)}. With a lateness in windows rows count where they belong."
        )
