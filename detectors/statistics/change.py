"""Whether a reference is one thing, or its level changed inside it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.detectors.statistics.dependence import Dependence, table

LEAST_WINDOWS: Final = 20  # below, the table does not hold
LEAST_PART: Final = 3  # windows before and after a change; a single one may be a stray
LEVELS: Final = np.array([0.1, 0.05, 0.025, 0.01, 0.005, 0.0025, 0.001, 0.0005, 0.0001, 0.00001])
CRITICAL: Final = np.array([29.4, 41.0, 53.5, 72.5, 87.9, 103.8, 127.9, 145.0, 190.0, 277.0])


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level inside a series of window values, and how sure it is.

    Parameters
    ----------
    index
        Position of the first window after it.
    before
        Mean before it, each window with its own weight, in the unit of the values.
    shift
        Mean after it less that.
    statistic
        Shao and Zhang's G.
    p_value
        Chance of such a statistic, or a larger one, where nothing changes; 0.00001 to 0.1, and 1
        for whatever is above a tenth.
    """

    index: int
    before: float
    shift: float
    statistic: float
    p_value: float


def change_inside(
    values: NDArray[np.float64], rows: NDArray[np.float64], reference: Dependence
) -> Change | None:
    """Look for one change of level inside the window values that a reference was fitted to.

    Parameters
    ----------
    values, rows
        As ``fit`` took them: one value a window, and the rows each stands on.
    reference
        What it made of them: by it windows count for their rows, and values of few rows or below
        the floor may well be steadier by chance than their rows allow.

    Returns
    -------
    Change or None
        The likeliest change, however likely: whether it is told is for the caller to say, by its
        p-value and its size. None if fewer than 20 windows have a value.

    Notes
    -----
    The statistic is the largest squared CUSUM over all places of a change, each divided by what
    the CUSUMs within the two parts beside it vary, so neither a variance nor a model of how windows
    depend is estimated, in which a change would hide. Departures from the paper:

    - Time is the sum of the windows' weights, in which the sum of independent deviations is a
      random walk whatever their rows.
    - The divisor is at least half of what the rows alone let expect. Otherwise three hits in 300
      rows are a sure change where they lie close together.
    - A part has three windows at least: a single stray is no change.
    - The place that is told is that of least squares (Bai 1997), which is nearer.

    Critical values are the largest simulated for 20 to 1,000 independent normal windows without
    the second departure, which differ by a tenth at most; in between, the logarithm of the p-value
    is interpolated over the root of the statistic.

    At a level for one false finding in 100 models of 30 series, a shift of 2, 3, 4 sds of windows
    in the last third of 30 windows is found in .27, .69, .91 of all cases, one of 1, 1.5, 2 in that
    of 90 windows in .22, .61, .88; one in the last three of 30 must have 8 to be found in half.
    Where windows depend it is less sure than it says: with a correlation of .5 from one to the next
    there are 3 to 18 false findings in 100 models, with one of .9 one or two in every model.

    References
    ----------
    Shao and Zhang (2010), Testing for change points in time series, Journal of the American
    Statistical Association 105; Bai (1997), Estimation of a change point in multiple regression
    models, Review of Economics and Statistics 79.

    Examples
    --------
    >>> from tidegauge.detectors.statistics.dependence import fit
    >>> values, rows = np.array([0.1, -0.1, 0.0, 0.2, -0.2] * 6), np.full(30, 100.0)
    >>> values[20:] += 1.0
    >>> change = change_inside(values, rows, fit(values, rows, 1.0, floor=0.01))
    >>> change.index, change.shift, change.p_value
    (20, 1.0, 0.00001)
    """
    known = np.flatnonzero(~np.isnan(values) & (rows >= 1))
    if known.size < LEAST_WINDOWS:
        return None
    y, weights, statistics, likeliest = _look(values[None, known], rows[None, known], reference)
    after = np.arange(known.size) >= likeliest[0]
    before = float(np.average(y[0, ~after], weights=weights[0, ~after]))
    shift = float(np.average(y[0, after], weights=weights[0, after])) - before
    first, p_value = int(known[likeliest[0]]), float(_chances(statistics)[0])
    return Change(first, reference.mean + before, shift, float(statistics[0]), p_value)


