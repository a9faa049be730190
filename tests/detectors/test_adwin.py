"""ADWIN against its oracle, at full bucket rows, and what its parameters may be."""

import json
import math
from itertools import chain
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.oracles import adwin as oracle
from tidegauge.detectors.drift import adwin
from tidegauge.detectors.drift.adwin import ADWIN


class ThreeRows(ADWIN):
    """Full after some 40 values instead of some 10**10."""

    bucket_rows: ClassVar[int] = 3


class TwoRows(ADWIN):
    """Full after some 20 values."""

    bucket_rows: ClassVar[int] = 2


eighths = st.integers(-8, 8).map(lambda n: n / 8)
levels = st.sampled_from([0.0, 0.0, 2.0, 20.0])  # shifts around and far beyond the bound
stretches = st.builds(
    lambda level, values: [level + value for value in values],
    levels,
    st.lists(eighths, min_size=1, max_size=40),
)
streams = st.lists(stretches, min_size=1, max_size=4).map(
    lambda parts: list(chain.from_iterable(parts))
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    values=streams,
    cuts=st.lists(st.integers(1, 160)),
    kind=st.sampled_from([ADWIN, ThreeRows, TwoRows]),
    delta=st.sampled_from([0.002, 0.3, 0.9]),
    clock=st.sampled_from([1, 3, 32]),
    max_buckets=st.sampled_from([2, 5]),
    min_window_length=st.sampled_from([1, 5]),
    grace_period=st.sampled_from([0, 10]),
)
def test_every_alarm_and_number_is_the_oracles_wherever_the_blocks_are_cut(
    values: list[float],
    cuts: list[int],
    kind: type[ADWIN],
    delta: float,
    clock: int,
    max_buckets: int,
    min_window_length: int,
    grace_period: int,
) -> None:
    detector = kind(1, delta, clock, max_buckets, min_window_length, grace_period)
    seen = oracle.run(
        values,
        delta=delta,
        clock=clock,
        max_buckets=max_buckets,
        min_window_length=min_window_length,
        grace_period=grace_period,
        bucket_rows=kind.bucket_rows,
    )
    start = 0
    for stop in sorted({cut for cut in cuts if cut < len(values)} | {len(values)}):
        alarms = detector.update(np.array(values[start:stop]).reshape(-1, 1))
        last = seen[stop - 1]
        assert alarms[:, 0].tolist() == [one.alarm for one in seen[start:stop]]
        assert detector.detections[0] == sum(one.alarm for one in seen[:stop])
        assert detector.window_length[0] == last.length
        assert detector.total[0] == last.total
        assert detector.estimation[0] == last.total / last.length
        assert detector.variance[0] == pytest.approx(last.squares, rel=1e-9, abs=1e-9)
        assert detector.since_rows[0] == (last.since or 0)
        start = stop


def test_full_bucket_rows_forget_the_oldest_values_and_nothing_else() -> None:
    detector = ThreeRows(width=2, max_buckets=2)
    detector.update(np.arange(1000.0).reshape(-1, 1) % 2 * [[1.0, 1.0]])
    assert (detector.window_length <= 2 * (1 + 2 + 4) + 4).all()
    assert (detector.window_length >= 2 * 4).all()
    assert detector.detections.tolist() == [0.0, 0.0]
    assert detector.variance / detector.window_length == pytest.approx([0.25, 0.25], abs=0.01)


def test_an_empty_window_has_mean_and_deviations_zero() -> None:
    detector = ADWIN(width=2)
    assert detector.estimation.tolist() == detector.variance.tolist() == [0.0, 0.0]


def test_the_window_kept_by_the_cut_says_how_long_ago_the_change_was() -> None:
    detector = ADWIN(width=1, clock=1)
    alarms = detector.update(np.array([[0.0]] * 200 + [[3.0]] * 6 + [[math.nan]] * 3))
    assert np.flatnonzero(alarms).tolist() == [205]
    kept = detector.since_rows[0]
    assert kept == detector.window_length[0] < 206
    detector.update(np.full((7, 1), 3.0))
    assert detector.since_rows[0] == kept + 7
    assert detector.window_length[0] == 7


