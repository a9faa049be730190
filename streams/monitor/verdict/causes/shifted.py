"""Hours of a day are those of another time zone."""

from typing import Final

import numpy as np

from tidegauge.streams.monitor.verdict.causes.base import ALIKE, Cause, Evidence, distance
from tidegauge.streams.monitor.words import cut

HOURS: Final = 24
CLEAR: Final = 0.03  # by which hours that are no neighbours are farther
BETTER: Final = 2.0  # times nearer than what came


def shifted(seen: Evidence) -> Cause | None:
    """Return a number of whole hours from 0 to 23 that is early or late by some of them."""
    for name in seen.moved:
        profile, values = seen.profiles[name], seen.values(name)
        points = np.array(profile.points)
        is_hour = profile.low >= 0 and HOURS / 2 < profile.high < HOURS
        if not is_hour or (points % 1 != 0).any() or (values % 1 != 0).any():
            continue
        found = {
            late: distance((values - late) % HOURS, profile)
            for late in range(-HOURS // 2 + 1, HOURS // 2 + 1)
        }
        best = min(found, key=lambda late: found[late])
        others = min(off for late, off in found.items() if abs(late - best) > 1)
        near = min(ALIKE, found[0] / BETTER, others - CLEAR)
        if abs(best) > 1 and found[best] <= near:
            by = f"some {abs(best)} hours {'late' if best > 0 else 'early'}"
            return Cause(
                "time shift",
                f"{cut(name)} looks {by}: moved back, its hours are those of the reference",
                f"Look at the time zone of {cut(name)} since {seen.since(name)}. Do not train on "
                "such rows.",
                seen.series(name),
            )
    return None
