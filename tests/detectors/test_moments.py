"""Running moments against exact fractions, Welford in plain Python, and themselves cut anywhere."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.detectors.interpreted import interpreted
from tests.oracles import moments as oracle
from tidegauge.detectors.statistics.moments import COUNT, M2, MEAN, Moments

WIDTH = 3
few = settings(derandomize=True, deadline=None, max_examples=100)
values = st.integers(-40, 40).map(lambda n: n / 8) | st.floats(-1e3, 1e3) | st.just(math.nan)
rows = st.lists(st.tuples(*[values] * WIDTH), max_size=40)


def block_of(found: list[tuple[float, ...]]) -> NDArray[np.float64]:
    return np.array(found, np.float64).reshape(-1, WIDTH)


@few
@given(rows)
def test_every_figure_equals_the_exact_one(found: list[tuple[float, ...]]) -> None:
    block, moments = block_of(found), Moments(WIDTH)
    moments.update(block)
    for column in range(WIDTH):
        for name, expected in oracle.exact(block[:, column].tolist()).items():
            got = float(getattr(moments, name)[column])
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), name


@few
@given(st.lists(rows, max_size=4))
def test_what_was_seen_apart_is_one_when_merged(parts: list[list[tuple[float, ...]]]) -> None:
    merged = Moments(WIDTH)
    for part in parts:
        own = Moments(WIDTH)
        own.update(block_of(part))
        merged.merge(own)
    block = block_of([row for part in parts for row in part])
    for column in range(WIDTH):
        for name, expected in oracle.exact(block[:, column].tolist()).items():
            got = float(getattr(merged, name)[column])
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-6, nan_ok=True), name


@few
@given(rows, st.lists(st.integers(0, 40), max_size=6))
def test_every_bit_is_welfords_one_value_at_a_time_wherever_blocks_are_cut(
    found: list[tuple[float, ...]], cuts: list[int]
) -> None:
    block, moments = block_of(found) / 3, Moments(WIDTH)
    for part in np.split(block, sorted(cut for cut in cuts if cut < len(block))):
        moments.update(part)
    state = moments._state[[COUNT, MEAN, M2]]  # noqa: SLF001 - rounded away in what is shown
    expected = [oracle.welford(block[:, column].tolist()) for column in range(WIDTH)]
    assert state.T.tolist() == [list(column) for column in expected]
    for shown, extreme in ((moments.low, np.fmin), (moments.high, np.fmax)):
        nothing = np.full((1, WIDTH), math.nan)
        np.testing.assert_array_equal(shown, extreme.reduce(np.vstack([block, nothing])))


def test_the_spread_of_small_differences_far_from_zero_is_not_lost() -> None:
    moments = Moments(1)
    moments.update(np.array([[1e9 + n] for n in (4, 7, 13, 16)]))
    assert float(moments.sd[0]) == math.sqrt(22.5)


def test_equal_values_have_no_spread() -> None:
    moments = Moments(1)
    moments.update(np.full((1000, 1), 0.1))
    assert (float(moments.sd[0]), float(moments.mean[0])) == (0.0, 0.1)


def test_the_largest_numbers_that_are_let_in_stay_finite() -> None:
    moments = Moments(1)
    moments.update(np.array([[1e100], [-1e100]] * 500))
    assert float(moments.sd[0]) == pytest.approx(1e100)
    assert float(moments.mean[0]) == pytest.approx(0, abs=1e88)


def test_a_reset_forgets_everything() -> None:
    moments = Moments(WIDTH)
    moments.update(np.ones((4, WIDTH)))
    moments.reset()
    assert moments.snapshot() == Moments(WIDTH).snapshot()
    assert moments.count.tolist() == [0] * WIDTH
    assert np.isnan([moments.mean, moments.sd, moments.low, moments.high]).all()


def test_a_restored_snapshot_goes_on_bit_for_bit() -> None:
    block = np.random.default_rng(1).normal(size=(40, WIDTH))
    whole, first, second = (Moments(WIDTH) for _ in range(3))
    whole.update(block)
    first.update(block[:13])
    snapshot = first.snapshot()
    second.restore(snapshot)
    second.update(block[13:])
    assert second.snapshot() == whole.snapshot()
    assert first.snapshot() == snapshot != second.snapshot()


def test_what_it_shows_is_a_copy() -> None:
    moments = Moments(WIDTH)
    moments.update(np.ones((2, WIDTH)))
    before = moments.snapshot()
    for shown in (moments.count, moments.mean, moments.sd, moments.low, moments.high):
        shown[:] = 7.0
    assert moments.snapshot() == before


def test_a_snapshot_of_something_else_is_refused_and_the_state_kept() -> None:
    moments = Moments(WIDTH)
    moments.update(np.ones((2, WIDTH)))
    before = moments.snapshot()
    for other, rule in (
        (Moments(2).snapshot(), "with width 3, got 2"),
        (before.replace(b'"layout": 1', b'"layout": 9'), "with layout 1, got 9"),
        (before.replace(b"statistics", b"detector"), "with statistics 'moments', got None"),
        (before[:-8], "must have 120 bytes after its header, got 112"),
        (before + b"\0", "must have 120 bytes after its header, got 121"),
        (before.partition(b"\n")[2], "of moments, got 120 bytes without its header"),
    ):
        with pytest.raises(ValueError, match=rule):
            moments.restore(other)
    assert moments.snapshot() == before


@pytest.mark.parametrize("shape", [(2,), (3, 1), (3, 4), (1, 2, 3)])
def test_a_block_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"block must have shape \(rows, 3\), got"):
        Moments(WIDTH).update(np.zeros(shape))


def test_no_columns_are_no_fault() -> None:
    moments = Moments(0)
    moments.update(np.zeros((5, 0)))
    assert moments.mean.shape == (0,)


def test_any_layout_of_a_block_in_memory_is_taken() -> None:
    block = np.random.default_rng(2).normal(size=(20, WIDTH))
    expected, wide = Moments(WIDTH), np.zeros((20, 2 * WIDTH))
    expected.update(block)
    wide[:, ::2] = block
    for other in (np.asfortranarray(block), wide[:, ::2], np.frombuffer(block.tobytes())):
        moments = Moments(WIDTH)
        moments.update(other.reshape(20, WIDTH))
        assert moments.snapshot() == expected.snapshot()


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="is interpreted already")
def test_the_interpreted_kernel_gives_the_same_bytes() -> None:
    block = np.random.default_rng(7).normal(size=(300, WIDTH))
    block[np.random.default_rng(8).random(block.shape) < 0.1] = math.nan
    compiled, plain = Moments(WIDTH), Moments(WIDTH)
    compiled.update(block)
    with interpreted("tidegauge.detectors.statistics.moments", "fold"):
        plain.update(block)
    assert plain.snapshot() == compiled.snapshot()


def test_what_is_told_column_by_column_is_what_the_arrays_say() -> None:
    moments = Moments(3)
    block = np.random.default_rng(5).normal(10, 3, (50, 3))
    block[::7, 1] = block[:, 2] = np.nan
    moments.update(block)
    arrays = moments.count, moments.mean, moments.sd, moments.low, moments.high
    assert np.array_equal(np.array(moments.columns()).T, np.array(arrays), equal_nan=True)
    assert moments.table[:2].tolist() == [moments.count.tolist(), [*moments.mean[:2], 0.0]]
