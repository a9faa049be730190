"""Metrics of counts equal River's, which sees one row after the other, and scikit-learn's."""

import math
import time
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import metrics
from sklearn import metrics as sklearn

from tidegauge.schemas.monitors import Metric
from tidegauge.streams.monitor.series.task import losses
from tidegauge.streams.monitor.windows.confusion import RIVERS
from tidegauge.streams.monitor.windows.metrics import DEFAULTS, OF_TASK, evaluate
from tidegauge.streams.monitor.windows.outcome_counts import (
    MEANS,
    ROC_THRESHOLDS,
    THRESHOLDS,
    OutcomeCounts,
)

Floats = NDArray[np.float64]
few = settings(derandomize=True, deadline=None, max_examples=60)
# Hundredths often equal a threshold of the ROC curve or of the decision.
scores = st.integers(0, 100).map(lambda n: n / 100) | st.floats(0, 1)
rows = st.lists(st.tuples(st.booleans(), scores), max_size=50)


def counted(
    labels: Floats, scores: Floats, threshold: float = 0.5, quantile: float = 0.5
) -> OutcomeCounts:
    """Return the counts of pairs, in two blocks."""
    counts, half = OutcomeCounts(threshold, quantile), len(labels) // 2
    for part in (slice(0, half), slice(half, None)):
        counts.update(labels[part], scores[part], np.zeros(len(labels[part])))
    return counts


def ours(task: str, labels: Floats, scores: Floats, threshold: float = 0.5) -> dict[str, Any]:
    """Return all metrics of the task."""
    return evaluate(task, OF_TASK[task], counted(labels, scores, threshold)).metrics


def rivers(labels: Floats, scores: Floats, threshold: float) -> dict[str, float]:
    """Return River's metrics, updated row by row."""
    hard = {name: metric() for name, metric in RIVERS.items()} | {"mcc": metrics.MCC()}
    soft = {"roc_auc": metrics.ROCAUC(n_thresholds=THRESHOLDS), "log_loss": metrics.LogLoss()}
    for label, score in zip(labels.tolist(), scores.tolist(), strict=True):
        for metric in hard.values():
            metric.update(bool(label), score >= threshold)
        for metric in soft.values():
            metric.update(bool(label), score)
    return {name: float(metric.get()) for name, metric in (hard | soft).items()}


def table(rows: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    labels, values = np.array(rows, np.float64).reshape(-1, 2).T
    return labels, values


def test_a_spec_may_ask_for_every_metric_of_every_task() -> None:
    assert {*get_args(Metric)} == {name for names in OF_TASK.values() for name in names}
    assert all({*names} <= {*OF_TASK[task]} for task, names in DEFAULTS.items())


@few
@given(rows=rows, threshold=st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.99, 1.0]))
def test_classification_equals_river_row_by_row(
    rows: list[tuple[float, float]], threshold: float
) -> None:
    labels, scores = table(rows)
    found = ours("classification", labels, scores, threshold)
    expected = rivers(labels, scores, threshold)
    if not rows:
        assert set(found.values()) == {None}
        return
    if len(set(labels)) < 2:
        assert found.pop("roc_auc") is None  # River makes up a number here
    for name in expected.keys() & found.keys():
        assert found[name] == pytest.approx(expected[name], abs=1e-9), name


@pytest.mark.parametrize("seed", range(3))
def test_a_large_window_equals_river_row_by_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 6, size=2000)
    labels = (rng.random(2000) < scores).astype(np.float64)
    found, expected = ours("classification", labels, scores, 0.3), rivers(labels, scores, 0.3)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    assert 0.6 < found["roc_auc"] < 0.9
    assert found["roc_auc"] == expected["roc_auc"]  # to the last bit


