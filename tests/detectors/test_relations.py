"""What follows from what, beside ridge regression written from its paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import relations as oracle
from tidegauge.detectors.statistics.relations import (
    FOLDS,
    LEAST_ADDED,
    LEAST_ROWS,
    PENALTY,
    PREDICTORS,
    Floats,
    Relation,
    Relations,
    fit,
)


def rows(seed: int, count: int, columns: int, related: int) -> Floats:
    """Return ranks of which the first columns share a part, and the others nothing."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=count)
    table = rng.normal(size=(count, columns))
    table[:, :related] += 2 * shared[:, None]
    ranks: Floats = (table.argsort(axis=0).argsort(axis=0) + 0.5) / max(count, 1) - 0.5
    return ranks


@settings(derandomize=True, deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), columns=st.integers(2, 20), count=st.integers(LEAST_ROWS, 400))
def test_relations_are_ridge_regression_after_forward_selection(
    seed: int, columns: int, count: int
) -> None:
    table = rows(seed, count, columns, columns - 1)
    found = fit(table, np.arange(count), *np.ones((2, columns), np.bool_))
    assert [own.target for own, _ in found] == [*range(columns - 1 if columns > 2 else 0)]
    for own, _ in found:
        chosen = oracle.select(table, own.target, PENALTY, LEAST_ADDED, PREDICTORS)
        assert own.predictors == chosen
        weights, intercept = oracle.ridge(table, own.target, chosen, PENALTY)
        assert own.weights == pytest.approx(weights.tolist(), rel=1e-9, abs=1e-12)
        assert own.intercept == pytest.approx(intercept, abs=1e-12)


def test_a_column_that_says_something_only_beside_another_is_chosen() -> None:
    rng = np.random.default_rng(8)
    one, noise = rng.normal(size=(2, 3000))
    table = np.stack([one + noise, noise, one], axis=1) / 10
    found = {own.target: own for own, _ in fit(table, np.arange(3000), *np.ones((2, 3), np.bool_))}
    assert found[2].predictors == [0, 1]
    assert abs(np.corrcoef(table[:, 1], table[:, 2])[0, 1]) < 0.05


def test_residuals_are_of_rows_that_the_fit_has_not_seen() -> None:
    table, groups = rows(5, 500, 4, 4), np.arange(500) // 50
    (_, residuals), *_ = fit(table, groups, *np.ones((2, 4), np.bool_))
    for fold in range(FOLDS):
        left = groups * FOLDS // 10 == fold
        chosen = oracle.select(table[~left], 0, PENALTY, LEAST_ADDED, PREDICTORS)
        weights, intercept = oracle.ridge(table[~left], 0, chosen, PENALTY)
        expected = [
            oracle.squared_residual(row, 0, chosen, weights, intercept) for row in table[left]
        ]
        assert residuals[left] == pytest.approx(expected, rel=1e-7)


def test_what_may_not_predict_does_not_and_may_still_follow() -> None:
    found = fit(
        rows(7, 500, 3, 3), np.arange(500), np.ones(3, np.bool_), np.array([True, True, False])
    )
    assert {own.target: sorted(own.predictors) for own, _ in found} == {0: [1], 1: [0], 2: [0, 1]}
    found = fit(rows(7, 500, 3, 3), np.arange(500), np.arange(3) < 1, np.ones(3, np.bool_))
    assert {own.target: sorted(own.predictors) for own, _ in found} == {0: [1, 2]}


def test_missing_values_count_as_the_median_of_a_predictor_and_are_not_judged() -> None:
    table = rows(11, 1000, 3, 3)
    gaps = np.random.default_rng(1).random(table.shape) < 0.1
    table[gaps] = np.nan
    found = fit(table, np.arange(1000), *np.ones((2, 3), np.bool_))
    assert len(found) == 3
    for own, residuals in found:
        assert np.isnan(residuals).tolist() == gaps[:, own.target].tolist()
    told = Relations([own for own, _ in found])(table[:20])
    for row, values in zip(table[:20], told, strict=True):
        expected = [
            oracle.squared_residual(row, *own[:2], np.array(own.weights), own.intercept)
            for own, _ in found
        ]
        assert values == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_beyond_the_reference_a_relation_says_nothing_and_a_target_is_still_judged() -> None:
    own = Relations([Relation(1, [0], [1.0], 0.0)])
    table = np.array([[0.5, 0.4], [-0.5, 0.4], [0.49, 0.5], [0.0, -0.5]])
    assert own(table).ravel() == pytest.approx([np.nan, np.nan, 0.0001, 0.25], nan_ok=True)


@pytest.mark.parametrize("count", [0, 1, LEAST_ROWS - 1])
def test_of_too_few_rows_nothing_follows(count: int) -> None:
    table = rows(2, count, 3, 3)
    assert fit(table, np.arange(count), *np.ones((2, 3), np.bool_)) == []


def test_a_constant_column_neither_predicts_nor_follows() -> None:
    table = rows(4, 400, 3, 3)
    table[:, 1] = 0.0
    found = fit(table, np.arange(400), *np.ones((2, 3), np.bool_))
    assert {own.target: own.predictors for own, _ in found} == {0: [2], 2: [0]}


def test_no_relation_is_no_column() -> None:
    assert Relations([])(np.zeros((3, 2))).shape == (3, 0)
    own = Relations([Relation(0, [], [], 0.5)])
    assert own(np.array([[0.5], [0.0]])).tolist() == [[0.0], [0.25]]
