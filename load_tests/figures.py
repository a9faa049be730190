"""The arithmetic: rates, medians with their spread, percentiles, latencies from the schedule."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

WARM_UP: Final = 0.1  # share of the rows that no figure counts
Mark = tuple[int, int]  # the broker's clock in ms, rows so far


class Spread(msgspec.Struct, frozen=True):
    """Median, least and greatest of several repeats.

    >>> Spread.of([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0, repeats=3)
    """

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


def measured(marks: Sequence[Mark], total: int) -> tuple[Mark, Mark]:
    """Return the first mark after the warm-up, and the last.

    Raises
    ------
    ValueError
        If fewer than two marks came after it, so that there is no rate.
    """
    warm = [mark for mark in marks if mark[1] >= WARM_UP * total]
    if len(warm) < 2 or warm[-1][0] <= warm[0][0]:  # noqa: PLR2004 - a rate has two ends
        raise ValueError(f"expected marks over some time after the warm-up, got {len(warm)}")
    return warm[0], warm[-1]


def rate(first: Mark, last: Mark) -> float:
    """Return rows per second between two marks.

    >>> rate((1000, 100), (3000, 700))
    300.0
    """
    return 1000 * (last[1] - first[1]) / (last[0] - first[0])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that at least ``share`` of the values do not exceed (nearest rank).

    >>> percentile([10.0, 20.0, 30.0, 40.0], 0.5), percentile([10.0, 20.0], 0.99)
    (20.0, 20.0)
    """
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def due_s(row: int, begun_s: float, rate: float) -> float:
    """Return when row number ``row`` (from 0) of an open loop is due, whatever came before.

    >>> due_s(50, 10.0, 100.0)
    10.5
    """
    return begun_s + row / rate


def latencies_ms(told: Sequence[tuple[int, float]], begun_s: float, rate: float) -> list[float]:
    """Return how long after a row was *due* it was told.

    Not after it was sent: a sender that waits while the other side stands still would leave out
    the very rows that waited longest (coordinated omission; G. Tene, "How NOT to Measure Latency").
    ``told`` holds rows and the seconds at which they were told.
    """
    return [1000 * (at_s - due_s(row, begun_s, rate)) for row, at_s in told]
