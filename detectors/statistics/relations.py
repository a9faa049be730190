"""Which columns follow from others, and how far rows lie from that."""

from collections.abc import Sequence
from math import nan
from typing import Any, Final, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from tidegauge.detectors._jit import BLOCK, FLAGS, STATE, TABLE, VECTOR, kernel

PREDICTORS: Final = 12  # of a column, at most: a row costs as many products a column
PENALTY: Final = 0.05 / 12  # a twentieth of the variance of ranks: what goes together shares it
FOLDS: Final = 5
BEYOND: Final = 0.5  # rank of what lies beyond all of the reference
LEAST_ADDED: Final = 0.005  # of a column's variance, by one more
TIES: Final = 1e-9
LEAST_EXPLAINED: Final = 0.1  # of a column's variance, by the others; else nothing follows
LEAST_ROWS: Final = 20 * PREDICTORS
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PLACES: Final = types.Array(types.int64, 2, "C", readonly=True)
TARGETS: Final = types.Array(types.int64, 1, "C", readonly=True)


class Relation(NamedTuple):
    """How one column follows from others: intercept + sum of weights x predictors."""

    target: int
    predictors: list[int]
    weights: list[float]
    intercept: float


class Relations:
    """Tells how far each row of some columns lies from what its other columns say.

    Parameters
    ----------
    found
        The columns that follow from others, each once.

    Examples
    --------
    >>> own = Relations([Relation(target=1, predictors=[0], weights=[0.5], intercept=0.1)])
    >>> own(np.array([[0.2, 0.3], [np.nan, 0.1], [0.2, np.nan]])).round(3).tolist()
    [[0.01], [0.0], [nan]]
    """

    def __init__(self, found: Sequence[Relation]) -> None:
        self._targets = np.array([own.target for own in found], np.int64)
        self._predictors = np.zeros((len(found), PREDICTORS), np.int64)
        self._weights = np.zeros((len(found), PREDICTORS))
        for at, own in enumerate(found):
            self._predictors[at, : len(own.predictors)] = own.predictors
            self._weights[at, : len(own.weights)] = own.weights
        self._intercepts = np.array([own.intercept for own in found], np.float64)

    def __call__(self, table: Floats) -> Floats:
        """Return the squared residual of each row and target, NaN where the target is missing.

        ``table`` has shape (rows, columns). A missing predictor counts as 0; where one lies beyond
        all of the reference, its relation says nothing, and the residual is NaN.
        """
        found = np.empty((len(table), len(self._targets)))
        squared_residuals(
            found, table, self._targets, self._predictors, self._weights, self._intercepts
        )
        return found


def fit(
    table: Floats, groups: Ints, may_follow: NDArray[np.bool_], may_predict: NDArray[np.bool_]
) -> list[tuple[Relation, Floats]]:
    """Return the columns that follow from others, each with the squared residuals of its rows.

    Parameters
    ----------
    table
        Ranks minus one half, shape (rows, columns), NaN = missing, which counts as 0.
    groups
        The window of each row, ascending. Residuals are those of rows that the fit has not seen:
        windows are left out by fifths, in their order, as neighbours depend on each other.
    may_follow, may_predict
        Which columns may follow from others, and which others may follow from.

    Notes
    -----
    Ridge regression (Hoerl and Kennard 1970) on at most 12 columns, each of which explains most of
    what those before it leave; none is added that explains less than 0.5%. A column is left out
    where less than a tenth of its variance is explained, or fewer than 240 rows have it.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.uniform(-0.5, 0.5, (2, 500))
    >>> found = fit(np.stack([x, x, y], axis=1), np.arange(500), *np.ones((2, 3), np.bool_))
    >>> [(own.target, own.predictors[0], round(own.weights[0], 2)) for own, _ in found]
    [(0, 1, 0.95), (1, 0, 0.95)]
    """
    known = ~np.isnan(table)
    folds, width = _folds(groups), table.shape[1] + 1
    sums = np.zeros((FOLDS, width, width))
    add_products(sums, np.where(known, table, 0.0), folds)
    whole = sums[0] + sums[1] + sums[2] + sums[3] + sums[4]
    moments = [_moments(whole - fold) for fold in (*sums, 0.0)]
    found = []
    for target in np.flatnonzero(may_follow & (known.sum(axis=0) >= LEAST_ROWS)).tolist():
        *others, relation = (_fit_one(*own, target, may_predict) for own in moments)
        residuals = np.empty(len(table))
        for fold, own in enumerate(others):
            left = folds == fold
            residuals[left] = Relations([own])(table[left])[:, 0]
        variance = float(table[known[:, target], target].var())
        if relation.predictors and np.nanmean(residuals) <= (1.0 - LEAST_EXPLAINED) * variance:
            found.append((relation, residuals))
    return found


