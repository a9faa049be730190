"""How far a window's values are from the reference, without the row that did most of it."""

from typing import Any, Final

from numba import types

from tidegauge.detectors._jit import TABLE, VECTOR, kernel

LEAST_ROWS: Final = 5  # that carry a shift, and that a window has which is told at once
BLATANT: Final = 3.0  # times the reference's largest deviation, and that many sds at least
WORTH: Final = 5.0  # gates a blatant shift must have
MEAN, GATE, IS_SHARE, LEVEL, EXTREME = range(5)  # of a series; the last two of its reference
VALUE, ROWS, LOW, HIGH = range(4)  # of a reading
FLAGS: Final = types.Array(types.boolean, 1, "C")
VALUES: Final = types.Array(types.float64, 1, "C")


@kernel(VALUES, FLAGS, TABLE, VECTOR, TABLE, allocates=False)
def stand(firm: Any, blatant: Any, readings: Any, sd: Any, known: Any) -> None:
    """Set what a series' value is without the row that did most, and whether it is told at once.

    That is the nearest to the reference of what it would be with one row less. NaN, of no value or
    no reference, is never blatant.
    """
    for series in range(len(firm)):
        value, mean, rows = known[MEAN, series], known[MEAN, series], readings[ROWS, series]
        low, high = readings[LOW, series], readings[HIGH, series]
        value = value if value > low or value != value else low  # noqa: PLR0124 - NaN stays NaN
        value = value if value < high or value != value else high  # noqa: PLR0124
        firm[series] = value
        extreme = known[EXTREME, series]
        far = BLATANT * (extreme if extreme > BLATANT else BLATANT)
        shift = abs(value - mean)
        carried = shift * rows if known[IS_SHARE, series] else rows
        blatant[series] = (
            abs(value - known[LEVEL, series]) / sd[series] > far
            and shift >= WORTH * known[GATE, series]
            and rows >= LEAST_ROWS
            and carried >= LEAST_ROWS
        )
