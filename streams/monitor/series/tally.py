"""How many values of a block are missing, or not such as the reference has."""

from typing import Any, Final

from numba import types

from tidegauge.detectors._jit import BLOCK, VECTOR, kernel

MISSING, UNLIKE = range(2)  # rows of the counts
KINDS: Final = 2
COUNTS: Final = types.Array(types.int64, 2, "C")  # kinds x columns


@kernel(COUNTS, BLOCK, VECTOR, VECTOR, allocates=False)
def count_numbers(counts: Any, values: Any, low: Any, high: Any) -> None:
    """Count the values of each column that are NaN, and those below ``low`` or above ``high``."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            counts[MISSING, column] += value != value  # noqa: PLR0124 - only NaN is not itself
            counts[UNLIKE, column] += (value < low[column]) | (value > high[column])


@kernel(
    COUNTS,
    types.Array(types.int32, 2, "A", readonly=True),
    types.int64,
    types.Array(types.boolean, 1, "C", readonly=True),
    allocates=False,
)
def count_codes(counts: Any, codes: Any, column: Any, new: Any) -> None:
    """Count the codes of a column below 0, and those that ``new`` says are not in its reference."""
    for row in range(codes.shape[0]):
        code = codes[row, column]
        if code < 0:
            counts[MISSING, column] += 1
        elif new[code]:
            counts[UNLIKE, column] += 1
