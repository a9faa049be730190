"""A watched series of window statistics: what it is, and what its reference says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tidegauge.detectors.statistics.dependence import CLIP, Dependence, fit
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats

RANK_SD = 0.29  # of a uniform rank
UNSEEN_SD = 0.025  # also of range; with the gate of 0.2: half a point of share
RANGE_MARGIN = 0.25  # of the reference's width, beyond which a number is out of range
MISSING_SD = 0.1  # at least: with the gate of 0.2, two points of share
CONTEXT = ("label", "score")  # statistics that are shown with an alert and never watched
NIL = ("rejected", "unpaired", "duplicate")  # shares of a stream that should be nil
# Statistics whose variance the arcsine of the root makes even.
SHARES = ("missing", "unseen", "range", *NIL)
MIN_WINDOWS = 3
BLATANT = 3.0  # times the reference's largest deviation, and that many sds at least
LEAST_ROWS = 5  # of a share: in a small window a single outlier is a large one
WORTH = 5.0  # gates a blatant shift must have

PROMISED_WINDOWS = 30  # a shorter reference carries no promise: only blatant faults are told
PROVISIONAL_WINDOWS = 90
MIN_EFFECTIVE_WINDOWS = 5.0


class Reading(NamedTuple):
    """A window's value of a series, what people are shown for it, and how far one row carries it.

    ``low`` and ``high`` are the least and the greatest the value would be without one of its rows:
    a shift that lies between them is one row's doing, and no single row makes an incident.
    """

    value: float
    shown: float
    low: float
    high: float

    @classmethod
    def of_mean(
        cls, rows: float, mean: float, least: float, most: float, shown: float | None = None
    ) -> Self:
        """Return the reading of a mean over ``rows`` rows from ``least`` to ``most``.

        >>> Reading.of_mean(4, 1.0, 0.0, 4.0)
        Reading(value=1.0, shown=1.0, low=0.0, high=1.3333333333333333)
        """
        told = mean if shown is None else shown
        if rows <= 1:  # without its row there is nothing
            return cls(mean, told, -np.inf, np.inf)
        low, high = (rows * mean - most) / (rows - 1), (rows * mean - least) / (rows - 1)
        return cls(mean, told, low, high)

    @classmethod
    def of_share(cls, rows: float, hits: float) -> Self:
        """Return the reading of the share of ``rows`` rows that ``hits`` of them have."""
        share = hits / rows if rows else np.nan
        return cls.of_mean(rows, share, 0.0 if hits < rows else 1.0, 1.0 if hits else 0.0)


NOTHING = Reading(np.nan, np.nan, np.nan, np.nan)  # of a window without a value


@dataclass(frozen=True, slots=True)
class Series:
    """One statistic of one quantity, with its effect gate and its reference."""

    name: str
    feature: str
    statistic: str  # rank, missing, unseen, loss, error
    sd: float  # standard deviation of the quantity over reference rows
    gate: float  # least shift of the mean worth telling, in the quantity's own unit
    mean: float  # of the reference's windows
    shown: float  # mean of what people are shown
    reference: Dependence | None  # None: too few windows to say anything

    @property
    def decides(self) -> bool:
        """Whether the reference is long enough for any decision but a blatant one."""
        return (
            self.reference is not None
            and self.reference.windows >= PROMISED_WINDOWS
            and self.reference.effective_windows >= MIN_EFFECTIVE_WINDOWS
        )


class Scale:
    """Brings the values of many series, a window each, to what their references say of them.

    Series without a reference have no scale: NaN, and never blatant.
    """

    def __init__(self, series: Sequence[Series]) -> None:
        self._share = np.array([s.statistic in SHARES for s in series], np.bool_)
        self._mean = np.array([s.mean for s in series], np.float64)
        self._gate = np.array([s.gate for s in series], np.float64)
        nothing = Dependence(0, *([np.nan] * 7))
        known = [s.reference or nothing for s in series]
        self._level = np.array([r.mean for r in known], np.float64)
        self._sd = np.array([r.sd for r in known], np.float64)
        self._centre = np.array([r.centre for r in known], np.float64)
        self._scale = np.array([r.scale for r in known], np.float64)
        self._extreme = np.array([r.extreme for r in known], np.float64)

    def standardise(self, values: Floats) -> Floats:
        """Return the values as the detectors see them; equal to ``Dependence.standardise``."""
        z = np.clip((self._transformed(values) - self._level) / self._sd, -CLIP, CLIP)
        standard: Floats = np.clip((z - self._centre) / self._scale, -CLIP, CLIP)
        return standard

    def firm(self, low: Floats, high: Floats) -> Floats:
        """Return the value nearest to the reference that one row less could have given."""
        return np.clip(self._mean, low, high)

    def blatant(self, values: Floats, firm: Floats, rows: int) -> NDArray[np.bool_]:
        """Return which values of a window of ``rows`` rows need no further window to be told."""
        values = np.where(self._share, values, firm)  # shares ask for several rows, see below
        away = np.abs(self._transformed(values) - self._level) / self._sd
        far = away > BLATANT * np.maximum(BLATANT, self._extreme)
        shift = np.abs(values - self._mean)
        worth = shift >= WORTH * self._gate
        several: NDArray[np.bool_] = ~self._share | (shift * rows >= LEAST_ROWS)
        return far & worth & several

    def _transformed(self, values: Floats) -> Floats:
        return np.where(self._share, transform("missing", values), values)


def transform(statistic: str, values: Floats) -> Floats:
    """Return shares as the arcsine of their root, everything else as it is."""
    if statistic not in SHARES:
        return values
    return np.arcsin(np.sqrt(np.clip(values, 0.0, 1.0)))


def create(name: str, profile: SeriesProfile, effect: float) -> Series:
    """Return the series ``statistic(feature)`` or ``statistic`` that a reference describes."""
    statistic, _, rest = name.partition("(")
    values = np.array([np.nan if v is None else v for v in profile.values])
    known = values[~np.isnan(values)]
    floor = 0.02 if statistic in SHARES else profile.sd / 100
    reference = None
    if len(known) >= MIN_WINDOWS and statistic not in CONTEXT:
        reference = fit(transform(statistic, values), max(floor, 1e-12))
    return Series(
        name,
        rest.removesuffix(")") or statistic,
        statistic,
        profile.sd,
        effect * profile.sd,
        float(known.mean()) if len(known) else float("nan"),
        profile.shown,
        reference,
    )
