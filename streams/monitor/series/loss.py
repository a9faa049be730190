"""How much worse a model's predictions are than in the reference."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.view import Pairs, View
from tidegauge.streams.monitor.words import moment, numbers

LOSSES = {"classification": "log loss", "regression": "mean absolute error"}  # by task


class Loss(Series):
    """The mean log loss of a classification, or absolute error of a regression."""

    statistic = "loss"
    kind = "performance"
    reads = (Pairs,)
    about = "predictions have become worse: log loss, or absolute error (a fall is not told)"
    rises_only = True

    def quantity(self, view: View) -> Floats:
        """Return the loss of each pair."""
        assert isinstance(view, Pairs)
        return view.losses[:, None]

    def moved(self, by: float, numeric: NumericProfile | None, usual: float) -> float:
        """Return so much: it is in the unit of the loss."""
        return by

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = numbers(alarm.value.reference, alarm.value.current)
        return f"the model's {LOSSES.get(alarm.task, 'loss')} went from {before} to {now}"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "loss"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return recalibrate(alarm)


def recalibrate(alarm: SeriesAlarm) -> str:
    """Return what to do about a model that has become worse."""
    return (
        f"Compare labels and scores since {moment(alarm.since_ms)}; if the labels are right, "
        "recalibrate or retrain on data from then on."
    )
