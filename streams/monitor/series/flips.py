"""Which share of the labels corrects one that came before, to another value."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Known, View
from tidegauge.streams.monitor.words import moment, percents


class Flips(Share):
    """The share of labels that say another value than the one that their id had."""

    statistic = "flips"
    kind = "quality"
    reads = (Known,)
    about = "labels are corrected to another value"
    fixed_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Known)
        return view.corrected[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        _, now = percents(alarm.value.reference, alarm.value.current)
        return f"{now} of the labels correct an earlier one to another value"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "share of labels that correct an earlier one"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            f"Look at what labels since {moment(alarm.since_ms)}: it changes its mind, or sends "
            "them too early. Figures of outcomes are those of labels that may not be final."
        )
