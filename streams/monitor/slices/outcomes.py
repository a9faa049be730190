"""Figures of pairs by slice: of each row, of a window, of a report."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.schemas.windows import OutcomeSlice, SliceGap
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Pairs
from tidegauge.streams.monitor.slices.dimensions import Dimensions
from tidegauge.streams.monitor.windows.intervals import of_mean, of_sum, wilson
from tidegauge.streams.monitor.windows.readings import FIELDS, HIGH, LOW, ROWS, SHOWN, VALUE, read

FIGURES: Final = ("loss", "error", "accuracy", "selection rate", "tpr", "fpr")
LOSS, ERROR, ACCURACY, SELECTION, TPR, FPR = range(len(FIGURES))
SHARES: Final = (ACCURACY, SELECTION, TPR, FPR)
APART: Final = {
    SELECTION: "selection rate",
    TPR: "true positive rate",
    FPR: "false positive rate",
}  # of a slice, that are compared with those of other rows


class OutcomeSeries(NamedTuple):
    """A series of the pairs of one slice."""

    series: Series
    slice: str  # "country = DE"
    at: int  # its place among the slices
    figure: int
    feature: str  # as sentences have it

    @property
    def column(self) -> str:
        """What is told apart of the series of one statistic."""
        return f"{self.feature} | {self.slice}" if self.figure in APART else self.slice

    @property
    def name(self) -> str:
        """What it is called in specs, reports and alerts."""
        return self.series.name(self.column)


def watched_series(slices: Sequence[str], task: str) -> list[OutcomeSeries]:
    """Return what is watched of each slice: loss and error, then how far rates lie apart.

    >>> [own.name for own in watched_series(["vip = 1"], "classification")][1:3]
    ['error(vip = 1)', 'disparity(selection rate | vip = 1)']
    """
    own = [
        OutcomeSeries(SERIES[FIGURES[figure]], name, at, figure, FIGURES[figure])
        for at, name in enumerate(slices)
        for figure in (LOSS, ERROR)
    ]
    if task == "classification":
        own += [
            OutcomeSeries(SERIES["disparity"], name, at, figure, feature)
            for at, name in enumerate(slices)
            for figure, feature in APART.items()
        ]
    return own


def figures(pairs: Pairs, threshold: float) -> Floats:
    """Return the figures of each pair, NaN where it says nothing of one, shape (rows, figures).

    The mean of a column is the metric: of ``tpr`` only pairs whose label is positive have a value.

    >>> pairs = Pairs(np.array([1.0, 0.0]), np.array([0.75, 0.5]), "classification")
    >>> figures(pairs, 0.5)[:, 2:].tolist()
    [[1.0, 1.0, 1.0, nan], [0.0, 1.0, nan, 1.0]]
    """
    found = np.full((len(pairs), len(FIGURES)), np.nan)
    labels, scores = pairs.labels, pairs.scores
    found[:, LOSS] = pairs.losses
    found[:, ERROR] = SERIES["error"].quantity(pairs)[:, 0]
    if pairs.task == "multiclass":
        found[:, ACCURACY] = labels
    elif pairs.task == "classification":
        positive, negative = labels == 1, labels == 0
        said = np.where(positive | negative, (scores >= threshold).astype(np.float64), np.nan)
        found[:, ACCURACY] = np.where(np.isnan(said), np.nan, said == labels)
        found[:, SELECTION] = said
        found[:, TPR] = np.where(positive, said, np.nan)
        found[:, FPR] = np.where(negative, said, np.nan)
    return found


def moments(found: Moments, series: Sequence[OutcomeSeries]) -> Floats:
    """Return rows, mean and variance of each series, from those of all figures of all slices.

    How far a rate lies from that of the other rows is worth as many rows as have its variance.
    """
    width = len(FIGURES)
    rows, means = found.count.reshape(-1, width), np.nan_to_num(found.mean).reshape(-1, width)
    squares = found.table[2].reshape(-1, width)
    table = np.empty((3, len(series)))
    for place, own in enumerate(series):
        at, figure = own.at, own.figure
        count, mean = rows[at, figure], means[at, figure]
        variance = squares[at, figure] / count if count else np.nan
        if figure in APART:
            all_rows, all_mean = rows[-1, figure], means[-1, figure]
            rest = all_rows - count
            elsewhere = (all_rows * all_mean - count * mean) / rest if rest else np.nan
            mean, variance = mean - elsewhere, all_mean * (1 - all_mean)
            count = count * rest / all_rows if all_rows else 0.0
        table[:, place] = (count, mean if count else np.nan, variance)
    return table


def readings(found: Moments, series: Sequence[OutcomeSeries]) -> Floats:
    """Return what a window says of each series, shape (fields of a reading, series)."""
    nothing, width = np.zeros(0, np.int64), len(FIGURES)
    every = np.empty((FIELDS, found.width))
    read(every, nothing, nothing, found.table)
    table = np.ascontiguousarray(every[:, [own.at * width + own.figure for own in series]])
    apart = np.array([own.figure in APART for own in series], np.bool_)
    rows, means, _ = moments(found, series)
    step = 1.0 / np.maximum(rows, 1.0)  # what one row does at most, and more
    table[ROWS, apart], table[VALUE, apart] = rows[apart], means[apart]
    table[SHOWN, apart] = means[apart]
    table[LOW, apart], table[HIGH, apart] = (means - step)[apart], (means + step)[apart]
    return table


def reports(found: Moments, dimensions: Dimensions) -> list[OutcomeSlice]:
    """Return the metrics of each slice in a window, with their intervals."""
    width = len(FIGURES)
    rows, means, sds = (own.reshape(-1, width) for own in (found.count, found.mean, found.sd))
    shares = np.nan_to_num(means).clip(0.0, 1.0)  # of others the limits are not looked at
    limits = (own.reshape(rows.shape) for own in wilson(shares.ravel(), rows.ravel()))
    tables = np.stack([rows, means, sds, *limits], axis=2).tolist()
    told = []
    for name, columns in zip(dimensions.names, tables, strict=False):
        metrics, intervals = dict[str, float](), dict[str, tuple[float, float]]()
        for figure, (count, value, sd, low, high) in enumerate(columns):
            if count:
                metrics[FIGURES[figure]] = value
                between = (low, high) if figure in SHARES else of_mean(value, sd, count)
                intervals |= {} if between is None else {FIGURES[figure]: between}
        pairs = int(columns[ERROR][0])
        told.append(OutcomeSlice(slice=name, pairs=pairs, metrics=metrics, intervals=intervals))
    return told


def gaps(slices: Sequence[OutcomeSlice], dimensions: Dimensions) -> list[SliceGap]:
    """Return how far the slices of each feature lie apart: rates, and label - score.

    The interval is that of the difference of two shares or means. It does not know that these two
    were chosen for lying farthest apart: with many slices of few pairs they do by chance.
    """
    told, first = list[SliceGap](), 0
    for own in dimensions.own:
        among, first = slices[first : first + len(own.names)], first + len(own.names)
        for figure in (ERROR, SELECTION, TPR, FPR):
            metric = FIGURES[figure]
            known = [one for one in among if metric in one.intervals]
            if len(known) < 2:  # noqa: PLR2004 - a gap lies between two
                continue
            ranked = sorted(known, key=lambda one: one.metrics[metric])
            two = ranked[-1], ranked[0]
            values = np.array([one.metrics[metric] for one in two])
            low, high = np.array([one.intervals[metric] for one in two]).T
            interval = of_sum(values, (low, high), np.array([1.0, -1.0]))
            names = {"most": two[0].slice, "least": two[1].slice}
            value = float(values[0] - values[1])
            gap = SliceGap(
                feature=own.feature, metric=metric, value=value, interval=interval, **names
            )
            told.append(gap)
    return told