def p_values(
    values: NDArray[np.float64], rows: NDArray[np.float64], references: Sequence[Dependence]
) -> NDArray[np.float64]:
    """Return how sure a change is in each of many series, as ``change_inside`` does; 1 for None.

    Parameters
    ----------
    values, rows
        One value a window, and the rows each stands on, shape (series, windows).
    references
        What each series' fit made of them.

    Examples
    --------
    >>> from tidegauge.detectors.statistics.dependence import fit
    >>> values, rows = np.array([0.1, -0.1, 0.0, 0.2, -0.2] * 6), np.full(30, 100.0)
    >>> steady = fit(values, rows, 1.0, floor=0.01)
    >>> moved = np.where(np.arange(30) < 20, values, values + 1.0)
    >>> several = np.stack([values, moved]), np.stack([rows, rows])
    >>> p_values(*several, [steady, fit(moved, rows, 1.0, floor=0.01)]).tolist()
    [1.0, 1e-05]
    """
    found, known = np.ones(len(values)), ~np.isnan(values) & (rows >= 1)
    for mask in {own.tobytes(): own for own in known}.values():  # series of the same windows
        alike = np.flatnonzero((known == mask).all(axis=1))
        if np.count_nonzero(mask) >= LEAST_WINDOWS:
            fits = Dependence(*table([references[at] for at in alike.tolist()])[:, :, None])
            own, on = (np.ascontiguousarray(some[alike][:, mask]) for some in (values, rows))
            _, _, statistics, _ = _look(own, on, fits)
            found[alike] = _chances(statistics)
    return found


def _look(
    values: NDArray[np.float64], rows: NDArray[np.float64], reference: Dependence
) -> tuple[NDArray[np.float64], ...]:
    """Return values less the mean, weights, and the statistic and likeliest place of each series.

    All have a value in every window, shape (series, windows); results do not depend on who else is
    there.
    """
    y, weights = values - reference.mean, reference.weights(rows)
    weights /= weights.sum(axis=1, keepdims=True)
    deviations = weights * (y - np.sum(weights * y, axis=1, keepdims=True))
    windows = values.shape[1]
    lengths = np.arange(LEAST_PART, windows - LEAST_PART + 1)  # of the first part
    cusum, time = (np.cumsum(own, axis=1)[:, lengths - 1] for own in (deviations, weights))
    parts = _variation(weights, deviations)[:, lengths - 1]
    parts += _variation(weights[:, ::-1], deviations[:, ::-1])[:, windows - lengths - 1]
    by_rows = replace(reference, between=0.0).sd(rows) ** 2
    expected = np.sum(weights**2 * by_rows, axis=1, keepdims=True)
    expected = expected * (time**2 + (1.0 - time) ** 2) / 6.0
    statistics = np.max(cusum**2 / np.maximum(parts, expected / 2.0), axis=1)
    return y, weights, statistics, lengths[np.argmax(cusum**2 / (time * (1.0 - time)), axis=1)]


def _chances(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p-values of statistics."""
    log_p = np.interp(np.sqrt(statistics), np.sqrt(CRITICAL), np.log(LEVELS), left=0.0)
    found: NDArray[np.float64] = np.exp(log_p)
    return found


def _variation(
    weights: NDArray[np.float64], deviations: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how the CUSUM of the first 1, 2, ... windows varies about the line to its end."""
    time, cusum = np.cumsum(weights, axis=1), np.cumsum(deviations, axis=1)
    slope = cusum / time
    squares = np.cumsum(weights * cusum**2, axis=1)
    products = np.cumsum(weights * cusum * time, axis=1)
    return squares - 2.0 * slope * products + slope**2 * np.cumsum(weights * time**2, axis=1)
