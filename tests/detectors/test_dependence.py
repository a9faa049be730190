import math
from collections.abc import Callable
from dataclasses import astuple, fields, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.oracles import dependence as oracle
from tidegauge.detectors.statistics.dependence import (
    DECAYS,
    Dependence,
    fit,
    standardise,
    table,
    variances_of_means,
)

FLOOR = 0.02
WHITE = Dependence(90, 5.0, 2.0, 0.0, 0.02, 2.0, 0.0, 0.3, 0.0, 1.0, 2.5)


@st.composite
def references(draw: st.DrawFn) -> list[float]:
    """Draw window values that forget at once, slowly or never, some with wild ones among them."""
    innovations = draw(st.lists(st.integers(-80, 80), min_size=3, max_size=75))
    kept = draw(st.sampled_from([-0.5, 0.0, 0.5, 0.9, 1.0]))
    unit = draw(st.sampled_from([1e-3, 0.125, 1.0]))
    level, values = 0.0, []
    for innovation in innovations:
        level = kept * level + innovation
        values.append(level * unit + draw(st.sampled_from([0.0, 0.0, 0.0, 0.0, 500.0 * unit])))
    return values


@settings(deadline=None)  # the oracle takes its time
@given(references(), st.sampled_from([0.0, 1.0, 400.0]), st.randoms(use_true_random=False))
@example([0.0] * 30 + [1.0] * 30, 0.0, Random(1))
@example([float(window) for window in range(16)], 0.0, Random(1))  # V0(N) above .7
@example([0.3] * 20, 1.0, Random(1))
@example([0.0] * 70 + [50.0], 1.0, Random(1))
def test_a_fit_equals_the_definition(
    values: list[float], row_variance: float, random: Random
) -> None:
    rows = [float(random.choice([1, 2, 40, 5000])) for _ in values]
    found = fit(np.array(values), np.array(rows), row_variance, FLOOR)
    expected = oracle.fit(values, rows, row_variance, FLOOR)
    for field in fields(Dependence):
        value = getattr(found, field.name)
        assert math.isclose(value, expected[field.name], rel_tol=1e-6, abs_tol=1e-7), field.name


def test_what_windows_differ_is_told_from_what_their_rows_differ() -> None:
    rng = np.random.default_rng(20261126)
    rows = rng.choice([1.0, 3.0, 20.0, 400.0, 5000.0], size=20_000)
    noise = rng.normal(size=rows.size) * 2.0 / np.sqrt(rows)
    for between in (0.0, 0.05, 1.0):
        values = 7.0 + between * rng.normal(size=rows.size) + noise
        found = fit(values, rows, 4.0, 1e-6)
        assert found.between == pytest.approx(between, rel=0.05, abs=0.01)
        assert found.mean == pytest.approx(7.0, abs=4 * float(found.sd(400.0)) / 50)
        assert found.sd(16.0) == pytest.approx(math.hypot(between, 0.5), rel=0.03)
        assert found.extreme < 5.5  # as of 20,000 normal deviations, though single rows went astray


@given(references(), st.integers(1, 5000))
def test_equal_rows_leave_the_deviation_that_was_seen_or_that_of_the_rows(
    values: list[float], rows: int
) -> None:
    seen, row_variance = fit(np.array(values), np.ones(len(values)), 0.0, FLOOR), 9.0
    found = fit(np.array(values), np.full(len(values), float(rows)), row_variance, FLOOR)
    least = math.sqrt(row_variance / rows)
    assert found.sd(rows) == pytest.approx(max(float(seen.sd(1)), least), rel=1e-9)
    same = ("windows", "mean", "weight", "rho")
    assert [getattr(found, name) for name in same] == pytest.approx(
        [getattr(seen, name) for name in same], rel=1e-6, abs=1e-9
    )


def test_a_window_counts_by_its_rows_unless_windows_differ_more() -> None:
    rows = np.array([0.0, 0.5, 1.0, 100.0])
    assert replace(WHITE, between=0.0, row_variance=4.0).weights(rows) == pytest.approx(
        [0.0, 0.0, 0.25, 25.0]
    )
    assert WHITE.weights(rows) == pytest.approx([0.0, 0.0, 0.25, 0.25])


@given(
    st.integers(1, 60),
    st.floats(0, 1),
    st.sampled_from(DECAYS.tolist()),
)
def test_the_variance_of_a_mean_is_the_mean_of_all_covariances(
    windows: int, weight: float, rho: float
) -> None:
    found = replace(WHITE, weight=weight, rho=rho).variance_of_mean(windows)
    assert math.isclose(found, oracle.variance_of_mean(windows, weight, rho), rel_tol=1e-9)


