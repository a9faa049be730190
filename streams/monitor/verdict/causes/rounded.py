"""Values come rounded."""

from typing import Final

import numpy as np

from tidegauge.streams.monitor.series.moved import like
from tidegauge.streams.monitor.verdict.causes.base import ALIKE, Cause, Evidence, apart
from tidegauge.streams.monitor.words import cut, number, percent

STEPS: Final = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01)  # coarsest first
FINE: Final = 0.5  # of the reference's values, at most, lie on the coarser steps
WIDE: Final = 3.0  # values that differ, at least


def rounded(seen: Evidence) -> Cause | None:
    """Return a number whose values are all multiples of a step that the reference's are not."""
    for name in seen.moved:
        profile, values = seen.profiles[name], seen.values(name)
        usual = like(profile, 1000)
        if len(np.unique(values)) < WIDE:
            continue
        step = next((step for step in STEPS if _on(values, step) == 1.0), None)
        if step is None or (before := _on(usual, step)) > FINE:
            continue
        ways = [step * way(usual / step) for way in (np.round, np.floor, np.ceil)]
        if min(apart(values, one) for one in ways) <= ALIKE * max(profile.sd, step):
            return Cause(
                "rounded",
                f"{cut(name)} comes rounded: all of it are multiples of {number(step)}, where "
                f"{percent(before)} of the reference are",
                f"Look for what rounds {cut(name)} since {seen.since(name)}, or cuts its digits "
                "off.",
                seen.series(name),
            )
    return None


def _on(values: np.ndarray[tuple[int], np.dtype[np.float64]], step: float) -> float:
    """Return which part of values are multiples of a step."""
    steps = values / step
    return float(np.isclose(steps, np.round(steps), rtol=1e-9, atol=1e-6).mean())
