"""How otherwise a window's values lie in bins, from its definition: pair by pair of rows."""

import math
from itertools import combinations


def divergence(bins: list[int], shares: list[float]) -> float:
    """Return the mean over pairs of rows: 1/p - 1 if both are in a bin of share p, else -1."""
    found = [1 / shares[a] - 1 if a == b else -1.0 for a, b in combinations(bins, 2)]
    return sum(found) / len(found) if found else math.nan


def reading(bins: list[int], shares: list[float]) -> tuple[float, int, float, float]:
    """Return the divergence, the pairs, and the least and greatest divergence without one row."""
    rows = len(bins)
    without = [divergence(bins[:at] + bins[at + 1 :], shares) for at in range(rows)]
    some = rows > 2
    low, high = (min(without), max(without)) if some else (-math.inf, math.inf)
    return divergence(bins, shares), rows * (rows - 1) // 2, low, high


def tenths(ranks: list[float], weights: list[int], whole: list[bool]) -> list[float]:
    """Return how many values are in each tenth: points that are medians of runs, or whole values.

    The values of a run below its median, and those of the run before above theirs, are spread
    evenly between the two points.
    """
    found = [0.0] * 10

    def put(low: float, high: float, count: float) -> None:
        parts = 1000
        for part in range(parts):
            rank = low + (high - low) * (part + 0.5) / parts
            found[min(int((rank + 0.5) * 10), 9)] += count / parts

    below = 0
    for at, (rank, weight) in enumerate(zip(ranks, weights, strict=True)):
        left = 0 if whole[at] else weight // 2
        right = 0 if whole[at] else weight - left - 1
        put(rank, rank, weight - left - right)
        put(ranks[max(at - 1, 0)], rank, left + below)
        below = right
    if ranks:
        put(ranks[-1], ranks[-1], below)
    return found
