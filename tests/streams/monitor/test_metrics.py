"""Metrics of a window equal River's, which sees one row after the other."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import metrics

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.streams.monitor.series.task import losses
from tidegauge.streams.monitor.windows.metrics import (
    CLASSIFICATION,
    OUTCOME_COLUMNS,
    REGRESSION,
    THRESHOLDS,
    Classification,
    evaluate,
    outcome_table,
)

Floats = NDArray[np.float64]
few = settings(derandomize=True, deadline=None, max_examples=60)
# Hundredths often equal a threshold of the ROC curve or of the decision.
scores = st.integers(0, 100).map(lambda n: n / 100) | st.floats(0, 1)
rows = st.lists(st.tuples(st.booleans(), scores), max_size=50)


def ours(task: str, labels: Floats, scores: Floats, threshold: float = 0.5) -> dict[str, Any]:
    """Return our metrics of one window, its rows in two blocks."""
    statistics = Moments(len(OUTCOME_COLUMNS))
    counts = Classification(threshold)
    half = len(labels) // 2
    for part in (slice(0, half), slice(half, None)):
        statistics.update(outcome_table(labels[part], scores[part]))
        if task == "classification":
            counts.update(labels[part], scores[part])
    return evaluate(task, None, statistics, counts)


def rivers(labels: Floats, scores: Floats, threshold: float) -> dict[str, float]:
    """Return River's metrics, updated row by row."""
    hard = {
        "accuracy": metrics.Accuracy(),
        "f1": metrics.F1(),
        "precision": metrics.Precision(),
        "recall": metrics.Recall(),
    }
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


@few
@given(rows=rows, threshold=st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.99, 1.0]))
def test_classification_equals_river_row_by_row(
    rows: list[tuple[float, float]], threshold: float
) -> None:
    labels, scores = table(rows)
    found = ours("classification", labels, scores, threshold)
    expected = rivers(labels, scores, threshold)
    assert list(found) == list(CLASSIFICATION)
    if len(set(labels)) < 2:
        assert found.pop("roc_auc") is None  # River makes up a number here
    if not rows:
        assert found.pop("log_loss") is None
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=1e-9), name
        assert name == "log_loss" or value == expected[name], name


@pytest.mark.parametrize("seed", range(3))
def test_a_large_window_equals_river_row_by_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 6, size=2000)
    labels = (rng.random(2000) < scores).astype(np.float64)
    found, expected = ours("classification", labels, scores, 0.3), rivers(labels, scores, 0.3)
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=1e-9), name
    assert 0.6 < found["roc_auc"] < 0.9
    assert found["roc_auc"] == expected["roc_auc"]  # to the last bit


numbers = st.floats(-1e6, 1e6) | st.integers(-5, 5).map(float)


@few
@given(rows=st.lists(st.tuples(numbers, numbers), min_size=2, max_size=50))
def test_regression_equals_river_row_by_row(rows: list[tuple[float, float]]) -> None:
    labels, values = table(rows)
    found = ours("regression", labels, values)
    rivers = {"mae": metrics.MAE(), "rmse": metrics.RMSE(), "r2": metrics.R2()}
    for label, value in rows:
        for metric in rivers.values():
            metric.update(label, value)
    assert list(found) == list(REGRESSION)
    for name, metric in rivers.items():
        if name == "r2" and labels.std() < 1e-3 * (1 + abs(labels).max()):
            continue  # ill-conditioned: both divide by what rounding left
        assert found[name] == pytest.approx(metric.get(), rel=1e-9, abs=1e-9), name


def test_an_empty_window_has_no_regression_metric() -> None:
    labels, values = table([])
    assert ours("regression", labels, values) == {"mae": None, "rmse": None, "r2": 0.0}


def test_labels_without_any_spread_have_an_r2_of_zero_as_in_river() -> None:
    labels, values = table([(3.0, 1.0), (3.0, 5.0)])
    assert ours("regression", labels, values)["r2"] == 0.0


def test_rows_that_have_no_log_loss_are_left_out_of_it() -> None:
    labels = np.array([1.0, 0.0, 2.0, 1.0, np.nan])
    scores = np.array([0.5, 1.5, 0.5, -0.1, 0.5])
    loss = losses(labels, scores, "classification")
    assert loss[0] == pytest.approx(math.log(2))
    assert np.isnan(loss[1:]).all()
    counts = Classification(0.5)
    counts.update(labels, scores)
    assert counts.counts.sum() == 3  # a label of 2 or none at all belongs to no class


def test_a_certain_and_wrong_score_has_a_finite_loss() -> None:
    for label, score in ((1.0, 0.0), (0.0, 1.0)):
        loss = losses(np.array([label]), np.array([score]), "classification")[0]
        river = metrics.LogLoss()
        river.update(bool(label), score)
        assert loss == pytest.approx(river.get(), rel=1e-9)
        assert math.isfinite(loss)


def test_only_the_metrics_that_were_chosen_are_told() -> None:
    labels, scores = table([(1, 0.7), (0, 0.2)])
    statistics = Moments(len(OUTCOME_COLUMNS))
    statistics.update(outcome_table(labels, scores))
    counts = Classification(0.5)
    counts.update(labels, scores)
    found = evaluate("classification", ["recall", "accuracy", "mae"], statistics, counts)
    assert found == {"accuracy": 1.0, "recall": 1.0}


def test_a_reset_forgets_all_rows() -> None:
    counts = Classification(0.5)
    counts.update(np.array([1.0, 0.0]), np.array([0.7, 0.2]))
    counts.reset()
    assert counts.counts.sum() == 0
    assert counts.metrics()["roc_auc"] is None
