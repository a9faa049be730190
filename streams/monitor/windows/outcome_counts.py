"""What pairs of prediction and label are counted into: all that metrics of them need.

Counts of several windows add up, so that metrics since deployment cost no more than those of one.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from river import metrics

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.series.task import class_losses, is_binary, losses
from tidegauge.streams.monitor.windows.class_curves import ClassCurves, ClassCurvesState
from tidegauge.streams.monitor.windows.outcome_rows import ClassPairs

THRESHOLDS = 100  # of the ROC curve; River's default of 10 is coarse for small scores
ROC_THRESHOLDS = metrics.ROCAUC(n_thresholds=THRESHOLDS).thresholds
MEANS = (
    "log_loss", "brier", "mae", "squared_error", "smape", "quantile_loss", "label",
)  # fmt: skip
BINS: Final = 10  # of the reliability table
OCTAVE: Final = 8  # delays that are told apart while they double: by 9%
MAX_CELLS: Final = 10_000  # of the confusion matrix of classes
DELAYS: Final = OCTAVE * 49  # up to the latest time there is


class OutcomeCountsState(msgspec.Struct):
    """What was counted, for the snapshot; arrays as bytes."""

    pairs: int
    means: bytes
    histogram: bytes
    reliability: bytes
    delays: bytes
    cells: list[tuple[str, str, int]] = []  # label, prediction, rows
    curves: ClassCurvesState | None = None


class OutcomeCounts:
    """Pairs of prediction and label, counted.

    Parameters
    ----------
    threshold
        Score from which a prediction counts as positive, 0 to 1.
    quantile
        Of the label that the prediction of a regression estimates, between 0 and 1.

    Examples
    --------
    >>> counts = OutcomeCounts()
    >>> labels, scores = np.array([0.0, 1.0, 1.0, 2.0]), np.array([0.1, 0.8, 0.4, 0.5])
    >>> counts.update(labels, scores, np.array([0.0, 2000.0, 1000.0, 1000.0]))
    >>> counts.cells()
    {(False, False): 1, (False, True): 0, (True, False): 1, (True, True): 1}
    >>> counts.pairs, counts.numbers, round(counts.delay_ms(0.5))
    (4, 4, 981)
    """

    def __init__(self, threshold: float = 0.5, quantile: float = 0.5) -> None:
        self._threshold, self._quantile = threshold, quantile
        self._edges, self._cut, self._roc_cuts = _places(threshold)
        self.pairs = 0
        self.means = Moments(len(MEANS))
        self.histogram: Ints = np.zeros((len(self._edges) + 1, 2), np.int64)  # by score and label
        self.reliability: Floats = np.zeros((BINS, 3))  # rows, positives, sum of scores
        self.delays: Ints = np.zeros(DELAYS, np.int64)
        self.classes: dict[tuple[str, str], int] = {}  # rows by label and prediction
        self.curves = ClassCurves()

    def update(
        self,
        labels: Floats,
        scores: Floats,
        delays_ms: Floats,
        classes: ClassPairs | None = None,
    ) -> None:
        """Count pairs; a label comes so long after its prediction. NaN: it is not known."""
        self.pairs += len(labels)
        if classes is not None:
            self._add(classes.cells())
            labels = np.where(classes.among, np.nan, labels)
        known = ((labels == 0) | (labels == 1)) & ~np.isnan(scores)
        place = np.searchsorted(self._edges, scores[known], side="left")
        np.add.at(self.histogram, (place, labels[known].astype(np.int64)), 1)
        binary = is_binary(labels, scores)
        table = self._table(labels, scores, binary)
        if classes is not None:
            labels, scores, binary = labels.copy(), scores.copy(), binary.copy()
            said = ~np.isnan(classes.probabilities)
            labels[classes.among], scores[classes.among] = classes.right, classes.confidence
            binary[classes.among] = said
            loss = class_losses(classes.right, classes.probabilities)
            table[classes.among, MEANS.index("log_loss")] = np.where(said, loss, np.nan)
            if classes.names:
                table[classes.among, MEANS.index("brier")] = classes.squared_errors
                self.curves.update(classes.names, classes.shares, classes.labels)
        self.means.update(table)
        self._rely(labels[binary], scores[binary])
        known_ms = np.maximum(delays_ms[~np.isnan(delays_ms)], 0.5)  # less than one is one of 0
        np.add.at(self.delays, (OCTAVE * np.log2(2 * known_ms)).astype(np.int64), 1)

    def _rely(self, labels: Floats, scores: Floats) -> None:
        bins = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
        rows = np.column_stack([np.ones(len(scores)), labels, scores])
        np.add.at(self.reliability, bins, rows)  # one by one: cuts never change a bit

    def _add(self, cells: Iterable[tuple[tuple[str, str], int]]) -> None:
        for cell, rows in cells:
            if cell in self.classes or len(self.classes) < MAX_CELLS:
                self.classes[cell] = self.classes.get(cell, 0) + rows

    def _table(self, labels: Floats, scores: Floats, binary: NDArray[np.bool_]) -> Floats:
        error = labels - scores
        size, scale = np.abs(error), np.abs(labels) + np.abs(scores)
        relative = np.divide(2 * size, scale, out=np.zeros(len(size)), where=scale > 0)
        pinball = (size + (2 * self._quantile - 1) * error) / 2
        log_loss = losses(labels, scores, "classification")
        brier = np.where(binary, error**2, np.nan)
        columns = log_loss, brier, size, error**2, 100 * relative, pinball, labels
        return np.column_stack(columns)

    def merge(self, other: "OutcomeCounts") -> None:
        """Take what another one has counted with the same threshold and quantile."""
        self.pairs += other.pairs
        self.means.merge(other.means)
        self.histogram += other.histogram
        self.reliability += other.reliability
        self.delays += other.delays
        self._add(other.classes.items())
        self.curves.merge(other.curves)

    @property
    def numbers(self) -> int:
        """Pairs whose prediction and label are numbers."""
        return int(self.means.count[MEANS.index("mae")])

    @property
    def has_all_classes(self) -> bool:
        """Whether of all pairs of classes with probabilities those of every class are known."""
        return self.curves.rows == int(self.means.count[MEANS.index("log_loss")])

    def cells(self) -> dict[tuple[bool, bool], int]:
        """Return the confusion matrix of a binary classification."""
        all_ = self.histogram.sum(axis=0)
        negative = self.histogram[: self._cut].sum(axis=0)
        return {
            (bool(label), positive): int((all_ - negative if positive else negative)[label])
            for label in (0, 1)
            for positive in (False, True)
        }

    def curve(self) -> Ints:
        """Return how many of each label lie above each of River's thresholds, which ascend."""
        below = np.vstack([np.zeros((1, 2), np.int64), np.cumsum(self.histogram, axis=0)])
        above: Ints = below[-1] - below[self._roc_cuts]
        return above

    def delay_ms(self, part: float) -> float | None:
        """Return the delay that this part of the labels do not exceed, to some 5%."""
        total = int(self.delays.sum())
        if not total:
            return None
        at = int(np.searchsorted(np.cumsum(self.delays), part * total))
        return 0.0 if at == 0 else float(2 ** ((at + 0.5) / OCTAVE - 1))

    def state(self) -> OutcomeCountsState:
        """Return what a snapshot needs."""
        return OutcomeCountsState(
            self.pairs,
            self.means.snapshot(),
            self.histogram.tobytes(),
            self.reliability.tobytes(),
            self.delays.tobytes(),
            [(*cell, rows) for cell, rows in self.classes.items()],
            self.curves.state(),
        )

    def load(self, state: OutcomeCountsState) -> None:
        """Take back what was counted with the same threshold and quantile."""
        self.pairs = state.pairs
        self.means.restore(state.means)
        self.histogram = np.frombuffer(state.histogram, np.int64).reshape(-1, 2).copy()
        self.reliability = np.frombuffer(state.reliability).reshape(-1, 3).copy()
        self.delays = np.frombuffer(state.delays, np.int64).copy()
        self.classes = {(label, prediction): rows for label, prediction, rows in state.cells}
        if state.curves is not None:
            self.curves.load(state.curves)


@lru_cache(maxsize=100)
def _places(threshold: float) -> tuple[Floats, int, Ints]:
    """Return the edges of bins, and behind how many of them a decision and each threshold lies."""
    positive = np.nextafter(threshold, -math.inf)  # River asks score > threshold, we >=
    edges = np.unique([*ROC_THRESHOLDS, positive])
    cut, *cuts = (np.searchsorted(edges, [positive, *ROC_THRESHOLDS]) + 1).tolist()
    return edges, cut, np.array(cuts)
