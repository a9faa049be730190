"""Mixture e-detector for a shift of window means, over many series at once."""

import math
from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numba import types
from numpy.typing import NDArray

from tidegauge.detectors._jit import ALARMS, BLOCK, STATE, TABLE, VECTOR, kernel
from tidegauge.detectors.base import Bank, Input, require, whole
from tidegauge.detectors.statistics.dependence import Dependence, variances_of_means

# Rows of the state: values since the start, log E and the estimated change at the latest of them,
# then the latest values themselves, a ring in which value n has slot n modulo the window.
COUNT, LOG_E, CHANGE, RING = range(4)

WINDOW: Final = 80  # values a series keeps
SIZES: Final = 4
VARIANCES: Final = np.array([0.25, 1.0, 4.0, 16.0])  # of a normal shift, in units of sd², ascending
CAUTION: Final = 20.0  # windows; what the estimates cost beyond V0(N): measured, not proved


@kernel(STATE, BLOCK, ALARMS, TABLE, VECTOR, types.boolean)
def fold(
    state: NDArray[np.float64],
    block: NDArray[np.float64],
    alarms: NDArray[np.bool_],
    terms: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    bounded: bool,
) -> None:
    """Fold block[row, series] into state; set alarms[row, series].

    E is the sum of weight * exp(rate * d²), where d is the mean of the last 1, 2, ... values, over
    all lengths and sizes. terms[series] holds SIZES weights, then SIZES rates, for each length. The
    weights of a length sum up to 1 at most, which gives the bound.
    """
    window = state.shape[0] - RING
    for series in range(block.shape[1]):
        for row in range(block.shape[0]):
            value = block[row, series]
            if math.isnan(value):
                continue
            slot = int(state[COUNT, series]) % window
            state[RING + slot, series] = value
            state[COUNT, series] += 1.0
            count = min(int(state[COUNT, series]), window)
            if bounded:
                at, sum_of_values, highest, longest = slot, 0.0, -1.0, 0
                for length in range(1, count + 1):
                    sum_of_values += state[RING + at, series]
                    at = at - 1 if at > 0 else window - 1
                    square = (sum_of_values / length) ** 2
                    exponent = square * terms[series, 2 * SIZES * length - 1]
                    if exponent > highest:
                        highest, longest = exponent, length
                if highest + math.log(count) <= thresholds[series]:
                    state[LOG_E, series] = highest + math.log(count)
                    state[CHANGE, series] = longest
                    alarms[row, series] = False
                    continue
            # The terms are kept divided by exp(peak), the largest of all so far: no overflow.
            total = best = peak = sum_of_values = 0.0
            for length in range(1, count + 1):
                sum_of_values += state[RING + slot, series]
                slot = slot - 1 if slot > 0 else window - 1
                square = (sum_of_values / length) ** 2
                first = 2 * SIZES * (length - 1)
                highest = square * terms[series, first + 2 * SIZES - 1]  # rates ascend
                if highest > peak:
                    total *= math.exp(peak - highest)
                    best *= math.exp(peak - highest)
                    peak = highest
                term = 0.0
                if square == 0.0:  # as of a share that is nil: the rates make no difference
                    level = math.exp(-peak) if peak > 0.0 else 1.0
                    for column in range(first, first + SIZES):
                        term += terms[series, column] * level
                else:
                    for column in range(first, first + SIZES):
                        exponent = square * terms[series, column + SIZES] - peak
                        term += terms[series, column] * math.exp(exponent)
                total += term
                if term > best:
                    best = term
                    state[CHANGE, series] = length
            state[LOG_E, series] = peak + math.log(total)
            alarms[row, series] = state[LOG_E, series] > thresholds[series]