def test_the_known_memory_of_a_long_reference_is_found() -> None:
    rng = np.random.default_rng(20241124)
    for weight, rho in ((0.0, 0.5), (1.0, 0.5), (1.0, 0.88), (0.5, 0.93)):
        slow = np.empty(20_000)
        level = rng.normal()
        for window, innovation in enumerate(rng.normal(size=slow.size)):
            level = rho * level + math.sqrt(1 - rho**2) * innovation
            slow[window] = level
        noise = rng.normal(size=slow.size)
        values = 3.0 + math.sqrt(weight) * slow + math.sqrt(1 - weight) * noise
        found = fit(values, np.ones(slow.size), 0.0, FLOOR)
        assert found.weight == pytest.approx(weight, abs=0.05)
        assert weight == 0 or found.rho == rho
        assert found.mean == pytest.approx(3.0, abs=0.15)
        assert found.between == pytest.approx(1.0, abs=0.05)
        expected = replace(WHITE, windows=20_000, weight=weight, rho=rho).effective_windows
        assert found.effective_windows == pytest.approx(expected, rel=0.15)


@given(references(), st.sampled_from([0.0, 4.0]), st.data())
def test_windows_without_a_value_or_a_row_are_skipped(
    values: list[float], row_variance: float, data: st.DataObject
) -> None:
    rows = np.arange(1.0, len(values) + 1)
    positions = data.draw(st.lists(st.integers(0, len(values)), max_size=9))
    missing, none = (np.insert(np.array(values), positions, hole) for hole in (np.nan, 99.0))
    expected = fit(np.array(values), rows, row_variance, FLOOR)
    assert fit(missing, np.insert(rows, positions, 50.0), row_variance, FLOOR) == expected
    assert fit(none, np.insert(rows, positions, 0.0), row_variance, FLOOR) == expected


@pytest.mark.parametrize("windows", [3, 4, 20, 90])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_a_constant_reference_gives_the_floor_as_its_unit(windows: int, value: float) -> None:
    found = fit(np.full(windows, value), np.full(windows, 9.0), 0.0, floor=0.5)
    assert found == Dependence(windows, value, 0.0, 0.0, 0.5, 0.5, 0.0, 0.3, 0.0, 1.0, 0.0)
    z = found.standardise(np.array([value, value + 0.5, value + 99.0]), 9.0)
    assert z.tolist() == [0.0, 1.0, 3.0]


@given(references(), st.floats(1e-3, 100.0), st.sampled_from([0.0, 1.0]), st.integers(1, 10_000))
def test_the_unit_of_a_deviation_is_never_below_the_floor(
    values: list[float], floor: float, row_variance: float, rows: int
) -> None:
    found = fit(np.array(values), np.arange(1.0, len(values) + 1), row_variance, floor)
    middle = found.mean + found.centre * found.sd(rows)
    z = found.standardise(np.array([middle - floor, middle + floor]), rows)
    assert (np.abs(z) <= 1 + 1e-6).all()
    assert 0 < found.scale <= 1 + 1e-12
    assert all(math.isfinite(number) for number in astuple(found))


def test_standardised_values_are_clipped_centred_scaled_and_clipped_again() -> None:
    reference = replace(WHITE, centre=0.5, scale=0.8)
    values = np.array([[5.0, 9.0], [99.0, -99.0], [np.nan, 11.5]])
    # (0 - .5)/.8; (2 - .5)/.8; clipped to 3 before: 2.5/.8 = 3.1; -3.5/.8; NaN; as 99
    expected = [[-0.625, 1.875], [3.0, -3.0], [np.nan, 3.0]]
    np.testing.assert_allclose(reference.standardise(values, 7.0), expected, rtol=1e-15)
    # Without the first clip this would be (4.5 - 3)/1 = 1.5, without the second -6.
    skewed = replace(WHITE, centre=3.0)
    assert skewed.standardise(np.array([14.0, -99.0]), 7.0).tolist() == [0.0, -3.0]


def test_few_rows_are_few_and_no_row_is_nothing() -> None:
    reference = replace(WHITE, between=0.1, row_variance=4.0, typical=0.1)
    z = reference.standardise(np.full(4, 7.0), np.array([0.0, 1.0, 4.0, 10_000.0]))
    np.testing.assert_allclose(z, [np.nan, 2 / math.sqrt(4.01), 2 / math.sqrt(1.01), 3.0])


