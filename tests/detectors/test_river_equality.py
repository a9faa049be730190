"""Equality with River 0.26: every alarm, and every number to the last bit, after every value."""

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from river import drift

from tidegauge.detectors.drift.adwin import ADWIN
from tidegauge.detectors.drift.page_hinkley import PageHinkley

SEED = 20261124
ROWS = 2000 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 4000
river: Any = drift  # River has no types for these

ADWIN_SETTINGS: list[dict[str, Any]] = [
    {},
    {"delta": 0.05, "clock": 1, "max_buckets": 3, "min_window_length": 2, "grace_period": 5},
    {"delta": 0.3, "clock": 7, "max_buckets": 2, "min_window_length": 1, "grace_period": 0},
    {"delta": 1e-6, "clock": 16, "max_buckets": 9, "min_window_length": 20, "grace_period": 60},
]
PAGE_HINKLEY_SETTINGS: list[dict[str, Any]] = [
    {"mode": mode, **numbers}
    for mode in ("up", "down", "both")
    for numbers in (
        {},
        {"min_instances": 1, "delta": 0.0, "threshold": 3.0, "alpha": 1.0},
        {"min_instances": 10, "delta": 0.3, "threshold": 8.0, "alpha": 0.98},
    )
]


def streams() -> NDArray[np.float64]:
    """Return many kinds of series, shape (ROWS, 20): steady and with jumps, 5% missing."""
    rng = np.random.default_rng(SEED)
    kinds = [
        rng.normal(size=ROWS),
        rng.exponential(size=ROWS),
        rng.standard_t(2, size=ROWS),
        rng.binomial(1, 0.2, size=ROWS).astype(np.float64),
        rng.normal(scale=3, size=ROWS).round(),
        np.full(ROWS, 0.1),
        1e9 + rng.normal(scale=1e-7, size=ROWS),  # what rounding can do to a variance
        rng.normal(scale=1e-9, size=ROWS),
        rng.normal(scale=1e9, size=ROWS // 80 + 1).repeat(80)[:ROWS],  # a variance below 0
        np.full(ROWS, 1e16 / 3),  # alarms by rounding alone
    ]
    jumps = rng.normal(scale=2, size=ROWS // 100 + 1).repeat(100)[:ROWS]
    series = np.array([*kinds, *(kind + jumps for kind in kinds)]).T
    series[rng.random(series.shape) < 0.05] = math.nan
    return series


def blocks(series: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Cut a stream at random, also into empty blocks."""
    rng = np.random.default_rng(SEED + 1)
    cuts = np.sort(rng.integers(0, len(series), size=40))
    yield from np.split(series, cuts)


@pytest.mark.parametrize("setting", ADWIN_SETTINGS, ids=str)
def test_adwin_is_rivers_after_every_value(setting: dict[str, Any]) -> None:
    series = streams()
    bank = ADWIN(series.shape[1], **setting)
    twins = [river.ADWIN(**setting) for _ in range(series.shape[1])]
    found = 0
    for t, row in enumerate(series):
        alarms = bank.update(row[np.newaxis])[0]
        expected = []
        for twin, value in zip(twins, row.tolist(), strict=True):
            alarm = not math.isnan(value) and (twin.update(value), twin.drift_detected)[1]
            expected.append((alarm, twin.width, twin.total, twin.variance, twin.estimation))
        columns = (alarms, bank.window_length, bank.total, bank.variance, bank.estimation)
        ours = list(zip(*(column.tolist() for column in columns), strict=True))
        assert ours == expected, f"seed {SEED}, row {t}"
        found += sum(alarms)
    assert found == bank.detections.sum() > ROWS // 200  # there was something to be equal in


@pytest.mark.parametrize("setting", PAGE_HINKLEY_SETTINGS, ids=str)
def test_page_hinkley_is_rivers_after_every_value(setting: dict[str, Any]) -> None:
    series = streams()
    bank = PageHinkley(series.shape[1], **setting)
    twins = [river.PageHinkley(**setting) for _ in range(series.shape[1])]
    found = 0
    for t, row in enumerate(series):
        alarms = bank.update(row[np.newaxis])[0]
        expected = []
        for twin, value in zip(twins, row.tolist(), strict=True):
            alarm = not math.isnan(value) and (twin.update(value), twin.drift_detected)[1]
            inside = vars(twin)
            seen = inside["_x_mean"].n > 0  # before the first value River's extrema are no numbers
            up = inside["_sum_increase"] - inside["_min_increase"] if seen else 0.0
            down = inside["_max_decrease"] - inside["_sum_decrease"] if seen else 0.0
            mean = inside["_x_mean"]
            expected.append((alarm, mean.n, mean.get(), up, down))
        columns = (alarms, bank.count, bank.mean, bank.statistic_up, bank.statistic_down)
        ours = list(zip(*(column.tolist() for column in columns), strict=True))
        assert ours == expected, f"seed {SEED}, row {t}"
        found += sum(alarms)
    assert found == bank.detections.sum() > ROWS // 200  # there was something to be equal in


@pytest.mark.parametrize("kind", ["adwin", "page_hinkley"])
def test_blocks_cut_at_random_alarm_where_river_does(kind: str) -> None:
    series = streams()
    width = series.shape[1]
    bank = ADWIN(width) if kind == "adwin" else PageHinkley(width)
    alarms = np.concatenate([bank.update(block) for block in blocks(series)])
    for column in range(width):
        twin = river.ADWIN() if kind == "adwin" else river.PageHinkley()
        expected = []
        for t, value in enumerate(series[:, column].tolist()):
            if not math.isnan(value):
                twin.update(value)
                expected += [t] if twin.drift_detected else []
        assert np.flatnonzero(alarms[:, column]).tolist() == expected, f"seed {SEED}"
