"""Metrics of a confusion matrix: River's, and how sure each is."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from river import metrics

from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.windows.intervals import (
    Interval,
    of_change,
    of_share,
    of_sum,
    wilson,
)

Cells = Mapping[tuple[Any, Any], float]  # rows by label and prediction
RIVERS: Mapping[str, Any] = {
    "accuracy": metrics.Accuracy,
    "balanced_accuracy": metrics.BalancedAccuracy,
    "precision": metrics.Precision,
    "recall": metrics.Recall,
    "f1": metrics.F1,
    "precision_macro": metrics.MacroPrecision,
    "recall_macro": metrics.MacroRecall,
    "f1_macro": metrics.MacroF1,
    "precision_micro": metrics.MicroPrecision,
    "recall_micro": metrics.MicroRecall,
    "f1_micro": metrics.MicroF1,
    "precision_weighted": metrics.WeightedPrecision,
    "recall_weighted": metrics.WeightedRecall,
    "f1_weighted": metrics.WeightedF1,
    "kappa": metrics.CohenKappa,
}
OF_MATRIX = (*RIVERS, "mcc")
Told = tuple[float | None, Interval | None]


class Confusion:
    """Rows by label and prediction.

    Parameters
    ----------
    cells
        How many rows of each label, 1 at least, were predicted as what. Of a binary
        classification both are False or True.

    Examples
    --------
    >>> found = Confusion({("cat", "cat"): 30.0, ("cat", "dog"): 10.0, ("dog", "dog"): 40.0})
    >>> value, (low, high) = found.tell("accuracy")
    >>> value, round(low, 3), round(high, 3)
    (0.875, 0.785, 0.931)
    """

    def __init__(self, cells: Cells) -> None:
        self._matrix = metrics.ConfusionMatrix()
        for (label, prediction), rows in cells.items():
            self._matrix.update(label, prediction, w=float(rows))
        classes = {name: at for at, name in enumerate(sorted({n for cell in cells for n in cell}))}
        self._table = np.zeros((len(classes), len(classes)))  # [label, prediction]
        for (label, prediction), rows in cells.items():
            self._table[classes[label], classes[prediction]] = rows
        self._positive = classes.get(True)

    def tell(self, name: str) -> Told:
        """Return a metric and its limits; None of no rows."""
        if not self._table.size:
            return None, None
        if name == "mcc":
            return _mcc(self._table)
        value = float(RIVERS[name](cm=self._matrix).get())
        return value, self._limits(name, value)

    def _limits(self, name: str, value: float) -> Interval | None:
        table, rows = self._table, float(self._table.sum())
        if name == "accuracy" or name.endswith("_micro"):
            return of_share(value, rows)
        if name == "kappa":
            return _kappa(table)
        metric, _, average = name.partition("_")
        support = table.sum(axis=1)
        if average == "weighted":
            return _of_average(table, metric, support / rows, value)
        if name == "f1_macro":
            return _of_average(table, metric, np.full(len(table), 1 / len(table)))
        values, low, high = _of_classes(table, metric)
        if not average:  # of the positive class alone
            at = self._positive
            return None if at is None else (float(low[at]), float(high[at]))
        known = support > 0 if metric == "balanced" else np.ones(len(table), np.bool_)
        return of_sum(values, (low, high), known / known.sum())


# Of a class: how often its labels and its predictions count among the rows that hits are a part of.
AMONG = {"recall": (1, 0), "balanced": (1, 0), "precision": (0, 1), "f1": (1, 1)}


def _shares(table: Floats, metric: str) -> tuple[Floats, Floats]:
    """Return the metric of each class, and of how many rows it is a part."""
    of_labels, of_predictions = AMONG[metric]
    rows = of_labels * table.sum(axis=1) + of_predictions * table.sum(axis=0)
    hits = (of_labels + of_predictions) * np.diag(table)
    return np.divide(hits, rows, out=np.zeros(len(rows)), where=rows > 0), rows


def _of_classes(table: Floats, metric: str) -> tuple[Floats, Floats, Floats]:
    """Return the metric of each class, and its limits."""
    values, rows = _shares(table, metric)
    if metric != "f1":
        return values, *wilson(values, rows)
    union = rows - np.diag(table)  # of which hits are a share: Jaccard's, and F1 follows from it
    low, high = wilson(values / (2 - values), union)
    return values, 2 * low / (1 + low), 2 * high / (1 + high)


def _of_average(
    table: Floats, metric: str, weights: Floats, weighted: float | None = None
) -> Interval:
    """Return the limits of an average over classes that depend on each other.

    ``weighted`` is the average if its weights are the shares of labels, which are uncertain, too.

    References
    ----------
    Takahashi, Yamamoto, Kuchiba & Koyama (2022), Confidence interval for micro-averaged F1 and
    macro-averaged F1 scores, Applied Intelligence 52.
    """
    values, among = _shares(table, metric)
    of_labels, of_predictions = AMONG[metric]
    part = weights / np.maximum(among, 1)
    change = (of_labels + of_predictions) * np.diag(part)
    change -= of_labels * (part * values)[:, np.newaxis] + of_predictions * part * values
    if weighted is not None:
        change += (values - weighted)[:, np.newaxis] / table.sum()
    return of_change(float(weights @ values), table, change)


def _kappa(table: Floats) -> Interval | None:
    """Return the limits of Cohen's kappa, agreement by chance taken as it is."""
    rows = float(table.sum())
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / rows**2
    if chance >= 1:
        return None
    low, high = of_share(float(np.trace(table)) / rows, rows)
    return (low - chance) / (1 - chance), (high - chance) / (1 - chance)


def _mcc(table: Floats) -> Told:
    """Return Matthews' correlation of any number of classes, and its limits by the delta method.

    River has it of two classes only. Where all labels or all predictions are one it is 0, as there.

    References
    ----------
    Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient,
    Computational Biology and Chemistry 28.
    """
    rows, hits = float(table.sum()), float(np.trace(table))
    labels, predictions = table.sum(axis=1), table.sum(axis=0)
    both = rows * hits - float(labels @ predictions)
    of_labels = rows**2 - float(labels @ labels)
    of_predictions = rows**2 - float(predictions @ predictions)
    if not of_labels * of_predictions:
        return 0.0, None
    root = math.sqrt(of_labels * of_predictions)
    value = both / root
    # By how much it changes with one more row of a cell:
    change = rows * np.eye(len(table)) + hits - predictions[:, np.newaxis] - labels
    change -= both * ((rows - labels) / of_labels)[:, np.newaxis]
    change = (change - both * (rows - predictions) / of_predictions) / root
    return value, of_change(value, table, change, (-1.0, 1.0))
