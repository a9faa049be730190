"""Where each value of many columns stands in the reference of its column."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import types
from numpy.typing import NDArray

from tidegauge.detectors._jit import BLOCK, STATE, TABLE, kernel

Profile = tuple[NDArray[np.float64], NDArray[np.float64]]

SAME: Final = 1e-6  # relative; far above float32's rounding, 6e-8, and a sum's last bits
OF_GAP: Final = 0.01  # what equality may take of the way to the next point
START, END, RANK, SLOPE = range(4)  # of a point's step, in the tables
FIELDS: Final = 4  # of the guide for a point: hardly any has two then


@kernel(
    STATE,
    BLOCK,
    types.Array(types.float64, 3, "C", readonly=True),
    TABLE,
    types.Array(types.int32, 2, "C", readonly=True),
    types.Array(types.int64, 1, "C", readonly=True),
)
def interpolate(
    found: NDArray[np.float64],
    block: NDArray[np.float64],
    tables: NDArray[np.float64],
    scales: NDArray[np.float64],
    guide: NDArray[np.int32],
    steps: NDArray[np.int64],
) -> None:
    """Set found[row, column] to the rank that holds from the last start <= the block's value.

    tables[column] has the starts, in ascending order from the second on, the ends, the ranks, and
    the slopes behind the ends. Values of equal (value - low) * scale share a field of the guide,
    which says how many starts lie in fields before theirs: from there the search goes on, in so
    many steps as the fullest field needs. It takes a step of all rows at a time: row by row, the
    processor would guess each turn wrong half of the time, which costs six times as much.
    """
    rows, last = block.shape[0], guide.shape[1] - 1.0
    values, places = np.empty(rows), np.empty(rows, np.int64)
    for column in range(block.shape[1]):
        low, scale = float(scales[0, column]), float(scales[1, column])
        for row in range(rows):
            value = float(block[row, column])
            field = (value - low) * scale
            field = field if field > 0.0 else 0.0  # as that of NaN
            field = field if field < last else last
            values[row], places[row] = value, guide[column, int(field)]
        step = steps[column]
        while step > 0:
            for row in range(rows):
                further = places[row] + step
                inside = tables[column, START, further] <= values[row]
                places[row] = further if inside else places[row]
            step //= 2
        for row in range(rows):
            at = places[row]
            beyond = values[row] - tables[column, END, at]
            beyond = 0.0 if beyond < 0.0 else beyond
            found[row, column] = tables[column, RANK, at] + beyond * tables[column, SLOPE, at]


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
        fields = FIELDS << longest.bit_length()
        self._scales = np.zeros((2, self.width))
        self._guide = np.zeros((self.width, fields), np.int32)
        self._steps = np.zeros(self.width, np.int64)
        laid = []
        for column, (points, ranks) in enumerate(profiles):
            if len(points) != len(ranks) or not (np.diff(points) > 0).all():
                raise ValueError(
                    f"points must ascend and have one rank each, got {len(points)} points and "
                    f"{len(ranks)} ranks in profile {column}"
                )
            laid.append(_laid(points, ranks))
            if len(points):
                self._lay(column, laid[-1][START, 1:])
        # Behind a profile lies what a last step may look at.
        size = longest + 2 + 2 * int(self._steps.max(initial=0))
        self._tables = np.full((self.width, 4, size), np.inf)
        for column, own in enumerate(laid):
            self._tables[column, :, : own.shape[1]] = own

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
        interpolate(found, values, self._tables, self._scales, self._guide, self._steps)
        return found

    def _lay(self, column: int, starts: NDArray[np.float64]) -> None:
        """Write down in which fields the starts of a profile lie."""
        low, last = starts[0], self._guide.shape[1] - 1
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # as in the kernel
            scale = last / (starts[-1] - low)
            fields = (starts - low) * scale
        fields = np.where(fields > 0.0, np.minimum(fields, last), 0.0).astype(np.int64)
        held = np.bincount(fields, minlength=last + 1)
        self._scales[:, column] = low, scale
        self._guide[column] = np.cumsum(held) - held
        self._steps[column] = 1 << (int(held.max()).bit_length() - 1)


def _laid(points: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a profile's part of the tables: before it, its points, and beyond it."""
    if not len(points):
        return np.array([[-np.inf], [np.inf], [np.nan], [0.0]])
    starts, ends = _steps(points)
    found = np.zeros((4, len(points) + 2))
    found[START] = np.concatenate([[-np.inf], starts, [np.nextafter(ends[-1], np.inf)]])
    found[END] = np.concatenate([[np.inf], ends, [np.inf]])
    found[RANK] = np.concatenate([[-0.5], ranks, [0.5]])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # where it jumps
        slopes = np.diff(ranks) / (starts[1:] - ends[:-1])
    found[SLOPE, 1:-2] = np.where(np.isfinite(slopes), slopes, 0.0)
    return found


def _steps(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the step of each point starts and ends."""
    gaps = np.diff(points)
    reach = points[-1] - points[0] or abs(points[0])
    left, right = np.append(reach, gaps), np.append(gaps, reach)
    same = SAME * np.maximum(np.abs(points), np.minimum(left, right))
    return points - np.minimum(same, OF_GAP * left), points + np.minimum(same, OF_GAP * right)
