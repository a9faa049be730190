"""How long after its prediction a label comes."""

from collections.abc import Mapping

import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.view import Pairs, View
from tidegauge.streams.monitor.words import durations, moment


class Delay(Series):
    """The logarithm of the seconds by which labels come after their predictions."""

    statistic = "delay"
    kind = "quality"
    reads = (Pairs,)
    about = "labels come later after their predictions than they did, or earlier"
    is_further = is_live = True
    least_sd = 2.0  # with the gate of 0.1: a fifth longer, or shorter

    def quantity(self, view: View) -> Floats:
        """Return it for each pair: of a second and how much later it came, if not before."""
        assert isinstance(view, Pairs)
        return np.log1p(view.delays_ms.clip(0.0) / 1000)[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        told = (1000 * np.expm1(one or 0.0) for one in (alarm.value.reference, alarm.value.current))
        before, now = durations(*told)
        return f"labels come {now} after their predictions (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "time from prediction to label"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        since = moment(alarm.since_ms)
        if alarm.direction == "down":
            return (
                f"Look for why labels come earlier since {since}: whether they are final, and "
                "whether the slow ones still come."
            )
        return (
            f"Look at what sends the labels: they come later since {since}. Until all are there, "
            "other figures of outcomes may be those of the quick ones."
        )
