"""A reference that follows the week: how surely, and its windows without that."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from msgspec.structs import replace

from tidegauge.detectors.statistics.weekly import weekly
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.watched import Watched
from tidegauge.streams.monitor.windows.bounds import Start
from tidegauge.streams.monitor.windows.readings import HIGH, LOW, SHOWN, VALUE

LEAST_WEEKS: Final = 8
SURE: Final = 0.01  # chance that a series that does not follow the week is said to
MUCH: Final = 0.2  # of the variance, from which a baseline by the week is advised
LISTED: Final = 5
NONE: Final[Mapping[str, Floats]] = MappingProxyType({})


def by_week(
    profiles: Mapping[str, SeriesProfile],
    starts: Sequence[Start],
    spec: MonitorSpec,
    shown: Mapping[str, Floats] = NONE,
) -> dict[str, SeriesProfile]:
    """Return the profiles of series with how much of them follows the week; without it, if so said.

    They stay as they are where the windows are of rows, do not divide a week, or span fewer than
    8 weeks.

    Parameters
    ----------
    profiles
        Of each series, whose windows began at ``starts``.
    starts
        Where the windows began, as many as the profiles have values.
    spec
        How long windows are, and whether the week is the baseline.
    shown
        What people are shown of each window, where that is not the series' own value.
    """
    slots, count = [start.slot for start in starts], (spec.windows or WindowSpec(every="1d")).weekly
    known = np.array([slot for slot in slots if slot is not None], np.int64)
    is_short = len(known) < len(slots) or not count or not len(known)
    if is_short or np.ptp(known) + 1 < LEAST_WEEKS * count:
        return {**profiles}
    return {
        name: _one(own, known % count, count, spec, shown.get(name))
        for name, own in profiles.items()
    }


def advised(explained: Mapping[str, float | None]) -> str:
    """Return the advice to compare by the week, by how much of each series it explains; or none.

    >>> advised({"rank(amount)": 0.81, "rank(age)": 0.02, "volume": None})
    'baseline: week is advised, which explains rank(amount) to 81%'
    """
    much = {name: part for name, part in explained.items() if part is not None and part >= MUCH}
    most = sorted(much.items(), key=lambda one: -one[1])
    told = [f"{name} to {part:.0%}" for name, part in most[:LISTED]]
    if len(most) > LISTED:
        told.append(f"{len(most) - LISTED} more")
    return f"baseline: week is advised, which explains {', '.join(told)}" if told else ""


def _one(
    profile: SeriesProfile, pieces: np.ndarray, count: int, spec: MonitorSpec, shown: Floats | None
) -> SeriesProfile:
    found = weekly(np.array(profile.values, np.float64), pieces, count)
    if found is None:
        return profile
    explained = found.explained if found.p_value <= SURE else None
    if spec.baseline is None or not found.offsets.any():
        return replace(profile, explained=explained)
    told = found if shown is None else weekly(shown, pieces, count) or found
    return replace(
        profile,
        values=[None if np.isnan(value) else value for value in found.adjusted.tolist()],
        shown=told.mean,
        explained=explained,
        week=found.offsets.tolist(),
        week_shown=[] if shown is None else told.offsets.tolist(),
    )


class Usual:
    """By how much series usually exceed their means, by piece of the week; noughts without.

    Parameters
    ----------
    series
        As they are watched.
    """

    def __init__(self, series: Sequence[Watched]) -> None:
        pieces = max((len(own.week) for own in series), default=0) or 1
        self._values, self.shown = np.zeros((2, pieces, len(series)))
        for index, own in enumerate(series):
            if own.week:
                self._values[:, index], self.shown[:, index] = own.week, own.week_shown

    def at(self, slot: int | None) -> Floats:
        """Return it for the values of a window, shape (series,)."""
        found: Floats = self._values[(slot or 0) % len(self._values)]
        return found

    def taken_off(self, readings: Floats, slot: int | None) -> Floats:
        """Return the readings of a window without it."""
        if len(self._values) == 1:
            return readings
        found = readings.copy()
        found[[VALUE, LOW, HIGH]] -= self.at(slot)
        found[SHOWN] -= self.shown[(slot or 0) % len(self.shown)]
        return found
