"""Statistics of one column from all its values, and the rank of each in a profile."""

import math
from fractions import Fraction


def rank(value: float, points: list[float], ranks: list[float]) -> Fraction:
    """Return the mid-rank minus one half, between points by the line through them."""
    if not points or value < points[0]:
        return Fraction(-1, 2)
    if value > points[-1]:
        return Fraction(1, 2)
    for place, point in enumerate(points):
        if value == point:
            return Fraction(ranks[place])
        if value < point:
            left, start = Fraction(points[place - 1]), Fraction(ranks[place - 1])
            share = (Fraction(value) - left) / (Fraction(point) - left)
            return start + share * (Fraction(ranks[place]) - start)
    raise AssertionError("unreachable")


def summary(
    values: list[float], points: list[float], ranks: list[float], bounds: tuple[float, float]
) -> dict[str, float]:
    """Return everything of one column, NaN where it had no value; exact but for one rounding."""
    known = [value for value in values if not math.isnan(value)]
    found: dict[str, float] = {"count": len(known), "missing": len(values) - len(known)}
    found["outside"] = sum(not bounds[0] <= value <= bounds[1] for value in known)
    if not known:
        return found | dict.fromkeys(("mean", "sd", "low", "high", "rank"), math.nan)
    exact = [Fraction(value) for value in known]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    total = sum(rank(value, points, ranks) for value in known)
    return found | {
        "mean": float(mean),
        "sd": math.sqrt(variance),
        "low": min(known),
        "high": max(known),
        "rank": float(total / len(known)),
    }
