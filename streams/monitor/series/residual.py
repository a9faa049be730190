"""How far a number lies from what the other numbers of its row say."""

from collections.abc import Mapping
from math import sqrt

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.moved import rank_shift
from tidegauge.streams.monitor.series.view import Related, View
from tidegauge.streams.monitor.words import cut, moment, percents


class Residual(Series):
    """The mean squared distance of a number's rank from what the ranks of others make of it.

    It sees values of another row or of another time, whatever their distribution.
    """

    statistic = "residual"
    kind = "drift"
    reads = (Related,)
    about = "a number no longer follows from the others as it did: stale values, a broken join"
    is_further = rises_only = True
    # On dependent windows the blatant rule cost 0.6 to 1.4 false alarms in 100 windows.
    is_blatant = False
    least_sd = 0.005

    def quantity(self, view: View) -> Floats:
        """Return the squared residual of each row and column."""
        assert isinstance(view, Related)
        return view.squares

    def moved(self, by: float, numeric: NumericProfile | None, usual: float) -> float:
        """Return the square of the shift of ranks; no less than otherwise."""
        return usual if numeric is None else max(rank_shift(numeric, by) ** 2, usual)

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        off = (sqrt(max(of or 0.0, 0.0)) for of in (alarm.value.reference, alarm.value.current))
        before, now = percents(*off)
        return (
            f"{cut(alarm.feature)} lies {now} of all ranks from what the other features say of it "
            f"(reference {before})"
        )

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"distance of {cut(feature)} from what other features say"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        name, since = cut(alarm.feature), moment(alarm.since_ms)
        if alarm.feature == SCORE:
            return (
                f"Check since {since} which model answers under this version, and whether scores "
                "and features are of the same request."
            )
        return (
            f"Check whether {name} and the features it goes with are still of the same row and the "
            f"same time since {since}: a join, a cache, or one source that lags behind."
        )