def _folds(groups: Ints) -> Ints:
    """Return the fifth of the groups in which each row's lies."""
    places = np.unique(groups, return_inverse=True)[1]
    found: Ints = (places * FOLDS // (int(places.max(initial=0)) + 1)).astype(np.int64)
    return found


def _moments(sums: Floats) -> tuple[Floats, Floats]:
    """Return means and covariances from sums of products, with those of ones in the last place."""
    rows = max(float(sums[-1, -1]), 1.0)
    means = sums[-1, :-1] / rows
    return means, sums[:-1, :-1] / rows - means[:, None] * means


def _fit_one(
    means: Floats, covariances: Floats, target: int, may_predict: NDArray[np.bool_]
) -> Relation:
    """Return how a column follows from those that say most about it."""
    usable = may_predict.copy()
    usable[target] = False
    places = np.full(PREDICTORS, -1)
    choose(places, np.ascontiguousarray(covariances), usable, target, PENALTY, LEAST_ADDED)
    chosen = places[places >= 0]
    weights = np.zeros(len(chosen))
    solve(
        np.ascontiguousarray(covariances[np.ix_(chosen, chosen)]),
        weights,
        np.ascontiguousarray(covariances[target, chosen]),
        PENALTY,
    )
    intercept = means[target] - np.sum(weights * means[chosen])
    return Relation(target, chosen.tolist(), weights.tolist(), float(intercept))


@kernel(types.Array(types.float64, 3, "C"), BLOCK, TARGETS, allocates=False)
def add_products(sums: Any, table: Any, folds: Any) -> None:
    """Add to sums[fold] the products of each row's columns, with a one behind the last.

    Row by row, as BLAS may add in another order elsewhere and change the last bits.
    """
    width = table.shape[1]
    for row in range(table.shape[0]):
        own = sums[folds[row]]
        for one in range(width):
            for other in range(width):
                own[one, other] += table[row, one] * table[row, other]
            own[one, width] += table[row, one]
            own[width, one] += table[row, one]
        own[width, width] += 1.0


@kernel(
    types.Array(types.int64, 1, "C"),
    TABLE,
    FLAGS,
    types.int64,
    types.float64,
    types.float64,
)
def choose(
    chosen: Any, covariances: Any, usable: Any, target: Any, penalty: Any, least: Any
) -> None:
    """Set the first of chosen to the columns that explain most of the target, one after another.

    Each is the one that explains most of what those before it leave, at least a part ``least`` of
    the target's variance: forward selection, by a Cholesky decomposition with pivots.
    """
    width = covariances.shape[0]
    left, with_target = np.empty(width), np.empty(width)
    loads = np.empty((len(chosen), width))
    for column in range(width):
        left[column], with_target[column] = covariances[column, column], covariances[column, target]
    for place in range(len(chosen)):
        best, most = -1, least * covariances[target, target]
        for column in range(width):
            gain = with_target[column] ** 2 / (left[column] + penalty)
            if usable[column] and gain > most * (1.0 + TIES):  # of equal ones the first
                best, most = column, gain
        if best < 0:
            break
        chosen[place] = best
        usable[best] = False
        pivot = np.sqrt(left[best] + penalty)
        for column in range(width):
            load = covariances[column, best]
            for before in range(place):
                load -= loads[before, column] * loads[before, best]
            loads[place, column] = load / pivot
        along = with_target[best] / pivot
        for column in range(width):
            left[column] -= loads[place, column] ** 2
            with_target[column] -= loads[place, column] * along


@kernel(STATE, types.Array(types.float64, 1, "C"), VECTOR, types.float64, allocates=False)
def solve(left: Any, found: Any, right: Any, penalty: Any) -> None:
    """Set found to the solution of (left + penalty) found = right, by Cholesky; left is used up."""
    size = len(found)
    for row in range(size):
        left[row, row] += penalty
        for column in range(row + 1):
            total = left[row, column]
            for at in range(column):
                total -= left[row, at] * left[column, at]
            left[row, column] = np.sqrt(total) if row == column else total / left[column, column]
    for row in range(size):
        total = right[row]
        for at in range(row):
            total -= left[row, at] * found[at]
        found[row] = total / left[row, row]
    for row in range(size - 1, -1, -1):
        total = found[row]
        for at in range(row + 1, size):
            total -= left[at, row] * found[at]
        found[row] = total / left[row, row]


@kernel(STATE, BLOCK, TARGETS, PLACES, TABLE, VECTOR, allocates=False)
def squared_residuals(
    found: Any, table: Any, targets: Any, predictors: Any, weights: Any, intercepts: Any
) -> None:
    """Set found[row, target] to the square of what its predictors leave of it."""
    for row in range(table.shape[0]):
        for at in range(len(targets)):
            left, outside = table[row, targets[at]] - intercepts[at], False
            for place in range(predictors.shape[1]):
                value = table[row, predictors[at, place]]
                if value == value:  # noqa: PLR0124 - only NaN is not itself
                    left -= weights[at, place] * value
                    outside |= (abs(value) >= BEYOND) & (weights[at, place] != 0.0)
            found[row, at] = nan if outside else left * left