def test_parts_of_just_the_shortest_length_are_compared() -> None:
    detector = ADWIN(width=1, delta=0.9, clock=1, min_window_length=1, grace_period=0)
    assert detector.update(np.array([[0.0], [20.0]])).tolist() == [[False], [True]]


@pytest.mark.parametrize(("grace_period", "first"), [(9, 9), (10, 10), (11, 11)])
def test_the_first_check_is_of_a_window_longer_than_the_grace_period(
    grace_period: int, first: int
) -> None:
    detector = ADWIN(1, 0.9, clock=1, min_window_length=1, grace_period=grace_period)
    alarms = detector.update(np.array([[0.0]] * 4 + [[20.0]] * 12))
    assert np.flatnonzero(alarms)[0] == first


def test_a_snapshot_holds_only_the_buckets_in_use() -> None:
    assert len(ADWIN(width=100).snapshot()) < 100 * (8 + 1) * 8 + 200
    assert ADWIN(width=100)._state.nbytes > 100 * 3_000  # noqa: SLF001 - what it does not hold


def damaged(snapshot: bytes, field: int, value: float) -> bytes:
    """Return the snapshot of one series with one number replaced."""
    head, _, body = snapshot.partition(b"\n")
    numbers: NDArray[np.float64] = np.frombuffer(body, "<f8").copy()
    numbers[field] = value
    return head + b"\n" + numbers.tobytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (adwin.TOP, -1.0),
        (adwin.TOP, 1.0),
        (adwin.TOP, 32.0),
        (adwin.TOP, 1e300),
        (adwin.TOP, math.nan),
        (adwin.WIDTH, 99.0),
        (adwin.WIDTH, 0.0),
        (adwin.SCALARS, -1.0),
        (adwin.SCALARS, 6.0),
        (adwin.SCALARS, 1e9),
        (adwin.SCALARS, 2.5),
        (adwin.SCALARS, math.nan),
        (adwin.SCALARS + 1, 0.0),
        (adwin.SCALARS + 2, 0.0),
    ],
)
def test_a_snapshot_that_would_lead_the_kernel_out_of_its_array_is_refused(
    field: int, value: float
) -> None:
    detector = ADWIN(width=1)
    detector.update(np.arange(50.0).reshape(-1, 1))
    before = detector.snapshot()
    detector.restore(before)
    with pytest.raises(ValueError, match=r"snapshot|bucket rows"):
        detector.restore(damaged(before, field, value))
    assert detector.snapshot() == before


def test_a_snapshot_with_an_empty_bucket_row_is_refused() -> None:
    detector = ADWIN(width=1)
    detector.update(np.arange(6.0).reshape(-1, 1))  # four of one value, one of two
    without = damaged(damaged(detector.snapshot(), adwin.SCALARS + 1, 0.0), adwin.WIDTH, 4.0)
    with pytest.raises(ValueError, match="must hold buckets that make up its windows"):
        detector.restore(without)


def test_the_header_of_a_snapshot_is_one_line_of_json() -> None:
    head = json.loads(ADWIN(width=3, clock=7).snapshot().partition(b"\n")[0])
    assert (head["detector"], head["width"], head["parameters"]["clock"]) == ("adwin", 3, 7)


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"width": -1}, "width must be >= 1, got -1"),
        ({"delta": -3}, "delta must be > 0 and < 1, got -3"),
        ({"delta": 0.0}, "delta must be > 0"),
        ({"delta": 1.0}, "delta must be > 0 and < 1"),
        ({"delta": math.nan}, "delta must be > 0"),
        ({"clock": 0}, "clock must be >= 1, got 0"),
        ({"clock": 2.0}, "clock must be a whole number, got 2.0"),
        ({"max_buckets": 1}, "max_buckets must be >= 2, got 1"),
        ({"min_window_length": 0}, "min_window_length must be >= 1, got 0"),
        ({"grace_period": -1}, "grace_period must be >= 0, got -1"),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ADWIN(**{"width": 1, **parameters})  # type: ignore[arg-type] # wrong on purpose
