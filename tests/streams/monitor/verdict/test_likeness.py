"""Values that come together do not each count as a row: how often is nothing told at once?"""

from functools import cache
from math import erf, sqrt
from typing import Any

import numpy as np
import pytest

from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import Watched, watch
from tidegauge.streams.monitor.verdict.watch import Watch
from tidegauge.streams.monitor.windows.bounds import Bounds

ROWS = 48  # a window
REFERENCE = 30  # windows
AFTER = 90
COLUMNS = 300  # ten models of 30: the standard error of a rate is sqrt(rate / 10)
PER_MODEL = 30
BUDGET = 1.0  # of the whole model
ALONE, ALIKE = 0.0, 0.9  # correlation of rows of one window

rank = np.vectorize(lambda x: erf(x / sqrt(2.0)) / 2.0)


def draw(rng: np.random.Generator, correlation: float, tails: str) -> tuple[Floats, Floats]:
    """Return a column's values, a window a line, and their ranks less one half."""
    shape = REFERENCE + AFTER, 1
    together, alone = rng.normal(size=shape), rng.normal(size=(shape[0], ROWS))
    values = sqrt(correlation) * together + sqrt(1.0 - correlation) * alone
    return np.exp(values) if tails == "log-normal" else values, rank(values)


def out_of_range(low: Any, high: Any, values: Floats) -> Any:
    margin = (high - low) / 4
    return (values < low - margin) | (values > high + margin)


@cache
def at_once(
    correlation: float, tails: str = "normal", factor: float = 1.0, knows: bool = True
) -> float:
    """Return how many columns of a model are told at once as out of range, in 90 windows.

    After the reference a fifth of all values is multiplied by ``factor``. A watch that does not
    know how alike rows are has no ranks to learn it from.
    """
    rng = np.random.default_rng(20261127)
    series: list[Watched] = []
    limits, readings = dict[str, tuple[float, float]](), np.zeros((AFTER, 5, 2 * COLUMNS))
    for column in range(COLUMNS):
        values, ranks = draw(rng, correlation, tails)
        wrong = rng.random((AFTER, ROWS)) < 0.2
        values[REFERENCE:][wrong] *= factor
        known, after = values[:REFERENCE], values[REFERENCE:]
        low, high = known.min(), known.max()
        others = [np.delete(known, window, 0) for window in range(REFERENCE)]
        ends = np.array([[one.min(), one.max()] for one in others])
        before = out_of_range(ends[:, :1], ends[:, 1:], known)
        hits = out_of_range(low, high, after)
        limits[name := f"x{column}"] = low - (high - low) / 4, high + (high - low) / 4
        for at, (statistic, of) in enumerate({"range": before, "rank": ranks[:REFERENCE]}.items()):
            called = name if knows or at else f"{name}?"
            series.append(watch(SERIES[statistic], called, learned(statistic, of), 0.2))
        share = hits.sum(axis=1)
        ones = [
            share,
            (share - (share > 0)) * ROWS / (ROWS - 1),
            (share - (share == ROWS)) * ROWS / (ROWS - 1),
        ]
        readings[:, [0, 2, 3, 4], 2 * column] = np.stack([*ones, share]).T / ROWS
        readings[:, [0, 2, 3], 2 * column + 1] = ranks[REFERENCE:].mean(axis=1)[:, None]
        readings[:, 4, 2 * column + 1] = after.mean(axis=1)
    readings[:, 1] = ROWS
    own = Watch(series, np.full(len(series), BUDGET / PER_MODEL), AFTER, (), limits)
    bounds = [Bounds(index=index, first_ts_ms=index, rows=ROWS) for index in range(AFTER)]
    told = [own.update(*both, {}, {}).fired for both in zip(readings, bounds, strict=True)]
    kinds = [(alarm.detector, alarm.statistic) for fired in told for alarm in fired]
    found = kinds.count(("blatant", "range"))
    return found * PER_MODEL / COLUMNS


def learned(statistic: str, quantity: Floats) -> SeriesProfile:
    means, variances = quantity.mean(axis=1), quantity.var(axis=1, ddof=1)
    return series_profile(SERIES[statistic], np.full(REFERENCE, float(ROWS)), means, variances)


@pytest.mark.parametrize("correlation", [ALONE, 0.3, 0.6, ALIKE])
def test_days_beyond_the_reference_spend_a_tenth_of_the_budget_at_most(correlation: float) -> None:
    assert at_once(correlation) <= 0.1 * BUDGET


def test_where_each_row_counts_they_spend_more_than_all_of_it() -> None:
    # Measured: 2.5, and 0 where it is known how alike rows are.
    assert at_once(ALIKE, knows=False) > BUDGET


def test_heavy_tails_spend_more_only_where_rows_of_a_window_are_all_but_one() -> None:
    # Measured: .2, and 3.5 where each row counts; at a correlation of .9 5.1 and 14.5.
    assert at_once(0.6, "log-normal") <= 0.4 * BUDGET
    assert at_once(0.6, "log-normal", knows=False) > 2 * BUDGET


@pytest.mark.parametrize("correlation", [ALONE, ALIKE])
def test_another_unit_in_a_fifth_of_the_rows_is_told_at_once(correlation: float) -> None:
    assert at_once(correlation, factor=1000.0) > 0.9 * PER_MODEL


def test_what_is_not_told_at_once_says_so_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(SERIES["range"]), "is_blatant", False)
    assert at_once.__wrapped__(ALONE, factor=1000.0) == 0.0