def test_many_rows_do_not_make_the_mean_of_the_reference_better_known() -> None:
    reference = replace(WHITE, between=0.0, row_variance=4.0, typical=1.0)
    z = reference.standardise(np.full(3, 5.5), np.array([1.0, 4.0, 10_000.0]))
    np.testing.assert_allclose(z, [0.25, 0.5, 0.5 * math.sqrt(2)], rtol=1e-3)


def test_fields_may_be_arrays_a_series_each() -> None:
    several = [WHITE, replace(WHITE, mean=4.0, row_variance=9.0, centre=0.1, scale=0.7)]
    together = Dependence(*np.array([astuple(one) for one in several]).T)
    values, rows = np.array([6.0, np.nan]), np.array([3.0, 8.0])
    for shift in (values, values[::-1]):
        alone = [one.standardise(y, n) for one, y, n in zip(several, shift, rows, strict=True)]
        np.testing.assert_array_equal(together.standardise(shift, rows), alone)


@pytest.mark.parametrize("kernel", [standardise, getattr(standardise, "py_func", standardise)])
@settings(deadline=None)
@given(references(), st.sampled_from([0.0, 4.0]), st.integers(0, 2**32))
def test_together_each_series_is_standardised_as_it_is_alone(
    kernel: Callable[..., None], values: list[float], row_variance: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    fits = [
        fit(np.array(values) * unit, np.arange(1.0, len(values) + 1), row_variance, 0.01)
        for unit in (0.01, 1.0)
    ]
    several = table([fits[0], None, fits[1]])
    found, sd = np.empty(3), np.empty(3)
    for rows in rng.choice([0.0, 0.5, 1.0, 40.0, 1e6], size=(5, 3)):
        own = rng.choice(np.array([*values, np.nan, 1e9, -1e9]), size=3)
        kernel(found, sd, own, rows, several)
        together = Dependence(*several)
        np.testing.assert_array_equal(found, together.standardise(own, rows))
        np.testing.assert_array_equal(sd, together.sd(rows))


def test_variances_of_means_of_many_references_are_those_of_each() -> None:
    several = [WHITE, replace(WHITE, weight=0.4, rho=0.88), replace(WHITE, weight=1.0, rho=0.3)]
    found = variances_of_means(several, 80)
    expected = [[one.variance_of_mean(m) for m in range(1, 81)] for one in several]
    assert found.tolist() == expected


@given(references(), st.sampled_from([0.0, 4.0]))
def test_a_fit_is_the_same_for_every_unit_of_the_values(
    values: list[float], row_variance: float
) -> None:
    rows = np.arange(1.0, len(values) + 1)
    one = fit(np.array(values), rows, row_variance, 0.5)
    other = fit(np.array(values) * 1024.0, rows, row_variance * 1024.0**2, 512.0)
    assert (
        replace(
            other,
            mean=other.mean / 1024.0,
            between=other.between / 1024.0,
            typical=other.typical / 1024.0,
            row_variance=row_variance,
            floor=0.5,
        )
        == one
    )


@pytest.mark.parametrize(
    ("values", "change", "message"),
    [
        ([1.0, 2.0], {}, "at least 3 window values in a row, got 2"),
        ([1.0, np.nan, 2.0, np.nan], {}, "at least 3 window values in a row, got 2"),
        ([1.0, 2.0, 3.0], {"rows": np.array([1.0, 0.0, 1.0])}, "at least 3 .*, got 2"),
        ([[1.0, 2.0], [3.0, 4.0]], {}, r"in shape \(2, 2\)"),
        ([1.0, 2.0, np.inf], {}, "must be finite or NaN"),
        ([1.0, 2.0, 3.0], {"rows": np.ones(2)}, r"one a window value, got shape \(2,\) for \(3,\)"),
        ([1.0, 2.0, 3.0], {"row_variance": -1.0}, "row_variance must be finite and >= 0, got -1.0"),
        ([1.0, 2.0, 3.0], {"row_variance": np.nan}, "row_variance must be .*, got nan"),
        ([1.0, 2.0, 3.0], {"floor": 0.0}, "floor must be finite and > 0, got 0.0"),
        ([1.0, 2.0, 3.0], {"floor": np.nan}, "floor must be finite and > 0, got nan"),
    ],
)
def test_a_reference_that_cannot_be_fitted_is_refused(
    values: list[float], change: dict[str, Any], message: str
) -> None:
    right: dict[str, Any] = {"rows": np.ones(np.shape(values)), "row_variance": 1.0, "floor": 0.1}
    with pytest.raises(ValueError, match=message):
        fit(np.array(values), **(right | change))


def test_the_variance_of_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="windows must be >= 1, got 0"):
        WHITE.variance_of_mean(0)
