"""Running count, mean, spread and extremes of many columns."""

from math import nan, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.detectors import snapshots
from tidegauge.detectors._jit import BLOCK, STATE, kernel

COUNT, MEAN, M2, LOW, HIGH = range(5)  # rows of the state
FIELDS: Final = 5


@kernel(STATE, BLOCK)
def fold(state: NDArray[np.float64], block: NDArray[np.float64]) -> None:
    """Fold block[row, column] into state, value by value, so that cuts never change a bit.

    Columns are the inner loop and nothing branches: a value waits for the one above it, but its
    neighbours are computed at the same time. That takes a quarter of the time of column by column.
    """
    counts, means, squares = state[COUNT], state[MEAN], state[M2]
    lows, highs = state[LOW], state[HIGH]
    for row in range(block.shape[0]):
        for column in range(block.shape[1]):
            value, mean = block[row, column], means[column]
            known = not np.isnan(value)
            count = counts[column] + 1.0
            delta = value - mean
            moved = mean + (1.0 / count) * delta
            square = squares[column] + delta * (value - moved)
            counts[column] = count if known else counts[column]
            means[column] = moved if known else mean
            squares[column] = square if known else squares[column]
            lows[column] = value if value < lows[column] else lows[column]
            highs[column] = value if value > highs[column] else highs[column]


class Moments:
    """Tells how many values each column had, and how large and how spread they are.

    Parameters
    ----------
    width
        Number of columns; >= 0.

    References
    ----------
    Welford (1962), Note on a method for calculating corrected sums of squares and products,
    Technometrics 4. One value at a time; blocks merged as wholes would be faster, but where they
    are cut would change the last bits.

    Examples
    --------
    >>> moments = Moments(2)
    >>> moments.update(np.array([[1.0, 5.0], [3.0, np.nan]]))
    >>> moments.count.tolist(), moments.mean.tolist(), moments.sd.tolist()
    ([2.0, 1.0], [2.0, 5.0], [1.0, 0.0])
    >>> moments.low.tolist(), moments.high.tolist()
    ([1.0, 5.0], [3.0, 5.0])
    """

    name: Final = "moments"
    layout: Final = 1  # one more whenever the meaning of the snapshot's bytes changes

    def __init__(self, width: int) -> None:
        self.width: Final = width
        self._state = np.empty((FIELDS, width))
        self.reset()

    def update(self, block: NDArray[np.float64]) -> None:
        """Take a block of rows, shape (rows, width): finite numbers, NaN where one is missing.

        A missing value leaves its column as it was.

        Raises
        ------
        ValueError
            If the block has another shape; nothing was folded then.
        """
        if block.shape != (len(block), self.width):
            raise ValueError(f"block must have shape (rows, {self.width}), got {block.shape}")
        fold(self._state, np.ascontiguousarray(block, np.float64))

    def merge(self, other: "Moments") -> None:
        """Take what another one of as many columns has seen.

        It is what one by one would give but for the last bits, by Chan, Golub & LeVeque (1983),
        Algorithms for computing the sample variance, The American Statistician 37.

        >>> both, other = Moments(1), Moments(1)
        >>> both.update(np.array([[1.0], [2.0]]))
        >>> other.update(np.array([[6.0]]))
        >>> both.merge(other)
        >>> both.count.tolist(), both.mean.tolist(), both.low.tolist(), both.high.tolist()
        ([3.0], [3.0], [1.0], [6.0])
        """
        own, more = self._state, other._state  # noqa: SLF001 (another one of ours)
        count = own[COUNT] + more[COUNT]
        part = more[COUNT] / np.maximum(count, 1.0)
        delta = more[MEAN] - own[MEAN]
        own[M2] += more[M2] + delta**2 * own[COUNT] * part
        own[MEAN] += delta * part
        own[COUNT] = count
        np.minimum(own[LOW], more[LOW], out=own[LOW])
        np.maximum(own[HIGH], more[HIGH], out=own[HIGH])

    def reset(self) -> None:
        """Forget all values."""
        self._state[:] = 0.0
        self._state[LOW], self._state[HIGH] = np.inf, -np.inf

    @property
    def table(self) -> NDArray[np.float64]:
        """Count, mean, sum of squared deviations, smallest and largest value, a row each, as kept.

        Where there is no value they are 0, 0, 0, inf and -inf.

        >>> Moments(1).table[:, 0].tolist()
        [0.0, 0.0, 0.0, inf, -inf]
        """
        return self._state

    @property
    def count(self) -> NDArray[np.float64]:
        """Values that are not missing, shape (width,)."""
        count: NDArray[np.float64] = self._state[COUNT].copy()
        return count

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean, shape (width,); NaN where there is no value."""
        return self._where_known(self._state[MEAN])

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation, divided by the count, shape (width,); NaN where there is no value."""
        sd: NDArray[np.float64] = np.sqrt(self._where_known(self._state[M2]) / self._state[COUNT])
        return sd

    @property
    def low(self) -> NDArray[np.float64]:
        """Smallest value, shape (width,); NaN where there is none."""
        return self._where_known(self._state[LOW])

    @property
    def high(self) -> NDArray[np.float64]:
        """Largest value, shape (width,); NaN where there is none."""
        return self._where_known(self._state[HIGH])

    def columns(self) -> list[tuple[int, float, float, float, float]]:
        """Return count, mean, standard deviation, smallest and largest value, column by column.

        >>> moments = Moments(2)
        >>> moments.update(np.array([[1.0, np.nan], [3.0, np.nan]]))
        >>> moments.columns()
        [(2, 2.0, 1.0, 1.0, 3.0), (0, nan, nan, nan, nan)]
        """
        return [
            (int(count), mean, sqrt(m2 / count), low, high) if count else (0, nan, nan, nan, nan)
            for count, mean, m2, low, high in self._state.T.tolist()
        ]

    def snapshot(self) -> bytes:
        """Return all that is needed to go on in another process, bit for bit."""
        return snapshots.write(self._identity(), snapshots.packed(self._state))

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of as many columns.

        Raises
        ------
        ValueError
            If the bytes are damaged, or come from something else, another layout or width; the
            state is then as it was.
        """
        numbers = snapshots.read(self.name, self._identity(), snapshot)
        state = numbers.take(FIELDS, self.width)
        numbers.end()
        self._state = state

    def _where_known(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(self._state[COUNT] > 0, values, np.nan)

    def _identity(self) -> dict[str, object]:
        return {"statistics": self.name, "layout": self.layout, "width": self.width}
