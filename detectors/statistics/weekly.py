"""Do values follow the week? Means of its pieces, such as its hours, as far as they are sure."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Weekly(NamedTuple):
    """How values follow the week.

    Parameters
    ----------
    mean
        Of all values alike.
    offsets
        By how much each piece of the week lies above the mean, shrunk; shape (pieces,).
    adjusted
        The values less the offset that the others of their piece give; shape (values,).
    explained
        Share of the variance that is that of the pieces, 0 to 1.
    p_value
        How likely pieces that do not differ would seem to differ so much, or more.
    """

    mean: float
    offsets: Floats
    adjusted: Floats
    explained: float
    p_value: float


def weekly(values: Floats, pieces: NDArray[np.int64], count: int) -> Weekly | None:
    """Return how window values follow the pieces of the week that they are of.

    Parameters
    ----------
    values
        Finite, or NaN where there is none; shape (windows,).
    pieces
        Which piece of the week each is of, from 0; shape (windows,).
    count
        How many pieces a week has; >= 2.

    Returns
    -------
    Weekly or None
        None where pieces have fewer than two values each on average.

    Notes
    -----
    One-way analysis of variance with random effects. A piece's mean is shrunk towards that of all
    by between / (between + within / n), with n values in it; with as many in each that is 1 - 1/F.
    A value is adjusted by the others of its piece alone, as a later one is: with itself among them
    it would vary less than later ones do. The p-value is by Paulson's approximation, and takes
    values for independent, so where they depend from window to window it is too small.

    References
    ----------
    Searle, Casella and McCulloch (1992), Variance Components; Paulson (1942), An approximate
    normalization of the analysis of variance distribution, Annals of Mathematical Statistics 13.

    Examples
    --------
    >>> days = np.arange(70) % 7
    >>> found = weekly(np.where(days < 5, 1.0, 0.0) + 0.1 * (np.arange(70) // 7 % 2), days, 7)
    >>> found.offsets.round(2).tolist(), round(found.explained, 2), found.p_value < 0.01
    ([0.29, 0.29, 0.29, 0.29, 0.29, -0.71, -0.71], 0.99, True)
    """
    known = ~np.isnan(values)
    own, at = values[known], pieces[known]
    rows = np.bincount(at, minlength=count).astype(np.float64)
    met = rows > 0
    among, free = int(met.sum()) - 1, len(own) - int(met.sum())
    if among < 1 or free <= among:
        return None
    overall = float(own.mean())
    sums = np.bincount(at, own - overall, minlength=count)
    means = sums / np.maximum(rows, 1.0)
    within = float(((own - overall - means[at]) ** 2).sum()) / free
    effects = float((rows * means**2).sum()) / among
    typical = (len(own) - float((rows**2).sum()) / len(own)) / among
    between = max(effects - within, 0.0) / typical
    if between == 0.0:
        return Weekly(overall, np.zeros(count), values, 0.0, 1.0)
    others = rows[at] - 1.0
    beside = (sums[at] - (own - overall)) * between / np.maximum(others * between + within, 1e-300)
    adjusted = values.copy()
    adjusted[known] -= np.where(others > 0, beside, 0.0)
    return Weekly(
        overall,
        sums * between / np.maximum(rows * between + within, 1e-300),
        adjusted,
        between / (between + within),
        _p_value(effects / within, among, free) if within > 0 else 0.0,
    )


def _p_value(ratio: float, among: int, free: int) -> float:
    """Return the chance of a larger F, by Paulson's approximation."""
    root, first, second = ratio ** (1 / 3), 2 / (9 * among), 2 / (9 * free)
    normal = ((1 - second) * root - (1 - first)) / (second * root**2 + first) ** 0.5
    return NormalDist().cdf(-normal)
