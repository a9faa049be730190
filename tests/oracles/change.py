"""Shao and Zhang's statistic from its definition: for every place of a change, sums of sums."""

import math


def statistic(
    values: list[float], weights: list[float], of_rows: list[float], least: int
) -> tuple[float, dict[int, float]]:
    """Return the largest statistic, and the squares that each length of the first part explains.

    ``of_rows`` are the variances that the rows alone give the values.
    """
    total = math.fsum(weights)
    w = [weight / total for weight in weights]
    mean = math.fsum(a * b for a, b in zip(w, values, strict=True))
    d = [a * (b - mean) for a, b in zip(w, values, strict=True)]
    unit = math.fsum(a**2 * b for a, b in zip(w, of_rows, strict=True))
    found, explained = [], {}
    for k in range(least, len(values) - least + 1):
        time, cusum = math.fsum(w[:k]), math.fsum(d[:k])
        within = inside(w[:k], d[:k]) + inside(w[k:][::-1], d[k:][::-1])
        by_rows = unit * (time**2 + (1 - time) ** 2) / 6
        found.append(cusum**2 / max(within, by_rows / 2))
        explained[k] = cusum**2 / (time * (1 - time))
    return max(found), explained


def inside(weights: list[float], deviations: list[float]) -> float:
    """Return the weighted squares of a part's sums about the line from 0 to the last of them."""
    end = math.fsum(deviations) / math.fsum(weights)
    return math.fsum(
        weights[t] * (math.fsum(deviations[: t + 1]) - math.fsum(weights[: t + 1]) * end) ** 2
        for t in range(len(weights))
    )
