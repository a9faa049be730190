"""A default value fills in."""

from typing import Final

import numpy as np

from tidegauge.streams.monitor.verdict.causes.base import FEW, Cause, Evidence, share_at
from tidegauge.streams.monitor.words import cut, number, percents

ADDED: Final = 0.1  # share that one value must have gained
ALONE: Final = 4.0  # times as much as any other: values of an hour that rows share gain alike


def default(seen: Evidence) -> Cause | None:
    """Return a number of which many values are one and the same, which was rare."""
    for name in seen.moved:
        column, profile = seen.numbers[name], seen.profiles[name]
        values = seen.values(name)
        found, counts = np.unique(values, return_counts=True)
        shares = counts / len(values)
        usual = np.array([share_at(profile, value) for value in found.tolist()])
        gained = shares - usual
        at, others = int(gained.argmax()), np.delete(gained, gained.argmax())
        is_alone = gained[at] >= max(ADDED, ALONE * others.max(initial=0.0))
        if counts[at] < FEW or len(found) == 1 or not is_alone:
            continue
        value = float(found[at])
        was, now = percents(float(usual[at]), float(shares[at]))
        mean = ", the mean of the reference" if np.isclose(value, profile.mean, rtol=1e-3) else ""
        where = seen.slice_of(column == value, ~np.isnan(column))
        rows = f"with {where}" if where else f"in {now} of rows"
        return Cause(
            "default",
            f"{cut(name)} is exactly {number(value)}{mean}, {rows} (at most {was} in the "
            "reference), as if a default filled in",
            f"Look for what fills {cut(name)} with {number(value)} since {seen.since(name)}: send "
            "null where a value is missing. Do not train on such rows.",
            seen.series(name),
        )
    return None
