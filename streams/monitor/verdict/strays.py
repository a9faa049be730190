"""The range of a number over windows, without the few values that are none of its own."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tidegauge.streams.monitor.intake.block import Floats, Ints

Limits = tuple[float, float]
STRAYS = 1 / 10  # of the windows may have some, at most; of the rows, a value that stands for none


class Summed(NamedTuple):
    """A number's windows one after the other: values, and what each of them stands for."""

    points: Floats  # of a window ascending, the two least and the two greatest exactly
    weights: Floats
    starts: Ints  # of the windows, and the end

    @property
    def windows(self) -> Iterator[Floats]:
        """Yield the points of each window."""
        return (self.points[start:stop] for start, stop in pairwise(self.starts.tolist()))

    @property
    def totals(self) -> Floats:
        """The weight of each window."""
        return np.diff(np.append(0.0, np.cumsum(self.weights))[self.starts])  # whole numbers

    def each(self, values: Floats) -> Floats:
        """Return what is said of each window for each of its points."""
        return np.repeat(values, np.diff(self.starts))


def own_extremes(lows: Floats, highs: Floats, summed: Summed) -> tuple[Floats, Floats]:
    """Return windows' extremes without a value that stands for a missing one, such as -999.

    That is one and the same extreme of more windows than may have strays, in a tenth of the rows at
    most, and farther from all other values than these from one another.

    Parameters
    ----------
    lows, highs
        Of each window, NaN where it has no value.
    summed
        Their values.
    """
    if np.isnan(lows).all():
        return lows, highs
    inner = _past(lows, summed.windows), -_past(-highs, (-own[::-1] for own in summed.windows))
    (low, high), total = usual_range(*inner), summed.weights.sum()
    found = [lows, highs]
    ends = (np.nanmin(lows), low), (np.nanmax(highs), high)
    for side, (value, last) in enumerate(ends):
        rows = summed.weights[summed.points == value].sum()
        several = np.count_nonzero(found[side] == value) > _most(len(lows))
        if several and rows <= STRAYS * total and abs(value - last) > high - low > 0:
            found[side] = inner[side]
    return found[0], found[1]


def _past(lows: Floats, points: Iterable[Floats]) -> Floats:
    """Return each window's least value that is not the least of all; its points ascend."""
    least, found = np.nanmin(lows), lows.copy()
    for window, own in enumerate(points):
        if lows[window] == least:
            found[window] = next(iter(own[np.searchsorted(own, least, side="right") :]), least)
    return found


def usual_range(lows: Floats, highs: Floats) -> Limits:
    """Return the range of windows' extremes without strays.

    A stray is an extreme that by itself more than doubles the range of the others: one 1e9 among
    thousands must not blind the reference. What is left out is honest: a window's own share beyond
    the range counts in the reference.

    >>> usual_range(np.array([0.0, 1.0, -1.0, 0.5]), np.array([9.0, 8.0, 1e9, 10.0]))
    (-1.0, 10.0)
    """
    return _usual(*_ascending(lows, highs))


def ranges_of_others(lows: Floats, highs: Floats) -> list[Limits]:
    """Return for each window the usual range of the others.

    >>> ranges_of_others(np.array([0.0, -1.0, 0.5]), np.array([9.0, 8.0, 12.0]))
    [(-1.0, 12.0), (0.0, 12.0), (-1.0, 9.0)]
    """
    ascending = _ascending(lows, highs)
    windows, rest = len(ascending[0]), _usual(*ascending)
    most, found = _most(windows), list[Limits]()
    fewer = _most(windows - 1) < most  # strays among the others
    for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
        sticks_out = low <= ascending[0][most] or high >= ascending[1][-most - 1]
        if windows > 1 and (sticks_out or (fewer and low <= high)):  # NaN: it is none of them
            found.append(_usual(_without(ascending[0], low), _without(ascending[1], high)))
        else:
            found.append(rest)  # one that does not stick out makes no difference
    return found


def _ascending(lows: Floats, highs: Floats) -> tuple[list[float], list[float]]:
    known = ~np.isnan(highs)
    return sorted(lows[known].tolist()), sorted(highs[known].tolist())


def _without(ascending: list[float], value: float) -> list[float]:
    at = bisect_left(ascending, value)
    return ascending[:at] + ascending[at + 1 :]


def _most(windows: int) -> int:
    return min(int(np.ceil(windows * STRAYS)), windows - 1)


def _usual(lows: list[float], highs: list[float]) -> Limits:
    """Return the usual range of extremes in ascending order."""
    most = _most(len(lows))
    high = _without_strays(highs[::-1][: most + 1], lows[most])
    low = -_without_strays([-low for low in lows[: most + 1]], -highs[-1 - most])
    return low, high


def _without_strays(extremes: list[float], foot: float) -> float:
    """Return the largest of the extremes, which descend, that does not double the range by itself.

    ``foot`` is the other end of the range.
    """
    found = extremes[0]
    for stray, other in pairwise(extremes):
        if stray - other > other - foot:
            found = other
    return found
