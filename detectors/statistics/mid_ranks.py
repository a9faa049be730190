"""Where each value of many columns stands in the reference of its column."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.detectors._jit import BLOCK, STATE, TABLE, kernel

Profile = tuple[NDArray[np.float64], NDArray[np.float64]]

SAME: Final = 1e-6  # relative; far above float32's rounding, 6e-8, and a sum's last bits
OF_GAP: Final = 0.01  # what equality may take of the way to the next point


@kernel(STATE, BLOCK, TABLE, TABLE, TABLE)
def interpolate(
    found: NDArray[np.float64],
    block: NDArray[np.float64],
    points: NDArray[np.float64],
    ranks: NDArray[np.float64],
    slopes: NDArray[np.float64],
) -> None:
    """Set found[row, column] to the line's value that starts at the last point <= the block's.

    A table's row is a column's; points ascend from the second on and are a power of two. The
    search takes a step of all rows at a time: row by row, the processor would guess each turn
    wrong half of the time, which costs six times as much.
    """
    rows = block.shape[0]
    values, places = np.empty(rows), np.empty(rows, np.int64)
    for column in range(block.shape[1]):
        for row in range(rows):
            values[row], places[row] = block[row, column], 0
        step = points.shape[1] // 2
        while step > 0:
            for row in range(rows):
                further = places[row] + step
                inside = points[column, further] <= values[row]
                places[row] = further if inside else places[row]
            step //= 2
        for row in range(rows):
            at = places[row]
            beyond = values[row] - points[column, at]
            found[row, column] = ranks[column, at] + beyond * slopes[column, at]


class MidRanks:
    """Tells which share of its column's reference lies below each value, minus one half.

    Parameters
    ----------
    profiles
        For each column the points of its reference, ascending, and their mid-ranks minus one half,
        in [-0.5, 0.5]. An empty profile knows no rank: NaN.

    Raises
    ------
    ValueError
        If a profile's points do not ascend, or its ranks are not one a point.

    Notes
    -----
    Below the first point the rank is -0.5, beyond the last 0.5, and between two points on the line
    through them. So that a number is never far from itself, as a float32 or as a sum in another
    order, a point's rank holds for all values within 1e-6 of it, relative to the point or, near
    zero, to its next neighbour; but for no more than 1% of the way to a neighbour, so that dense
    profiles, such as of timestamps, keep their resolution. At both ends the whole reach of the
    profile stands for the neighbour that is not there.

    Examples
    --------
    >>> ranks = MidRanks([(np.array([1.0, 2.0, 3.0]), np.array([-1 / 3, 0.0, 1 / 3]))])
    >>> block = np.array([[0.9], [1.5], [2.0], [np.float32(2.0000001)], [9.0], [np.nan]])
    >>> ranks(block)[:, 0].round(3).tolist()
    [-0.5, -0.167, 0.0, 0.0, 0.5, nan]
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.width: Final = len(profiles)
        longest = max((len(points) for points, _ in profiles), default=0)
        size = 1 << (2 * longest + 1).bit_length()  # two for each point, one before, one after
        self._points = np.full((self.width, size), np.inf)
        self._points[:, 0] = 0.0  # never compared, only taken off
        self._ranks = np.full((self.width, size), np.nan)
        self._slopes = np.zeros((self.width, size))
        for column, (points, ranks) in enumerate(profiles):
            if len(points) != len(ranks) or not (np.diff(points) > 0).all():
                raise ValueError(
                    f"points must ascend and have one rank each, got {len(points)} points and "
                    f"{len(ranks)} ranks in profile {column}"
                )
            if len(points):
                self._lay(column, points, ranks)

    def __call__(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rank of each value, shape (rows, width), NaN where missing.

        Raises
        ------
        ValueError
            If the block has another shape.
        """
        if block.shape != (len(block), self.width):
            raise ValueError(f"block must have shape (rows, {self.width}), got {block.shape}")
        found = np.empty(block.shape)
        values = np.ascontiguousarray(block, np.float64)
        interpolate(found, values, self._points, self._ranks, self._slopes)
        return found

    def _lay(self, column: int, points: NDArray[np.float64], ranks: NDArray[np.float64]) -> None:
        """Write a profile into the tables: its ranks as steps, the way between them as slopes."""
        starts, ends = _steps(points)
        places = np.stack([starts, ends], axis=1).ravel()
        places = np.concatenate([places[:1], places, [np.nextafter(ends[-1], np.inf)]])
        levels = np.concatenate([[-0.5], np.repeat(ranks, 2), [0.5]])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # where it jumps
            slopes = np.diff(levels) / np.diff(places)
        self._points[column, : len(places)] = places
        self._ranks[column, : len(places)] = levels
        self._slopes[column, : len(slopes)] = np.where(np.isfinite(slopes), slopes, 0.0)


def _steps(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the step of each point starts and ends."""
    gaps = np.diff(points)
    reach = points[-1] - points[0] or abs(points[0])
    left, right = np.append(reach, gaps), np.append(gaps, reach)
    same = SAME * np.maximum(np.abs(points), np.minimum(left, right))
    return points - np.minimum(same, OF_GAP * left), points + np.minimum(same, OF_GAP * right)
