"""Metrics of pairs of prediction and label, from what they were counted into.

River updates a metric a row at a time; its metrics over a confusion matrix depend on counts alone,
so the rows are counted first and each cell is given to River once, with its count as the weight.
Its area under the ROC curve takes a matrix for each threshold, and is computed here in one go.
"""

import math
from collections.abc import Callable, Collection, Mapping

import numpy as np

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.windows import Evaluation, ReliabilityBin, RestsOn
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.windows.confusion import OF_MATRIX, Cells, Confusion, Told
from tidegauge.streams.monitor.windows.intervals import (
    Z,
    of_mean,
    of_r2,
    of_roc_auc,
    of_share,
    of_sum,
    wilson,
)
from tidegauge.streams.monitor.windows.outcome_counts import BINS, MEANS, OutcomeCounts

DEFAULTS = {
    "classification": ("accuracy", "f1", "precision", "recall", "roc_auc", "log_loss"),
    "multiclass": ("accuracy", "balanced_accuracy", "f1_macro", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}
OF_TASK = {
    "classification": (*OF_MATRIX, "roc_auc", "pr_auc", "log_loss", "brier", "ece"),
    "multiclass": (
        *(name for name in OF_MATRIX if name not in ("precision", "recall", "f1")),
        "roc_auc_macro",
        "roc_auc_weighted",
        "log_loss",
        "brier",
        "ece",
    ),
    "regression": ("mae", "rmse", "r2", "smape", "quantile_loss"),
}
OF_ALL_CLASSES = {"roc_auc_macro", "roc_auc_weighted", "brier"}  # where there are several
BY_CHANCE = math.sqrt(2 / math.pi) / (2 * Z)  # of an interval's width: the mean size of a gap
SLOWEST = 0.9  # part of the labels that came at least as soon


def needs_all_classes(spec: MonitorSpec) -> bool:
    """Return whether a spec asks for metrics of the probabilities of all classes.

    >>> needs_all_classes(MonitorSpec(model="m", metrics=["roc_auc_macro"]))
    True
    """
    return spec.positive is None and not OF_ALL_CLASSES.isdisjoint(spec.metrics or ())


def evaluate(task: str, chosen: Collection[str] | None, counts: OutcomeCounts) -> Evaluation:
    """Return the chosen metrics of the task, or its usual ones, and how sure each is.

    >>> counts = OutcomeCounts()
    >>> counts.update(np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.8, 0.4]), np.zeros(3))
    >>> told = evaluate("classification", ["accuracy", "f1_macro"], counts)
    >>> {name: round(value, 3) for name, value in told.metrics.items()}
    {'accuracy': 0.667, 'f1_macro': 0.667}
    >>> [round(limit, 3) for limit in told.intervals["accuracy"]], told.rests_on.pairs
    ([0.208, 0.939], 3)
    """
    names = [n for n in OF_TASK[task] if n in (DEFAULTS[task] if chosen is None else chosen)]
    cells: Cells = counts.classes if task == "multiclass" else counts.cells()
    matrix = Confusion({cell: rows for cell, rows in cells.items() if rows})
    placed = counts.numbers if task == "regression" else int(sum(cells.values()))
    told = {n: matrix.tell(n) if n in OF_MATRIX else METRICS[n](counts) for n in names}
    if task == "multiclass" and not counts.has_all_classes:
        told |= dict.fromkeys(OF_ALL_CLASSES & told.keys(), (None, None))
    finite = {n: value for n, (value, _) in told.items() if value is not None}
    return Evaluation(
        metrics={name: finite.get(name) for name in names},
        intervals={n: limits for n in finite if (limits := told[n][1]) is not None},
        rests_on=RestsOn(
            pairs=counts.pairs,
            left_out=counts.pairs - placed,
            delay_ms=counts.delay_ms(0.5),
            slow_delay_ms=counts.delay_ms(SLOWEST),
        ),
        reliability=_reliability(counts) if "ece" in names else [],
    )


def _roc_auc(counts: OutcomeCounts) -> Told:
    """Return River's ROCAUC; None where only one label was seen."""
    above = counts.curve()
    negatives, positives = counts.histogram.sum(axis=0).tolist()
    if not negatives or not positives:
        return None, None
    false_rates, true_rates = (above / (negatives, positives)).T
    area = -float(np.trapezoid(true_rates, false_rates))
    return area, of_roc_auc(area, positives, negatives)


def _pr_auc(counts: OutcomeCounts) -> Told:
    """Return the average precision, scikit-learn's, over River's thresholds."""
    above = counts.curve()[::-1]
    positives = int(counts.histogram[:, 1].sum())
    if not positives:
        return None, None
    hits, rows = above[:, 1], above.sum(axis=1)
    precision = np.divide(hits, rows, out=np.zeros(len(rows)), where=rows > 0)
    area = float(np.diff(hits, prepend=0) @ precision) / positives
    return area, of_share(area, positives)


def _mean(name: str) -> Callable[[OutcomeCounts], Told]:
    def tell(counts: OutcomeCounts) -> Told:
        rows, mean, sd = _moments(counts, name)
        if not math.isfinite(mean):
            return None, None
        limits = of_mean(mean, sd, rows)
        return mean, limits and (max(limits[0], 0.0), limits[1])

    return tell


def _rmse(counts: OutcomeCounts) -> Told:
    mean, limits = _mean("squared_error")(counts)
    if mean is None:
        return None, None
    return math.sqrt(mean), limits and (math.sqrt(limits[0]), math.sqrt(limits[1]))


def _r2(counts: OutcomeCounts) -> Told:
    """Return River's R2, which is 0 of labels without any spread."""
    rows, square, sd = _moments(counts, "squared_error")
    spread = _moments(counts, "label")[2]
    if not spread > 0:
        return 0.0, None
    r2 = 1 - square / spread**2
    return r2, of_r2(r2, sd / square, rows) if square > 0 else (1.0, 1.0)


def _moments(counts: OutcomeCounts, name: str) -> tuple[float, float, float]:
    """Return rows, mean and standard deviation."""
    at, means = MEANS.index(name), counts.means
    return float(means.count[at]), float(means.mean[at]), float(means.sd[at])


def _ece(counts: OutcomeCounts) -> Told:
    """Return the expected calibration error over bins of equal width.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks, ICML.
    """
    rows, shares, scores, limits = _bins(counts)
    if not rows.sum():
        return None, None
    gaps = shares - scores
    weights = rows / rows.sum() * np.where(gaps < 0, -1, 1)
    low, high = of_sum(gaps, (limits[0] - scores, limits[1] - scores), weights)
    # Chance alone makes gaps: the mean of a normal variable's size is 0.8 standard deviations.
    by_chance = BY_CHANCE * float(np.abs(weights) @ (limits[1] - limits[0]))
    return float(weights @ gaps), (max(low - by_chance, 0.0), high)


def _bins(counts: OutcomeCounts) -> tuple[Floats, Floats, Floats, tuple[Floats, Floats]]:
    """Return the rows of each bin, its share of positives, its mean score, limits of the share."""
    rows, positives, scores = counts.reliability.T
    known = np.maximum(rows, 1.0)
    return rows, positives / known, scores / known, wilson(positives / known, rows)


def _reliability(counts: OutcomeCounts) -> list[ReliabilityBin]:
    rows, shares, scores, (low, high) = _bins(counts)
    return [
        ReliabilityBin(
            above=at / BINS,
            rows=int(rows[at]),
            score=float(scores[at]),
            share=float(shares[at]),
            interval=(float(low[at]), float(high[at])),
        )
        for at in np.flatnonzero(rows).tolist()
    ]


METRICS: Mapping[str, Callable[[OutcomeCounts], Told]] = {
    "roc_auc": _roc_auc,
    "roc_auc_macro": lambda counts: counts.curves.area(weighted=False),
    "roc_auc_weighted": lambda counts: counts.curves.area(weighted=True),
    "pr_auc": _pr_auc,
    "ece": _ece,
    "rmse": _rmse,
    "r2": _r2,
} | {name: _mean(name) for name in ("log_loss", "brier", "mae", "smape", "quantile_loss")}
