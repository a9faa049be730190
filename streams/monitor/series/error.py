"""How far labels lie above what the model says, on average."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
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
        """Return label - score of each pair."""
        assert isinstance(view, Pairs)
        return (view.labels - view.scores)[:, None]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        label, score = context.get("label"), context.get("score")
        if label is None or score is None or not (_is_share(label) and _is_share(score)):
            before, now = numbers(alarm.value.reference, alarm.value.current)
            return f"label - score went from {before} to {now}"
        labels = percents(label.reference, label.current)
        scores = percents(score.reference, score.current)
        return (
            f"{labels[1]} of labels are positive where the model says {scores[1]} "
            f"(reference {labels[0]} and {scores[0]})"
        )

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return "label - score"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return recalibrate(alarm)


def _is_share(figure: Figure) -> bool:
    return figure.current is not None and 0 <= figure.current <= 1
