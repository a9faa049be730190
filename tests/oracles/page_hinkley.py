"""Page-Hinkley from the definition: the whole history, again and again, in exact fractions."""

from fractions import Fraction
from typing import NamedTuple


class Seen(NamedTuple):
    """What is known after a value."""

    alarm: bool
    seen: int
    mean: Fraction
    statistic_up: Fraction
    statistic_down: Fraction
    since: int | None  # values since the change behind the latest alarm


def cusums(history: list[Fraction], drift: Fraction, alpha: Fraction) -> list[Fraction]:
    """Return the cumulative sum of deviations from the running mean, from its start at 0."""
    path = [Fraction(0)]
    for n, value in enumerate(history, start=1):
        mean = sum(history[:n], Fraction(0)) / n
        path.append(alpha * path[-1] + value - mean + drift)
    return path


def rows_since(path: list[Fraction], extremum: Fraction) -> int:
    """Return how many steps ago the path last was at its extremum."""
    return path[::-1].index(extremum)


def run(
    values: list[float],
    *,
    min_instances: int,
    delta: float,
    threshold: float,
    alpha: float,
    mode: str,
) -> list[Seen]:
    """Return what is known after each value."""
    seen: list[Seen] = []
    start, since = 0, None
    for t in range(len(values)):
        history = [Fraction(value) for value in values[start : t + 1]]
        count = len(history)
        rising = cusums(history, -Fraction(delta), Fraction(alpha))
        falling = cusums(history, Fraction(delta), Fraction(alpha))
        up = rising[-1] - min(rising)
        down = max(falling) - falling[-1]
        rose = mode in ("up", "both") and up > threshold
        fell = mode in ("down", "both") and down > threshold
        alarm = count >= min_instances and (rose or fell)
        if alarm:
            since = rows_since(rising, min(rising)) if rose else rows_since(falling, max(falling))
            start = t + 1
        elif since is not None:
            since += 1
        seen.append(Seen(alarm, count, sum(history, Fraction(0)) / count, up, down, since))
    return seen
