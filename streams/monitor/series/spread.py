"""How far a number's values lie from their middle in the reference."""

from collections.abc import Mapping

import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.moved import is_within_a_step, spread_shift
from tidegauge.streams.monitor.series.view import Numbers, View
from tidegauge.streams.monitor.words import cut, moment, numbers


class Spread(Series):
    """The mean distance of a number's mid-ranks from that of the median, 0 to 0.5."""

    statistic = "spread"
    kind = "drift"
    reads = (Numbers,)
    about = "a number's values lie farther apart, or closer together, around the same middle"
    is_further = True
    least_sd = 0.05

    def quantity(self, view: View) -> Floats:
        """Return the distance of each value; the median's rank is 0."""
        assert isinstance(view, Numbers)
        return np.abs(view.ranks)

    def moved(self, by: float, numeric: NumericProfile | None, usual: float) -> float:
        """Return what it is where values lie so much farther from their middle, or nearer."""
        if numeric is None or is_within_a_step(numeric, by):
            return usual
        return spread_shift(numeric, by)

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = numbers(alarm.value.reference, alarm.value.current)
        how = "farther apart" if alarm.direction == "up" else "closer together"
        return (
            f"{cut(alarm.feature)} lies {how} around its middle, {now} of all ranks from it on "
            f"average (reference {before})"
        )

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"spread of {cut(feature)}"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            f"Look for what has changed {cut(alarm.feature)} since {moment(alarm.since_ms)}: a new "
            "source, two units in one column, a sensor that is stuck."
        )
