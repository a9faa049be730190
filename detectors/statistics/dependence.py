"""What a reference's window values are worth: level, spread, and how windows depend."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CLIP: Final = 3.0  # of a standardised value; at twice that, false alarms more than double
LONGEST_LAG: Final = 14
DECAYS: Final = np.array([0.3, 0.5, 0.7, 0.8, 0.88, 0.93, 0.96])
ROUNDS: Final = 3
MOST_BIAS: Final = 0.6
LEAST_REMAINDER: Final = 0.4
TIES: Final = 12  # decimals to which two decays fit equally well: then the shorter memory


@dataclass(frozen=True, slots=True)
class Dependence:
    """What a reference's window values say: level, spread, and how windows depend.

    The correlation of two windows k apart is modelled as ``weight * rho**k``, white noise plus a
    first-order autoregression. ``fit`` makes one from a reference.

    Parameters
    ----------
    windows
        Windows with a value in the reference (N); >= 1.
    mean
        Their mean.
    sd
        Standard deviation of a window about the true mean, which the reference's own mean hides in
        part; > 0.
    weight
        Share of the variance that is remembered (w); 0 to 1, 0 for independent windows.
    rho
        How much of it is left one window later; > 0 and < 1.
    centre
        Mean of the reference's clipped (value - mean) / sd.
    scale
        Their standard deviation; > 0 and <= 1, below 1 where the clip cut off heavy tails.
    extreme
        Largest abs((value - mean) / sd) in the reference, not clipped.

    Examples
    --------
    >>> independent = Dependence(90, 0.5, 0.1, 0.0, 0.3, 0.0, 1.0, 2.5)
    >>> independent.effective_windows
    90.0
    >>> remembering = Dependence(90, 0.5, 0.1, 1.0, 0.5, 0.0, 1.0, 2.5)
    >>> remembering.effective_windows
    30.4
    >>> remembering.standardise(np.array([0.6, 99.0, np.nan]))
    array([ 1.,  3., nan])
    """

    windows: int
    mean: float
    sd: float
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

    def standardise(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return window values of any shape as z within -3 to 3, with NaN left as NaN."""
        z = (_clipped((values - self.mean) / self.sd) - self.centre) / self.scale
        return _clipped(z)


def fit(values: NDArray[np.float64], floor: float) -> Dependence:
    """Learn from a reference's window values, in their order, how windows vary and depend.

    Parameters
    ----------
    values
        One value a window, shape (windows,); a NaN is a window without a value, and skipped, as
        the detector skips it: its neighbours then count as neighbours. At least 3 others.
    floor
        Least standard deviation, in the unit of the values; > 0. A constant reference must not
        make every deviation infinite.

    Raises
    ------
    ValueError
        If there are fewer than 3 values, an infinite one, or no positive floor.

    Notes
    -----
    Autocorrelations up to lag min(N // 4, 14) are corrected for the mean that was removed, w is
    their least-squares weight for each rho of a grid, and the correction is made anew from that
    (three rounds). Removing the mean lowers the variance to 1 - V(N), V(N) being the variance of
    the mean, which is corrected likewise. Choices where the recipe leaves one:

    - Decays that fit equally well (one lag fits most of them exactly): the smallest rho.
    - Fewer than 4 values have no lag to look at, a constant reference no correlations: weight 0.
    - A weight is shrunk unless the correlations at lags 1 to 3 (or as many as there are) sum to two
      of their standard errors under independence, 2 sqrt(3/N); they are those of the third round.
    - ``sd * scale``, the unit of a deviation, is at least the floor too. Otherwise the division by
      the spread of the clipped reference would undo the floor, by zero for a constant one.

    Examples
    --------
    >>> alternating = fit(np.array([0.0, 1.0] * 10), floor=0.01)
    >>> alternating.mean, alternating.sd, alternating.weight
    (0.5, 0.51, 0.0)
    >>> steps = fit(np.repeat([0.0, 1.0, 0.0, 1.0], 5), floor=0.01)
    >>> steps.weight, steps.rho, steps.effective_windows
    (1.0, 0.5, 7.1)
    """
    known = values[~np.isnan(values)]
    if values.ndim != 1 or known.size < 3:  # noqa: PLR2004 - the rule is in the message
        raise ValueError(
            f"a reference needs at least 3 window values in a row, got {known.size} "
            f"in shape {values.shape}; collect more windows"
        )
    if not np.isfinite(known).all():
        raise ValueError("a reference's window values must be finite or NaN, got an infinite one")
    if not 0 < floor < np.inf:
        raise ValueError(f"floor must be finite and > 0, got {floor!r}")
    offsets = known - known[0]  # exact zeros if all values are equal
    deviations = offsets - offsets.mean()
    variance = float(np.mean(deviations**2))
    weight, rho = _memory(deviations, variance)
    remainder = 1.0 - _variance_of_mean(known.size, weight, rho)
    sd = max(float(np.sqrt(variance / remainder)), floor)
    z = _clipped(deviations / sd)
    spread = float(z.std()) / np.sqrt(max(remainder, LEAST_REMAINDER))
    return Dependence(
        windows=known.size,
        mean=float(known[0] + offsets.mean()),
        sd=sd,
        weight=weight,
        rho=rho,
        centre=float(z.mean()),
        scale=float(min(max(spread, floor / sd), 1.0)),
        extreme=float(np.abs(deviations).max() / sd),
    )


def _memory(deviations: NDArray[np.float64], variance: float) -> tuple[float, float]:
    """Return weight and rho from deviations from the mean, and their mean square."""
    windows = deviations.size
    lags = np.arange(1, min(windows // 4, LONGEST_LAG) + 1)
    if variance == 0 or lags.size == 0:
        return 0.0, float(DECAYS[0])
    # Sums, not dot products: BLAS may add in another order elsewhere, and change the last bits.
    products = [np.sum(deviations[lag:] * deviations[:-lag]) / windows for lag in lags]
    raw = np.array(products) / variance * (windows / (windows - lags))
    powers = DECAYS[:, None] ** lags
    bias = 1.0 / windows
    for _ in range(ROUNDS):
        correlations = raw * (1.0 - bias) + bias
        weights = np.sum(powers * correlations, axis=1) / np.sum(powers**2, axis=1)
        weights = np.clip(weights, 0.0, 1.0)
        misfits = np.sum((correlations - weights[:, None] * powers) ** 2, axis=1)
        best = np.argmin(misfits.round(TIES))
        weight, rho = float(weights[best]), float(DECAYS[best])
        bias = min(_variance_of_mean(windows, weight, rho), MOST_BIAS)
    evident = 2.0 * np.sqrt(3.0 / windows)
    share = np.clip(correlations[:3].sum() / evident, 0.0, 1.0)
    return weight * float(share) ** 2, rho


def _variance_of_mean(windows: int, weight: float, rho: float) -> float:
    remembered = windows * (1.0 - rho**2) - 2.0 * rho * (1.0 - rho**windows)
    remembered /= (windows * (1.0 - rho)) ** 2
    return (1.0 - weight) / windows + weight * remembered


def _clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(values, -CLIP, CLIP)
