"""Page-Hinkley against its oracle, and what its parameters may be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import page_hinkley as oracle
from tidegauge.detectors.drift.page_hinkley import PageHinkley

eighths = st.integers(-80, 80).map(lambda n: n / 8)
# Two levels, so that most examples hold a change. No sum of eighths and means meets sqrt(2), so
# rounding cannot decide an alarm, or which of two equal extrema came first.
streams = st.lists(eighths, min_size=1, max_size=25).flatmap(
    lambda head: st.lists(eighths.map(lambda v: v + 6.0), max_size=15).map(lambda tail: head + tail)
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    values=streams,
    cuts=st.lists(st.integers(0, 40)),
    min_instances=st.sampled_from([1, 4, 30]),
    delta=st.sampled_from([math.sqrt(2) / 10, math.sqrt(2)]),
    threshold=st.sampled_from([math.sqrt(2), 5 * math.sqrt(2), 15 * math.sqrt(2)]),
    alpha=st.sampled_from([1.0, 0.9]),
    mode=st.sampled_from(["up", "down", "both"]),
)
def test_every_alarm_and_number_is_the_oracles_wherever_the_blocks_are_cut(
    values: list[float],
    cuts: list[int],
    min_instances: int,
    delta: float,
    threshold: float,
    alpha: float,
    mode: str,
) -> None:
    detector = PageHinkley(1, min_instances, delta, threshold, alpha, mode)
    seen = oracle.run(
        values,
        min_instances=min_instances,
        delta=delta,
        threshold=threshold,
        alpha=alpha,
        mode=mode,
    )
    stops = sorted({cut for cut in cuts if 0 < cut < len(values)} | {len(values)})
    start = 0
    for stop in stops:
        alarms = detector.update(np.array(values[start:stop]).reshape(-1, 1))
        last = seen[stop - 1]
        assert alarms[:, 0].tolist() == [one.alarm for one in seen[start:stop]]
        assert detector.detections[0] == sum(one.alarm for one in seen[:stop])
        assert detector.count[0] == last.seen
        assert detector.mean[0] == pytest.approx(float(last.mean), rel=1e-12, abs=1e-12)
        up, down = float(last.statistic_up), float(last.statistic_down)
        assert detector.statistic_up[0] == pytest.approx(up, rel=1e-12, abs=1e-11)
        assert detector.statistic_down[0] == pytest.approx(down, rel=1e-12, abs=1e-11)
        assert detector.since_rows[0] == (last.since or 0)
        start = stop


def test_the_change_is_put_at_the_first_value_of_the_new_level() -> None:
    detector = PageHinkley(width=2, min_instances=5, delta=0.1, threshold=4.0)
    rise_and_fall = np.array([[0.0, 5.0]] * 20 + [[2.0, 3.0]] * 3 + [[np.nan, np.nan]] * 4)
    alarms = detector.update(rise_and_fall)
    assert np.argwhere(alarms).tolist() == [[22, 0], [22, 1]]
    assert detector.since_rows.tolist() == [3.0, 3.0]
    detector.update(np.array([[2.0, np.nan]]))
    assert detector.since_rows.tolist() == [4.0, 3.0]


def test_of_equal_extrema_the_latest_is_the_change() -> None:
    detector = PageHinkley(width=2, min_instances=1, delta=0.0, threshold=4.0, alpha=1.0)
    still_then_moving = np.array([[0.0, 0.0]] * 3 + [[4.0, -4.0]] * 2)
    assert np.argwhere(detector.update(still_then_moving)).tolist() == [[4, 0], [4, 1]]
    assert detector.since_rows.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"width": 0}, "width must be >= 1, got 0"),
        ({"width": 1.5}, "width must be a whole number, got 1.5"),
        ({"min_instances": 0}, "min_instances must be >= 1, got 0"),
        ({"delta": -0.1}, "delta must be finite and >= 0, got -0.1"),
        ({"delta": math.inf}, "delta must be finite"),
        ({"threshold": 0.0}, "threshold must be finite and > 0, got 0.0"),
        ({"threshold": math.inf}, "threshold must be finite"),
        ({"threshold": math.nan}, "threshold must be finite"),
        ({"alpha": 0.0}, "alpha must be > 0 and <= 1, got 0.0"),
        ({"alpha": 1.1}, "alpha must be > 0 and <= 1"),
        ({"mode": "sideways"}, "mode must be one of .*'both'.*, got 'sideways'"),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        PageHinkley(**{"width": 1, **parameters})  # type: ignore[arg-type] # wrong on purpose
