"""The model the demo watches: a logistic regression for late arrivals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.demo.flights import NUMBERS, Flights

CATEGORIES: Final = ("carrier", "origin", "hour")  # the destination is logged, not used
RIDGE: Final = 1.0
STEPS: Final = 25
TOLERANCE: Final = 1e-6


@dataclass(frozen=True, eq=False)
class FlightModel:
    """Tells at scheduled departure how likely an arrival over 15 minutes late is.

    Naive on purpose: trained on one season, it takes that season's habits for laws. A missing
    number counts as average; a category never seen counts as the first of those seen.

    Parameters
    ----------
    centre, spread
        Mean and standard deviation of each numeric feature in training, shape (numbers,).
    levels
        For each category, the values that have a weight: all seen in training but the first.
    weights
        Intercept, then numbers, then levels, shape (1 + numbers + levels,).
    """

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    levels: Mapping[str, NDArray[np.str_]]
    weights: NDArray[np.float64]

    @classmethod
    def fit(cls, flights: Flights) -> Self:
        """Train on the rows that have a label.

        Raises
        ------
        ValueError
            If the labels are not of both kinds.
        """
        known = flights.take(~np.isnan(flights.late))
        late = int(known.late.sum())
        if not 0 < late < len(known):
            raise ValueError(
                "training needs late and punctual flights, "
                f"got {len(known)} labelled, {late} of them late; give more days"
            )
        numbers = _numbers(known)
        centre, spread = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
        levels = {name: np.unique(known.categories[name])[1:] for name in CATEGORIES}
        design = _design(known, centre, spread, levels)
        return cls(centre, spread, levels, _newton(design, known.late))

    def score(self, flights: Flights) -> NDArray[np.float64]:
        """Return the probability of a late arrival for each flight, shape (rows,)."""
        return _sigmoid(_design(flights, self.centre, self.spread, self.levels) @ self.weights)


def _numbers(flights: Flights) -> NDArray[np.float64]:
    return np.column_stack([flights.numbers[name] for name in NUMBERS])


def _design(
    flights: Flights,
    centre: NDArray[np.float64],
    spread: NDArray[np.float64],
    levels: Mapping[str, NDArray[np.str_]],
) -> NDArray[np.float64]:
    standard = np.nan_to_num((_numbers(flights) - centre) / np.where(spread > 0, spread, 1.0))
    indicators = [flights.categories[name] == level for name in levels for level in levels[name]]
    return np.column_stack([np.ones(len(flights)), standard, *indicators])


def _newton(design: NDArray[np.float64], late: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        p = _sigmoid(design @ weights)
        gradient = design.T @ (p - late) + RIDGE * weights
        hessian = (design.T * (p * (1 - p))) @ design + RIDGE * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < TOLERANCE:
            return weights
    raise ArithmeticError(
        f"training did not settle in {STEPS} Newton steps (last change {np.abs(step).max():.3g}); "
        "look for features of a wild scale"
    )


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0.0, -logit))  # no overflow, however odd the features
