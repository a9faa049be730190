"""ADWIN2 from the paper, with every value of the window kept in its bucket.

Sums are exact where the values are eighths; means, variance and bound are computed anew each time.
"""

import math
from typing import NamedTuple

Bucket = list[float]


class Seen(NamedTuple):
    """What is known after a value."""

    alarm: bool
    length: int
    total: float
    squares: float  # deviations from the mean, squared and summed
    since: int | None  # values since the change behind the latest alarm


def mean(values: list[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def variance(values: list[float]) -> float:
    """Return the mean squared deviation from the mean."""
    centre = mean(values)
    return sum((value - centre) ** 2 for value in values) / len(values)


def values_in(buckets: list[Bucket]) -> list[float]:
    """Return all values, oldest first."""
    return [value for bucket in buckets for value in bucket]


def compressed(buckets: list[Bucket], max_buckets: int, largest: int) -> list[Bucket]:
    """Return the window with at most ``max_buckets`` buckets of each size, oldest first."""
    size = 1
    while True:
        same = [i for i, bucket in enumerate(buckets) if len(bucket) == size]
        if len(same) <= max_buckets:
            return buckets
        if size == largest:
            return buckets[1:]
        i = same[0]
        buckets = [*buckets[:i], buckets[i] + buckets[i + 1], *buckets[i + 2 :]]
        size *= 2


def splits(buckets: list[Bucket], delta: float, shortest: int) -> bool:
    """Say whether some split of the window has parts whose means differ beyond the bound."""
    window = values_in(buckets)
    for i in range(1, len(buckets)):
        old, new = values_in(buckets[:i]), values_in(buckets[i:])
        if min(len(old), len(new)) < shortest:
            continue
        harmonic = 1 / (1 / (len(old) - shortest + 1) + 1 / (len(new) - shortest + 1))
        confidence = math.log(2 / (delta / math.log(len(window))))
        bound = math.sqrt(2 / harmonic * variance(window) * confidence)
        bound += 2 / (3 * harmonic) * confidence
        if abs(mean(old) - mean(new)) > bound:
            return True
    return False


def run(
    values: list[float],
    *,
    delta: float,
    clock: int,
    max_buckets: int,
    min_window_length: int,
    grace_period: int,
    bucket_rows: int = 32,
) -> list[Seen]:
    """Return what is known after each value; a window starts afresh after its alarm."""
    seen: list[Seen] = []
    buckets: list[Bucket] = []
    ticks, alarm, since = 0, False, None
    for value in values:
        if alarm:
            buckets, ticks, alarm = [], 0, False
        buckets = compressed([*buckets, [value]], max_buckets, 2 ** (bucket_rows - 1))
        ticks += 1
        since = None if since is None else since + 1
        if ticks % clock == 0 and len(values_in(buckets)) > grace_period:
            while splits(buckets, delta, min_window_length):
                buckets, alarm = buckets[1:], True
        window = values_in(buckets)
        since = len(window) if alarm else since
        seen.append(Seen(alarm, len(window), sum(window), variance(window) * len(window), since))
    return seen
