import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.oracles import dependence as dependence_oracle
from tests.oracles import mixture as oracle
from tidegauge.detectors.drift.mixture import MixtureEDetector
from tidegauge.detectors.statistics.dependence import Dependence, fit

WINDOW = 7  # short, so that the oracle sees the ring go round
WHITE = Dependence(90, 0.0, 1.0, 0.0, 0.01, 1.0, 0.0, 0.3, 0.0, 1.0, 2.5)
REFERENCES = [
    WHITE,
    replace(WHITE, windows=20, weight=0.6, rho=0.88),
    replace(WHITE, windows=3, weight=1.0, rho=0.96),
]
BUDGETS = [0.02, 0.3, 1.5]
HORIZON = 90.0

scores = st.floats(-3, 3) | st.sampled_from([0.0, 3.0, -3.0, math.nan])
streams = st.lists(st.tuples(scores, scores, scores), max_size=40).map(
    lambda rows: np.array(rows).reshape(-1, 3)
)


def new(window: int = WINDOW) -> MixtureEDetector:
    return MixtureEDetector(REFERENCES, BUDGETS, HORIZON, window)


@cache
def variances(series: int, window: int) -> tuple[list[float], float]:
    """Return V0(m) for each m up to the window, and V0(N), by the oracle."""
    weight, rho = REFERENCES[series].weight, REFERENCES[series].rho
    of_means = [dependence_oracle.variance_of_mean(m + 1, weight, rho) for m in range(window)]
    windows = REFERENCES[series].windows
    return of_means, dependence_oracle.variance_of_mean(windows, weight, rho)


def terms(series: int, history: list[float], window: int = WINDOW) -> list[float]:
    """Return the log of the terms of E, by the oracle, after a history of one series."""
    known = [value for value in history if not math.isnan(value)]
    return oracle.log_terms(known, *variances(series, window))


@given(streams)
@example(np.full((20, 3), 3.0))
@example(np.zeros((20, 3)))
def test_a_bound_changes_no_alarm_and_is_no_less_than_the_evidence(
    stream: NDArray[np.float64],
) -> None:
    exact, quick = new(), MixtureEDetector(REFERENCES, BUDGETS, HORIZON, WINDOW, bounded=True)
    for row in range(len(stream)):
        block = stream[row : row + 1]
        alarms = exact.update(block)
        assert np.array_equal(quick.update(block), alarms)
        assert (quick.log_e >= exact.log_e - 1e-12).all()
        certain = exact.log_e > exact.threshold
        assert np.array_equal(quick.log_e[certain], exact.log_e[certain])
        assert np.array_equal(quick.change[certain], exact.change[certain])


@settings(deadline=None)  # the oracle takes its time
@given(streams)
@example(np.full((20, 3), 3.0))
@example(np.zeros((20, 3)))
def test_evidence_change_and_alarms_equal_the_formula_after_every_row(
    stream: NDArray[np.float64],
) -> None:
    detector = new()
    for row in range(len(stream)):
        before = detector.log_e
        alarms = detector.update(stream[row : row + 1])[0]
        for series in range(detector.width):
            history = stream[: row + 1, series].tolist()
            logs = terms(series, history)
            if math.isnan(history[-1]):
                assert detector.log_e[series] == before[series] and not alarms[series]
                continue
            expected = oracle.log_sum(logs)
            assert math.isclose(detector.log_e[series], expected, rel_tol=1e-9, abs_tol=1e-9)
            likeliest = logs[detector.change[series] - 1]  # of equal ones any
            assert math.isclose(likeliest, max(logs), rel_tol=1e-9, abs_tol=1e-9)
            level = oracle.threshold(BUDGETS[series], HORIZON, REFERENCES[series].windows)
            assert math.isclose(detector.threshold[series], level)
            assert alarms[series] == (detector.log_e[series] > detector.threshold[series])
            since = detector.change[series] if alarms[series] else 0
            assert detector.since_rows[series] == since


@settings(max_examples=10, deadline=None)  # interpreted, an example takes a while
@given(st.integers(0, 2**32), st.sampled_from([1, 79, 80, 81, 170]))
def test_the_default_keeps_the_last_eighty_values(seed: int, windows: int) -> None:
    stream = np.random.default_rng(seed).normal(0.3, 1, size=(windows, 3)).clip(-3, 3)
    detector = MixtureEDetector(REFERENCES, BUDGETS, HORIZON)
    detector.update(stream)
    expected = [oracle.log_sum(terms(s, stream[:, s].tolist(), window=80)) for s in range(3)]
    np.testing.assert_allclose(detector.log_e, expected, rtol=1e-9)
    assert len(detector.snapshot().partition(b"\n")[2]) == (3 + 80) * 3 * 8


@given(streams, st.lists(st.integers(0, 40)))
def test_cuts_change_no_bit_of_alarms_and_state(
    stream: NDArray[np.float64], cuts: list[int]
) -> None:
    whole, parts = new(), new()
    expected = whole.update(stream)
    blocks = np.split(stream, sorted(cut for cut in cuts if cut <= len(stream)))
    found = np.concatenate([parts.update(block) for block in blocks])
    np.testing.assert_array_equal(found, expected)
    assert parts.snapshot() == whole.snapshot()


