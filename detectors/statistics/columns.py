"""Running statistics of many columns, with each value's rank in a reference."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.detectors._jit import BLOCK, STATE, TABLE, kernel

COUNT, MISSING, MEAN, M2, LOW, HIGH, RANK, OUTSIDE = range(8)  # rows of the state
FIELDS: Final = 8


@kernel(STATE, BLOCK, TABLE, TABLE, TABLE)
def fold(
    state: NDArray[np.float64],
    block: NDArray[np.float64],
    points: NDArray[np.float64],
    ranks: NDArray[np.float64],
    bounds: NDArray[np.float64],
) -> None:
    """Fold block[row, column] into state, value by value, so that cuts never change a bit.

    points[column] ascend through the column's profile and end in +inf; ranks[column] are theirs.
    bounds[column] are the least and the greatest value that is not outside.
    """
    last = points.shape[1] - 1
    for column in range(block.shape[1]):
        count, missing = state[COUNT, column], state[MISSING, column]
        mean, m2 = state[MEAN, column], state[M2, column]
        low, high, rank = state[LOW, column], state[HIGH, column], state[RANK, column]
        outside = state[OUTSIDE, column]
        for row in range(block.shape[0]):
            value = block[row, column]
            if np.isnan(value):
                missing += 1.0
                continue
            count += 1.0
            delta = value - mean
            mean += (1.0 / count) * delta
            m2 += delta * (value - mean)
            low = min(low, value)
            high = max(high, value)
            if value < bounds[column, 0] or value > bounds[column, 1]:
                outside += 1.0
            below, above = 0, last  # the first point that is not below the value
            while below < above:
                middle = (below + above) // 2
                if points[column, middle] < value:
                    below = middle + 1
                else:
                    above = middle
            point = points[column, below]
            if point == value:
                rank += ranks[column, below]
            elif below == 0:
                rank -= 0.5
            elif point == np.inf:
                rank += 0.5
            else:
                left, start = points[column, below - 1], ranks[column, below - 1]
                share = (value - left) / (point - left)
                rank += start + share * (ranks[column, below] - start)
        state[COUNT, column], state[MISSING, column] = count, missing
        state[MEAN, column], state[M2, column] = mean, m2
        state[LOW, column], state[HIGH, column], state[RANK, column] = low, high, rank
        state[OUTSIDE, column] = outside


class ColumnStatistics:
    """Tells how many, how large, how spread a window's values are, and where in the reference.

    Parameters
    ----------
    width
        Number of columns.
    profiles
        For each column the points and mid-ranks (minus one half) of its reference, ascending;
        without them every rank is -0.5 or 0.5 and means nothing.
    bounds
        For each column the least and the greatest value that is expected; without them all are.

    Notes
    -----
    Mean and squares by Welford (1962), one value at a time. Between two points of the profile the
    rank is interpolated; below the first it is -0.5, beyond the last 0.5.

    Examples
    --------
    >>> stats = ColumnStatistics(1, [(np.array([1.0, 2.0, 3.0]), np.array([-1 / 3, 0.0, 1 / 3]))])
    >>> stats.update(np.array([[2.0], [np.nan], [9.0]]))
    >>> float(stats.count[0]), float(stats.missing[0]), float(stats.mean[0])
    (2.0, 1.0, 5.5)
    >>> float(stats.rank[0])
    0.25
    """

    def __init__(
        self,
        width: int,
        profiles: list[tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None,
        bounds: list[tuple[float, float]] | None = None,
    ) -> None:
        known = profiles or [(np.empty(0), np.empty(0))] * width
        if len(known) != width:
            raise ValueError(f"profiles must be one a column, {width}, got {len(known)}")
        longest = 1 + max((len(points) for points, _ in known), default=0)
        self.width = width
        self._points = np.full((width, longest), np.inf)
        self._ranks = np.full((width, longest), 0.5)
        for column, (points, ranks) in enumerate(known):
            self._points[column, : len(points)] = points
            self._ranks[column, : len(points)] = ranks
        self._bounds = np.array(bounds or [(-np.inf, np.inf)] * width).reshape(width, 2)
        self._state = np.empty((FIELDS, width))
        self.reset()

    def reset(self) -> None:
        """Forget all values; the profiles stay."""
        self._state[:] = 0.0
        self._state[LOW], self._state[HIGH] = np.inf, -np.inf

    def update(self, block: NDArray[np.float64]) -> None:
        """Take a block of rows, shape (rows, width), NaN where missing."""
        if block.shape != (len(block), self.width):
            raise ValueError(f"block must have shape (rows, {self.width}), got {block.shape}")
        fold(self._state, np.ascontiguousarray(block), self._points, self._ranks, self._bounds)

    @property
    def count(self) -> NDArray[np.float64]:
        """Values that are not missing, shape (width,)."""
        count: NDArray[np.float64] = self._state[COUNT]
        return count

    @property
    def missing(self) -> NDArray[np.float64]:
        """Missing values, shape (width,)."""
        missing: NDArray[np.float64] = self._state[MISSING]
        return missing

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean, shape (width,); NaN where there is no value."""
        return np.where(self.count > 0, self._state[MEAN], np.nan)

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation of the values (divided by their number), shape (width,)."""
        known = np.where(self.count > 0, self.count, np.nan)
        sd: NDArray[np.float64] = np.sqrt(np.maximum(self._state[M2], 0.0) / known)
        return sd

    @property
    def low(self) -> NDArray[np.float64]:
        """Smallest value, shape (width,); NaN where there is none."""
        return np.where(self.count > 0, self._state[LOW], np.nan)

    @property
    def high(self) -> NDArray[np.float64]:
        """Largest value, shape (width,); NaN where there is none."""
        return np.where(self.count > 0, self._state[HIGH], np.nan)

    @property
    def rank(self) -> NDArray[np.float64]:
        """Mean of the reference mid-rank minus one half, shape (width,), in [-0.5, 0.5]."""
        known = np.where(self.count > 0, self.count, np.nan)
        rank: NDArray[np.float64] = self._state[RANK] / known
        return rank

    @property
    def outside(self) -> NDArray[np.float64]:
        """Values outside the bounds, shape (width,)."""
        outside: NDArray[np.float64] = self._state[OUTSIDE]
        return outside

    def snapshot(self) -> bytes:
        """Return the values folded so far as bytes."""
        return self._state.tobytes()

    def restore(self, data: bytes) -> None:
        """Take back what ``snapshot`` gave for the same columns."""
        if len(data) != self._state.nbytes:
            raise ValueError(
                f"column statistics: expected {self._state.nbytes} bytes, got {len(data)}"
            )
        self._state = np.frombuffer(data).reshape(self._state.shape).copy()
