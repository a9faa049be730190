"""Figures of labels and scores that are shown with an alert and never watched."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.view import Pairs, View


class Shown(Series):
    """A figure that helps to read others."""

    kind = "performance"
    reads = (Pairs,)
    is_watched = False

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return its name: it never alarms."""
        return self.statistic

    def subject(self, feature: str) -> str:
        """Return its name: it never alarms."""
        return self.statistic

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return nothing: it never alarms."""
        return ""


class Label(Shown):
    """The mean label."""

    statistic = "label"
    about = "the mean label, shown with alerts on outcomes"

    def quantity(self, view: View) -> Floats:
        """Return the label of each pair."""
        assert isinstance(view, Pairs)
        return view.labels[:, None]


class Score(Shown):
    """The mean score of the predictions that have a label."""

    statistic = "score"
    about = "the mean score of what has a label, shown with alerts on outcomes"

    def quantity(self, view: View) -> Floats:
        """Return the score of each pair."""
        assert isinstance(view, Pairs)
        return view.scores[:, None]
