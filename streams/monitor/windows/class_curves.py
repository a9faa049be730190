"""Areas under the ROC curves of several classes, each against the rest, from counts that add up."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.windows.intervals import Interval, of_roc_auc, of_sum

MOST: Final = 50  # classes; of a model with more no area is told
STEP: Final = 0.125  # of log odds: where probabilities are told apart that lie near 0 or 1
ENDS: Final = 14.0  # log odds: a probability of one in a million


def _edges() -> Floats:
    """Return hundredths between 0.01 and 0.99, and beyond them steps of log odds."""
    odds = np.arange(-ENDS, ENDS + STEP, STEP)
    likely = 1 / (1 + np.exp(-odds))
    tails = likely[(likely < 0.01) | (likely > 0.99)]  # noqa: PLR2004 - as the docstring says
    return np.unique([0.0, *tails, *np.linspace(0.01, 0.99, 99)])


EDGES: Final = _edges()


class ClassCurvesState(msgspec.Struct):
    """What was counted, for the snapshot; arrays as bytes."""

    rows: int
    classes: list[tuple[str, bytes]]
    has_too_many: bool = False


class ClassCurves:
    """Probabilities of each class, counted by whether the label is that class.

    Probabilities between two edges are tied: hundredths, and steps of an eighth of log odds nearer
    to 0 and 1.

    Examples
    --------
    >>> curves = ClassCurves()
    >>> shares = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    >>> curves.update(["cat", "dog"], shares, ["cat", "dog", "dog", "cat"])
    >>> curves.area(weighted=False)[0]
    0.75
    """

    def __init__(self) -> None:
        self.rows = 0  # those that a class has not are of probability 0, and of another label
        self.classes: dict[str, Ints] = {}  # by probability, and whether it is the label
        self.has_too_many = False

    def update(self, names: Sequence[str], shares: Floats, labels: Sequence[str]) -> None:
        """Count rows with the probabilities of classes, NaN where none at all was said."""
        said = ~np.isnan(shares).all(axis=1)
        self.rows += int(said.sum())
        own = np.array(labels, object)[said]
        table = np.nan_to_num(shares[said])
        for at, name in enumerate(names):
            self._count(name, table[:, at], own == name)
        for name in sorted({*own.tolist()} - {*names}):
            of_label = own == name
            self._count(name, np.zeros(int(of_label.sum())), of_label[of_label])

    def _count(self, name: str, probabilities: Floats, is_label: Floats) -> None:
        if len(probabilities):
            place = np.searchsorted(EDGES, probabilities, side="left")
            cells = 2 * place + is_label.astype(np.int64)
            self._add(name, np.bincount(cells, minlength=2 * len(EDGES) + 2).reshape(-1, 2))

    def _add(self, name: str, counts: Ints) -> None:
        if name not in self.classes and len(self.classes) >= MOST:
            self.has_too_many = True
        if self.has_too_many:
            self.classes = {}
            return
        held = self.classes.get(name)
        self.classes[name] = counts.astype(np.int64) if held is None else held + counts

    def merge(self, other: "ClassCurves") -> None:
        """Take what another one has counted."""
        self.rows += other.rows
        self.has_too_many |= other.has_too_many
        for name, counts in other.classes.items():
            self._add(name, counts)
        if self.has_too_many:
            self.classes = {}

    def area(self, weighted: bool) -> tuple[float | None, Interval | None]:
        """Return the mean area of the classes that have labels, and its limits.

        scikit-learn's of one class against the rest, ``macro`` or ``weighted`` by labels.

        The areas of two classes are the same; those of more depend less on each other, as what a
        row takes from one class it gives to some of the others. Limits take that as a correlation
        of one over the number of other classes, which is no theorem, and held in simulations.

        References
        ----------
        Provost & Domingos (2000), Well-trained PETs, CeDER working paper 00-04 (weighted).
        """
        found = [one for counts in self.classes.values() if (one := self._one(counts))]
        if not found:
            return None, None
        areas, labels, lows, highs = (np.array(column) for column in zip(*found, strict=True))
        weights = labels / labels.sum() if weighted else np.full(len(found), 1 / len(found))
        alike = 1 / max(len(found) - 1, 1)
        apart, together = of_sum(areas, (lows, highs), weights), (weights @ lows, weights @ highs)
        mean = float(weights @ areas)
        below, above = (
            math.sqrt((1 - alike) * (mean - one) ** 2 + alike * (mean - all_) ** 2)
            for one, all_ in zip(apart, together, strict=True)
        )
        return mean, (mean - below, mean + above)

    def _one(self, counts: Ints) -> tuple[float, int, float, float] | None:
        """Return the area of one class, its labels, and its limits; None of one kind of rows."""
        rest, own = counts.T.copy()
        rest[0] += self.rows - int(counts.sum())
        negatives, positives = int(rest.sum()), int(own.sum())
        if not negatives or not positives:
            return None
        below = np.cumsum(rest) - rest
        area = float(own @ (below + rest / 2)) / (positives * negatives)
        return area, positives, *of_roc_auc(area, positives, negatives)

    def state(self) -> ClassCurvesState | None:
        """Return what a snapshot needs; None of nothing."""
        if not self.rows:
            return None
        held = [(name, counts.tobytes()) for name, counts in sorted(self.classes.items())]
        return ClassCurvesState(self.rows, held, self.has_too_many)

    def load(self, state: ClassCurvesState) -> None:
        """Take back what was counted."""
        self.rows, self.has_too_many = state.rows, state.has_too_many
        self.classes = {
            name: np.frombuffer(counts, np.int64).reshape(-1, 2) for name, counts in state.classes
        }
