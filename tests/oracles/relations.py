"""Ridge regression as its paper has it: Hoerl and Kennard (1970), by the normal equations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ridge(
    table: Floats, target: int, predictors: Sequence[int], penalty: float
) -> tuple[Floats, float]:
    """Return weights and intercept; every row of the table is complete."""
    inputs, values = table[:, list(predictors)], table[:, target]
    x, y = inputs - inputs.mean(axis=0), values - values.mean()
    weights = np.linalg.inv(x.T @ x + penalty * len(x) * np.eye(x.shape[1])) @ x.T @ y
    return weights, float(values.mean() - inputs.mean(axis=0) @ weights)


def squared_residual(
    row: Floats, target: int, predictors: Sequence[int], weights: Floats, intercept: float
) -> float:
    """Return the square of what is left of one value of a row; a missing predictor counts as 0."""
    told = intercept + sum(
        0.0 if np.isnan(row[at]) else weight * row[at]
        for at, weight in zip(predictors, weights, strict=True)
    )
    return float((row[target] - told) ** 2)


def select(table: Floats, target: int, penalty: float, least: float, most: int) -> list[int]:
    """Return the columns that forward selection chooses, each from what those before leave."""
    covariances, chosen = np.cov(table, rowvar=False, bias=True), list[int]()
    while len(chosen) < most:
        inner = covariances[np.ix_(chosen, chosen)] + penalty * np.eye(len(chosen))
        left = covariances - covariances[:, chosen] @ np.linalg.inv(inner) @ covariances[chosen]
        gains = left[:, target] ** 2 / (np.diagonal(left) + penalty)
        gains[[target, *chosen]] = -1.0
        if gains.max() <= least * covariances[target, target]:
            break
        chosen.append(int(gains.argmax()))
    return chosen
