"""Where a number's values lie among those of the reference."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.moved import rank_shift
from tidegauge.streams.monitor.series.view import Numbers, View
from tidegauge.streams.monitor.words import cut, moment, numbers


class Rank(Series):
    """The mean mid-rank among the reference's values minus one half, in [-0.5, 0.5].

    Bounded, so that no outlier can hide a shift; equal values share their rank, so its unit is
    that of this reference: 0.29 where no two are equal, 0.05 for a flag that one row in 100 has.
    """

    statistic = "rank"
    kind = "drift"
    reads = (Numbers,)
    about = "a number's values have moved up or down among those of the reference"
    shows_mean = True
    least_sd = 0.05

    def quantity(self, view: View) -> Floats:
        """Return each value's mid-rank minus one half."""
        assert isinstance(view, Numbers)
        return view.ranks

    def rows(self, view: View) -> Floats:
        """Return the values themselves."""
        assert isinstance(view, Numbers)
        return view.values

    def moved(self, by: float, numeric: NumericProfile | None, usual: float) -> float:
        """Return by how much the mean rank moves with the values."""
        return usual if numeric is None else rank_shift(numeric, by)

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        name, went = cut(alarm.feature), _went(alarm.value)
        before, now = numbers(alarm.value.reference, alarm.value.current)
        if went in (alarm.direction, "unknown"):
            return f"{name} moved {alarm.direction}, from {before} to {now} on average"
        side = "higher" if alarm.direction == "up" else "lower"
        verb = {"up": "rose", "down": "fell"}.get(went)
        mean = f"{verb} from {before} to {now}" if verb else f"is still {now}"
        return f"most values of {name} are {side} than in the reference, though the mean {mean}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return cut(feature)

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        since = moment(alarm.since_ms)
        if alarm.feature == SCORE:
            return (
                "Look for what moved the inputs, and compare labels and scores as soon as labels "
                f"come; if the model is wrong now, retrain on data from {since} on."
            )
        name = cut(alarm.feature)
        if alarm.value.current == 0 and alarm.value.reference:
            return (
                f"Check the source of {name}: it has been 0 on average since {since}, as if it had "
                "stopped. Do not train on such rows before you know why."
            )
        return (
            f"Check the source and the unit of {name}, and whether its values still vary; if the "
            f"change is real, watch the model's performance and retrain on data from {since} on."
        )


def _went(mean: Figure) -> str:
    """Return where a mean went: up, down, nowhere, or unknown."""
    if mean.reference is None or mean.current is None:
        return "unknown"
    if mean.current == mean.reference:
        return "nowhere"
    return "up" if mean.current > mean.reference else "down"
