"""ADWIN: a window that shrinks when its mean has changed, over many series at once."""

import math
from typing import ClassVar, Final

import numpy as np
from numba import float64, int64
from numpy.typing import NDArray

from tidegauge.detectors._jit import ALARMS, BLOCK, STATE, kernel, part
from tidegauge.detectors.base import Bank, Input, Parameter, require, whole
from tidegauge.detectors.snapshots import Numbers, packed

# Rows of the state: these scalars, then the bucket rows. Bucket row r holds at most max_buckets
# buckets of 2**r values, oldest first, and one more while it overflows: how many there are, then
# total and sum of squared deviations of each. TOP is the highest bucket row in use; KEPT is what
# the latest alarm left of the window. What lies beyond a count is never read.
WIDTH, TOTAL, VARIANCE, TICK, TOP, KEPT, DETECTIONS, ALARMED = range(8)
SCALARS: Final = 8
ROUNDING: Final = 2.0**-48  # above what the cheap test and River's formula can differ by


@part
def restart(state: NDArray[np.float64], series: int, stride: int) -> None:
    """Empty the window of one series."""
    for row in range(int(state[TOP, series]) + 1):
        state[SCALARS + row * stride, series] = 0.0
    state[WIDTH, series] = state[TOTAL, series] = state[VARIANCE, series] = 0.0
    state[TICK, series] = state[TOP, series] = state[ALARMED, series] = 0.0


@part
def drop_oldest(state: NDArray[np.float64], series: int, stride: int) -> None:
    """Take the oldest bucket out of the window."""
    top = int(state[TOP, series])
    count_at = SCALARS + top * stride
    size = float(1 << top)
    total, variance = state[count_at + 1, series], state[count_at + 2, series]
    width = state[WIDTH, series] - size
    rest = state[TOTAL, series] - total
    apart = total / size - rest / width
    state[WIDTH, series], state[TOTAL, series] = width, rest
    state[VARIANCE, series] -= variance + size * width * apart * apart / (size + width)
    left = int(state[count_at, series]) - 1
    for field in range(count_at + 1, count_at + 1 + 2 * left):
        state[field, series] = state[field + 2, series]
    state[count_at, series] = left
    if left == 0:  # the row below is never empty: of an overflow, all but two buckets stay
        state[TOP, series] = top - 1


@part
def merge_full_rows(state: NDArray[np.float64], series: int, stride: int) -> None:
    """Merge the two oldest buckets of every row that overflows into one of the next row."""
    full = stride // 2
    at, row, count, half, inverse = SCALARS, 0, full, 0.5, 1.0  # half a bucket's size, 1 / size
    while count == full and at + stride < state.shape[0]:
        first, second = state[at + 1, series], state[at + 3, series]
        apart = first * inverse - second * inverse  # exact: River's division by a power of two
        merged = state[at + 2, series] + state[at + 4, series] + half * apart * apart
        for field in range(at + 1, at + stride - 4):
            state[field, series] = state[field + 4, series]
        state[at, series] = full - 2
        at, row, half, inverse = at + stride, row + 1, half * 2.0, inverse * 0.5
        end = at + 1 + 2 * int(state[at, series])
        state[end, series], state[end + 1, series] = first + second, merged
        count = int(state[at, series]) + 1
        state[at, series] = count
    state[TOP, series] = max(state[TOP, series], float(row))


@part
def insert(state: NDArray[np.float64], series: int, value: float, stride: int) -> None:
    """Take one value into the window."""
    full = stride // 2
    width = state[WIDTH, series] + 1.0
    if width > 1.0:
        apart = value - state[TOTAL, series] / (width - 1.0)
        state[VARIANCE, series] += (width - 1.0) * apart * apart / width
    state[WIDTH, series] = width
    state[TOTAL, series] += value
    count = int(state[SCALARS, series])
    end = SCALARS + 1 + 2 * count
    state[end, series], state[end + 1, series] = value, 0.0
    state[SCALARS, series] = count + 1
    if count + 1 == full:
        merge_full_rows(state, series, stride)
        if state[state.shape[0] - stride, series] == full:  # no row above to merge into
            drop_oldest(state, series, stride)