@given(streams)
def test_a_series_depends_on_its_own_values_only(stream: NDArray[np.float64]) -> None:
    together = new()
    alarms = together.update(stream)
    for series in range(3):
        alone = MixtureEDetector([REFERENCES[series]], [BUDGETS[series]], HORIZON, WINDOW)
        known = stream[~np.isnan(stream[:, series]), series]
        found = alone.update(known[:, None])[:, 0]
        assert found.tolist() == alarms[~np.isnan(stream[:, series]), series].tolist()
        assert alone.log_e[0] == together.log_e[series]
        assert alone.change[0] == together.change[series]


@given(streams)
def test_missing_values_leave_every_bit_as_it_was(stream: NDArray[np.float64]) -> None:
    detector = new()
    detector.update(stream)
    before = detector.snapshot()
    assert not detector.update(np.full((5, 3), np.nan)).any()
    assert detector.snapshot() == before


@given(streams, streams)
def test_a_restored_detector_goes_on_bit_for_bit(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    saved, restored = new(), new()
    saved.update(first)
    restored.update(second)
    restored.restore(saved.snapshot())
    np.testing.assert_array_equal(restored.log_e, saved.log_e)
    np.testing.assert_array_equal(restored.change, saved.change)
    np.testing.assert_array_equal(restored.update(second), saved.update(second))
    assert restored.snapshot() == saved.snapshot()


@given(streams, streams, st.integers(0, 2))
def test_a_forgotten_series_is_new_and_the_others_are_not(
    first: NDArray[np.float64], second: NDArray[np.float64], series: int
) -> None:
    detector, untouched, fresh = new(), new(), new()
    detector.update(first)
    untouched.update(first)
    detector.reset_series(series)
    assert detector.log_e[series] == -math.inf and detector.change[series] == 0
    alarms, of_untouched, of_fresh = (d.update(second) for d in (detector, untouched, fresh))
    for other in range(3):
        same, expected = (fresh, of_fresh) if other == series else (untouched, of_untouched)
        assert detector.log_e[other] == same.log_e[other]
        assert detector.change[other] == same.change[other]
        assert alarms[:, other].tolist() == expected[:, other].tolist()
        detector.reset_series(other)
    assert detector.snapshot() == new().snapshot()


@given(streams)
def test_reset_makes_it_new(stream: NDArray[np.float64]) -> None:
    detector = new()
    detector.update(stream)
    detector.reset()
    assert detector.snapshot() == new().snapshot()
    assert detector.log_e.tolist() == [-math.inf] * 3
    assert detector.change.tolist() == [0] * 3


def test_extremes_overflow_nothing() -> None:
    sure = replace(WHITE, windows=10**9)
    detector = MixtureEDetector([sure], [1.0], HORIZON, window=600)
    alarms = detector.update(np.full((700, 1), 3.0))
    # 600 values of 3: half their squares less the cost of the largest size, about log sqrt(9600)
    assert detector.log_e[0] == pytest.approx(4.5 * 600, rel=0.01)
    assert detector.change.tolist() == [600]
    assert alarms[5:].all()
    detector.reset()
    detector.update(np.array([[1e100], [-1e100], [0.0]]))  # not standardised, yet no harm
    assert np.isfinite(detector.log_e).all()


def test_values_at_the_reference_count_against_a_change() -> None:
    detector = MixtureEDetector([WHITE], [1.0], HORIZON)
    detector.update(np.zeros((80, 1)))
    # Each of the 80 terms is 1 on average while nothing moves, and less where nothing at all does.
    assert detector.log_e[0] < math.log(80 / 2)


def test_a_change_is_dated_to_the_window() -> None:
    detector = MixtureEDetector([WHITE], [0.1], HORIZON)
    stream = np.concatenate([np.tile([[0.3], [-0.3]], (20, 1)), np.full((9, 1), -2.0)])
    alarms = detector.update(stream)
    assert alarms[-1, 0] and not alarms[:40].any()
    assert detector.change.tolist() == [9]
    detector.update(np.array([[np.nan], [-2.0]]))
    assert detector.change.tolist() == [10]  # windows with a value: the missing one does not count


def test_a_constant_reference_of_three_windows_can_be_watched() -> None:
    reference = fit(np.full(3, 0.1), np.full(3, 100.0), 0.0, floor=0.02)
    detector = MixtureEDetector([reference], [1.0], HORIZON)
    quiet = detector.update(reference.standardise(np.full((50, 1), 0.1), 100.0))
    assert not quiet.any() and np.isfinite(detector.log_e).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"references": []}, r"at least one, got \[\]"),
        ({"false_alarms": [1.0]}, r"false_alarms must have shape \(3,\), got \(1,\)"),
        ({"false_alarms": [1.0, 0.0, 1.0]}, "false_alarms must be > 0 and < horizon"),
        ({"false_alarms": [1.0, 90.0, 1.0]}, "false_alarms must be > 0 and < horizon"),
        ({"false_alarms": [1.0, math.nan, 1.0]}, "false_alarms must be > 0 and < horizon"),
        ({"horizon": 0.0}, "horizon must be finite and > 0, got 0.0"),
        ({"horizon": math.inf}, "horizon must be finite and > 0, got inf"),
        ({"window": 0}, "window must be >= 1, got 0"),
    ],
)
def test_parameters_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"references": REFERENCES, "false_alarms": BUDGETS, "horizon": HORIZON}
    with pytest.raises(ValueError, match=message):
        MixtureEDetector(**(right | change))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros(3), r"must have shape \(rows, 3\), got shape \(3,\)"),
        (np.zeros((3, 2)), r"must have shape \(rows, 3\), got shape \(3, 2\)"),
        (np.array([[0.0, 1.0, 2.0], [0.0, -np.inf, 2.0]]), "must hold finite values, or NaN"),
    ],
)
def test_a_wrong_block_is_refused_and_nothing_folded(
    block: NDArray[np.float64], message: str
) -> None:
    detector = new()
    with pytest.raises(ValueError, match=message):
        detector.update(block)
    assert detector.snapshot() == new().snapshot()


