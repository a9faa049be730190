"""A number's reference with all of its values moved: what becomes of their ranks."""

from typing import Final

import numpy as np

from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.view import Profiles

VALUES: Final = 1000  # that stand for a reference
MOST: Final = 0.45  # of a mean rank's shift: at 0.5 all values lie beyond the reference


def moved_ranks(profile: NumericProfile, by: float) -> tuple[Floats, Floats, Floats]:
    """Return ranks that stand for a reference, and those of its values moved up, and down."""
    values = like(profile, VALUES)
    here, up, down = (_ranks(profile, values + off) for off in (0.0, by, -by))
    return here, up, down


def _ranks(profile: NumericProfile, values: Floats) -> Floats:
    return Profiles([profile]).ranks(values[:, None])[:, 0]


def is_within_a_step(profile: NumericProfile, by: float) -> bool:
    """Return whether all values lie farther apart, so that none can move by so much."""
    return bool((np.diff(profile.points) > by).all())


def rank_shift(profile: NumericProfile, by: float) -> float:
    """Return by how much the mean rank moves where all values do: the less of up and down.

    Where values lie farther apart than that, some rows move from one value to another instead.

    >>> flag = NumericProfile(points=[0, 1], ranks=[-0.05, 0.45], mean=0.1, sd=0.3, low=0, high=1)
    >>> round(rank_shift(flag, 0.05), 6)  # of half of all ranks
    0.025
    """
    here, up, down = moved_ranks(profile, by)
    if is_within_a_step(profile, by) and len(profile.points) > 1:
        values = like(profile, VALUES)
        if values[0] == values[-1]:  # the others are too rare to be among these
            points, ranks = profile.points, profile.ranks
            return by * (ranks[-1] - ranks[0]) / (points[-1] - points[0])
        return by * float(np.cov(values, here)[0, 1] / np.var(values, ddof=1))
    shift = min(float(abs(moved.mean() - here.mean())) for moved in (up, down))
    return min(shift, MOST)


def spread_shift(profile: NumericProfile, by: float) -> float:
    """Return by how much the mean distance from the middle rank changes where all values' does.

    The less of farther from the middle value and nearer to it.
    """
    values = like(profile, VALUES)
    off = values - np.median(values)
    apart = (off + np.sign(off) * by, np.sign(off) * np.maximum(np.abs(off) - by, 0.0))
    here, *moved = (np.abs(_ranks(profile, values - off + new)).mean() for new in (off, *apart))
    return min(float(abs(mean - here)) for mean in moved)


def like(profile: NumericProfile, count: int) -> Floats:
    """Return so many values, ascending, that are distributed as the reference's."""
    points, ranks = np.array(profile.points), np.array(profile.ranks)
    below = np.zeros(len(points))  # of each point: a mid-rank has half of the point's own share
    for at in range(1, len(points)):
        below[at] = min(max(2 * (ranks[at - 1] + 0.5) - below[at - 1], below[at - 1]), 1.0)
    shares = (np.arange(count) + 0.5) / count
    exact = bool((below <= ranks + 0.5 + 1e-9).all())  # all points are known, not only some
    steps = below if exact else np.concatenate([[0.0], (ranks[1:] + ranks[:-1]) / 2 + 0.5])
    found: Floats = points[np.searchsorted(steps, shares, side="right") - 1]
    return found
