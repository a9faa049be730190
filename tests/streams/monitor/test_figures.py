"""The kernels of a window's figures against their definitions."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.oracles import figures as oracle
from tidegauge.detectors.statistics.moments import Moments
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.summary import Summary
from tidegauge.streams.monitor.series.view import Numbers, Profiles, View
from tidegauge.streams.monitor.series.watched import Watched, watch
from tidegauge.streams.monitor.verdict.history import HISTORY, History
from tidegauge.streams.monitor.verdict.standing import stand
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.readings import FIELDS, read
from tidegauge.streams.monitor.windows.sample import Sample

LONG = settings(deadline=None, max_examples=200)


@LONG
@given(
    st.lists(st.lists(st.booleans(), max_size=9), max_size=4),
    st.lists(st.lists(st.integers(-99, 99).map(float), max_size=9), max_size=4),
)
def test_readings_are_means_and_what_they_would_be_without_one_row(
    shares: list[list[bool]], numbers: list[list[float]]
) -> None:
    moments = Moments(len(numbers))
    for column, values in enumerate(numbers):
        block = np.full((len(values), len(numbers)), np.nan)
        block[:, column] = values
        moments.update(block)
    found = np.empty((FIELDS, len(shares) + len(numbers)))
    hits, among = ([f(own) for own in shares] for f in (sum, len))
    read(found, np.array(hits, np.int64), np.array(among, np.int64), moments.table)
    rows = [[float(hit) for hit in own] for own in shares] + numbers
    for series, values in enumerate(rows):
        mean, *others = oracle.reading(values)
        np.testing.assert_allclose(found[:4, series], [mean, *others], rtol=1e-9, atol=1e-9)
        assert math.isclose(found[4, series], mean) or math.isnan(mean)


figures = st.integers(-80, 80).map(lambda steps: steps / 4)


@LONG
@given(
    figures,
    figures,
    st.integers(0, 12),
    st.sampled_from([0.0, 9.0, 12.0]),
    st.booleans(),
    st.sampled_from([0.0, 0.25, 1.0]),
)
def test_a_value_is_told_at_once_if_it_is_far_off_by_several_rows(
    low: float, width: float, rows: int, far: float, is_share: bool, alike: float
) -> None:
    series = {"mean": 0.5, "gate": 0.1, "is_share": is_share, "level": 0.25, "far": far}
    series["alike"] = alike
    readings = np.array([[0.0], [float(rows)], [low], [low + abs(width)], [0.0]])
    known, (firm, blatant) = np.array([list(series.values())], np.float64).T.copy(), _room()
    stand(firm, blatant, readings, np.array([0.03]), known)
    expected = oracle.stand(low, low + abs(width), float(rows), 0.03, series)
    assert (firm[0], bool(blatant[0])) == expected


def _room() -> tuple[Floats, Flags]:
    return np.empty(1), np.empty(1, np.bool_)


def test_values_at_the_ends_of_the_range_are_in_it_and_missing_ones_nowhere() -> None:
    profiles = Profiles([None])
    profiles.low, profiles.high = np.array([-2.0]), np.array([3.0])
    values = np.array([[-2.0], [-2.1], [3.0], [3.1], [4.0], [np.nan]])
    assert Numbers(("x",), values, profiles).tally.tolist() == [[1], [3]]


@pytest.mark.parametrize("nothing", ["reading", "reference"])
def test_of_nothing_nothing_is_told_at_once(nothing: str) -> None:
    gap = np.nan if nothing == "reading" else 9.0
    readings = np.array([[gap], [9.0], [gap], [gap], [gap]])
    reference = np.nan if nothing == "reference" else 0.0
    known = np.array([[0.0], [0.1], [0.0], [reference], [reference], [0.0]])
    firm, blatant = _room()
    stand(firm, blatant, readings, np.array([0.1 + reference]), known)
    assert not blatant[0]


@LONG
@given(
    st.integers(0, 900), st.sampled_from([3, 80, 5000]), st.integers(0, 4), st.integers(0, 2**32)
)
@example(0, 3, 0, 1)
def test_a_columns_values_are_summed_up_as_defined(
    rows: int, kinds: int, shared: int, seed: int
) -> None:
    rng, sample = np.random.default_rng(seed), Sample(rows=[])
    column = rng.integers(kinds, size=rows).astype(np.float64)
    column[rng.random(rows) < 0.1 * shared] = kinds // 2  # one that many rows share
    column[rng.random(rows) < 0.1 * shared] = np.nan
    sample.add(rows, np.stack([column, np.arange(float(rows))], axis=1).__getitem__)
    both = zip(sample.steps(2), (column.tolist(), list(map(float, range(rows)))), strict=True)
    for (points, weights), own in both:
        found = list(zip(points.tolist(), weights.tolist(), strict=True))
        assert found == oracle.steps(own)


@LONG
@given(st.lists(st.integers(0, 700), min_size=1, max_size=5), st.integers(0, 2**32))
def test_moments_of_windows_are_what_numpy_adds_to_the_last_bit(
    lengths: list[int], seed: int
) -> None:
    rng, starts = np.random.default_rng(seed), np.cumsum([0, *lengths])
    values = rng.normal(size=starts[-1]) * 10.0 ** rng.integers(-3, 3, starts[-1])
    values[rng.random(len(values)) < rng.choice([0.0, 0.3, 1.0])] = np.nan
    weights = rng.choice([0.0, 1.0, 2.5, 70.0], size=len(values))
    found = Summary(View(("",), len(values)), weights, starts).moments(values)
    for window, (start, stop) in enumerate(pairwise(starts)):
        expected = oracle.moments(values[start:stop], weights[start:stop])
        assert np.array_equal(found[:, window], expected, equal_nan=True)


def _watched() -> list[Watched]:
    profile = SeriesProfile(values=[0.0] * 30, rows=[9.0], sd=1.0, shown=0.0, variance=1.0)
    return [watch(SERIES["missing"], column, profile, 0.2) for column in ("a", "b")]


def test_the_last_windows_are_remembered_in_their_order_whenever_they_are_restored() -> None:
    rng, own = np.random.default_rng(3), History(_watched())
    told: list[Floats] = []
    for window in range(2 * HISTORY + 7):
        told.append(rng.normal(size=(4, 2)))
        values, rows, firm, shown = told[-1]
        own.remember(
            values, rows, firm, shown, np.ones(2), Bounds(index=window, first_ts_ms=window)
        )
        last = told[-HISTORY:]
        assert own.last == last[-1][0].tolist()
        assert own.rows(1, 3) == pytest.approx(sum(one[1, 1] for one in last[-3:]))
        assert own.start_of(0, 5).index == max(window - 4, 0)
        if window % 31 == 0:
            state, again = own.state(), History(_watched())
            again.load(state)
            assert again.state() == state
            kept = np.frombuffer(state.values).reshape(HISTORY, 2)[-len(last) :]
            assert kept.tolist() == [one[0].tolist() for one in last]
            own = again if window % 2 else own


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2 * HISTORY), st.integers(0, HISTORY))
def test_a_shift_is_that_of_the_last_values_without_the_row_that_did_most(
    seed: int, windows: int, count: int
) -> None:
    rng, series = np.random.default_rng(seed), _watched()
    own, told = History(series), list[Floats]()
    for window in range(windows):
        read, least, sd = rng.normal(size=2), rng.normal(size=2), rng.uniform(0.1, 2.0, 2)
        read[rng.random(2) < 0.2] = np.nan
        told.append(np.array([read, least, sd**-2.0]))
        bounds = Bounds(index=window, first_ts_ms=window)
        own.remember(read, np.full(2, 9.0), least, read, sd, bounds)
    for index, found in enumerate(own.shifts(count)):
        known = [one[:, index].tolist() for one in told[-HISTORY:] if not np.isnan(one[0, index])]
        last = known[max(len(known) - count, 0) :]
        values, firm, weights = ([one[part] for one in last] for part in range(3))
        expected = oracle.shift(values, firm, weights, series[index].mean)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
