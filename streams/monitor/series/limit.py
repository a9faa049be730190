"""Which share of a feature's values breaks what the spec declares of it."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.limited import Limited
from tidegauge.streams.monitor.series.view import View
from tidegauge.streams.monitor.words import cut, listed, moment, percent

EXAMPLES = 110  # characters of values in a sentence


class Limit(Share):
    """The share of values that break a declared limit: of all rows, where one is required."""

    statistic = "limit"
    kind = "quality"
    reads = (Limited,)
    about = "values break the limits that the spec declares"
    is_declared = is_further = rises_only = True
    names_values = names_rows = True
    fixed_sd = 0.025  # with the gate of 0.2: half a point of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Limited)
        return view.broken

    def among(self, view: View) -> Flags:
        """Return which values there are, or must be."""
        assert isinstance(view, Limited)
        return view.judged

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        examples = listed([cut(one) for one in alarm.examples], EXAMPLES)
        named = f" ({examples})" if examples else ""
        return f"{percent(alarm.value.current)} of {cut(alarm.feature)} breaks its limits{named}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of {cut(feature)} beyond its limits"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            f"Look at the records named and at the source of {cut(alarm.feature)} since "
            f"{moment(alarm.since_ms)}; if such values are right, change its limits in the spec."
        )
