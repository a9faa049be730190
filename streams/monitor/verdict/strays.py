"""The range of a number over windows, without the few values that are none of its own."""

import numpy as np

from tidegauge.streams.monitor.intake.block import Floats

Limits = tuple[float, float]
STRAYS = 1 / 20  # of the windows may have some, at most


def usual_range(lows: Floats, highs: Floats) -> Limits:
    """Return the range of windows' extremes without strays.

    A stray is an extreme that by itself more than doubles the range of the others: one 1e9 among
    thousands must not blind the reference. What is left out is honest: a window's own share beyond
    the range counts in the reference.

    >>> usual_range(np.array([0.0, 1.0, -1.0, 0.5]), np.array([9.0, 8.0, 1e9, 10.0]))
    (-1.0, 10.0)
    """
    known = ~np.isnan(highs)
    return _usual(np.sort(lows[known]), np.sort(highs[known]))


def ranges_of_others(lows: Floats, highs: Floats) -> list[Limits]:
    """Return for each window the usual range of the others.

    >>> ranges_of_others(np.array([0.0, -1.0, 0.5]), np.array([9.0, 8.0, 12.0]))
    [(-1.0, 12.0), (0.0, 12.0), (-1.0, 9.0)]
    """
    known = ~np.isnan(lows)
    ascending = np.sort(lows[known]), np.sort(highs[known])
    most = _most(len(ascending[0])) + 1
    sticks_out = (lows <= ascending[0][most - 1]) | (highs >= ascending[1][-most])
    rest = _usual(*ascending)  # one that does not stick out makes no difference
    return [
        _usual(*(np.delete(own, np.searchsorted(own, value)) for own, value in pairs))
        if out and len(ascending[0]) > 1
        else rest
        for out, *values in zip(sticks_out, lows, highs, strict=True)
        for pairs in [zip(ascending, values, strict=True)]
    ]


def _most(windows: int) -> int:
    return min(int(np.ceil(windows * STRAYS)), windows - 1)


def _usual(lows: Floats, highs: Floats) -> Limits:
    """Return the usual range of extremes in ascending order."""
    most = _most(len(lows))
    high = _without_strays(highs[::-1][: most + 1], lows[most])
    low = -_without_strays(-lows[: most + 1], -highs[-1 - most])
    return low, high


def _without_strays(extremes: Floats, foot: float) -> float:
    """Return the largest of the extremes, which descend, that does not double the range by itself.

    ``foot`` is the other end of the range.
    """
    doubles = extremes[:-1] - extremes[1:] > extremes[1:] - foot
    strays = np.flatnonzero(doubles)
    return float(extremes[strays[-1] + 1] if len(strays) else extremes[0])
