"""Which share of a category's values the reference does not have."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Unlike
from tidegauge.streams.monitor.series.view import Categories, View
from tidegauge.streams.monitor.words import cut, listed, percents

EXAMPLES = 100  # characters of new values in a sentence


class Unseen(Unlike):
    """The share of values that are not among the categories of the reference."""

    statistic = "unseen"
    kind = "quality"
    reads = (Categories,)
    about = "categories come that the reference does not have"
    names_values = names_rows = True
    fixed_sd = 0.025  # with the gate of 0.2: half a point of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Categories)
        return view.new

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        usual = f", usually {before}" if alarm.value.reference else ""
        examples = listed([cut(one) for one in alarm.examples], EXAMPLES)
        named = f" ({examples})" if examples else ""
        return f"{now} of {cut(alarm.feature)} are values the reference does not have{usual}{named}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of {cut(feature)} not in the reference"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        if alarm.direction == "down":
            return f"Check the source of {cut(alarm.feature)}: usually more of its values are new."
        return (
            f"Check whether the new values of {cut(alarm.feature)} are real; if so, train with "
            "them, as the model has never seen any."
        )
