"""What lies beyond a value is cut to it."""

from typing import Final

import numpy as np

from tidegauge.streams.monitor.series.moved import like
from tidegauge.streams.monitor.verdict.causes.base import (
    ALIKE,
    FEW,
    Cause,
    Evidence,
    apart,
)
from tidegauge.streams.monitor.words import cut, number, percent

LEAST_SHARE: Final = 0.05  # that is cut
OFF: Final = 0.5  # by such a part of it, at most, the share beyond may differ in the reference


def clipped(seen: Evidence) -> Cause | None:
    """Return a number whose greatest (least) value has the share that was beyond it."""
    for name in seen.moved:
        profile, values = seen.profiles[name], seen.values(name)
        usual = like(profile, 1000)
        for end, word in ((values.max(), "greatest"), (values.min(), "least")):
            share = float((values == end).mean())
            beyond = usual > end if word == "greatest" else usual < end
            part = float(beyond.mean())
            cut_off = np.where(beyond, end, usual)
            is_cut = part >= LEAST_SHARE and abs(share - part) <= OFF * part
            if not is_cut or share * len(values) < FEW or share == 1.0:
                continue
            if apart(values, cut_off) <= ALIKE * profile.sd:
                return Cause(
                    "clipped",
                    f"{cut(name)} looks cut off at {number(end)}: its {word} value, in "
                    f"{percent(share)} of rows, where {percent(part)} of the reference lie beyond",
                    f"Look for what limits {cut(name)} to {number(end)} since {seen.since(name)}. "
                    "Do not train on such rows.",
                    seen.series(name),
                )
    return None
