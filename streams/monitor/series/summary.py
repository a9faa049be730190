"""The windows of a reference as a series reads them: rows that each stand for several."""

from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Final

import numpy as np
from numba import types

from tidegauge.detectors._jit import STATE, VECTOR, kernel, routine
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.series.view import View

SCRATCH: Final = types.Array(types.float64, 1, "C")
DEPTH: Final = 64  # halvings of any array
LANES: Final = 8
RUN: Final = 128  # values that numpy does not halve; of them it makes eight sums


@dataclass(frozen=True, slots=True)
class Summary:
    """Windows one after the other."""

    view: View
    weights: Floats  # of its rows
    starts: Ints  # of the windows in it, and the end

    def moments(self, values: Floats) -> Floats:
        """Return each window's weight, mean and variance of values that are not NaN, a row each.

        >>> summary = Summary(View(("",), 3), np.array([1.0, 3.0, 2.0]), np.array([0, 2, 3]))
        >>> summary.moments(np.array([1.0, 5.0, np.nan])).tolist()
        [[4.0, 0.0], [4.0, nan], [3.0, nan]]
        """
        found = np.empty((3, len(self.starts) - 1))
        values = np.ascontiguousarray(values)
        parts, left = np.empty(len(values)), np.empty(DEPTH)
        weigh(found, values, self.weights, self.starts, parts, left)
        return found


@routine
def run_total(values: Any, start: Any, stop: Any) -> Any:
    """Return the sum of at most RUN values: eight sums side by side, if there are so many."""
    found, whole = 0.0, start
    if stop - start >= LANES:
        whole = stop - (stop - start) % LANES
        a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for at in range(start, whole, LANES):
            a, b, c, d = a + values[at], b + values[at + 1], c + values[at + 2], d + values[at + 3]
            e, f = e + values[at + 4], f + values[at + 5]
            g, h = g + values[at + 6], h + values[at + 7]
        found = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for at in range(whole, stop):
        found += values[at]
    return found


@routine
def total(values: Any, count: Any, left: Any) -> Any:
    """Return the sum of the first values, added in numpy's order: so its last bits are numpy's.

    What is longer than a run is halved, again and again; ``left`` holds the sums of left halves.
    """
    at, depth = 0, 0
    while at < count or depth == 0:
        start, stop, rights = 0, count, 0
        while stop - start > RUN:
            middle = start + (stop - start) // 2 - (stop - start) // 2 % LANES
            if at < middle:
                stop, rights = middle, 0
            else:
                start, rights = middle, rights + 1
        found = run_total(values, start, stop)
        for _ in range(rights):
            depth -= 1
            found = left[depth] + found
        left[depth] = found
        depth, at = depth + 1, stop
    return left[0]


@kernel(
    STATE,
    VECTOR,
    VECTOR,
    types.Array(types.int64, 1, "C", readonly=True),
    SCRATCH,
    SCRATCH,
    allocates=False,
)
def weigh(found: Any, values: Any, weights: Any, starts: Any, parts: Any, left: Any) -> None:
    """Set found[:, window] to the weight, the mean and the variance of its values; see Summary."""
    for window in range(found.shape[1]):
        start, stop, known = starts[window], starts[window + 1], 0
        for at in range(start, stop):
            if not isnan(values[at]):
                parts[known] = weights[at]
                known += 1
        rows = total(parts, known, left)
        known = 0
        for at in range(start, stop):
            if not isnan(values[at]):
                parts[known] = weights[at] * values[at]
                known += 1
        mean = total(parts, known, left) / rows if rows > 0 else nan
        known = 0
        for at in range(start, stop):
            if not isnan(values[at]):
                off = values[at] - mean
                parts[known] = weights[at] * (off * off)
                known += 1
        found[0, window], found[1, window] = rows, mean
        found[2, window] = total(parts, known, left) / rows if rows > 0 else nan
