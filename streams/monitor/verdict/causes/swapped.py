"""Two numbers have changed places."""

from itertools import combinations

from tidegauge.streams.monitor.verdict.causes.base import (
    ALIKE,
    UNLIKE,
    Cause,
    Evidence,
    distance,
)
from tidegauge.streams.monitor.words import cut


def swapped(seen: Evidence) -> Cause | None:
    """Return two numbers that each have the other's values."""
    for one, other in combinations(seen.moved, 2):
        pairs = ((one, other), (other, one))
        far = min(distance(seen.values(a), seen.profiles[a]) for a, _ in pairs)
        near = max(distance(seen.values(a), seen.profiles[b]) for a, b in pairs)
        if far >= UNLIKE and near <= ALIKE:
            return Cause(
                "swapped",
                f"{cut(one)} and {cut(other)} look swapped: each has the values that the reference "
                "has of the other",
                f"Look at what fills {cut(one)} and {cut(other)} since {seen.since(one, other)}. "
                "Do not train on such rows.",
                seen.series(one, other),
            )
    return None
