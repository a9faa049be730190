"""River's metrics over one window, from counts that rows are folded into.

River updates a metric a row at a time; its metrics over a confusion matrix depend on counts alone,
so the rows are counted first and each cell is given to River once, with its count as the weight.
Its area under the ROC curve takes a matrix for each threshold, and is computed here in one go.
"""

import math
from collections.abc import Collection
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from river import metrics

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.series.task import losses

THRESHOLDS = 100  # of the ROC curve; River's default of 10 is coarse for small scores
ROC_THRESHOLDS = metrics.ROCAUC(n_thresholds=THRESHOLDS).thresholds
OF_MATRIX = {
    "accuracy": metrics.Accuracy,
    "f1": metrics.F1,
    "precision": metrics.Precision,
    "recall": metrics.Recall,
}
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
    >>> told = counts.metrics()
    >>> told["accuracy"], told["roc_auc"]
    (0.75, 1.0)
    """

    def __init__(self, threshold: float) -> None:
        self._edges, self._cut, self._roc_cuts = _places(threshold)
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

    def metrics(self) -> dict[str, float | None]:
        """Return River's accuracy, F1, precision, recall and area under the ROC curve.

        The last is None where only one label was seen.
        """
        below = np.vstack([np.zeros(2), np.cumsum(self.counts, axis=0)])
        all_, negative = below[-1].tolist(), below[self._cut].tolist()
        matrix = metrics.ConfusionMatrix()
        for label in (0, 1):
            matrix.update(bool(label), False, w=negative[label])
            matrix.update(bool(label), True, w=all_[label] - negative[label])
        own = {name: float(metric(cm=matrix).get()) for name, metric in OF_MATRIX.items()}
        return own | {"roc_auc": _area(below[-1] - below[self._roc_cuts], below[-1])}


@lru_cache(maxsize=100)
def _places(threshold: float) -> tuple[Floats, int, Ints]:
    """Return the edges of bins, and behind how many of them a decision and each threshold lies."""
    positive = np.nextafter(threshold, -math.inf)  # River asks score > threshold, we >=
    edges = np.unique([*ROC_THRESHOLDS, positive])
    cut, *cuts = (np.searchsorted(edges, [positive, *ROC_THRESHOLDS]) + 1).tolist()
    return edges, cut, np.array(cuts)


def _area(above: Floats, all_: Floats) -> float | None:
    """Return River's ROCAUC from how many of each label lie above each of its thresholds."""
    if not all_.all():
        return None
    false_rates, true_rates = (above / all_).T
    return -float(np.trapezoid(true_rates, false_rates))


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
    told = {name: _finite(value) for name, value in of_moments.items()}
    if task == "classification":
        told |= classification.metrics()
    return {name: told[name] for name in names if chosen is None or name in chosen}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
