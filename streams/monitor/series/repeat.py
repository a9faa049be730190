"""Which share of a number's values is that of the row before."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tidegauge.detectors._jit import BLOCK, VECTOR, kernel
from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags, Floats, Ints
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.tally import COUNTS
from tidegauge.streams.monitor.series.view import Numbers, View
from tidegauge.streams.monitor.words import cut, moment, percents


class Repeat(Share):
    """The share of values that equal the one in the row before, where both are there."""

    statistic = "repeat"
    kind = "quality"
    reads = (Numbers,)
    about = (
        "values equal those of the row before more often: stuck, or sent twice (less is not told)"
    )
    needs_profile = False
    is_direct = is_further = True
    rises_only = True  # where traffic falls, fewer neighbours share what comes by the hour
    least_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which values equal the one before; a missing one equals none."""
        assert isinstance(view, Numbers)
        found: Flags = _before(view) == view.values
        return found

    def among(self, view: View) -> Flags:
        """Return where both are there."""
        assert isinstance(view, Numbers)
        found: Flags = view.known & ~np.isnan(_before(view))
        return found

    def count(self, view: View) -> tuple[Ints, Ints]:
        """Return in how many rows each column has it, and of how many that can be said."""
        assert isinstance(view, Numbers)
        counts = np.zeros((2, len(view.columns)), np.int64)
        count_repeats(counts, np.ascontiguousarray(view.values), view.before)
        return counts[0], counts[1]

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        return f"{now} of {cut(alarm.feature)} equals the row before (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of {cut(feature)} equal to the row before"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        name, since = cut(alarm.feature), moment(alarm.since_ms)
        return (
            f"Check whether the source of {name} still gives new values, and whether rows are sent "
            f"twice, since {since}; do not train on such rows."
        )


def _before(view: Numbers) -> Floats:
    """Return the row before each one."""
    return np.concatenate([view.before[None], view.values])[: len(view)]


@kernel(COUNTS, BLOCK, VECTOR, allocates=False)
def count_repeats(counts: Any, values: Any, before: Any) -> None:
    """Count the values of each column that equal the one before, and those where both are there."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            last = values[row - 1, column] if row > 0 else before[column]
            value = values[row, column]
            known = (value == value) & (last == last)  # noqa: PLR0124 - only NaN is not itself
            counts[0, column] += value == last
            counts[1, column] += known
