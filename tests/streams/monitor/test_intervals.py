"""Intervals have the truth in about 95 of 100 cases, and are never surer than their rows allow."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.streams.monitor.windows.confusion import OF_MATRIX, Confusion
from tidegauge.streams.monitor.windows.intervals import of_share, of_sum, wilson
from tidegauge.streams.monitor.windows.metrics import OF_TASK, evaluate
from tidegauge.streams.monitor.windows.outcome_counts import OutcomeCounts

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
RUNS = 400
KEPT = {60: 0.88, 200: 0.91, 500: 0.91}  # by rows: a skew mean of few rows is less sure
MOST = 0.99  # where a formula is not on the safe side by intention


def scored(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
    """Return labels and calibrated scores, a quarter positive."""
    scores = rng.beta(1, 3, rows)
    return (rng.random(rows) < scores).astype(np.float64), scores


def estimated(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
    """Return labels of a regression, and predictions."""
    labels = rng.normal(50, 10, rows)
    return labels, labels + rng.normal(1, 5, rows)


def covered(task: str, names: Sequence[str], draw: Draw, rows: int) -> dict[str, float]:
    """Return in how many of the runs the interval has the truth, as a share."""

    def told(rng: np.random.Generator, rows: int) -> OutcomeCounts:
        counts = OutcomeCounts(0.3, 0.8)
        counts.update(*draw(rng, rows), np.zeros(rows))
        return counts

    truth = evaluate(task, names, told(np.random.default_rng(99), 1_000_000)).metrics
    hits = dict.fromkeys(names, 0)
    for seed in range(RUNS):
        found = evaluate(task, names, told(np.random.default_rng(seed), rows))
        for name in names:
            low, high = found.intervals[name]
            hits[name] += low <= (truth[name] or 0.0) <= high
    return {name: count / RUNS for name, count in hits.items()}


def test_intervals_of_a_classification_have_the_truth_as_often_as_they_say() -> None:
    for rows in (60, 500):
        found = covered("classification", OF_TASK["classification"], scored, rows)
        assert all(share >= KEPT[rows] for share in found.values()), (rows, found)
        sharp = [share for name, share in found.items() if name != "ece"]
        assert max(sharp) <= MOST, (rows, found)


def test_intervals_of_a_regression_have_the_truth_as_often_as_they_say() -> None:
    for rows in (60, 500):
        found = covered("regression", OF_TASK["regression"], estimated, rows)
        assert all(KEPT[rows] <= share <= MOST for share in found.values()), (rows, found)


def three(rng: np.random.Generator, rows: int) -> Confusion:
    """Return the confusion of three classes, one of them rare."""
    labels = rng.choice(3, rows, p=[0.6, 0.3, 0.1])
    classes = np.where(rng.random(rows) < 0.75, labels, rng.integers(0, 3, rows))
    cells: dict[tuple[int, int], float] = {}
    for cell in zip(labels.tolist(), classes.tolist(), strict=True):
        cells[cell] = cells.get(cell, 0.0) + 1
    return Confusion(cells)


def test_intervals_of_several_classes_have_the_truth_as_often_as_they_say() -> None:
    names = [n for n in OF_MATRIX if n not in ("precision", "recall", "f1")]
    truth = three(np.random.default_rng(99), 1_000_000)
    hits = dict.fromkeys(names, 0)
    for seed in range(RUNS):
        found = three(np.random.default_rng(seed), 200)
        for name in names:
            value, limits = found.tell(name)
            low, high = limits or (1.0, 0.0)
            hits[name] += low <= (truth.tell(name)[0] or 0.0) <= high
            assert low <= (value or 0.0) <= high
    shares = {name: count / RUNS for name, count in hits.items()}
    assert all(KEPT[200] <= share <= MOST for share in shares.values()), shares


@pytest.mark.parametrize("name", OF_MATRIX)
def test_forty_hits_of_forty_are_no_certainty(name: str) -> None:
    value, limits = Confusion({(True, True): 20, (False, False): 20}).tell(name)
    assert value == 1 and limits is not None
    assert 0.6 < limits[0] < 0.93
    assert limits[1] == pytest.approx(1)


def test_no_rows_have_no_metric() -> None:
    assert Confusion({}).tell("accuracy") == (None, None)
    assert Confusion({("a", "a"): 5.0}).tell("kappa")[1] is None
    assert Confusion({("a", "a"): 5.0}).tell("mcc") == (0.0, None)


def test_a_share_of_nothing_may_be_anything() -> None:
    assert of_share(0.0, 0) == (0.0, 1.0)


def test_the_limits_of_a_difference_are_those_of_its_parts_turned() -> None:
    values = np.array([0.9, 0.5])
    limits = wilson(values, np.array([50.0, 50.0]))
    low, high = of_sum(values, limits, np.array([1.0, -1.0]))
    assert low == pytest.approx(0.4 - np.hypot(0.9 - limits[0][0], limits[1][1] - 0.5))
    assert high == pytest.approx(0.4 + np.hypot(limits[1][0] - 0.9, 0.5 - limits[0][1]))
