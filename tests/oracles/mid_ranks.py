"""The rank of one value in a profile, in exact fractions, point after point."""

import math
from fractions import Fraction

SAME = Fraction(1, 10**6)


def widths(points: list[float]) -> list[tuple[Fraction, Fraction]]:
    """Return how far below and above each point a value still is that point."""
    exact = [Fraction(point) for point in points]
    reach = exact[-1] - exact[0] if len(exact) > 1 else abs(exact[0])
    found = []
    for place, point in enumerate(exact):
        below = point - exact[place - 1] if place > 0 else reach
        above = exact[place + 1] - point if place < len(exact) - 1 else reach
        same = SAME * max(abs(point), min(below, above))
        found.append((min(same, below / 100), min(same, above / 100)))
    return found


def rank(value: float, points: list[float], ranks: list[float]) -> float:
    """Return the mid-rank minus one half, between steps by the line through their ends."""
    if math.isnan(value) or not points:
        return math.nan
    number = Fraction(value)
    end, level = None, Fraction(-1, 2)
    for point, of_point, (below, above) in zip(points, ranks, widths(points), strict=True):
        start = Fraction(point) - below
        if number < start:
            if end is None:
                return -0.5
            share = (number - end) / (start - end)
            return float(level + share * (Fraction(of_point) - level))
        end, level = Fraction(point) + above, Fraction(of_point)
        if number <= end:
            return of_point
    return 0.5
