"""Which share of a number's values lies far outside the reference."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Unlike
from tidegauge.streams.monitor.series.view import Numbers, View
from tidegauge.streams.monitor.words import cut, percents


class Range(Unlike):
    """The share of values beyond the reference's usual range by a quarter of its width."""

    statistic = "range"
    kind = "quality"
    reads = (Numbers,)
    about = "values lie far outside the range of the reference"
    of_score = False  # its rank tells
    fixed_sd = 0.025  # with the gate of 0.2: half a point of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Numbers)
        low, high = view.profiles.low, view.profiles.high
        found: Flags = (view.values < low) | (view.values > high)
        return found

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        usual = f" (usually {before})" if alarm.value.reference else ""
        return f"{now} of {cut(alarm.feature)} lies far outside the range of the reference{usual}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of {cut(feature)} out of range"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        if alarm.direction == "down":
            return f"Check the source of {cut(alarm.feature)}: usual values no longer come."
        return (
            f"Check the source and the unit of {cut(alarm.feature)}: such values were hardly seen "
            "in the reference, and scores made with them are suspect."
        )