class MixtureEDetector(Bank):
    """Detect that the mean of a series has left its reference, by any amount, and since when.

    E compares "the mean moved by N(0, g) reference variances m windows ago" with "it did not", for
    every m up to ``window`` and four g. While nothing moves, the chance that E exceeds e^h within M
    windows is at most M e^-h: so a budget of false alarms gives the threshold.

    Parameters
    ----------
    references
        What each series' reference says of it, one a series; at least one.
    false_alarms
        For each series the false alarms one may expect within ``horizon`` windows (a), shape
        (width,); > 0 and < horizon.
    horizon
        Windows for which this is promised (M); > 0.
    window
        Values a series keeps (W); >= 1. A change longer ago is not looked for.
    bounded
        Whether an upper bound of log E, at a fifth of the time, is enough where it is below the
        threshold: the alarms are the same.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    The likelihood ratios are exact for a known mean and spread and independent normal values. What
    is estimated enters as the variance V = V0(m) + V0(N), where V0 knows how windows depend, and as
    the factor 1 + 20/N on the threshold log(M/a), which was measured, not proved. An alarm does
    not end anything: E is looked at with every value until ``reset_series``.

    References
    ----------
    Shin, Ramdas and Rinaldo (2022), E-detectors: a nonparametric framework for sequential change
    detection, arXiv:2203.03532: a Shiryaev-Roberts e-detector, the sum of e-processes that start at
    consecutive times. Ours keeps the latest ``window`` of them and mixes over the size of a shift.

    Examples
    --------
    >>> reference = Dependence(90, 0.5, 0.1, 0.0, 0.01, 0.1, 0.0, 0.3, 0.0, 1.0, 2.5)
    >>> detector = MixtureEDetector([reference], false_alarms=[1.0], horizon=90)
    >>> detector.threshold
    array([5.5])
    >>> values = np.array([0.5, 0.6, 0.4, 0.5, 0.9, 0.8, 0.9])
    >>> alarms = detector.update(reference.standardise(values, 1000.0)[:, None])
    >>> np.flatnonzero(alarms[:, 0]).tolist(), detector.change.tolist()
    ([5, 6], [3])
    """

    name: ClassVar[str] = "mixture"
    takes: ClassVar[frozenset[Input]] = frozenset({"figures"})
    layout: ClassVar[int] = 1

    def __init__(
        self,
        references: Sequence[Dependence],
        false_alarms: NDArray[np.float64] | Sequence[float],
        horizon: float,
        window: int = WINDOW,
        bounded: bool = False,
    ) -> None:
        require(len(references) > 0, "references must be one a series, at least one", references)
        budget = np.asarray(false_alarms, np.float64)
        require(
            budget.shape == (len(references),),
            f"false_alarms must have shape ({len(references)},)",
            budget.shape,
        )
        require(0 < horizon < np.inf, "horizon must be finite and > 0", horizon)
        within = bool(((budget > 0) & (budget < horizon)).all())
        require(within, f"false_alarms must be > 0 and < horizon ({horizon!r})", budget)
        window = whole("window", window, least=1)
        # Not the references: their last bits may differ on another processor, and a snapshot
        # must go on there.
        parameters = {"window": window, "horizon": float(horizon)}
        super().__init__(len(references), RING + window, parameters)
        self._bounded = bounded  # not among the parameters: it changes no alarm
        windows = np.array([reference.windows for reference in references])
        self._certain = np.log(horizon / budget)  # with endless references
        self._threshold = self._certain * (1.0 + CAUTION / windows)
        self._terms = _terms(references, window)

    def refer(self, series: int, reference: Dependence) -> None:
        """Begin a series afresh, compared with another reference; a snapshot does not keep it."""
        self.reset_series(series)
        self._threshold[series] = self._certain[series] * (1.0 + CAUTION / reference.windows)
        self._terms[series] = _terms([reference], self._state.shape[0] - RING)[0]

    @property
    def threshold(self) -> NDArray[np.float64]:
        """Level that log E must exceed for an alarm (h), shape (width,)."""
        return self._threshold.copy()

    @property
    def log_e(self) -> NDArray[np.float64]:
        """Evidence for a change at the latest value, log E, shape (width,); -inf before any.

        Of one that is ``bounded`` it may be a bound, where there is no alarm.
        """
        return np.where(self._state[COUNT] > 0, self._state[LOG_E], -np.inf)

    @property
    def change(self) -> NDArray[np.int64]:
        """Values since the likeliest change (m*), shape (width,); 0 before any value."""
        change: NDArray[np.int64] = self._state[CHANGE].astype(np.int64)
        return change

    @property
    def since_rows(self) -> NDArray[np.float64]:
        """Values since the likeliest change, shape (width,); 0 where there is no alarm now.

        E is looked at afresh with every value, and so is the change.
        """
        return np.where(self.log_e > self._threshold, self._state[CHANGE], 0.0)

    def _fold(self, block: NDArray[np.float64], alarms: NDArray[np.bool_]) -> None:
        fold(self._state, block, alarms, self._terms, self._threshold, self._bounded)


def _terms(references: Sequence[Dependence], window: int) -> NDArray[np.float64]:
    """Return what E needs of V = V0(m) + V0(N), shape (series, window * 2 * SIZES).

    A series' row is contiguous, unlike the state, since every value reads all of it.
    """
    of_reference = [[1.0 / reference.effective_windows] for reference in references]
    v = (variances_of_means(references, window) + np.array(of_reference))[:, :, None]
    weights = np.sqrt(v / (v + VARIANCES)) / SIZES
    rates = VARIANCES / (v * (v + VARIANCES)) / 2.0
    return np.concatenate([weights, rates], axis=2).reshape(len(references), -1)
