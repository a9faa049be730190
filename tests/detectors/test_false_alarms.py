"""Is the promise of the default decider kept? By simulation, with fixed seeds.

A model of 30 independent series, references of 90 windows, a budget of one false series alarm in
the 90 windows after. Each of the 3,000 series has its own reference, so the rates are averages over
references, in alarms per model; their standard error is sqrt(rate / 100): 0.1 at the promise.
"""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detectors.drift.mixture import MixtureEDetector
from tidegauge.detectors.statistics.dependence import Dependence, fit
from tidegauge.detectors.statistics.shares import LEAST_SD, row_variance

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") != "0",
    reason="the interpreted kernel would take minutes; test_mixture.py covers each line of it",
)

WINDOWS = 90  # of the reference, and of the time for which the promise is made
SERIES = 3000
PER_MODEL = 30
BUDGET = 1.0
SEED = 20241124


def independent(rng: np.random.Generator, windows: int) -> NDArray[np.float64]:
    return rng.normal(size=(windows, SERIES))


def remembering(rng: np.random.Generator, windows: int) -> NDArray[np.float64]:
    """AR(1) with correlation .5 from its stationary law."""
    values = rng.normal(size=(windows, SERIES))
    for window in range(1, windows):
        values[window] = 0.5 * values[window - 1] + math.sqrt(0.75) * values[window]
    return values


def heavy_tailed(rng: np.random.Generator, windows: int) -> NDArray[np.float64]:
    return rng.standard_t(3, size=(windows, SERIES))


Process = Callable[[np.random.Generator, int], NDArray[np.float64]]


@cache
def simulate(
    process: Process, windows: int, quiet: int | None = None, shift: float = 0.0
) -> tuple[list[Dependence], NDArray[np.float64]]:
    """Return what each series' reference says, and z of the windows after it.

    After ``quiet`` of these all is shifted.
    """
    values = process(np.random.default_rng(SEED), WINDOWS + windows)
    rows = np.ones(WINDOWS)
    references = [fit(y, rows, 0.0, floor=0.01) for y in values[:WINDOWS].T]
    if quiet is not None:
        values[WINDOWS + quiet :] += shift
    after = zip(references, values[WINDOWS:].T, strict=True)
    return references, np.column_stack([reference.standardise(y, 1.0) for reference, y in after])


def first_alarms(
    references: list[Dependence], z: NDArray[np.float64], caution: float = 20.0
) -> NDArray[np.float64]:
    """Return the window, from 1, of each series' first alarm; inf without one.

    Whatever the references claim as their length, the threshold is log(M/a) (1 + caution / 90).
    """
    level = math.log(WINDOWS * PER_MODEL / BUDGET) * (1 + caution / WINDOWS)
    claimed = np.array([reference.windows for reference in references])
    budgets = WINDOWS * np.exp(-level / (1 + 20 / claimed))
    detector = MixtureEDetector(references, budgets, horizon=WINDOWS)
    np.testing.assert_allclose(detector.threshold, level)
    alarms = detector.update(z)
    return np.where(alarms.any(axis=0), alarms.argmax(axis=0) + 1.0, np.inf)


@cache
def rate(process: Process, caution: float = 20.0, **claim: Any) -> float:
    """Return the false alarms of a model when references claim what they do not know."""
    references, z = simulate(process, WINDOWS)
    claiming = [replace(r, **claim) for r in references]
    return float(np.isfinite(first_alarms(claiming, z, caution)).mean()) * PER_MODEL


@pytest.mark.parametrize(
    ("process", "least", "most"),
    [(independent, 0.0, 0.15), (remembering, 0.3, 0.85), (heavy_tailed, 0.0, 0.2)],
)
def test_false_alarms_stay_within_the_budget(process: Process, least: float, most: float) -> None:
    # Measured with 6,000 series of another seed: .04, .55, .07; the bounds are 3 to 5 standard
    # errors away, and the largest is below the budget of 1.
    assert least <= rate(process) <= most < BUDGET


@pytest.mark.parametrize("process", [independent, remembering, heavy_tailed])
def test_without_the_factor_for_short_references_there_are_clearly_more(process: Process) -> None:
    # Measured: .26, 1.2, .34.
    assert rate(process, caution=0.0) > rate(process) + 0.1


@pytest.mark.parametrize("process", [independent, remembering, heavy_tailed])
def test_without_charging_the_error_of_the_reference_there_are_clearly_more(
    process: Process,
) -> None:
    # A reference that claims ten million windows has V0(N) = 0. Measured: .28, 1.2, .26.
    assert rate(process, windows=10_000_000) > rate(process) + 0.1


def test_without_both_the_budget_is_broken_where_windows_depend() -> None:
    # Measured: 2.2, and .9 on independent windows.
    assert rate(remembering, caution=0.0, windows=10_000_000) > 1.5 * BUDGET


def test_without_the_memory_of_windows_the_budget_is_broken_several_times() -> None:
    # Measured: 6.7.
    assert rate(remembering, weight=0.0) > 4 * BUDGET