@part
def has_cut(
    state: NDArray[np.float64], series: int, delta: float, shortest: float, stride: int
) -> bool:
    """Say whether the window splits somewhere into parts whose means differ for certain."""
    width, spread = state[WIDTH, series], state[VARIANCE, series] / state[WIDTH, series]
    if width < 2.0 * shortest:  # no split has two parts that are long enough
        return False
    certainty = math.log(2.0 * math.log(width) / delta)
    n0, n1, u0, u1 = 0.0, width, 0.0, state[TOTAL, series]
    for row in range(int(state[TOP, series]), -1, -1):
        at = SCALARS + row * stride
        size = float(1 << row)
        for bucket in range(int(state[at, series])):
            total = state[at + 1 + 2 * bucket, series]
            n0, n1, u0, u1 = n0 + size, n1 - size, u0 + total, u1 - total
            if n1 < shortest:
                return False
            if n0 < shortest:
                continue
            # Cheap: no division, no root. The bound is sqrt(a) + b with a, b >= 0, so a gap with
            # gap**2 < a + b**2 is below it; both sides here times (n0 * n1 * m0 * m1)**2, and the
            # gap made larger by more than rounding can hide. Overflow and NaN go on to River's.
            m0, m1 = n0 - shortest + 1.0, n1 - shortest + 1.0
            left, right = u0 * n1, u1 * n0
            gap = (abs(left - right) + ROUNDING * (abs(left) + abs(right))) * m0 * m1
            both, parts = n0 * n1, m0 + m1
            bound = certainty * parts * (2.0 * spread * m0 * m1 + certainty * parts * (4.0 / 9.0))
            if gap * gap * (1.0 + ROUNDING) < both * both * bound:
                continue
            recip = 1.0 / m0 + 1.0 / m1
            radicand = 2.0 * recip * spread * certainty
            if radicand >= 0.0:  # rounding can leave a negative variance: no cut, as in River
                epsilon = math.sqrt(radicand) + 2.0 / 3.0 * certainty * recip
                if abs(u0 / n0 - u1 / n1) > epsilon:
                    return True
    return False  # pragma: no cover - after the last bucket n1 is 0, which is too short


@kernel(STATE, BLOCK, ALARMS, float64, int64, int64, int64, int64)
def fold(
    state: NDArray[np.float64],
    block: NDArray[np.float64],
    alarms: NDArray[np.bool_],
    delta: float,
    clock: int,
    max_buckets: int,
    min_window_length: int,
    grace_period: int,
) -> None:
    """Fold block[row, series] into state; set alarms[row, series]."""
    stride = 1 + 2 * (max_buckets + 1)
    for series in range(block.shape[1]):
        tick = int(state[TICK, series])
        for row in range(block.shape[0]):
            value = block[row, series]
            if np.isnan(value):
                continue
            if state[ALARMED, series] != 0.0:  # late: until now all could be read as it was cut
                restart(state, series, stride)
                tick = 0
            insert(state, series, value, stride)
            tick += 1
            if tick % clock != 0 or state[WIDTH, series] <= grace_period:
                continue
            while has_cut(state, series, delta, float(min_window_length), stride):
                drop_oldest(state, series, stride)
                state[ALARMED, series] = 1.0
            if state[ALARMED, series] != 0.0:
                alarms[row, series] = True
                state[KEPT, series] = state[WIDTH, series]
                state[DETECTIONS, series] += 1.0
        state[TICK, series] = tick