def test_any_layout_of_a_block_is_taken() -> None:
    stream = np.random.default_rng(5).normal(size=(20, 3))
    plain, columns = new(), new()
    plain.update(stream)
    columns.update(np.asfortranarray(stream))
    assert columns.snapshot() == plain.snapshot()


@pytest.mark.parametrize("series", [-1, 3])
def test_a_series_that_does_not_exist_cannot_be_forgotten(series: int) -> None:
    with pytest.raises(ValueError, match=f"series must be >= 0 and < 3, got {series}"):
        new().reset_series(series)


def test_a_snapshot_built_otherwise_is_refused_and_the_state_kept() -> None:
    detector = new()
    detector.update(np.ones((5, 3)))
    before = detector.snapshot()
    others = {
        "width": MixtureEDetector(REFERENCES[:2], BUDGETS[:2], HORIZON, WINDOW),
        "parameters": new(window=8),
    }
    wrong = {key: other.snapshot() for key, other in others.items()}
    wrong["layout"] = before.replace(b'"layout": 1', b'"layout": 0')
    wrong["detector"] = before.replace(b"mixture", b"page_hinkley")
    for key, snapshot in wrong.items():
        with pytest.raises(ValueError, match=f"expected a snapshot with {key} .*, got "):
            detector.restore(snapshot)
    for damaged, message in (
        (before[:-1], r"must have 240 bytes after its header, got 239"),
        (before + b"\0", r"must have 240 bytes after its header, got 241"),
        (b"", "got 0 bytes without its header"),
        (b"\xff\xfe\n", "without its header"),
        (b"3\n", "without its header"),
    ):
        with pytest.raises(ValueError, match=message):
            detector.restore(damaged)
    assert detector.snapshot() == before


def test_a_snapshot_goes_on_where_a_references_last_bits_differ() -> None:
    detector = MixtureEDetector([WHITE], [1.0], HORIZON, WINDOW)
    detector.update(np.ones((5, 1)))
    other = replace(WHITE, mean=math.nextafter(0.0, 1.0), between=math.nextafter(1.0, 9.0))
    elsewhere = MixtureEDetector([other], [1.0], HORIZON, WINDOW)
    elsewhere.restore(detector.snapshot())
    assert elsewhere.snapshot() == detector.snapshot()


def test_what_it_shows_is_a_copy() -> None:
    detector = new()
    detector.update(np.ones((5, 3)))
    before = detector.snapshot()
    for shown in (detector.log_e, detector.change, detector.threshold):
        shown[:] = 0
    assert detector.snapshot() == before
    assert detector.threshold.all()


def test_restored_bytes_are_not_shared() -> None:
    saved = new()
    saved.update(np.ones((5, 3)))
    snapshot = saved.snapshot()
    one, other = new(), new()
    one.restore(snapshot)
    other.restore(snapshot)
    one.update(np.ones((1, 3)))
    assert other.snapshot() == snapshot


@given(streams, streams)
def test_a_series_that_is_compared_with_another_reference_begins_afresh_with_it(
    before: NDArray[np.float64], after: NDArray[np.float64]
) -> None:
    detector, other = new(), replace(WHITE, windows=45, weight=0.3, rho=0.5)
    detector.update(before)
    detector.refer(1, other)
    whole = new()
    whole.update(np.concatenate([before, after]))
    fresh = MixtureEDetector([other], [BUDGETS[1]], HORIZON, WINDOW)
    alarms = detector.update(after)
    assert alarms[:, 1].tolist() == fresh.update(after[:, 1:2])[:, 0].tolist()
    assert (detector.log_e[1], detector.threshold[1]) == (fresh.log_e[0], fresh.threshold[0])
    assert detector.log_e[[0, 2]].tolist() == whole.log_e[[0, 2]].tolist()
