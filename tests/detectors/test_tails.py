"""What lies beyond what a reference can have meant: by simulation, with fixed seeds."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detectors.statistics.tails import beyond

CHANCE = 1 / 27_000
MODEL = 30 * 90  # windows of 30 series in which one false alarm is promised
Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


def exceeded(draw: Draw, windows: int, cautious: bool = True) -> float:
    """Return how often a model's windows lie beyond; or beyond 9 sds and thrice the largest."""
    rng = np.random.default_rng(20261127)
    values, later = draw(rng, (1000, windows)), draw(rng, (1000, 2000))
    mean, sd = values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True)
    deviations = np.abs(values - mean) / sd
    plain = 3.0 * np.maximum(deviations.max(axis=1), 3.0)
    far = np.array([beyond(own, CHANCE) for own in deviations]) if cautious else plain
    return float((np.abs(later - mean) / sd > far[:, None]).mean()) * MODEL


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.normal(size=shape)


def heavy(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.standard_t(3, size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.exp(0.5 * rng.normal(size=shape))


@pytest.mark.parametrize(
    ("draw", "windows", "most"),
    [(normal, 90, 0), (skewed, 90, 0.1), (heavy, 90, 0.5), (normal, 30, 0), (heavy, 30, 1.2)],
)
def test_what_lies_beyond_spends_little_of_a_models_budget(
    draw: Draw, windows: int, most: float
) -> None:
    # Measured: 0, 0, .3, 0, .9.
    assert exceeded(draw, windows) <= most


@pytest.mark.parametrize("windows", [30, 90])
def test_without_the_index_of_the_tail_the_budget_is_broken(windows: int) -> None:
    # Measured: 2.7 and 1.3.
    assert exceeded(heavy, windows, cautious=False) > 1.1


def test_it_is_three_times_the_largest_where_nothing_else_deviates() -> None:
    assert beyond(np.array([0.0] * 89 + [4.0]), CHANCE) == 12.0
    assert beyond(np.zeros(3), CHANCE) == 9.0


def test_it_is_six_times_the_largest_at_most() -> None:
    assert beyond(np.array([1e-6] * 85 + [5.0] * 5), CHANCE) == 30.0
