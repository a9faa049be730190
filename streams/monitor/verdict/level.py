"""A new level that a series has kept: from then on it is compared with that."""

from dataclasses import replace
from math import sqrt

import msgspec
import numpy as np

from tidegauge.detectors.drift.mixture import WINDOW
from tidegauge.detectors.statistics.change import change_inside
from tidegauge.detectors.statistics.dependence import Dependence
from tidegauge.detectors.statistics.shares import row_variance
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.watched import PROMISED_WINDOWS, Watched, watch

UNSTEADY = 0.05  # chance of such a change, or a larger one, where nothing changes
TREND = 2.0  # standard errors by which halves differ
LATELY = 7  # windows that must not be nearer to the reference than to the level


class Level(msgspec.Struct, frozen=True):
    """What a series has been like since it moved, in place of what its reference says.

    Parameters
    ----------
    profile
        Of the windows in which it has been steady, in the unit of the reference.
    since_ms
        When the first of them began, UTC milliseconds.
    """

    profile: SeriesProfile
    since_ms: int

    def watched(self, as_before: Watched) -> Watched:
        """Return the series compared with this level; its unit and its gate stay."""
        effect = as_before.gate / as_before.sd
        found = watch(as_before.series, as_before.column, self.profile, effect, as_before.feature)
        return replace(  # to the last bit
            found, gate=as_before.gate, feature=as_before.feature, slice=as_before.slice
        )


def needed(watched: Watched) -> int:
    """Return for how many windows a series must be steady: as many as its reference has.

    From 30, with which a reference decides, to 80, as many as a detector looks back on.
    """
    windows = 0 if watched.reference is None else watched.reference.windows
    return min(max(windows, PROMISED_WINDOWS), WINDOW)


def steady_level(
    watched: Watched, values: Floats, rows: Floats, shown: float, since_ms: int
) -> Level | None:
    """Return the level that a series has kept over these windows; None where it still moves.

    It moves if there is a change inside, or between its halves, that is certain and worth telling,
    or if it has been nearer to the reference lately. (The test for a change divides by what varies
    on both sides of it, so it is blind to a trend.)

    Parameters
    ----------
    watched
        The series as its reference describes it.
    values, rows
        Of the windows, and on how many rows each stands.
    shown
        The figure for people.
    since_ms
        When the first of the windows began, UTC milliseconds.
    """
    assert watched.reference is not None
    if _moves(watched, watched.reference, values, rows):
        return None
    variance = watched.reference.row_variance
    if watched.series.is_share:
        total = float(np.sum(rows))  # what is compared by the week may lie beyond 0 or 1
        variance = row_variance(min(max(float(np.sum(values * rows)), 0.0), total), total)
    profile = SeriesProfile(
        values=values.tolist(),
        rows=rows.tolist(),
        sd=watched.sd,
        shown=shown,
        variance=variance,
        week=list(watched.week),
        week_shown=list(watched.week_shown),
    )
    return Level(profile, since_ms)


def _moves(watched: Watched, reference: Dependence, values: Floats, rows: Floats) -> bool:
    change = change_inside(values, rows, reference)
    if change is None or (change.p_value <= UNSTEADY and abs(change.shift) >= watched.gate):
        return True
    half, weights = len(values) // 2, reference.weights(rows)

    def mean(first: int, stop: int | None = None) -> float:
        return float(np.average(values[first:stop], weights=weights[first:stop]))

    trend, lately = abs(mean(half) - mean(0, half)), mean(-LATELY)
    error = reference.typical * sqrt(2.0 * reference.variance_of_mean(half))
    is_trend = trend >= watched.gate and trend > TREND * error
    return is_trend or abs(lately - watched.mean) < abs(lately - mean(0))
