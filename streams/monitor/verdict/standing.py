"""How far a window's values are from the reference, without the row that did most of it."""

from typing import Any, Final

import numpy as np
from numba import types

from tidegauge.detectors._jit import FLAGS, TABLE, VECTOR, kernel

LEAST_ROWS: Final = 5  # that carry a shift, and that a window has which is told at once
WORTH: Final = 2.0  # gates a blatant shift must have
# Of a series: the level is its reference's, alike are rows of one window (``likeness``).
MEAN, GATE, IS_SHARE, LEVEL, FAR, ALIKE = range(6)
ROWS, LOW, HIGH = range(1, 4)  # of a reading
VALUES: Final = types.Array(types.float64, 1, "C")
COUNTS: Final = types.Array(types.int64, 1, "C", readonly=True)
WINDOWS: Final = types.Array(types.float64, 3, "C", readonly=True)  # kept x windows x series
KEPT_VALUE, KEPT_FIRM, KEPT_WEIGHT = 0, 2, 4  # in ``History``


@kernel(VALUES, FLAGS, TABLE, VECTOR, TABLE, allocates=False)
def stand(firm: Any, blatant: Any, readings: Any, sd: Any, known: Any) -> None:
    """Set what a series' value is without the row that did most, and whether it is told at once.

    That is the nearest to the reference of what it would be with one row less. NaN, of no value or
    no reference, is never blatant. Rows of a window that are alike count for fewer: Kish's design
    effect, 1 + (rows - 1) times their correlation.
    """
    for series in range(len(firm)):
        mean, rows = known[MEAN, series], readings[ROWS, series]
        low, high = readings[LOW, series], readings[HIGH, series]
        value = mean if mean > low or mean != mean else low  # noqa: PLR0124 - NaN stays NaN
        value = value if value < high or value != value else high  # noqa: PLR0124
        firm[series] = value
        shift = abs(value - mean)
        alike = 1.0 + (rows - 1.0) * known[ALIKE, series]
        carried = shift * rows / alike if known[IS_SHARE, series] else rows
        blatant[series] = (
            abs(value - known[LEVEL, series]) / sd[series] > known[FAR, series]
            and shift >= WORTH * known[GATE, series]
            and rows >= LEAST_ROWS
            and carried >= LEAST_ROWS
        )


@kernel(VALUES, WINDOWS, types.int64, COUNTS, VECTOR, allocates=False)
def shift(found: Any, kept: Any, newest: Any, counts: Any, means: Any) -> None:
    """Set how far the weighted mean of a series' last values is from its mean, less one row's part.

    That is what the row did that did most of it. The last are those of the last ``counts`` windows
    with a value, and ``kept`` is a ring that ends with the window ``newest``. NaN without a value.
    """
    windows = kept.shape[1]
    for series in range(len(found)):
        total, values, reach = 0.0, 0, 0
        while reach < windows and values < counts[series]:
            at = (newest - reach) % windows
            if not np.isnan(kept[KEPT_VALUE, at, series]):
                total += kept[KEPT_WEIGHT, at, series]
                values += 1
            reach += 1
        mean = 0.0 if values else np.nan
        for back in range(reach):
            at = (newest - back) % windows
            if not np.isnan(kept[KEPT_VALUE, at, series]):
                mean += kept[KEPT_WEIGHT, at, series] / total * kept[KEPT_VALUE, at, series]
        off, most = mean - means[series], 0.0
        sign = 1.0 if off > 0 else -1.0
        for back in range(reach):
            at = (newest - back) % windows
            part = kept[KEPT_VALUE, at, series] - kept[KEPT_FIRM, at, series]
            part *= sign * kept[KEPT_WEIGHT, at, series] / total
            most = part if part > most else most
        left = abs(off) - most
        found[series] = sign * (0.0 if left < 0.0 else left)
