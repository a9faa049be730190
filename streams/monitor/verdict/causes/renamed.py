"""A category has another name."""

from typing import Final

import numpy as np

from tidegauge.streams.monitor.verdict.causes.base import LEAST, Cause, Evidence
from tidegauge.streams.monitor.words import cut, listed, moment, percent

SURE: Final = 7.0  # rows that a category would have had: by chance it is away once in 1,000
NAMES: Final = 60  # characters of categories in a sentence


def gone(seen: Evidence, name: str) -> dict[str, float]:
    """Return the categories of a column that no row has, and ought to; with their shares."""
    places = seen.categories[name]
    known, shares = places[~np.isnan(places)], seen.shares[name].shares
    return {
        value: share
        for place, (value, share) in enumerate(shares.items())
        if share * len(known) >= SURE and not (known == place).any()
    }


def renamed(seen: Evidence) -> Cause | None:
    """Return a category that vanished while new ones came with about its share."""
    for alarm in seen.alarms:
        name = alarm.feature
        if alarm.statistic != "unseen" or not alarm.examples or name not in seen.categories:
            continue
        places = seen.categories[name]
        known = places[~np.isnan(places)]
        lost = gone(seen, name)
        if len(known) < LEAST or not lost:
            continue
        came, went = float((known < 0).mean()), sum(lost.values())
        if abs(came - went) > 0.02 + 3 * np.sqrt(went * (1 - went) / len(known)):
            continue
        before, now = (listed([cut(one) for one in all_], NAMES) for all_ in (lost, alarm.examples))
        return Cause(
            "renamed",
            f"{cut(name)} has {now} ({percent(came)} of rows) where it had {before} "
            f"({percent(went)}): a category renamed",
            f"Look at what fills {cut(name)} since {moment(alarm.since_ms)}: {before} is gone, "
            f"{now} came. Let it say {before} again, or train with the new name.",
            seen.series(name),
        )
    return None
