"""Ranks against exact fractions and NumPy's own interpolation."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.detectors.interpreted import interpreted
from tests.oracles import mid_ranks as oracle
from tidegauge.detectors.statistics.mid_ranks import MidRanks, Profile

few = settings(derandomize=True, deadline=None, max_examples=200)
# Eighths, so that values often equal a point; sometimes missing.
eighths = st.integers(-40, 40).map(lambda n: n / 8)
anywhere = st.floats(-1e100, 1e100)


def profile_of(points: list[float]) -> Profile:
    """Return these points with ascending mid-ranks minus one half."""
    found = np.unique(points)
    return found, (np.arange(found.size) + 0.5) / max(found.size, 1) - 0.5


def ranks_of(profile: Profile, values: list[float] | NDArray[np.float64]) -> list[float]:
    found: list[float] = MidRanks([profile])(np.array(values).reshape(-1, 1))[:, 0].tolist()
    return found


@few
@given(
    st.lists(eighths | st.just(math.nan), max_size=40),
    st.lists(eighths, max_size=9).map(profile_of),
)
def test_every_rank_equals_the_exact_one(values: list[float], profile: Profile) -> None:
    points, ranks = profile[0].tolist(), profile[1].tolist()
    expected = [oracle.rank(value, points, ranks) for value in values]
    assert ranks_of(profile, values) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@few
@given(st.lists(anywhere, min_size=1, max_size=20), st.lists(anywhere, max_size=20))
def test_a_points_rank_is_its_own_and_no_rank_is_out_of_order(
    points: list[float], values: list[float]
) -> None:
    profile = profile_of(points)
    assert ranks_of(profile, profile[0]) == profile[1].tolist()
    every = np.sort(np.concatenate([profile[0], values]))
    ranks = np.array(ranks_of(profile, every))
    assert (np.diff(ranks) >= -1e-12).all()
    assert (np.abs(ranks) <= 0.5).all()


@few
@given(st.lists(st.integers(-500, 500).map(lambda n: n / 10), min_size=1, max_size=30))
def test_a_number_stays_itself_as_a_float32_and_in_its_last_bits(points: list[float]) -> None:
    profile = profile_of(points)
    expected = profile[1].tolist()
    exact = profile[0]
    assert ranks_of(profile, exact.astype(np.float32).astype(np.float64)) == expected
    for other in (np.nextafter(exact, -np.inf), np.nextafter(exact, np.inf)):
        assert ranks_of(profile, other[exact != 0]) == profile[1][exact != 0].tolist()
    for share in (-0.999, 0.999):
        assert ranks_of(profile, exact * (1 + share * 1e-6)) == expected


def test_a_sum_that_should_be_zero_is_zero_where_others_are_near_one() -> None:
    rest = 0.1 + 0.2 - 0.3
    profile = np.array([0.0, 1.0]), np.array([-0.05, 0.45])
    assert ranks_of(profile, [-rest, rest, -1e-3]) == [-0.05, -0.05, -0.5]
    assert rest != 0


def test_beyond_both_ends_a_rank_jumps_soon() -> None:
    profile = np.array([-2.0, 4.0]), np.array([-0.25, 0.25])
    assert ranks_of(profile, [-2.00001, 4.00001]) == [-0.5, 0.5]
    alone = np.array([3.0]), np.array([0.0])
    assert ranks_of(alone, [2.9999, 2.999999, 3.000002, 3.0001]) == [-0.5, 0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("first", "gap"),
    [(1.7e9, 60.0), (1.7e9, 0.001), (40.7, 1e-6), (1e15, 1.0), (-(2.0**53), 1.0)],
)
def test_a_dense_profile_keeps_its_resolution(first: float, gap: float) -> None:
    points = np.asarray(first + gap * np.arange(200), np.float64)
    profile = points, np.asarray(np.linspace(-0.4975, 0.4975, 200), np.float64)
    assert ranks_of(profile, points) == profile[1].tolist()
    middles = (points[1:] + points[:-1]) / 2
    expected = np.interp(middles, *profile).tolist()
    assert ranks_of(profile, middles) == pytest.approx(expected, abs=1e-4)
    span = points[-1] - points[0]
    beyond = [points[0] - 0.02 * span, points[-1] + 0.02 * span]
    assert ranks_of(profile, beyond) == [-0.5, 0.5]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("points", [1, 2, 200, 201])
def test_ranks_are_numpys_interpolation_but_for_the_steps(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    profile = profile_of(rng.normal(size=points).tolist())
    values = np.concatenate([rng.normal(size=500), profile[0]])
    expected = np.interp(values, *profile, left=-0.5, right=0.5)
    # At most 1% of each gap's ends belongs to a step.
    atol = 0.0101 * float(np.diff(profile[1], append=0.5).max())
    np.testing.assert_allclose(ranks_of(profile, values), expected, rtol=0, atol=atol)


def test_points_that_no_number_lies_between_are_no_fault() -> None:
    tiny = math.ulp(0.0)
    assert ranks_of((np.array([0.0, tiny]), np.array([-0.2, 0.2])), [0.0, tiny]) == [-0.2, 0.2]
    profile = profile_of([1.0, math.nextafter(1.0, 2.0)])
    assert ranks_of(profile, profile[0]) == profile[1].tolist()


def test_columns_do_not_see_each_other_and_each_has_its_own_profile() -> None:
    rng = np.random.default_rng(3)
    block = rng.normal(size=(60, 3))
    block[rng.random(block.shape) < 0.2] = math.nan
    own = [profile_of(rng.normal(size=n).tolist()) for n in (0, 5, 17)]
    together = MidRanks(own)(block)
    assert together.shape == block.shape
    for column in range(3):
        alone = MidRanks([own[column]])(block[:, [column]])
        np.testing.assert_array_equal(alone[:, 0], together[:, column])


def test_missing_values_and_empty_profiles_have_no_rank() -> None:
    known = np.array([1.0, 2.0]), np.array([-0.25, 0.25])
    ranks = MidRanks([known, (np.empty(0), np.empty(0))])
    found = ranks(np.array([[1.0, 1.0], [math.nan, math.nan], [-1e100, 1e100]]))
    expected = [[-0.25, math.nan], [math.nan, math.nan], [-0.5, math.nan]]
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(MidRanks([(np.empty(0), np.empty(0))])(np.zeros((2, 1)))).all()


def test_no_rows_and_no_columns_are_no_fault() -> None:
    assert MidRanks([])(np.zeros((5, 0))).shape == (5, 0)
    assert MidRanks([profile_of([1.0])])(np.zeros((0, 1))).shape == (0, 1)


@pytest.mark.parametrize("shape", [(2,), (3, 1), (3, 3), (1, 2, 2)])
def test_a_block_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"block must have shape \(rows, 2\), got"):
        MidRanks([profile_of([1.0])] * 2)(np.zeros(shape))


@pytest.mark.parametrize(
    ("points", "ranks"),
    [([1.0, 1.0], [0.0, 0.1]), ([2.0, 1.0], [0.0, 0.1]), ([1.0, math.nan], [0, 0]), ([1.0], [])],
)
def test_a_profile_that_does_not_ascend_is_refused(points: list[float], ranks: list[float]) -> None:
    with pytest.raises(ValueError, match="points must ascend and have one rank each, got"):
        MidRanks([(np.array(points), np.array(ranks))])


def test_any_layout_of_a_block_in_memory_is_taken() -> None:
    block = np.random.default_rng(2).normal(size=(20, 3))
    ranks = MidRanks([profile_of(block[:, column].tolist()) for column in range(3)])
    expected, wide = ranks(block), np.zeros((20, 6))
    wide[:, ::2] = block
    for other in (np.asfortranarray(block), wide[:, ::2], np.frombuffer(block.tobytes())):
        np.testing.assert_array_equal(ranks(other.reshape(20, 3)), expected)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="is interpreted already")
def test_the_interpreted_kernel_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(7)
    block = rng.normal(size=(300, 3))
    block[rng.random(block.shape) < 0.1] = math.nan
    ranks = MidRanks([profile_of(rng.normal(size=50).tolist())] * 3)
    compiled = ranks(block)
    with interpreted("tidegauge.detectors.statistics.mid_ranks", "interpolate"):
        assert ranks(block).tobytes() == compiled.tobytes()
