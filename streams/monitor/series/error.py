"""How far labels lie above what the model says, on average."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.loss import recalibrate
from tidegauge.streams.monitor.series.view import Pairs, View
from tidegauge.streams.monitor.words import numbers, percents


class Error(Series):
    """The mean of label - score: what a model says too little, or too much."""

    statistic = "error"
    kind = "performance"
    reads = (Pairs,)
    about = "labels have moved away from the scores, up or down: label - score"

    def quantity(self, view: View) -> Floats:
        """Return label - score of each pair; of several classes 1 if it is wrong, else 0."""
        assert isinstance(view, Pairs)
        wrong = view.task == "multiclass"
        return (1 - view.labels if wrong else view.labels - view.scores)[:, None]

    def moved(self, by: float, numeric: NumericProfile | None, usual: float) -> float:
        """Return so much: it is in the unit of the labels."""
        return by

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        if alarm.task == "multiclass":
            before, now = percents(alarm.value.reference, alarm.value.current)
            return f"{now} of predicted classes are wrong (reference {before})"
        error, label, score = alarm.value, context.get("label"), context.get("score")
        if label is None or score is None:
            before, now = numbers(error.reference, error.current)
            return f"label - score went from {before} to {now}"
        figures = label.current, score.current, label.reference, score.reference
        if alarm.task == "classification":
            _, _, *told = percents(error.reference, error.current, *figures)
            labels = f"{told[0]} of labels are positive"
        else:
            _, _, *told = numbers(error.reference, error.current, *figures)
            labels = f"labels are {told[0]} on average"
        return f"{labels} where the model says {told[1]} (reference {told[2]} and {told[3]})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "label - score"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return recalibrate(alarm)
