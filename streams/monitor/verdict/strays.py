"""The range of a number over windows, without the few values that are none of its own."""

from collections.abc import Sequence

import numpy as np

from tidegauge.streams.monitor.intake.block import Floats

Limits = tuple[float, float]
STRAYS = 1 / 10  # of the windows may have some, at most; of the rows, a value that stands for none


def own_extremes(
    lows: Floats, highs: Floats, summed: Sequence[tuple[Floats, Floats]]
) -> tuple[Floats, Floats]:
    """Return windows' extremes without a value that stands for a missing one, such as -999.

    That is one and the same extreme of more windows than may have strays, in a tenth of the rows at
    most, and farther from all other values than these from one another.

    Parameters
    ----------
    lows, highs
        Of each window, NaN where it has no value.
    summed
        Each window's values and what each of them stands for; the two least and the two greatest
        among them exactly.
    """
    if np.isnan(lows).all():
        return lows, highs
    points = [own for own, _ in summed]
    inner = _past(lows, points), -_past(-highs, [-own for own in points])
    (low, high), total = usual_range(*inner), sum(weights.sum() for _, weights in summed)
    found = [lows, highs]
    ends = (np.nanmin(lows), low), (np.nanmax(highs), high)
    for side, (value, last) in enumerate(ends):
        rows = sum(weights[own == value].sum() for own, weights in summed)
        several = np.count_nonzero(found[side] == value) > _most(len(lows))
        if several and rows <= STRAYS * total and abs(value - last) > high - low > 0:
            found[side] = inner[side]
    return found[0], found[1]


def _past(lows: Floats, points: Sequence[Floats]) -> Floats:
    """Return each window's least value that is not the least of all."""
    least = np.nanmin(lows)
    return np.array(
        [
            min(own[own > least], default=own_low) if own_low == least else own_low
            for own_low, own in zip(lows, points, strict=True)
        ]
    )


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
