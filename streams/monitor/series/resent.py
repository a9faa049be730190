"""Which share of the predictions has an id that came before."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Sent, View
from tidegauge.streams.monitor.words import moment, percents


class Resent(Share):
    """The share of predictions whose id a prediction of the same version had."""

    statistic = "resent"
    kind = "quality"
    reads = (Sent,)
    about = "predictions have ids that came before: sent twice, or ids used again"
    fixed_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Sent)
        return view.resent[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        return f"{now} of the predictions have an id that came before (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "share of predictions with an id that came before"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        since = moment(alarm.since_ms)
        if alarm.direction == "down":
            return f"Fewer ids come twice since {since}: look whether that is meant."
        return (
            f"Look for what sends predictions twice since {since}, or uses ids again: the first of "
            "an id counts for its label, while all count as rows."
        )
