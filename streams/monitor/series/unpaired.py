"""Which share of the labels finds no prediction."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Labels, View
from tidegauge.streams.monitor.words import percents


class Unpaired(Share):
    """The share of labels without a prediction of their id, or with one beyond the horizon."""

    statistic = "unpaired"
    kind = "quality"
    reads = (Labels,)
    about = "labels find no prediction"
    names_rows = True
    fixed_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Labels)
        return view.unpaired[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        _, now = percents(alarm.value.reference, alarm.value.current)
        why = f": {alarm.examples[0]}" if alarm.examples else ""
        return f"{now} of the labels find no prediction{why}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "share of labels without a prediction"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        if alarm.examples:
            return alarm.examples[-1]
        return "Compare the ids, keys and times of labels and predictions."
