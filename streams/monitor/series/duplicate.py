"""Which share of the labels names an id that has a label already."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Labels, View
from tidegauge.streams.monitor.words import percents


class Duplicate(Share):
    """The share of labels for an id that has one."""

    statistic = "duplicate"
    kind = "quality"
    reads = (Labels,)
    about = "labels name ids that have a label already"
    fixed_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Labels)
        return view.duplicate[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        _, now = percents(alarm.value.reference, alarm.value.current)
        return f"{now} of the labels name an id that has a label already"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "share of labels for an id that has one"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return "Send one label for each id: of several the first counts, and no other."
