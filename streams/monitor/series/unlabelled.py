"""Which share of the predictions has no label though it is time."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Due, View
from tidegauge.streams.monitor.words import moment, percents


class Unlabelled(Share):
    """The share of predictions without a label, at an age at which labels have mostly come."""

    statistic = "unlabelled"
    kind = "quality"
    reads = (Due,)
    about = "predictions have no label at the age at which it mostly has come (less is not told)"
    rises_only = True
    fixed_sd = 0.3  # with the gate of 0.2: six points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Due)
        return view.unlabelled[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        return f"{now} of the predictions have no label when it is time (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "share of predictions without a label"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        since = moment(alarm.since_ms)
        return (
            f"Look at what sends the labels: they are lost, or late, since {since}. Loss and "
            "metrics are those of the labels that came, which may be of one kind."
        )
