"""What a reference's window values are worth: level, spread, and how windows depend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Final

import numpy as np
from numba import types
from numpy.typing import NDArray

from tidegauge.detectors._jit import TABLE, VECTOR, kernel

CLIP: Final = 3.0  # of a standardised value; at twice that, false alarms more than double
LONGEST_LAG: Final = 14
DECAYS: Final = np.array([0.3, 0.5, 0.7, 0.8, 0.88, 0.93, 0.96])
ROUNDS: Final = 3
MOST_BIAS: Final = 0.6
LEAST_REMAINDER: Final = 0.4
STEPS: Final = 12  # to the variance between windows; ten were enough for 20,000 references
TIES: Final = 12  # decimals to which two decays fit equally well: then the shorter memory
# Fields of a reference, in their order.
_, MEAN, BETWEEN, ROW_VARIANCE, FLOOR, TYPICAL, _, _, CENTRE, SCALE, EXTREME = range(11)
VALUES: Final = types.Array(types.float64, 1, "C")


@dataclass(frozen=True, slots=True)
class Dependence:
    """What a reference's window values say: level, spread, and how windows depend.

    A value over n rows varies by what windows differ, ``between**2``, and by what n rows differ,
    ``row_variance / n``. The correlation of two standardised windows k apart is modelled as
    ``weight * rho**k``, white noise plus a first-order autoregression. ``fit`` makes one from a
    reference. All fields may be arrays of one shape, a series each.

    Parameters
    ----------
    windows
        Windows with a value in the reference (N); >= 1.
    mean
        Their mean, each with its own weight.
    between
        Standard deviation of windows of endlessly many rows about the true mean (sigma_b); >= 0.
    row_variance
        Variance of the quantity over rows (s squared); >= 0.
    floor
        Least standard deviation of a window's value; > 0.
    typical
        Standard deviation of a window of typical rows: with it all N together would know the mean
        as well as they do; > 0.
    weight
        Share of the variance that is remembered (w); 0 to 1, 0 for independent windows.
    rho
        How much of it is left one window later; > 0 and < 1.
    centre
        Mean of the reference's clipped (value - mean) / sd.
    scale
        What the clip left of their standard deviation; > 0 and <= 1, below 1 for heavy tails.
    extreme
        Largest abs((value - mean) / sd) in the reference, not clipped.

    Examples
    --------
    >>> independent = Dependence(90, 0.5, 0.1, 0.0, 0.01, 0.1, 0.0, 0.3, 0.0, 1.0, 2.5)
    >>> independent.effective_windows
    90.0
    >>> remembering = Dependence(90, 0.5, 0.06, 0.64, 0.01, 0.1, 1.0, 0.5, 0.0, 1.0, 2.5)
    >>> remembering.effective_windows
    30.4
    >>> rows = np.array([1.0, 100.0, 10_000.0, 0.0])
    >>> remembering.sd(rows).round(3).tolist()
    [0.802, 0.1, 0.061, nan]
    >>> remembering.standardise(np.array([0.6, 0.6, 99.0, 0.6]), rows).round(3).tolist()
    [0.125, 1.0, 3.0, nan]
    """

    windows: int
    mean: float
    between: float
    row_variance: float
    floor: float
    typical: float
    weight: float
    rho: float
    centre: float
    scale: float
    extreme: float

    @property
    def effective_windows(self) -> float:
        """Number of independent windows that would know the mean as well (N_eff)."""
        return 1.0 / self.variance_of_mean(self.windows)

    def variance_of_mean(self, windows: int) -> float:
        """Return the variance of a mean of ``windows`` >= 1 windows in a row, in units of sd²."""
        if windows < 1:
            raise ValueError(f"windows must be >= 1, got {windows!r}")
        return _variance_of_mean(windows, self.weight, self.rho)

    def sd(self, rows: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the standard deviation of the values of windows of so many rows.

        A window of less than one row has none: NaN.
        """
        known = np.where(np.asarray(rows) >= 1, rows, np.nan)
        return np.sqrt(_variances(self.row_variance / known, self.between**2, self.floor))

    def weights(self, rows: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return what windows of so many rows count for in a mean, 0 for less than one row."""
        return np.nan_to_num(self.sd(rows) ** -2.0)

    def standardise(
        self, values: NDArray[np.float64], rows: NDArray[np.float64] | float
    ) -> NDArray[np.float64]:
        """Return window values over so many rows as z within -3 to 3; without a row NaN.

        More rows than in the reference do not make the reference's own mean better known: where a
        window varies less than a typical one, half of its variance counts as a typical one's. (The
        error of the mean is common to all later windows, so over N of them it weighs as much as all
        else.) Without that, a model of 30 series had 1.5 to 12 false alarms in 90 windows, where 1
        is promised, when traffic grew tenfold.
        """
        sd = self.sd(rows)
        sd = np.maximum(sd, np.hypot(sd, self.typical) / np.sqrt(2.0))
        z = _clipped((values - self.mean) / sd) - self.centre
        return _clipped(z / np.maximum(self.scale, self.floor / sd))


def table(references: Sequence[Dependence | None]) -> NDArray[np.float64]:
    """Return the fields of many references, shape (fields, series); NaN where there is none.

    >>> one = Dependence(90, 0.5, 0.1, 0.0, 0.01, 0.1, 0.0, 0.3, 0.0, 1.0, 2.5)
    >>> table([one, None])[:2].tolist()
    [[90.0, nan], [0.5, nan]]
    """
    names = [field.name for field in fields(Dependence)]
    read, nothing = attrgetter(*names), (np.nan,) * len(names)
    rows = [nothing if one is None else read(one) for one in references]
    return np.array(rows, np.float64).reshape(-1, len(names)).T.copy()


@kernel(VALUES, VALUES, VECTOR, VECTOR, TABLE, allocates=False)
def standardise(
    z: NDArray[np.float64],
    sd: NDArray[np.float64],
    values: NDArray[np.float64],
    rows: NDArray[np.float64],
    references: NDArray[np.float64],
) -> None:
    """Set z and sd of a window's values, a series each, as ``Dependence`` does, to the last bit.

    references[field, series] is what ``table`` returns.
    """
    for series in range(len(values)):
        mean, between = references[MEAN, series], references[BETWEEN, series]
        floor, scale = references[FLOOR, series], references[SCALE, series]
        known = rows[series] if rows[series] >= 1 else math.nan
        variance = between * between + references[ROW_VARIANCE, series] / known
        own = math.sqrt(floor * floor if variance < floor * floor else variance)
        typical = np.hypot(own, references[TYPICAL, series]) / math.sqrt(2.0)
        unit = typical if typical > own else own
        off = (values[series] - mean) / unit
        off = min(max(off, -CLIP), CLIP) if not math.isnan(off) else off
        least = floor / unit
        off = (off - references[CENTRE, series]) / (least if least > scale else scale)
        z[series] = min(max(off, -CLIP), CLIP) if not math.isnan(off) else off
        sd[series] = own


def fit(
    values: NDArray[np.float64], rows: NDArray[np.float64], row_variance: float, floor: float
) -> Dependence:
    """Learn from a reference's window values, in their order, how windows vary and depend.

    Parameters
    ----------
    values
        One value a window, shape (windows,); a NaN is a window without a value, and skipped, as
        the detector skips it: its neighbours then count as neighbours. At least 3 others.
    rows
        Rows each value stands on, shape (windows,). A window of less than one has no value.
    row_variance
        Variance of the quantity over rows, in the unit of the values squared; >= 0. With 0 all
        windows count alike.
    floor
        Least standard deviation, in the unit of the values; > 0. A constant reference must not
        make every deviation infinite.

    Raises
    ------
    ValueError
        If there are fewer than 3 values, an infinite one, another number of rows than of values,
        a row variance that is negative or not finite, or no positive floor.

    Notes
    -----
    The variance between windows is that of Paule and Mandel: the one with which the squares of the
    standardised values sum to what is expected of them. Unlike that of DerSimonian and Laird it
    needs no normal law and holds where rows differ much, and with equal rows both are the sample
    variance less ``row_variance / rows``, or 0 if that is negative. Expected are not N - 1 but
    N (1 - V(N)), since the mean that is removed follows windows that depend, V(N) being the
    variance of the mean. How they depend is fitted on the values standardised each with its own
    rows, so both are found in turns (three rounds, of which equal rows need one).

    Autocorrelations up to lag min(N // 4, 14) are corrected for the mean that was removed, w is
    their least-squares weight for each rho of a grid, and the correction is made anew from that
    (three rounds). Choices where the recipe leaves one:

    - Decays that fit equally well (one lag fits most of them exactly): the smallest rho.
    - Fewer than 4 values have no lag to look at, a constant reference no correlations: weight 0.
    - A weight is shrunk unless the correlations at lags 1 to 3 (or as many as there are) sum to two
      of their standard errors under independence, 2 sqrt(3/N); they are those of the third round.
    - The floor is asked for last, of the deviation and of it times ``scale``.

    References
    ----------
    Paule and Mandel (1982), Consensus values and weighting factors, Journal of Research of the
    National Bureau of Standards 87; DerSimonian and Kacker (2007), Random-effects model for
    meta-analysis of clinical trials: an update, Contemporary Clinical Trials 28.

    Examples
    --------
    >>> alternating = fit(np.array([0.0, 1.0] * 10), np.full(20, 100.0), 0.0, floor=0.01)
    >>> alternating.mean, alternating.between, alternating.weight
    (0.5, 0.51, 0.0)
    >>> steps = fit(np.repeat([0.0, 1.0, 0.0, 1.0], 5), np.full(20, 100.0), 0.0, floor=0.01)
    >>> steps.weight, steps.rho, steps.effective_windows
    (1.0, 0.5, 7.1)
    """
    _check(values, rows, row_variance, floor)
    present = ~np.isnan(values) & (rows >= 1)
    known, noise = values[present], row_variance / rows[present]
    offsets = known - known[0]  # exact zeros if all values are equal
    weight, rho = 0.0, float(DECAYS[0])
    for _ in range(ROUNDS):
        remainder = 1.0 - _variance_of_mean(known.size, weight, rho)
        variances = _variances(noise, _between(offsets, noise, remainder), floor)
        z = (offsets - _level(offsets, variances)) / np.sqrt(variances)
        found = _memory(z - z.mean())
        if found == (weight, rho):
            break  # the next round would be this one
        weight, rho = found
    remainder = 1.0 - _variance_of_mean(known.size, weight, rho)
    between = _between(offsets, noise, remainder)
    variances = _variances(noise, between, floor)
    level = _level(offsets, variances)
    z = (offsets - level) / np.sqrt(variances)
    clipped, spread = _clipped(z), float(z.std())
    kept = float(clipped.std()) / spread if spread > 0 else 1.0
    return Dependence(
        windows=known.size,
        mean=float(known[0] + level),
        between=float(np.sqrt(between)),
        row_variance=float(row_variance),
        floor=float(floor),
        typical=float(np.mean(1.0 / variances) ** -0.5),
        weight=weight,
        rho=rho,
        centre=float(clipped.mean()),
        scale=kept * float(np.sqrt(min(remainder / LEAST_REMAINDER, 1.0))),
        extreme=float(np.abs(z).max()),
    )


def _check(
    values: NDArray[np.float64], rows: NDArray[np.float64], row_variance: float, floor: float
) -> None:
    if values.shape != rows.shape:
        raise ValueError(
            f"rows must be one a window value, got shape {rows.shape} for {values.shape}"
        )
    known = values[~np.isnan(values) & (rows >= 1)]
    if values.ndim != 1 or known.size < 3:  # noqa: PLR2004 - the rule is in the message
        raise ValueError(
            f"a reference needs at least 3 window values in a row, got {known.size} "
            f"in shape {values.shape}; collect more windows"
        )
    if not np.isfinite(known).all():
        raise ValueError("a reference's window values must be finite or NaN, got an infinite one")
    if not 0 <= row_variance < np.inf:
        raise ValueError(f"row_variance must be finite and >= 0, got {row_variance!r}")
    if not 0 < floor < np.inf:
        raise ValueError(f"floor must be finite and > 0, got {floor!r}")


def _variances(noise: NDArray[np.float64], between: float, floor: float) -> NDArray[np.float64]:
    """Return the variances of window values that vary by ``noise`` for their rows."""
    variances: NDArray[np.float64] = np.maximum(between + noise, floor**2)
    return variances


def _level(offsets: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
    """Return the mean in which window values count by their precision."""
    weights = variances.min() / variances  # exactly 1 if all are equal
    return float(np.sum(weights * offsets) / np.sum(weights))


def _between(offsets: NDArray[np.float64], noise: NDArray[np.float64], remainder: float) -> float:
    """Return the variance between windows with which squares of z are ``remainder`` on average."""
    total = float(np.var(offsets)) / remainder  # as if windows of all rows varied alike
    low, high = max(total - float(noise.max()), 0.0), max(total - float(noise.min()), 0.0)
    between = low
    for _ in range(STEPS if low < high else 0):
        variances = between + noise
        squares = (offsets - _level(offsets, variances)) ** 2 / variances
        # Newton's method for the reciprocal of the sum, which is a line where rows are equal.
        found = float(np.mean(squares))
        between += (found / remainder - 1.0) * found / float(np.mean(squares / variances))
        between = min(max(between, low), high)
    return between


def _memory(deviations: NDArray[np.float64]) -> tuple[float, float]:
    """Return weight and rho from deviations from their mean."""
    windows, variance = deviations.size, float(np.mean(deviations**2))
    lags = np.arange(1, min(windows // 4, LONGEST_LAG) + 1)
    if variance == 0 or lags.size == 0:
        return 0.0, float(DECAYS[0])
    # Sums, not dot products: BLAS may add in another order elsewhere, and change the last bits.
    products = [np.sum(deviations[lag:] * deviations[:-lag]) / windows for lag in lags]
    raw = np.array(products) / variance * (windows / (windows - lags))
    (powers, squares), bias = _powers(lags.size), 1.0 / windows
    for _ in range(ROUNDS):
        correlations = raw * (1.0 - bias) + bias
        weights = np.sum(powers * correlations, axis=1) / squares
        weights = np.clip(weights, 0.0, 1.0)
        misfits = np.sum((correlations - weights[:, None] * powers) ** 2, axis=1)
        best = np.argmin(misfits.round(TIES))
        weight, rho = float(weights[best]), float(DECAYS[best])
        before, bias = bias, min(_variance_of_mean(windows, weight, rho), MOST_BIAS)
        if bias == before:
            break  # the next round would be this one
    evident = 2.0 * np.sqrt(3.0 / windows)
    share = np.clip(correlations[:3].sum() / evident, 0.0, 1.0)
    return weight * float(share) ** 2, rho


@lru_cache(maxsize=LONGEST_LAG)
def _powers(lags: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each decay to the powers of so many lags, and the sums of their squares."""
    powers: NDArray[np.float64] = DECAYS[:, None] ** np.arange(1.0, lags + 1.0)
    return powers, np.sum(powers**2, axis=1)


def variances_of_means(references: Sequence[Dependence], most: int) -> NDArray[np.float64]:
    """Return each reference's variances of means of 1, 2, ... windows in a row, a row each.

    They are those of ``Dependence.variance_of_mean``, up to ``most`` windows.

    >>> remembering = Dependence(90, 0.5, 0.06, 0.64, 0.01, 0.1, 1.0, 0.5, 0.0, 1.0, 2.5)
    >>> variances_of_means([remembering], 3).round(3).tolist()
    [[1.0, 0.75, 0.611]]
    """
    weights = np.array([[reference.weight] for reference in references])
    remembered = np.array([_remembered_up_to(most, reference.rho) for reference in references])
    found: NDArray[np.float64] = (1.0 - weights) / np.arange(1, most + 1) + weights * remembered
    return found


def _variance_of_mean(windows: int, weight: float, rho: float) -> float:
    return (1.0 - weight) / windows + weight * _remembered(windows, rho)


@lru_cache(maxsize=32)  # the grid has a few values of rho
def _remembered_up_to(most: int, rho: float) -> list[float]:
    return [_remembered(windows, rho) for windows in range(1, most + 1)]


def _remembered(windows: int, rho: float) -> float:
    """Return the variance of a mean of windows that remember all of their variance."""
    remembered = windows * (1.0 - rho**2) - 2.0 * rho * (1.0 - rho**windows)
    return remembered / (windows * (1.0 - rho)) ** 2


def _clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(values, -CLIP, CLIP)
