"""River's metrics over one window, from counts that rows are folded into.

River updates a metric a row at a time; its metrics over a confusion matrix depend on counts alone,
so the rows are counted first and each cell is given to River once, with its count as the weight.
"""

import math
from collections.abc import Collection, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray
from river import metrics

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.task import losses

THRESHOLDS = 100  # of the ROC curve; River's default of 10 is coarse for small scores
LOSS_COLUMNS = {"classification": "log_loss", "regression": "absolute_error"}  # by task
OUTCOME_COLUMNS = ("log_loss", "absolute_error", "error", "label", "score")  # of their moments


def outcome_table(labels: Floats, scores: Floats) -> Floats:
    """Return both losses, label - score, label and score, shape (rows, 5)."""
    both = [losses(labels, scores, task) for task in LOSS_COLUMNS]
    return np.column_stack([*both, labels - scores, labels, scores])


class Classification:
    """Counts of scores between thresholds, by label: all that River's metrics need.

    Parameters
    ----------
    threshold
        Score from which a prediction counts as positive, 0 to 1.

    Examples
    --------
    >>> counts = Classification(threshold=0.5)
    >>> counts.update(np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.8, 0.4, 0.2]))
    >>> counts.accuracy(), counts.roc_auc()
    (0.75, 1.0)
    """

    def __init__(self, threshold: float) -> None:
        self._roc = metrics.ROCAUC(n_thresholds=THRESHOLDS)
        positive = np.nextafter(threshold, -math.inf)  # River asks score > threshold, we >=
        self._edges = np.unique([*self._roc.thresholds, positive])
        self._cut = int(np.searchsorted(self._edges, positive)) + 1
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        self.counts: NDArray[np.float64] = np.zeros((len(self._edges) + 1, 2))

    def update(self, labels: Floats, scores: Floats) -> None:
        """Count rows; those with a label other than 0 or 1, or without a score, are left out."""
        known = ((labels == 0) | (labels == 1)) & ~np.isnan(scores)
        place = np.searchsorted(self._edges, scores[known], side="left")
        cells = np.bincount(2 * place + labels[known].astype(np.int64), minlength=self.counts.size)
        self.counts += cells.reshape(self.counts.shape)

    def _matrices(self, cuts: Sequence[int]) -> list[metrics.ConfusionMatrix]:
        """Return River's confusion matrices where scores from bin ``cut`` on count as positive."""
        below = np.vstack([np.zeros(2), np.cumsum(self.counts, axis=0)])
        matrices = []
        for negative, all_ in zip(below[cuts].tolist(), repeat(below[-1].tolist())):
            matrix = metrics.ConfusionMatrix()
            for label in (0, 1):
                matrix.update(bool(label), False, w=negative[label])
                matrix.update(bool(label), True, w=all_[label] - negative[label])
            matrices.append(matrix)
        return matrices

    @property
    def _matrix(self) -> metrics.ConfusionMatrix:
        return self._matrices([self._cut])[0]

    def accuracy(self) -> float:
        """Return River's Accuracy."""
        return float(metrics.Accuracy(cm=self._matrix).get())

    def f1(self) -> float:
        """Return River's F1."""
        return float(metrics.F1(cm=self._matrix).get())

    def precision(self) -> float:
        """Return River's Precision."""
        return float(metrics.Precision(cm=self._matrix).get())

    def recall(self) -> float:
        """Return River's Recall."""
        return float(metrics.Recall(cm=self._matrix).get())

    def roc_auc(self) -> float | None:
        """Return River's ROCAUC of 100 thresholds; None where only one label was seen."""
        if not self.counts.sum(axis=0).all():
            return None
        cuts = np.searchsorted(self._edges, self._roc.thresholds, side="left") + 1
        self._roc.cms = self._matrices(cuts.tolist())
        return float(self._roc.get())


CLASSIFICATION = ("accuracy", "f1", "precision", "recall", "roc_auc", "log_loss")
REGRESSION = ("mae", "rmse", "r2")


def evaluate(
    task: str,
    chosen: Collection[str] | None,
    moments: Moments,
    classification: Classification,
) -> dict[str, float | None]:
    """Return the chosen metrics of the task, or all of them, for one window.

    ``moments`` begin with those of ``outcome_table``; what comes behind them is not looked at.
    """
    names = CLASSIFICATION if task == "classification" else REGRESSION
    mean = dict(zip(OUTCOME_COLUMNS, moments.mean.tolist(), strict=False))
    variance = dict(zip(OUTCOME_COLUMNS, (moments.sd**2).tolist(), strict=False))
    square = variance["error"] + mean["error"] ** 2
    total = variance["label"]
    of_moments = {
        "log_loss": mean["log_loss"],
        "mae": mean["absolute_error"],
        "rmse": math.sqrt(square),
        "r2": 1 - square / total if total > 0 else 0.0,  # River's R2 is 0 there, too
    }
    return {
        name: _finite(of_moments[name]) if name in of_moments else getattr(classification, name)()
        for name in names
        if chosen is None or name in chosen
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
