"""What a closed window says of each series, and what it would be without one of its rows."""

from math import inf, nan
from typing import Any, Final

from numba import types

from tidegauge.detectors._jit import STATE, TABLE, kernel

VALUE, ROWS, LOW, HIGH, SHOWN = range(5)  # fields of a reading
FIELDS: Final = 5
COUNT, MEAN, _, LEAST, MOST = range(5)  # rows of ``Moments``
INTS: Final = types.Array(types.int64, 1, "C", readonly=True)


@kernel(STATE, INTS, INTS, TABLE, allocates=False)
def read(found: Any, hits: Any, among: Any, moments: Any) -> None:
    """Set found[field, series]: the shares, of which so many rows are hits, then the means.

    Behind them may be others, which are left alone.

    A reading is a window's value of a series, on how many rows it stands, the least and the
    greatest it would be without one of them, and what people are shown for it. A shift that lies
    between the two is one row's doing, and no single row makes an incident.
    """
    width = len(hits)
    for series in range(width + moments.shape[1]):
        if series < width:
            rows, mean = float(among[series]), hits[series] / among[series]
            least = 1.0 if hits[series] == among[series] else 0.0
            most = 1.0 if hits[series] > 0 else 0.0
        else:
            at = series - width
            rows, mean = moments[COUNT, at], moments[MEAN, at] if moments[COUNT, at] > 0 else nan
            least, most = moments[LEAST, at], moments[MOST, at]
        found[VALUE, series], found[ROWS, series], found[SHOWN, series] = mean, rows, mean
        # Without its row there is nothing.
        found[LOW, series] = (rows * mean - most) / (rows - 1) if rows > 1 else -inf
        found[HIGH, series] = (rows * mean - least) / (rows - 1) if rows > 1 else inf
