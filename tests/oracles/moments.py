"""Moments of one column: exactly from all its values, and to the bit by Welford's recursion."""

import math
from fractions import Fraction


def exact(values: list[float]) -> dict[str, float]:
    """Return each figure, NaN where there is no value; exact but for one rounding."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return {"count": 0} | dict.fromkeys(("mean", "sd", "low", "high"), math.nan)
    fractions = [Fraction(value) for value in known]
    mean = sum(fractions) / len(known)
    variance = sum((value - mean) ** 2 for value in fractions) / len(known)
    return {
        "count": len(known),
        "mean": float(mean),
        "sd": math.sqrt(variance),
        "low": min(known),
        "high": max(known),
    }


def welford(values: list[float]) -> tuple[int, float, float]:
    """Return count, mean and sum of squared deviations, one value after the other."""
    count, mean, squares = 0, 0.0, 0.0
    for value in values:
        if not math.isnan(value):
            count += 1
            before = value - mean
            mean += (1.0 / count) * before
            squares += before * (value - mean)
    return count, mean, squares
