"""The week as a baseline: what is compared with the same time of the week, and what that is worth.

By simulation with fixed seeds, of windows a day or an hour long. Each series has a reference of its
own, so rates are averages over references, in alarms of a model of 30 series within 90 windows.
"""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import watch
from tidegauge.streams.monitor.verdict.watch import Watch
from tidegauge.streams.monitor.verdict.weekly import advised, by_week
from tidegauge.streams.monitor.windows.bounds import Bounds, Start

SD = 0.05  # of a window, in those of its rows
ROWS = 400.0
PER_MODEL, HORIZON, BUDGET = 30, 90, 1.0

Floats = NDArray[np.float64]


def spec(every: str, *, weekly: bool) -> MonitorSpec:
    return MonitorSpec(
        model="m",
        windows=WindowSpec(every=every),
        reference=ReferenceSpec(windows=3),
        baseline="week" if weekly else None,
    )


def wave(rng: np.random.Generator, windows: int, series: int, count: int, size: float) -> Floats:
    """Return window values with a wave of ``size`` sds of windows in each week."""
    usual = size * np.sin(2 * np.pi * np.arange(windows) / count)
    return SD * (rng.normal(size=(windows, series)) + usual[:, None])


@cache
def simulate(
    every: str, weeks: int, live: int, series: int, weekly: bool, size: float, shift: float = 0.0
) -> Floats:
    """Return in which window after the reference each series was told first; inf: in none.

    From window 30 on all is shifted by so many sds of windows.
    """
    own = spec(every, weekly=weekly)
    assert own.windows is not None
    count = own.windows.weekly
    learned = weeks * count
    values = wave(np.random.default_rng(20261127), learned + live, series, count, size)
    values[learned + 30 :] += shift * SD
    starts = [Start(at, at, at, at) for at in range(learned)]
    rank = SERIES["rank"]
    profiles = {
        str(at): SeriesProfile(
            values=column.tolist(), rows=[ROWS], sd=1.0, shown=0.0, variance=SD**2 * ROWS / 2
        )
        for at, column in enumerate(values[:learned].T)
    }
    found = [
        watch(rank, name, profile, 0.2 * SD)  # the gate is not what is tried
        for name, profile in by_week(profiles, starts, own).items()
    ]
    judge = Watch(found, np.full(series, BUDGET / PER_MODEL), HORIZON)
    told = np.full(series, np.inf)
    for window, row in enumerate(values[learned:]):
        at = learned + window
        reading = np.stack([row, np.full(series, ROWS), row, row, row])
        for alarm in judge.update(reading, Bounds(index=at, rows=1, slot=at), {}, {}).fired:
            place = int(alarm.feature)
            told[place] = min(told[place], window + 1)
    return told


def rate(told: Floats, windows: int) -> float:
    """Return the alarms of a model within 90 windows."""
    return float(np.isfinite(told).mean()) * PER_MODEL * HORIZON / windows


@pytest.mark.parametrize(
    ("every", "weeks", "live", "series"),
    [("1d", 8, 91, 900), ("1d", 13, 91, 900), ("1h", 8, 336, 240)],
)
def test_a_weekly_wave_costs_no_false_alarms_and_a_shift_is_found_sooner_without_it(
    every: str, weeks: int, live: int, series: int
) -> None:
    assert rate(simulate(every, weeks, live, series, True, 2.0), live) <= BUDGET / 2
    aware, blind = (
        simulate(every, weeks, live, series, weekly, 2.0, 2.0) for weekly in (True, False)
    )
    assert np.median(aware) - 30 <= 10
    assert np.median(blind) >= np.median(aware) + 8


def test_where_nothing_follows_the_week_it_costs_nothing() -> None:
    assert rate(simulate("1d", 8, 91, 900, True, 0.0), 91) <= BUDGET / 2
    aware, blind = (simulate("1d", 8, 91, 900, weekly, 0.0, 2.0) for weekly in (True, False))
    assert np.median(aware) <= np.median(blind) + 1


def test_what_depends_on_the_windows_before_does_not_seem_to_follow_the_week() -> None:
    rng, windows = np.random.default_rng(1), 168 * 8
    values = rng.normal(size=(windows, 100))
    for at in range(1, windows):
        values[at] = 0.9 * values[at - 1] + np.sqrt(0.19) * values[at]
    starts = [Start(at, at, at, at) for at in range(windows)]
    profiles = {
        str(at): SeriesProfile(values=own.tolist(), rows=[1.0], sd=1.0, shown=0.0)
        for at, own in enumerate(values.T)
    }
    found = by_week(profiles, starts, spec("1h", weekly=False))
    assert {name: own.values for name, own in found.items()} == {
        name: own.values for name, own in profiles.items()
    }
    named = [advised({name: own.explained}) for name, own in found.items()]
    assert sum(map(bool, named)) <= 2