class ADWIN(Bank):
    """Tell whether the recent part of a series has another mean than what came before.

    Keeps the longest window whose parts agree, in memory that grows with the logarithm of its
    length. Alarms, window and its moments are those of ``river.drift.ADWIN``, after every value. A
    series starts afresh with the first value after its alarm; until then its numbers are those of
    the window that the cut left. (The paper goes on with that window: see ``since_rows``.)

    Parameters
    ----------
    width
        Number of series; >= 1.
    delta
        About the chance of a false alarm in each check, where values are independent and lie
        between 0 and 1; > 0 and < 1. Other values are taken too, without that promise.
    clock
        Values from one check to the next; >= 1. A larger one is faster and later.
    max_buckets
        Buckets of each size (the paper's M): more of them cut more finely; >= 2 (at 1 River
        panics, since a row of buckets can then be empty).
    min_window_length
        Length of the shortest part of a window that is compared, in values; >= 1.
    grace_period
        Length up to which a window is not checked, in values; >= 0.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Bifet and Gavalda (2007), Learning from time-changing data with adaptive windowing, SIAM
    International Conference on Data Mining: ADWIN2, with the bound that uses the variance of the
    window, and delta' = delta / ln(width). River's, not the paper's: ``clock``, ``grace_period``,
    and that ``min_window_length - 1`` is taken off each part's length in the harmonic mean.

    Examples
    --------
    >>> import numpy as np
    >>> detector = ADWIN(width=1)
    >>> block = np.array([[0.0, 1.0] * 100 + [4.0, 5.0] * 50]).T
    >>> np.flatnonzero(detector.update(block)[:, 0]).tolist()
    [223]
    """

    name: ClassVar[str] = "adwin"
    takes: ClassVar[frozenset[Input]] = frozenset({"figures", "numbers", "errors"})
    layout: ClassVar[int] = 1
    bucket_rows: ClassVar[int] = 32  # buckets of up to 2**31 values

    def __init__(
        self,
        width: int,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        require(0 < delta < 1, "delta must be > 0 and < 1", delta)
        whole("clock", clock, least=1)
        whole("max_buckets", max_buckets, least=2)
        whole("min_window_length", min_window_length, least=1)
        whole("grace_period", grace_period, least=0)
        parameters: dict[str, Parameter] = {
            "delta": delta,
            "clock": clock,
            "max_buckets": max_buckets,
            "min_window_length": min_window_length,
            "grace_period": grace_period,
        }
        self._stride: Final = 1 + 2 * (max_buckets + 1)
        super().__init__(width, SCALARS + self.bucket_rows * self._stride, parameters)
        self._arguments = (delta, clock, max_buckets, min_window_length, grace_period)

    @property
    def window_length(self) -> NDArray[np.float64]:
        """Values in the window (River's ``width``), shape (width,)."""
        return self._field(WIDTH)

    @property
    def total(self) -> NDArray[np.float64]:
        """Sum of the window, shape (width,)."""
        return self._field(TOTAL)

    @property
    def variance(self) -> NDArray[np.float64]:
        """River's ``variance``: the window's squared deviations from its mean, as a sum.

        Shape (width,); divide by ``window_length`` for a variance in the usual sense.
        """
        return self._field(VARIANCE)

    @property
    def estimation(self) -> NDArray[np.float64]:
        """Mean of the window, shape (width,); 0 where it is empty."""
        return self._field(TOTAL) / np.maximum(self._field(WIDTH), 1.0)

    @property
    def detections(self) -> NDArray[np.float64]:
        """Alarms so far, shape (width,); River's ``n_detections`` starts again after each."""
        return self._field(DETECTIONS)

    @property
    def since_rows(self) -> NDArray[np.float64]:
        """Values since the change behind the latest alarm, shape (width,); 0 before any.

        The change is put where that alarm cut the window: what it left, and all since. Missing
        values are not counted.
        """
        after = np.where(self._field(ALARMED) > 0, 0.0, self._field(TICK))
        return np.where(self._field(DETECTIONS) > 0, self._field(KEPT) + after, 0.0)

    def _fold(self, block: NDArray[np.float64], alarms: NDArray[np.bool_]) -> None:
        fold(self._state, block, alarms, *self._arguments)

    def _pack(self) -> bytes:
        """Return the scalars, then counts and buckets of the bucket rows that are in use."""
        used = int(self._state[TOP].max()) + 1
        counts, buckets = self._bucket_rows(self._state)
        counts, buckets = counts[:used], buckets[:used]
        filled = buckets[self._filled(counts)]
        parts = (self._state[:SCALARS].ravel(), counts.ravel(), filled.ravel())
        return packed(np.concatenate(parts))

    def _unpack(self, numbers: Numbers) -> NDArray[np.float64]:
        state = np.zeros_like(self._state)
        counts, buckets = self._bucket_rows(state)
        state[:SCALARS] = numbers.take(SCALARS, self.width)
        top = state[TOP].max()  # NaN if there is one
        require(0 <= top < self.bucket_rows, f"bucket rows must be < {self.bucket_rows}", top)
        used = int(top) + 1
        counts[:used] = numbers.take(used, self.width)
        self._check_counts(counts, state)
        filled = self._filled(counts)
        buckets[filled] = numbers.take(int(filled.sum()), 2)
        return state

    def _check_counts(self, counts: NDArray[np.float64], state: NDArray[np.float64]) -> None:
        """Raise ValueError where a kernel would leave its array."""
        rows = np.arange(self.bucket_rows)[:, np.newaxis]
        window = state[WIDTH]
        in_use = (rows <= state[TOP]) & (window > 0)
        sound = np.isin(counts, np.arange(self._stride // 2)) & ((counts > 0) == in_use)
        agree = (counts * 2.0**rows).sum(axis=0) == window
        require(
            bool(sound.all() and agree.all()),
            f"snapshot of {self.name} must hold buckets that make up its windows",
            window.tolist(),
        )

    def _bucket_rows(
        self, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return views: counts (rows, width), buckets (rows, slots, width, total and variance)."""
        rows = state[SCALARS:].reshape(self.bucket_rows, self._stride, self.width)
        buckets = rows[:, 1:].reshape(self.bucket_rows, -1, 2, self.width)
        return rows[:, 0], buckets.swapaxes(2, 3)

    def _filled(self, counts: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which buckets hold something, shape (rows, slots, width)."""
        slots = np.arange(self._stride // 2)[:, np.newaxis]
        filled: NDArray[np.bool_] = slots < counts[:, np.newaxis]
        return filled
