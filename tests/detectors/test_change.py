import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.oracles import change as oracle
from tidegauge.detectors.statistics.change import (
    CRITICAL,
    LEVELS,
    Change,
    change_inside,
    p_values,
)
from tidegauge.detectors.statistics.dependence import Dependence, fit
from tidegauge.detectors.statistics.shares import LEAST_SD, row_variance

PLAIN = Dependence(30, 0.0, 1.0, 0.0, 1e-9, 1.0, 0.0, 0.3, 0.0, 1.0, 2.5)
SEED = 20261126

levels = st.lists(st.integers(-40, 40).map(float), min_size=20, max_size=70)


def look(values: NDArray[np.float64], reference: Dependence = PLAIN, rows: float = 1.0) -> Change:
    found = change_inside(values, np.full(len(values), rows), reference)
    assert found is not None
    return found


def of_columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p-value of every column."""
    return p_values(values.T, np.ones(values.T.shape), [PLAIN] * values.shape[1])


def test_of_many_series_each_has_the_chance_it_has_alone() -> None:
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=(12, 30)) + np.where(np.arange(30) < 20, 0.0, 2.0)
    rows = rng.choice([1.0, 40.0, 5000.0], size=values.shape)
    values[3, 5], rows[4, 6], values[5, 10:] = np.nan, 0.0, np.nan  # the last has too few
    references = [fit(*own, 1.0, floor=0.01) for own in zip(values, rows, strict=True)]
    found = p_values(values, rows, references)
    for series, reference in enumerate(references):
        alone = change_inside(values[series], rows[series], reference)
        expected = 1.0 if alone is None else alone.p_value
        assert math.isclose(found[series], expected, rel_tol=1e-12)
    assert found[5] == 1.0
    assert found.min() < found.max()


@settings(deadline=None)  # the oracle takes its time
@given(levels, st.sampled_from([0.0, 3.0]), st.sampled_from([0.0, 900.0]), st.integers(0, 2**32))
@example([0.0] * 30, 1.0, 0.0, 1)
@example([0.0] * 20 + [1.0] * 10, 0.0, 0.0, 1)
def test_statistic_place_and_size_equal_the_definition(
    values: list[float], between: float, row_variance: float, seed: int
) -> None:
    rows = np.random.default_rng(seed).choice([1.0, 2.0, 40.0, 5000.0], size=len(values))
    reference = replace(PLAIN, between=between, row_variance=row_variance, floor=0.01)
    found = change_inside(np.array(values), rows, reference)
    assert found is not None
    weights = reference.weights(rows).tolist()
    of_rows = [max(row_variance / n, 0.01**2) for n in rows]
    expected, explained = oracle.statistic(values, weights, of_rows, least=3)
    assert math.isclose(found.statistic, expected, rel_tol=1e-6, abs_tol=1e-9)
    after = np.average(values[found.index :], weights=weights[found.index :])
    before = np.average(values[: found.index], weights=weights[: found.index])
    assert math.isclose(found.before, before, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(found.shift, after - before, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(explained[found.index], max(explained.values()), rel_tol=1e-9)


@given(levels, st.sampled_from([-1024.0, 0.5]))
def test_unit_and_level_of_the_values_do_not_matter(values: list[float], unit: float) -> None:
    one = look(np.array(values))
    other = look(np.array(values) * unit + 4096.0, replace(PLAIN, mean=4096.0))
    assert math.isclose(other.statistic, one.statistic, rel_tol=1e-6, abs_tol=1e-9)


@given(levels, st.data())
def test_windows_without_a_value_or_a_row_are_skipped(
    values: list[float], data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(values)))
    rows = np.ones(len(values))
    expected = change_inside(np.array(values), rows, PLAIN)
    assert expected is not None
    place = expected.index + (position <= expected.index)
    for hole, n in ((np.nan, 1.0), (99.0, 0.0)):
        longer, on = np.insert(np.array(values), position, hole), np.insert(rows, position, n)
        assert change_inside(longer, on, PLAIN) == replace(expected, index=place)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_a_constant_reference_is_one_thing(value: float) -> None:
    values, rows = np.full(90, value), np.full(90, 20.0)
    found = change_inside(values, rows, fit(values, rows, 0.0, floor=0.001))
    assert found is not None
    assert (found.shift, found.statistic, found.p_value) == (0.0, 0.0, 1.0)


def test_last_bits_are_no_change() -> None:
    values = np.repeat([0.1, math.nextafter(0.1, 1.0)], 15)
    assert look(values, replace(PLAIN, floor=0.001)).p_value == 1.0


def test_a_step_without_noise_is_sure_and_dated_to_the_window() -> None:
    found = look(np.repeat([0.0, 5.0], [20, 10]), replace(PLAIN, floor=0.1))
    assert found.index == 20
    assert found.shift == pytest.approx(5.0)
    assert found.p_value == pytest.approx(1e-5)


def test_three_windows_at_the_end_may_be_a_change_and_one_may_not() -> None:
    values = np.tile([1.0, -1.0], 15)
    values[-1] += 40.0
    assert look(values).p_value > 0.01
    values[-3:] = 39.0, 41.0, 39.0
    found = look(values)
    assert found.index == 27
    assert found.p_value == pytest.approx(1e-5)


def test_fewer_than_twenty_windows_say_nothing() -> None:
    values = np.repeat([0.0, 5.0], [10, 10])
    assert change_inside(values, np.ones(20), PLAIN) is not None
    assert change_inside(values, np.repeat([0.0, 1.0], [1, 19]), PLAIN) is None
    assert change_inside(values[:3], np.ones(3), PLAIN) is None


def test_p_values_fall_as_the_statistic_grows() -> None:
    assert (np.diff(CRITICAL) > 0).all() and (np.diff(LEVELS) < 0).all()
    shifts = [look(np.tile([1.0, -1.0], 15) + np.repeat([0.0, d], 15)) for d in (0, 1, 2, 4, 8)]
    assert [x.statistic for x in shifts] == sorted(x.statistic for x in shifts)
    assert [x.p_value for x in shifts] == sorted((x.p_value for x in shifts), reverse=True)


@pytest.mark.parametrize(("windows", "series"), [(20, 4000), (30, 4000), (200, 2000)])
def test_where_nothing_changes_it_is_as_rare_as_its_p_value_says(windows: int, series: int) -> None:
    found = of_columns(np.random.default_rng(SEED).normal(size=(windows, series)))
    for level in (0.1, 0.01):
        error = math.sqrt(level / series)
        assert 0.6 * level - 3 * error <= (found <= level).mean() <= level + 3 * error


def test_heavy_tails_and_windows_that_depend_make_it_little_more_frequent() -> None:
    rng = np.random.default_rng(SEED)
    heavy, dependent = rng.standard_t(3, size=(90, 2000)), rng.normal(size=(90, 2000))
    for window in range(1, 90):
        dependent[window] += 0.5 * dependent[window - 1]
    # Measured with 20,000 series: .006 and .022 at a level of .01
    assert (of_columns(heavy) <= 0.01).mean() <= 0.01 + 3 * math.sqrt(0.01 / 2000)
    assert (of_columns(dependent) <= 0.01).mean() <= 0.04


def test_traffic_that_falls_is_no_change_of_what_it_carries() -> None:
    rng = np.random.default_rng(SEED)
    rows = np.repeat([5000.0, 5.0], 15)
    reference = replace(PLAIN, between=0.0, row_variance=1.0)
    values = rng.normal(size=(2000, 30)) / np.sqrt(rows)
    found = [change_inside(y, rows, reference) for y in values]
    assert sum(x is not None and x.p_value <= 0.01 for x in found) <= 20 + 3 * math.sqrt(20)


def test_few_hits_that_lie_together_are_no_sure_change() -> None:
    shares, rows = np.zeros(30), np.full(30, 10.0)
    shares[[26, 28, 29]] = 0.1
    careless = look(shares, replace(PLAIN, between=0.02))
    found = change_inside(shares, rows, fit(shares, rows, row_variance(3, 300), LEAST_SD))
    assert found is not None and found.p_value > 0.01 > careless.p_value


@pytest.mark.parametrize(
    ("windows", "shift", "least"), [(30, 3.0, 0.6), (90, 1.5, 0.5), (90, 2.0, 0.8)]
)
@pytest.mark.parametrize("where", [0.5, 2 / 3])
def test_a_shift_inside_is_found_and_dated(
    windows: int, shift: float, least: float, where: float
) -> None:
    """At a level for one false finding in 100 models of 30 series; the shift is in window sds."""
    values = np.random.default_rng(SEED).normal(size=(windows, 500))
    place = int(windows * where)
    values[place:] += shift
    found = [look(y) for y in values.T]
    told = [x for x in found if x.p_value <= 0.01 / 30]
    assert len(told) / 500 >= least
    assert np.mean([abs(x.index - place) <= 2 for x in told]) >= 0.75
    assert np.mean([x.shift for x in told]) == pytest.approx(shift, abs=0.4)
