"""Features are missing together, or in one slice: a join or a client."""

from typing import Final

import numpy as np

from tidegauge.streams.monitor.verdict.causes.base import SLICE, Cause, Evidence
from tidegauge.streams.monitor.words import cut, listed, moment, percent

SEVERAL: Final = 3  # features that go missing at once come from one place
NAMES: Final = 100  # characters of features in a sentence


def unfilled(seen: Evidence) -> Cause | None:
    """Return features that are missing in the same rows, or in all rows of a slice."""
    alarms = [a for a in seen.alarms if a.statistic == "missing" and a.direction == "up"]
    names = [*dict.fromkeys(alarm.feature for alarm in alarms)]  # of all rows, and of slices
    columns = [seen.numbers.get(name, seen.categories.get(name)) for name in names]
    gaps = [np.isnan(column) for column in columns if column is not None]
    if not gaps or len(gaps) < len(names):
        return None
    every, some = np.logical_and.reduce(gaps), np.logical_or.reduce(gaps)
    if not every.any() or every.sum() < SLICE * some.sum():
        return None
    where = seen.slice_of(every, np.ones(len(every), np.bool_))
    if len(names) < SEVERAL and not where:
        return None
    shares = (alarm.value.current or 0.0 for alarm in alarms if not alarm.slice)
    share = max(shares, default=float(every.mean()))
    told = listed([cut(name) for name in names], NAMES)
    since = moment(min(alarm.since_ms for alarm in alarms))
    share_told = f"{percent(share)} of rows"
    rows = f"all rows with {where} ({share_told})" if where else f"the same {share_told}"
    whose = f"the client that sends {where}" if where else "a client that sends rows without"
    advice = (
        f"Look at the join that fills {told}, or at {whose}, since {since}. Do not train on such "
        "rows."
    )
    if len(names) < SEVERAL:
        return Cause("slice", f"{told} is missing in {rows}", advice, seen.series(*names))
    phrase = f"a join or a client fails: {told} are missing at once, in {rows}"
    return Cause("join", phrase, advice, seen.series(*names))
