"""The fused kernel against exact fractions, NumPy's own interpolation, and itself cut anywhere."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.oracles import columns as oracle
from tidegauge.detectors.statistics.columns import ColumnStatistics

FIGURES = ("count", "missing", "mean", "sd", "low", "high", "rank", "outside")
Profile = tuple[NDArray[np.float64], NDArray[np.float64]]

few = settings(derandomize=True, deadline=None, max_examples=100)
# Eighths, so that values often equal a point; sometimes missing.
eighths = st.integers(-40, 40).map(lambda n: n / 8)
values = st.lists(eighths | st.just(math.nan), max_size=40)
profiles = st.lists(eighths, unique=True, max_size=9).map(
    lambda points: (np.sort(np.array(points)), ranks_of(len(points)))
)


def ranks_of(points: int) -> NDArray[np.float64]:
    """Return ascending mid-ranks minus one half."""
    return np.asarray((np.arange(points) + 0.5) / max(points, 1) - 0.5)


def table(*columns: list[float]) -> NDArray[np.float64]:
    return np.array(columns, np.float64).T.reshape(-1, len(columns))


@few
@given(values=values, profile=profiles, bounds=st.tuples(eighths, eighths))
def test_every_figure_equals_the_exact_one(
    values: list[float], profile: Profile, bounds: tuple[float, float]
) -> None:
    stats = ColumnStatistics(1, [profile], [bounds])
    stats.update(table(values))
    points, ranks = profile[0].tolist(), profile[1].tolist()
    for name, expected in oracle.summary(values, points, ranks, bounds).items():
        found = float(getattr(stats, name)[0])
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True), name


@few
@given(
    values=st.lists(st.lists(eighths | st.just(math.nan), min_size=3, max_size=3), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=6),
    profile=profiles,
)
def test_where_blocks_are_cut_changes_not_one_bit(
    values: list[list[float]], cuts: list[int], profile: Profile
) -> None:
    block = np.array(values).reshape(-1, 3) / 3
    whole, parts = (ColumnStatistics(3, [profile] * 3) for _ in range(2))
    whole.update(block)
    for part in np.split(block, sorted(cut for cut in cuts if cut < len(block))):
        parts.update(part)
    assert parts.snapshot() == whole.snapshot()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("points", [1, 2, 200, 201])
def test_ranks_are_numpys_interpolation(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    profile = np.unique(rng.normal(size=points)), ranks_of(points)
    block = np.concatenate([rng.normal(size=50), profile[0]]).reshape(-1, 1)
    stats = ColumnStatistics(1, [profile])
    stats.update(block)
    ranks = np.interp(block, *profile, left=-0.5, right=0.5)
    assert float(stats.rank[0]) == pytest.approx(float(ranks.mean()), abs=1e-12)
    for value in block[:, 0]:
        alone = ColumnStatistics(1, [profile])
        alone.update(np.array([[value]]))
        place = int(np.searchsorted(profile[0], value))
        if place < points and profile[0][place] == value:
            assert float(alone.rank[0]) == profile[1][place]


def test_columns_do_not_see_each_other_and_each_has_its_own_profile() -> None:
    rng = np.random.default_rng(3)
    block = rng.normal(size=(60, 3))
    block[rng.random(block.shape) < 0.2] = math.nan
    own = [(np.sort(rng.normal(size=n)), ranks_of(n)) for n in (0, 5, 17)]
    bounds = [(-1.0, 1.0), (-math.inf, 0.0), (0.5, 0.25)]
    together = ColumnStatistics(3, own, bounds)
    together.update(block)
    for column in range(3):
        alone = ColumnStatistics(1, [own[column]], [bounds[column]])
        alone.update(block[:, [column]])
        for name in FIGURES:
            assert getattr(alone, name)[0] == getattr(together, name)[column]


def test_the_spread_of_small_differences_far_from_zero_is_not_lost() -> None:
    stats = ColumnStatistics(1)
    stats.update(table([1e9 + n for n in (4, 7, 13, 16)]))
    assert float(stats.sd[0]) == math.sqrt(22.5)


def test_equal_values_have_no_spread() -> None:
    stats = ColumnStatistics(1)
    stats.update(table([0.1] * 1000))
    assert float(stats.sd[0]) == 0.0
    assert float(stats.mean[0]) == 0.1


def test_a_column_without_a_value_says_so() -> None:
    stats = ColumnStatistics(2)
    stats.update(np.array([[1.0, math.nan]] * 3))
    assert stats.missing.tolist() == [0, 3]
    for name in ("mean", "sd", "low", "high", "rank"):
        assert np.isnan(getattr(stats, name)).tolist() == [False, True]


def test_the_largest_numbers_that_are_let_in_stay_finite() -> None:
    stats = ColumnStatistics(1)
    stats.update(table([1e100, -1e100] * 500))
    assert float(stats.sd[0]) == pytest.approx(1e100)
    assert float(stats.mean[0]) == pytest.approx(0, abs=1e88)


def test_a_reset_forgets_the_values_and_keeps_the_profiles() -> None:
    profile = np.array([1.0, 2.0]), np.array([-0.25, 0.25])
    stats, new = (ColumnStatistics(1, [profile], [(0.0, 1.5)]) for _ in range(2))
    stats.update(table([5.0, math.nan]))
    stats.reset()
    assert stats.snapshot() == new.snapshot()
    for one in (stats, new):
        one.update(table([2.0]))
    assert stats.snapshot() == new.snapshot()
    assert (float(stats.rank[0]), float(stats.outside[0])) == (0.25, 1.0)


def test_a_restored_snapshot_goes_on_bit_for_bit() -> None:
    block = np.random.default_rng(1).normal(size=(40, 2))
    whole, first, second = (ColumnStatistics(2) for _ in range(3))
    whole.update(block)
    first.update(block[:13])
    second.restore(first.snapshot())
    second.update(block[13:])
    assert second.snapshot() == whole.snapshot()
    assert first.snapshot() != second.snapshot()


def test_what_does_not_fit_is_refused() -> None:
    stats = ColumnStatistics(2)
    for shape in ((2,), (3, 1), (3, 3), (1, 2, 2)):
        with pytest.raises(ValueError, match=r"block must have shape \(rows, 2\), got"):
            stats.update(np.zeros(shape))
    with pytest.raises(ValueError, match="expected 128 bytes, got 64"):
        stats.restore(ColumnStatistics(1).snapshot())
    with pytest.raises(ValueError, match="profiles must be one a column, 2, got 1"):
        ColumnStatistics(2, [(np.empty(0), np.empty(0))])


def test_no_columns_are_no_fault() -> None:
    stats = ColumnStatistics(0)
    stats.update(np.zeros((5, 0)))
    assert stats.mean.shape == (0,)


def test_any_layout_of_a_block_in_memory_is_taken() -> None:
    block = np.random.default_rng(2).normal(size=(20, 3))
    expected = ColumnStatistics(3)
    expected.update(block)
    wide = np.zeros((20, 6))
    wide[:, ::2] = block
    for other in (np.asfortranarray(block), wide[:, ::2], np.frombuffer(block.tobytes())):
        stats = ColumnStatistics(3)
        stats.update(other.reshape(20, 3))
        assert stats.snapshot() == expected.snapshot()


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="is interpreted already")
def test_the_interpreted_kernel_gives_the_same_bytes() -> None:
    code = """
import sys
import numpy as np
from tidegauge.detectors.statistics.columns import ColumnStatistics
rng = np.random.default_rng(7)
block = rng.normal(size=(300, 3))
block[rng.random(block.shape) < 0.1] = np.nan
points = np.sort(rng.normal(size=50))
stats = ColumnStatistics(3, [(points, np.linspace(-0.5, 0.5, 50))] * 3, [(-1.0, 1.0)] * 3)
stats.update(block)
sys.stdout.write(stats.snapshot().hex())
"""
    shown = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            check=True,
        ).stdout
        for disabled in ("0", "1")
    ]
    assert shown[0] == shown[1]
    assert len(shown[0]) == 2 * 8 * 8 * 3
