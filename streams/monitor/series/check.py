"""Which share of rows breaks a check that the spec declares."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.checked import Checked
from tidegauge.streams.monitor.series.view import View
from tidegauge.streams.monitor.words import cut, listed, moment, percent

EXAMPLES = 110  # characters of rows in a sentence


class Check(Share):
    """The share of rows that break a check, of those of which it can be said."""

    statistic = "check"
    kind = "quality"
    reads = (Checked,)
    about = "rows break a check between columns that the spec declares"
    is_declared = is_further = rises_only = True
    names_values = names_rows = True
    fixed_sd = 0.025  # with the gate of 0.2: half a point of share

    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""
        assert isinstance(view, Checked)
        return view.broken

    def among(self, view: View) -> Flags:
        """Return of which rows it can be said."""
        assert isinstance(view, Checked)
        return view.judged

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        examples = listed([cut(one) for one in alarm.examples], EXAMPLES, "; ")
        named = f" ({examples})" if examples else ""
        now = percent(alarm.value.current)
        return f"{now} of rows break the check {cut(alarm.feature)}{named}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of rows that break {cut(feature)}"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            "Look at the records named, and at what fills these columns since "
            f"{moment(alarm.since_ms)}; if such rows are right, change the check "
            f"{cut(alarm.feature)} in the spec."
        )