@pytest.mark.parametrize(("shift", "earliest", "latest"), [(1.0, 22, 29), (2.0, 6, 8), (4.0, 3, 3)])
def test_a_shift_is_told_after_as_many_windows_as_it_needs(
    shift: float, earliest: int, latest: int
) -> None:
    """The shift, in window sds, comes 30 windows after the reference.

    Measured: medians of 25, 7 and 3 windows at the threshold of the formula. (At a threshold that
    knows the process and spends the whole budget they are some 16, 5 and 3.)
    """
    quiet = 30
    references, z = simulate(independent, quiet + 80, quiet, shift)
    delays = first_alarms(references, z) - quiet
    assert earliest <= np.median(delays) <= latest
    assert (delays <= 0).mean() * PER_MODEL < BUDGET  # it was the shift that was told


# Windows of unequal rows. Row quantities have a variance of 1; windows differ by a twentieth of it.
FEWER = 300  # series: the standard error of a rate is sqrt(rate / 10)
BETWEEN = 0.05


def daily_wave(rng: np.random.Generator) -> NDArray[np.float64]:
    """Windows of an hour, with 2 to 4,800 rows expected."""
    hours = np.sin(2 * np.pi * np.arange(2 * WINDOWS) / 24)
    return rng.poisson(np.exp(4.4 + 4.0 * hours)[:, None], (2 * WINDOWS, FEWER)).astype(np.float64)


def changing(before: float, after: float) -> Callable[[np.random.Generator], NDArray[np.float64]]:
    """Windows of ``before`` rows in the reference, and of ``after`` rows since."""

    def traffic(rng: np.random.Generator) -> NDArray[np.float64]:
        expected = np.repeat([before, after], WINDOWS)[:, None]
        return rng.poisson(expected, (2 * WINDOWS, FEWER)).astype(np.float64)

    return traffic


TRAFFIC = {
    "a daily wave": daily_wave,
    "a fall to 30%": changing(400.0, 120.0),
    "a fall to 10%": changing(400.0, 40.0),
    "a fall to 5 rows": changing(400.0, 5.0),
    "a rise tenfold": changing(40.0, 400.0),
}


@cache
def rate_of_means(traffic: str, by_rows: bool = True, shift: float = 0.0) -> float:
    """Return the alarms of a model whose windows are means of so many rows."""
    rng = np.random.default_rng(SEED)
    rows = TRAFFIC[traffic](rng)
    noise = rng.normal(size=rows.shape) / np.sqrt(np.maximum(rows, 1.0))
    values = BETWEEN * rng.normal(size=rows.shape) + noise
    values[WINDOWS + 30 :] += shift
    return rate_of(values, rows, np.full(FEWER, 1.0 if by_rows else 0.0), 0.01)


def rate_of(
    values: NDArray[np.float64],
    rows: NDArray[np.float64],
    row_variances: NDArray[np.float64],
    floor: float,
) -> float:
    references = [
        fit(y, n, row_variance, floor)
        for y, n, row_variance in zip(
            values[:WINDOWS].T, rows.T[:, :WINDOWS], row_variances, strict=True
        )
    ]
    after = zip(references, values[WINDOWS:].T, rows[WINDOWS:].T, strict=True)
    z = np.column_stack([reference.standardise(y, n) for reference, y, n in after])
    return float(np.isfinite(first_alarms(references, z)).mean()) * PER_MODEL


@pytest.mark.parametrize("traffic", TRAFFIC)
def test_windows_of_unequal_rows_keep_the_budget(traffic: str) -> None:
    # Measured: 0 to .2.
    assert rate_of_means(traffic) <= 0.3


@pytest.mark.parametrize("traffic", ["a daily wave", "a fall to 30%", "a fall to 10%"])
def test_without_their_rows_the_budget_is_broken(traffic: str) -> None:
    # Measured: 2.1, 2.2, 19.
    assert rate_of_means(traffic, by_rows=False) > 1.5 * BUDGET


def test_a_shift_is_seen_through_the_wave() -> None:
    # The gate's fifth of a row's sd; measured: 29.7.
    assert rate_of_means("a daily wave", shift=0.2) > 0.9 * PER_MODEL


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("traffic", ["a daily wave", "a fall to 5 rows", "a rise tenfold"])
def test_shares_of_unequal_rows_keep_the_budget(traffic: str, share: float) -> None:
    # Measured: 0 to .2.
    rng = np.random.default_rng(SEED)
    rows = TRAFFIC[traffic](rng)
    hits = rng.binomial(rows.astype(np.int64), share)
    totals = zip(hits[:WINDOWS].sum(axis=0), rows[:WINDOWS].sum(axis=0), strict=True)
    row_variances = np.array([row_variance(float(hit), float(all_)) for hit, all_ in totals])
    assert rate_of(hits / np.maximum(rows, 1.0), rows, row_variances, LEAST_SD) <= 0.7
