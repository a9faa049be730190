"""What is made of a window's rows, from its definition: one value after the other."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def reading(values: list[float]) -> tuple[float, int, float, float]:
    """Return the mean, the number of rows, and the least and greatest mean without one row."""
    rows, exact = len(values), [Fraction(value) for value in values]
    mean = float(sum(exact) / rows) if rows else math.nan
    if rows <= 1:
        return mean, rows, -math.inf, math.inf
    without = [(sum(exact) - one) / (rows - 1) for one in exact]
    return mean, rows, float(min(without)), float(max(without))


def stand(
    low: float, high: float, rows: float, sd: float, series: dict[str, float]
) -> tuple[float, bool]:
    """Return what no single row accounts for, and whether that is told at once."""
    firm = min(max(series["mean"], low), high)
    shift = abs(firm - series["mean"])
    carried = rows  # rows of one window count for 1 if all are alike, for each if none are
    if series["is_share"]:
        carried = shift * rows / (1 + (rows - 1) * series["alike"]) if rows else 0
    far = abs(firm - series["level"]) > series["far"] * sd
    return firm, far and shift >= 2 * series["gate"] and rows >= 5 and carried >= 5


def steps(values: list[float], most: int = 64) -> list[tuple[float, int]]:
    """Return points that sum up values, and how many values each stands for."""
    known = [value for value in values if not math.isnan(value)]
    counts = sorted(Counter(known).items())
    if len(counts) <= most:
        return counts
    ends = {value for value, _ in counts[:2] + counts[-2:]}
    groups: list[list[tuple[float, int]]] = []
    before, of_last = 0, None
    for value, count in counts:
        alone = value in ends or count * most >= len(known)
        key = ("alone", value) if alone else ("step", before * most // len(known))
        if key != of_last or alone:
            groups.append([])
        groups[-1].append((value, count))
        before, of_last = before + count, key
    return [(one[len(one) // 2][0], sum(count for _, count in one)) for one in groups]


def moments(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """Return the weight, the mean and the variance of values that are not NaN, as numpy adds."""
    known = ~np.isnan(values)
    rows = float(weights[known].sum())
    if not rows:
        return [0.0, math.nan, math.nan]
    mean = float((weights[known] * values[known]).sum() / rows)
    return [rows, mean, float((weights[known] * (values[known] - mean) ** 2).sum() / rows)]


def shift(values: list[float], firm: list[float], weights: list[float], mean: float) -> float:
    """Return how far a weighted mean is from ``mean`` without the part of one row that did most."""
    known = [own for own in zip(values, firm, weights, strict=True) if not math.isnan(own[0])]
    if not known:
        return math.nan
    total = sum(weight for _, _, weight in known)
    off = sum(weight * value for value, _, weight in known) / total - mean
    sign = 1.0 if off > 0 else -1.0
    most = max(sign * weight * (value - least) / total for value, least, weight in known)
    return sign * max(abs(off) - max(most, 0.0), 0.0)
