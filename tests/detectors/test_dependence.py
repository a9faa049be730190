import math
from dataclasses import astuple, fields, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.oracles import dependence as oracle
from tidegauge.detectors.statistics.dependence import DECAYS, Dependence, fit

FLOOR = 0.02
WHITE = Dependence(90, 5.0, 2.0, 0.0, 0.3, 0.0, 1.0, 2.5)


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
@given(references())
@example([0.0] * 30 + [1.0] * 30)
@example([float(window) for window in range(16)])  # V0(N) above .7
@example([0.3] * 20)
@example([0.0] * 70 + [50.0])
def test_a_fit_equals_the_definition(values: list[float]) -> None:
    found, expected = fit(np.array(values), FLOOR), oracle.fit(values, FLOOR)
    for field in fields(Dependence):
        value = getattr(found, field.name)
        assert math.isclose(value, expected[field.name], rel_tol=1e-7, abs_tol=1e-9), field.name


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
        found = fit(3.0 + math.sqrt(weight) * slow + math.sqrt(1 - weight) * noise, FLOOR)
        assert found.weight == pytest.approx(weight, abs=0.05)
        assert weight == 0 or found.rho == rho
        assert found.mean == pytest.approx(3.0, abs=0.15)
        assert found.sd == pytest.approx(1.0, abs=0.05)
        expected = replace(WHITE, windows=20_000, weight=weight, rho=rho).effective_windows
        assert found.effective_windows == pytest.approx(expected, rel=0.15)


@given(references(), st.data())
def test_windows_without_a_value_are_skipped(values: list[float], data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, len(values)), max_size=9))
    holes = np.insert(np.array(values), positions, np.nan)
    assert fit(holes, FLOOR) == fit(np.array(values), FLOOR)


@pytest.mark.parametrize("windows", [3, 4, 20, 90])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_a_constant_reference_gives_the_floor_as_its_unit(windows: int, value: float) -> None:
    found = fit(np.full(windows, value), floor=0.5)
    assert found == Dependence(windows, value, 0.5, 0.0, 0.3, 0.0, 1.0, 0.0)
    z = found.standardise(np.array([value, value + 0.5, value + 99.0]))
    assert z.tolist() == [0.0, 1.0, 3.0]


@given(references(), st.floats(1e-3, 100.0))
def test_the_unit_of_a_deviation_is_never_below_the_floor(
    values: list[float], floor: float
) -> None:
    found = fit(np.array(values), floor)
    assert found.sd * found.scale >= floor * (1 - 1e-12)
    assert 0 < found.scale <= 1
    assert all(math.isfinite(number) for number in astuple(found))


def test_standardised_values_are_clipped_centred_scaled_and_clipped_again() -> None:
    reference = replace(WHITE, centre=0.5, scale=0.8)
    values = np.array([[5.0, 9.0], [99.0, -99.0], [np.nan, 11.5]])
    # (0 - .5)/.8; (2 - .5)/.8; clipped to 3 before: 2.5/.8 = 3.1; -3.5/.8; NaN; as 99
    expected = [[-0.625, 1.875], [3.0, -3.0], [np.nan, 3.0]]
    np.testing.assert_allclose(reference.standardise(values), expected, rtol=1e-15)
    # Without the first clip this would be (4.5 - 3)/1 = 1.5, without the second -6.
    skewed = replace(WHITE, centre=3.0)
    assert skewed.standardise(np.array([14.0, -99.0])).tolist() == [0.0, -3.0]


@given(references())
def test_a_fit_is_the_same_for_every_unit_of_the_values(values: list[float]) -> None:
    one, other = fit(np.array(values), 0.5), fit(np.array(values) * 1024.0, 512.0)
    assert replace(other, mean=one.mean, sd=one.sd) == one
    assert (other.mean, other.sd) == (one.mean * 1024.0, one.sd * 1024.0)


@pytest.mark.parametrize(
    ("values", "floor", "message"),
    [
        ([1.0, 2.0], 0.1, "at least 3 window values in a row, got 2"),
        ([1.0, np.nan, 2.0, np.nan], 0.1, "at least 3 window values in a row, got 2"),
        ([[1.0, 2.0], [3.0, 4.0]], 0.1, r"in shape \(2, 2\)"),
        ([1.0, 2.0, np.inf], 0.1, "must be finite or NaN"),
        ([1.0, 2.0, 3.0], 0.0, "floor must be finite and > 0, got 0.0"),
        ([1.0, 2.0, 3.0], np.nan, "floor must be finite and > 0, got nan"),
    ],
)
def test_a_reference_that_cannot_be_fitted_is_refused(
    values: list[float], floor: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(np.array(values), floor)


def test_the_variance_of_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="windows must be >= 1, got 0"):
        WHITE.variance_of_mean(0)
