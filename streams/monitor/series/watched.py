"""Watched series: a quantity of one column, with its effect gate and what its reference says."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tidegauge.detectors.statistics.dependence import Dependence, fit
from tidegauge.detectors.statistics.shares import LEAST_SD
from tidegauge.detectors.statistics.tails import LEAST, beyond
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.series.base import Series

MIN_WINDOWS = 3
AT_ONCE = 1 / 27_000  # a tenth of what one of 30 series may spend in a window by default
LEAST_CALM, MOST_CALM = 7, 14  # windows back within half the gate: it is over

PROMISED_WINDOWS = 30  # a shorter reference carries no promise: only blatant faults are told
PROVISIONAL_WINDOWS = 90
MIN_EFFECTIVE_WINDOWS = 5.0


@dataclass(frozen=True, slots=True)
class Watched:
    """One series of one column."""

    series: Series
    feature: str  # what it is called in sentences: the column, or the series itself
    column: str
    sd: float  # standard deviation of the quantity over reference rows: the unit of the effect
    gate: float  # least shift of the mean worth telling, in the quantity's own unit
    mean: float  # of the reference's windows, each with the weight that later ones get, too
    shown: float  # mean of what people are shown
    reference: Dependence | None  # None: too few windows to say anything
    far: float  # sds from the reference's mean at which one window is told; inf: never
    calm: int  # windows whose mean must lie within half the gate until it is over
    week: Sequence[float] = ()  # what is usual at each piece of the week, above the mean
    week_shown: Sequence[float] = ()
    slice: str = ""  # of which rows alone, as "country = DE"

    @property
    def name(self) -> str:
        """What it is called in specs, reports and alerts."""
        return self.series.name(self.column)

    @property
    def decides(self) -> bool:
        """Whether the reference is long enough for any decision but a blatant one."""
        return (
            self.reference is not None
            and self.reference.windows >= PROMISED_WINDOWS
            and self.reference.effective_windows >= MIN_EFFECTIVE_WINDOWS
        )


def watch(
    series: Series, column: str, profile: SeriesProfile, effect: float, feature: str = ""
) -> Watched:
    """Return the series of a column that a reference describes.

    ``effect`` is the least shift worth telling, in standard deviations of reference rows;
    ``feature`` what a series without a column is about, if not itself.

    >>> from tidegauge.streams.monitor.series.registry import SERIES
    >>> profile = SeriesProfile(values=[0.0] * 90, rows=[50.0] * 90, sd=0.1, shown=0.0, variance=0)
    >>> found = watch(SERIES["missing"], "amount", profile, effect=0.2)
    >>> found.name, round(found.gate, 3), found.decides
    ('missing(amount)', 0.02, True)
    """
    values = np.array(profile.values, np.float64)  # None is NaN
    rows, variance = rows_of(profile), profile.variance
    if variance is None or not profile.rows:  # of an earlier version: its windows count as equal
        rows, variance = np.ones(len(values)), 0.0
    known = ~np.isnan(values) & (rows >= 1)
    floor = LEAST_SD if series.is_share else max(profile.sd / 100, 1e-12)
    mean = float((rows * values)[known].sum() / rows[known].sum()) if known.any() else np.nan
    reference = None
    if np.count_nonzero(known) >= MIN_WINDOWS and series.is_watched:
        reference = _fitted(values.tobytes(), rows.tobytes(), variance, floor)
        mean = reference.mean
    near = np.abs(values[known] - mean) <= effect * profile.sd / 2
    return Watched(
        series,
        column or feature or series.statistic,
        column,
        profile.sd,
        effect * profile.sd,
        mean,
        profile.shown,
        reference,
        _far(series, reference, values[known], rows[known]),
        min(max(_longest(near), LEAST_CALM), MOST_CALM),
        profile.week,
        profile.week_shown or profile.week,
    )


def _far(series: Series, reference: Dependence | None, values: Floats, rows: Floats) -> float:
    """Return at how many sds one window is told; a share has no tails beyond what rows allow."""
    if reference is None or not series.is_blatant:
        return np.inf
    if series.is_share:
        return LEAST * max(reference.extreme, LEAST)
    return beyond(np.abs(values - reference.mean) / reference.sd(rows), AT_ONCE)


def _longest(near: Flags) -> int:
    """Return how many in a row hold at most."""
    apart = np.flatnonzero(~np.concatenate([[False], near, [False]]))
    return int(np.diff(apart).max()) - 1


@lru_cache(maxsize=2048)  # several references' series; their values are less than they hold
def _fitted(values: bytes, rows: bytes, variance: float, floor: float) -> Dependence:
    """Fit a reference's windows once for the dry run and the monitors of all partitions."""
    return fit(np.frombuffer(values), np.frombuffer(rows), variance, floor)


def rows_of(profile: SeriesProfile) -> Floats:
    """Return on how many rows each value of a profile stands, shape (windows,); 1 if unknown."""
    return np.broadcast_to(np.array(profile.rows or [1.0]), len(profile.values)).copy()
