"""What an open window adds up for each slice, from what was computed once for all rows."""

from typing import Any, Final

import msgspec
import numpy as np
from numba import types

from tidegauge.detectors._jit import BLOCK, INTS, PAIRS, STATE, kernel
from tidegauge.streams.monitor.intake.block import Codes, Floats, Ints

RANK, SQUARE, VALUE = range(3)  # parts of the sums, a column a number each
PARTS: Final = 3


@kernel(
    INTS,
    PAIRS,
    STATE,
    types.Array(types.int64, 2, "C", readonly=True),
    BLOCK,
    BLOCK,
    types.Array(types.int32, 2, "A", readonly=True),
    allocates=False,
)
def add_up(
    rows: Any, known: Any, sums: Any, slots: Any, ranks: Any, values: Any, codes: Any
) -> None:
    """Add each row to what its slices have: rows, values that are there, and their sums.

    slots[row, dimension] says in which slice a row is, -1: in none. Of known[slice] the numbers
    come first, then the categories; of sums[slice] the ranks, their squares and the values.
    """
    numbers = ranks.shape[1]
    for row in range(slots.shape[0]):
        for dimension in range(slots.shape[1]):
            at = slots[row, dimension]
            if at < 0:
                continue
            rows[at] += 1
            for column in range(numbers):
                value, rank = values[row, column], ranks[row, column]
                there = value == value  # noqa: PLR0124 - only NaN is not itself
                rank = rank if rank == rank else 0.0  # noqa: PLR0124 - that of a missing value
                known[at, column] += there
                sums[at, column] += rank
                sums[at, numbers + column] += rank * rank
                sums[at, 2 * numbers + column] += value if there else 0.0
            for column in range(codes.shape[1]):
                known[at, numbers + column] += codes[row, column] >= 0


class SliceSumsState(msgspec.Struct, array_like=True):
    """What is added up, for the snapshot; arrays as bytes."""

    total: int
    rows: bytes
    known: bytes
    sums: bytes


class SliceSums:
    """Rows, values that are there, and sums of each slice; in the order of the log, row by row.

    So where batches are cut changes no bit.

    Parameters
    ----------
    slices, numbers, categories
        How many there are.

    Examples
    --------
    >>> sums = SliceSums(2, 1, 0)
    >>> values, nothing = np.array([[1.0], [3.0], [np.nan]]), np.empty((3, 0), np.int32)
    >>> sums.add(np.array([[0], [0], [1]]), values / 10, values, nothing)
    >>> sums.rows.tolist(), sums.known.tolist(), sums.part(VALUE).tolist()
    ([2, 1], [[2], [0]], [[4.0], [0.0]])
    """

    def __init__(self, slices: int, numbers: int, categories: int) -> None:
        self.total = 0  # rows in any slice or none
        self.rows = np.zeros(slices, np.int64)
        self.known = np.zeros((slices, numbers + categories), np.int64)
        self.sums = np.zeros((slices, PARTS * numbers))

    def add(self, slots: Ints, ranks: Floats, values: Floats, codes: Codes) -> None:
        """Take further rows; see ``add_up``."""
        self.total += len(slots)
        own = np.ascontiguousarray(values)
        add_up(self.rows, self.known, self.sums, slots, ranks, own, codes)

    def part(self, which: int) -> Floats:
        """Return the sums of ranks, of their squares or of values, shape (slices, numbers)."""
        numbers = self.sums.shape[1] // PARTS
        found: Floats = self.sums[:, which * numbers : (which + 1) * numbers]
        return found

    def state(self) -> SliceSumsState:
        """Return what a snapshot needs."""
        return SliceSumsState(
            self.total, self.rows.tobytes(), self.known.tobytes(), self.sums.tobytes()
        )

    def load(self, state: SliceSumsState) -> None:
        """Take back the state of sums of the same slices and columns."""
        self.total = state.total
        self.rows = np.frombuffer(state.rows, np.int64).copy()
        self.known = np.frombuffer(state.known, np.int64).reshape(self.known.shape).copy()
        self.sums = np.frombuffer(state.sums).reshape(self.sums.shape).copy()
