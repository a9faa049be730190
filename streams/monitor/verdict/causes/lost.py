"""The rows of a slice are lost."""

from typing import Final

import numpy as np

from tidegauge.streams.monitor.verdict.causes.base import LEAST, Cause, Evidence
from tidegauge.streams.monitor.verdict.causes.renamed import gone
from tidegauge.streams.monitor.words import cut, moment, percent

OTHERS: Final = 0.15  # by which the shares of the others may differ, all told, from what they were


def lost(seen: Evidence) -> Cause | None:
    """Return a category that no row has any more, while the others go on as they were."""
    if any(alarm.statistic == "unseen" for alarm in seen.alarms):
        return None  # not lost, but called otherwise
    for name, places in seen.categories.items():
        known, shares = places[~np.isnan(places)], seen.shares[name].shares
        away = gone(seen, name)
        if len(known) < LEAST or len(away) != 1:  # of several, the window is no fair sample
            continue
        ((value, share),) = away.items()
        left = np.array([own for other, own in shares.items() if other != value]) / (1 - share)
        counts = np.bincount(known[known >= 0].astype(np.int64), minlength=len(shares))
        now = np.delete(counts, [*shares].index(value)) / len(known)
        noise = np.sqrt(left * (1 - left) / len(known)).sum() / 2
        apart = np.abs(now - left).sum() / 2
        moved = left * (1 - share) + share * np.eye(len(left))  # all of them to one of the others
        from_moved = np.abs(now - moved).sum(axis=1).min(initial=np.inf) / 2
        if apart > OTHERS + noise or from_moved <= max(apart, 2 * noise):
            continue
        since = min(alarm.since_ms for alarm in seen.alarms)
        what = f"{cut(name)} = {cut(value)}"
        return Cause(
            "lost",
            f"no row has {what} any more: {percent(share)} of rows are missing",
            f"Look for the client or the job that sends rows with {what}: none has come since "
            f"{moment(since)}. What else moved is what those rows leave behind.",
            [alarm.series for alarm in seen.alarms],
        )
    return None
