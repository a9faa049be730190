"""How far a metric of one slice lies from that of the other rows."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.view import Groups, View
from tidegauge.streams.monitor.words import cut, moment, percents


class Disparity(Series):
    """The selection rate, the true or false positive rate of a slice, less that of other rows.

    The largest gap between groups, most less least, is a figure of reports: of few rows it is large
    by chance, and where traffic falls it rises. A difference from the rest does neither.
    """

    statistic = "disparity"
    kind = "performance"
    reads = (Groups,)
    about = "a slice's selection, true or false positive rate has left that of the other rows"
    rowwise = "nothing"
    needs_profile = False
    is_blatant = False  # one window has few positives of a slice
    least_sd = 0.1

    def quantity(self, view: View) -> Floats:
        """Return what each row adds to the difference."""
        assert isinstance(view, Groups)
        return view.parts

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = alarm.value.reference or 0.0, alarm.value.current or 0.0
        told = percents(abs(before), abs(now))
        sides = ["below" if value < 0 else "above" for value in (before, now)]
        was, is_now = (f"{n} {side}" for n, side in zip(told, sides, strict=True))
        return f"the {cut(alarm.feature)} lies {is_now} that of other rows (reference {was})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"{cut(feature)} beside that of other rows"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            f"Compare the {cut(alarm.feature)} of these rows with that of others since "
            f"{moment(alarm.since_ms)}: look for inputs that changed for them alone, and whether "
            "the model may treat them so."
        )