def of_sklearn(labels: Floats, scores: Floats, threshold: float) -> dict[str, float]:
    hard = scores >= threshold
    found = {
        "accuracy": sklearn.accuracy_score(labels, hard),
        "balanced_accuracy": sklearn.balanced_accuracy_score(labels, hard),
        "mcc": sklearn.matthews_corrcoef(labels, hard),
        "kappa": sklearn.cohen_kappa_score(labels, hard),
        "log_loss": sklearn.log_loss(labels, scores),
        "brier": sklearn.brier_score_loss(labels, scores),
    }
    for name in ("precision", "recall", "f1"):
        metric = getattr(sklearn, f"{name}_score")
        for average in ("binary", "macro", "micro", "weighted"):
            key = name if average == "binary" else f"{name}_{average}"
            found[key] = metric(labels, hard, average=average)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_classification_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 3, size=3000)
    labels = (rng.random(3000) < scores).astype(np.float64)
    found, expected = ours("classification", labels, scores), of_sklearn(labels, scores, 0.5)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    # What lies between two of River's thresholds is tied.
    tied = np.searchsorted(ROC_THRESHOLDS, scores, side="left")
    expected = {
        "roc_auc": sklearn.roc_auc_score(labels, tied),
        "pr_auc": sklearn.average_precision_score(labels, tied),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert found["roc_auc"] == pytest.approx(sklearn.roc_auc_score(labels, scores), abs=0.002)
    exact = sklearn.average_precision_score(labels, scores)
    assert found["pr_auc"] == pytest.approx(exact, abs=0.01)


def test_the_calibration_error_is_the_mean_gap_of_ten_bins() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(2000)
    labels = (rng.random(2000) < scores**2).astype(np.float64)
    told = evaluate("classification", ["ece"], counted(labels, scores))
    bins = np.minimum((scores * 10).astype(int), 9)
    gaps = [labels[bins == n].sum() - scores[bins == n].sum() for n in range(10)]
    assert told.metrics["ece"] == pytest.approx(np.abs(gaps).sum() / 2000, abs=1e-12)
    assert np.abs(gaps).sum() / 2000 > 0.1
    assert [one.above for one in told.reliability] == [n / 10 for n in range(10)]
    for n, one in enumerate(told.reliability):
        own = bins == n
        assert one.rows == own.sum()
        assert one.share == pytest.approx(labels[own].mean(), abs=1e-12)
        assert one.score == pytest.approx(scores[own].mean(), abs=1e-12)
        assert one.interval[0] < one.share < one.interval[1]


def test_a_reliability_table_is_told_only_with_its_error() -> None:
    counts = counted(*table([(1, 0.7), (0, 0.2)]))
    assert evaluate("classification", ["log_loss"], counts).reliability == []


numbers = st.floats(-1e6, 1e6) | st.integers(-5, 5).map(float)


@few
@given(rows=st.lists(st.tuples(numbers, numbers), min_size=2, max_size=50))
def test_regression_equals_river_row_by_row(rows: list[tuple[float, float]]) -> None:
    labels, values = table(rows)
    found = ours("regression", labels, values)
    rivers = {
        "mae": metrics.MAE(), "rmse": metrics.RMSE(), "r2": metrics.R2(), "smape": metrics.SMAPE(),
    }  # fmt: skip
    for label, value in rows:
        for metric in rivers.values():
            metric.update(label, value)
    for name, metric in rivers.items():
        if name == "r2" and labels.std() < 1e-3 * (1 + abs(labels).max()):
            continue  # ill-conditioned: both divide by what rounding left
        assert found[name] == pytest.approx(metric.get(), rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_regression_equals_scikit_learn(quantile: float) -> None:
    rng = np.random.default_rng(4)
    labels = rng.normal(100, 20, 2000)
    values = labels + rng.normal(2, 5, 2000)
    found = evaluate("regression", OF_TASK["regression"], counted(labels, values, 0.5, quantile))
    expected = {
        "mae": sklearn.mean_absolute_error(labels, values),
        "rmse": sklearn.root_mean_squared_error(labels, values),
        "r2": sklearn.r2_score(labels, values),
        "quantile_loss": sklearn.mean_pinball_loss(labels, values, alpha=quantile),
    }
    for name, value in expected.items():
        assert found.metrics[name] == pytest.approx(value, abs=1e-9), name
        low, high = found.intervals[name]
        assert low < value < high


def test_an_empty_window_has_no_regression_metric() -> None:
    labels, values = table([])
    told = evaluate("regression", None, counted(labels, values))
    assert told.metrics == {"mae": None, "rmse": None, "r2": 0.0}
    assert told.intervals == {}


def test_labels_without_any_spread_have_an_r2_of_zero_as_in_river() -> None:
    labels, values = table([(3.0, 1.0), (3.0, 5.0)])
    assert ours("regression", labels, values)["r2"] == 0.0


def test_rows_that_have_no_log_loss_are_left_out_of_it() -> None:
    labels = np.array([1.0, 0.0, 2.0, 1.0, np.nan])
    scores = np.array([0.5, 1.5, 0.5, -0.1, 0.5])
    loss = losses(labels, scores, "classification")
    assert loss[0] == pytest.approx(math.log(2))
    assert np.isnan(loss[1:]).all()
    counts = counted(labels, scores)
    assert counts.means.count[MEANS.index("log_loss")] == 1


def test_pairs_that_a_matrix_has_no_place_for_are_counted() -> None:
    labels = np.array([1.0, 0.0, 2.0, 1.0, np.nan])
    told = evaluate("classification", None, counted(labels, np.full(5, 0.5)))
    assert (told.rests_on.pairs, told.rests_on.left_out) == (5, 2)
    told = evaluate("regression", None, counted(labels[:4], np.full(4, 0.5)))
    assert (told.rests_on.pairs, told.rests_on.left_out) == (4, 0)


def test_a_certain_and_wrong_score_has_a_finite_loss() -> None:
    for label, score in ((1.0, 0.0), (0.0, 1.0)):
        loss = losses(np.array([label]), np.array([score]), "classification")[0]
        river = metrics.LogLoss()
        river.update(bool(label), score)
        assert loss == pytest.approx(river.get(), rel=1e-9)
        assert math.isfinite(loss)


def test_only_the_metrics_that_were_chosen_are_told() -> None:
    counts = counted(*table([(1, 0.7), (0, 0.2)]))
    found = evaluate("classification", ["recall", "accuracy", "mae"], counts)
    assert found.metrics == {"accuracy": 1.0, "recall": 1.0}
    assert list(found.intervals) == ["accuracy", "recall"]


def test_a_report_says_how_long_labels_took() -> None:
    rng, counts = np.random.default_rng(2), OutcomeCounts()
    delays_ms = np.floor(rng.lognormal(15, 1, 4000))
    counts.update(np.zeros(4000), np.zeros(4000), np.append(delays_ms[:-1], np.nan))
    told = evaluate("classification", None, counts).rests_on
    assert told.delay_ms == pytest.approx(np.quantile(delays_ms, 0.5), rel=0.05)
    assert told.slow_delay_ms == pytest.approx(np.quantile(delays_ms, 0.9), rel=0.05)


@pytest.mark.parametrize("delay_ms", [0.0, -5.0])
def test_labels_that_come_at_once_have_no_delay(delay_ms: float) -> None:
    counts = OutcomeCounts()
    counts.update(np.zeros(3), np.zeros(3), np.full(3, delay_ms))
    assert counts.delay_ms(0.5) == 0
    counts.update(np.zeros(9), np.zeros(9), np.full(9, 2**47.9))
    assert counts.delay_ms(0.5) == pytest.approx(2**47.9, rel=0.05)


def test_no_label_has_no_delay() -> None:
    assert OutcomeCounts().delay_ms(0.5) is None


def test_counts_of_windows_add_up_to_those_of_all() -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 900).astype(np.float64), rng.random(900)
    delays_ms, deployed, whole = 1e6 * rng.random(900), OutcomeCounts(), OutcomeCounts()
    for start in range(0, 900, 90):
        window, own = OutcomeCounts(), slice(start, start + 90)
        window.update(labels[own], scores[own], delays_ms[own])
        deployed.merge(window)
    whole.update(labels, scores, delays_ms)
    for task, names in OF_TASK.items():
        found, expected = (evaluate(task, names, counts) for counts in (deployed, whole))
        assert found.metrics == pytest.approx(expected.metrics, abs=1e-12)
        assert found.rests_on == expected.rests_on


def test_cuts_and_snapshots_never_change_a_bit() -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 3, 300).astype(np.float64), rng.random(300)
    whole, parts = OutcomeCounts(0.3, 0.7), OutcomeCounts(0.3, 0.7)
    whole.update(labels, scores, 1e6 * scores)
    for own in np.split(np.arange(300), [0, 1, 7, 8, 120]):
        parts.update(labels[own], scores[own], 1e6 * scores[own])
        state, parts = parts.state(), OutcomeCounts(0.3, 0.7)
        parts.load(state)
    assert parts.state() == whole.state()


def test_a_million_outcomes_cost_seconds() -> None:
    rng, counts = np.random.default_rng(0), OutcomeCounts()
    scores = rng.random(1_000_000)
    labels = (rng.random(1_000_000) < scores).astype(np.float64)
    start = time.perf_counter()
    for own in np.split(np.arange(1_000_000), 2000):
        counts.update(labels[own], scores[own], np.zeros(500))
    told = evaluate("classification", OF_TASK["classification"], counts)
    assert time.perf_counter() - start < 5
    low, high = told.intervals["accuracy"]
    assert 0.745 < low < high < 0.755
