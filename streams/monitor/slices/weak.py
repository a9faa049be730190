"""Weak slices: where the loss is clearly worse than elsewhere, among slices and pairs of them."""

from math import sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from tidegauge.schemas.windows import WeakSlice
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.slices.dimensions import Dimensions
from tidegauge.streams.monitor.windows.cells import COUNT, Cells

LEAST: Final = 100  # pairs inside and outside: of fewer, a mean of losses is not yet normal
WRONG: Final = 0.05  # chance that any interval of a report does not hold
CLEARLY: Final = 1.5  # times as much worse as each alone, two slices are told together
LISTED: Final = 10  # of a report, the surest first


def weak(cells: Cells, dimensions: Dimensions, effect: float) -> list[WeakSlice]:
    """Return where the loss is worse than elsewhere by a gate, and surely so.

    Parameters
    ----------
    cells
        Of all pairs so far.
    dimensions
        Whose slices these are.
    effect
        Least difference that is told, in standard deviations of the loss.

    Notes
    -----
    Of each slice, and of each two of different features, the mean loss is compared with that
    of all other pairs, with Welch's standard error. An interval is of 1 - 0.05/m where m were
    looked at (Bonferroni): so in 95 of 100 reports all of them hold, and at most one in 20 of
    models without any weak slice is told of one. Two slices together are told only where
    they are worse than each of them by half.
    """
    inside, whole = cells.table, cells.whole[:, None, None]
    among = (inside[COUNT] >= LEAST) & (whole[COUNT] - inside[COUNT] >= LEAST)
    looked = int(np.count_nonzero(among))
    if not looked:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):  # where there are too few to look at
        (mean, error), (elsewhere, other_error) = map(_mean, (inside, whole - inside))
    worse = mean - elsewhere
    half = NormalDist().inv_cdf(1 - WRONG / (2 * looked)) * np.sqrt(error + other_error)
    rows, losses, squares = cells.whole.tolist()
    gate = effect * sqrt(max(squares / rows - (losses / rows) ** 2, 0.0))
    alone = np.where(np.diag(among & (worse > half)), np.diag(worse), -np.inf)
    parents = np.maximum(alone[:, None], alone[None, :])
    is_more = (worse >= CLEARLY * parents) | np.eye(len(alone), dtype=np.bool_)
    hits = np.argwhere(among & (worse > half) & (worse >= gate) & is_more)
    found = [
        WeakSlice(
            slices=[dimensions.names[own] for own in dict.fromkeys(at)],
            pairs=int(inside[COUNT][at]),
            loss=float(mean[at]),
            elsewhere=float(elsewhere[at]),
            worse=float(worse[at]),
            interval=(float((worse - half)[at]), float((worse + half)[at])),
            looked_at=looked,
        )
        for at in map(tuple, hits.tolist())
    ]
    return sorted(found, key=lambda own: -own.interval[0])[:LISTED]


def _mean(sums: Floats) -> tuple[Floats, Floats]:
    """Return means and the squares of their standard errors."""
    count, total, squares = sums
    mean = total / count
    return mean, np.maximum(squares / count - mean**2, 0.0) / (count - 1)
