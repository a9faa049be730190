"""The usual range of a number: neither strays nor a value that stands for a missing one count."""

import numpy as np
import pytest

from tests.streams.monitor.traffic import REFERENCE, Rows, Traffic, share, traffic, wrong_unit
from tidegauge.streams.monitor.verdict.strays import (
    Summed,
    own_extremes,
    ranges_of_others,
    usual_range,
)

LIVE = 40


def told(stream: Traffic) -> set[str]:
    return {a["series"] for alert in stream.alerts() for a in alert["series"]}


@pytest.mark.parametrize("strays", [[1e9], [1e9, 1e8, 1e7], [-1e9, 1e9, -1e8]])
def test_a_few_strays_in_the_reference_hide_no_wrong_unit(strays: list[float]) -> None:
    stream = traffic(5)
    for value in strays:

        def stray(rows: Rows, rng: np.random.Generator, value: float = value) -> None:
            rows.amount[7] = value

        stream.send(5).send(1, stray)
    stream.send(REFERENCE - 6 * len(strays) + 5)
    assert told(stream) == set()
    assert "range(amount)" in told(stream.send(LIVE, wrong_unit))


@pytest.mark.parametrize("value", [-999.0, 1e9])
@pytest.mark.parametrize("part", [0.004, 0.01, 0.05])
def test_a_value_that_stands_for_a_missing_one_hides_neither_its_growth_nor_a_wrong_unit(
    value: float, part: float
) -> None:
    def absent(rows: Rows, rng: np.random.Generator) -> None:
        rows.amount[share(rng, part)] = value

    def more(rows: Rows, rng: np.random.Generator) -> None:
        rows.amount[share(rng, part + 0.15)] = value

    for fault in (wrong_unit, more):
        stream = traffic(6).send(REFERENCE + 40, absent)
        assert told(stream) == set()
        stream.send(LIVE, fault, absent)
        assert "range(amount)" in told(stream)


def test_a_rare_flag_is_no_value_that_stands_for_a_missing_one() -> None:
    def flag(rows: Rows, rng: np.random.Generator) -> None:
        rows.amount = share(rng, 0.05).astype(float)

    stream = traffic(7).send(REFERENCE + 5, flag)
    assert stream.reports()[-1]["series"]["range(amount)"]["value"] == 0


def test_windows_without_a_value_say_nothing_of_the_range_of_the_others() -> None:
    lows, highs = np.array([0.0, np.nan, 1.0, 2.0]), np.array([9.0, np.nan, 8.0, 10.0])
    assert usual_range(lows, highs) == (0.0, 10.0)
    assert ranges_of_others(lows, highs) == [
        (1.0, 10.0), (0.0, 10.0), (0.0, 10.0), (0.0, 9.0)
    ]  # fmt: skip


@pytest.mark.parametrize("windows", [2, 3, 10, 11, 12, 13, 21, 22, 31, 40])
@pytest.mark.parametrize("seed", range(40))
def test_the_range_of_the_others_is_the_usual_one_without_a_window(windows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lows, highs = -np.exp(rng.normal(0, 1, windows)), np.exp(rng.normal(0, 1, windows))
    if seed % 2 and windows > 2:
        lows[1] = highs[1] = np.nan
    expected = [
        usual_range(np.delete(lows, window), np.delete(highs, window)) for window in range(windows)
    ]
    assert ranges_of_others(lows, highs) == expected


def test_a_window_whose_values_are_all_between_the_rows_of_its_sample_is_no_fault() -> None:
    lows, highs = np.full(20, -999.0), np.full(20, 9.0)
    points = np.tile([-999.0, 1.0, 5.0, 9.0], 19)
    starts = np.array([*range(0, 77, 4), 76])  # of the last one nothing is in the sample
    summed = Summed(points, np.tile([1.0, 45.0, 45.0, 9.0], 19), starts)
    found = own_extremes(lows, highs, summed)
    assert found[0].tolist() == [1.0] * 19 + [-999.0]
    assert found[1].tolist() == highs.tolist()
