"""Which share of the rows of a topic cannot be read."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Records, View
from tidegauge.streams.monitor.words import cut, percents


class Rejected(Share):
    """The share of rows that are rejected, of a model version or of nobody in particular."""

    statistic = "rejected"
    kind = "quality"
    reads = (Records,)
    about = "rows cannot be read"
    fixed_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Records)
        return view.refused[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        _, now = percents(alarm.value.reference, alarm.value.current)
        words = [cut(word) for reason in alarm.examples[:1] for word in reason.split(" ")]
        mostly = f", mostly: {' '.join(words)}" if words else ""
        return f"{now} of rows in {cut(alarm.feature)} could not be read{mostly}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "share of rows that could not be read"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return "Read the reasons in the rejected topic, mend the producer, and send them again."
