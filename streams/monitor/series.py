"""A watched series of window statistics: what it is, and what its reference says of it."""

from dataclasses import dataclass

import numpy as np

from detectors.statistics.dependence import Dependence, fit
from schemas.references import SeriesProfile
from streams.monitor.block import Floats

RANK_SD = 0.29  # of a uniform rank
UNSEEN_SD = 0.025  # also of range; with the gate of 0.2: half a point of share
RANGE_MARGIN = 0.25  # of the reference's width, beyond which a number is out of range
MISSING_SD = 0.1  # at least: with the gate of 0.2, two points of share
CONTEXT = ("label", "score")  # statistics that are shown with an alert and never watched
SHARES = (
    "missing",
    "unseen",
    "range",
)  # statistics whose variance the arcsine of the root makes even
MIN_WINDOWS = 3

PROMISED_WINDOWS = 30  # a shorter reference carries no promise: only blatant faults are told
PROVISIONAL_WINDOWS = 90
MIN_EFFECTIVE_WINDOWS = 5.0


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

    def standardise(self, value: float) -> float:
        """Return a window's value as the detector sees it, NaN where there is none."""
        if self.reference is None:
            return float("nan")
        z = self.reference.standardise(transform(self.statistic, np.array([value])))
        return float(z[0])

    def blatant(self, value: float) -> bool:
        """Whether this one window is so far off that no further one is needed."""
        reference = self.reference
        if reference is None or np.isnan(value) or abs(value - self.mean) < 5 * self.gate:
            return False
        y = float(transform(self.statistic, np.array([value]))[0])
        return abs(y - reference.mean) / reference.sd > 3 * max(3.0, reference.extreme)


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
