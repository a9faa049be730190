"""Which share of a feature's values is of a type that it cannot have."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Typed, View
from tidegauge.streams.monitor.words import cut, moment, percents


class Type(Share):
    """The share of rows that are rejected because of a feature, as where a number comes as text."""

    statistic = "type"
    kind = "quality"
    reads = (Typed,)
    about = "values of a feature cannot be read, as where a number comes as text"
    fixed_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Typed)
        return view.refused[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        _, now = percents(alarm.value.reference, alarm.value.current)
        return f"{now} of {cut(alarm.feature)} is of a type that it cannot have"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of {cut(feature)} of another type"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            f"Mend what sends {cut(alarm.feature)} since {moment(alarm.since_ms)}, and send the "
            "rows of the rejected topic again; if its new type is right, declare it in the spec."
        )
