"""What causes are found from, and what is told of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from tidegauge.schemas.alerts import SeriesAlarm
from tidegauge.schemas.references import CategoryProfile, NumericProfile
from tidegauge.schemas.windows import ColumnReport
from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.series.moved import like
from tidegauge.streams.monitor.series.view import Profiles, bounds
from tidegauge.streams.monitor.words import cut, moment

LEAST: Final = 20  # rows of a sample that a cause is read from
FEW: Final = 8  # rows that a part of it must have
ALIKE: Final = 0.1  # distance of values that are such as the reference's
UNLIKE: Final = 0.25  # of those that are not
SLICE: Final = 0.95  # of the rows of a slice, and of those that something happened to


class Cause(msgspec.Struct, frozen=True):
    """What made an incident, as far as the figures say."""

    name: str  # unit, swapped, default, ...: see docs/messages.md
    phrase: str  # what is seen, with its evidence: part of a sentence
    advice: str
    series: list[str]  # whose phrases it stands for
    passes: bool = False  # whether a later message may find that it is over


@dataclass(frozen=True)
class Evidence:
    """A window that closed, of some columns, beside their reference.

    Parameters
    ----------
    alarms
        Of the series of the incident that are not over.
    columns
        Figures of the window, by column.
    numbers, categories
        Some of its rows: the values, NaN where missing; and the places of categories among those
        of the reference, -1 of others.
    profiles, shares
        What the reference says of either, of each column of which it says anything.
    """

    alarms: Sequence[SeriesAlarm]
    columns: Mapping[str, ColumnReport]
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    categories: Mapping[str, Floats] = field(default_factory=dict)
    profiles: Mapping[str, NumericProfile] = field(default_factory=dict)
    shares: Mapping[str, CategoryProfile] = field(default_factory=dict)

    @cached_property
    def moved(self) -> list[str]:
        """The numbers that moved and have a profile, in the order of the alarms."""
        features = dict.fromkeys(alarm.feature for alarm in self.alarms)
        return [f for f in features if f in self.profiles and len(self.values(f)) >= LEAST]

    def values(self, feature: str) -> Floats:
        """Return the values of a number in the sample that are there."""
        column = self.numbers.get(feature, np.empty(0))
        return column[~np.isnan(column)]

    def series(self, *features: str) -> list[str]:
        """Return the series of the incident that are about some features."""
        return [alarm.series for alarm in self.alarms if alarm.feature in features]

    def since(self, *features: str) -> str:
        """Return since when some features have moved, as people read it.

        Where all rows tell it, what is of a slice does not count: it says less of when.
        """
        own = [alarm for alarm in self.alarms if alarm.feature in features]
        whole = [alarm for alarm in own if not alarm.slice] or own
        return moment(min(alarm.since_ms for alarm in whole))

    def slice_of(self, hit: Flags, among: Flags) -> str:
        """Return the category, as "country = DE", whose rows among some are hit, and no others."""
        if np.count_nonzero(hit) < FEW or (hit | ~among).all():
            return ""
        for name, places in self.categories.items():
            for place, value in enumerate(self.shares[name].shares):
                own = (places == place) & among
                both = np.count_nonzero(own & hit)
                if both >= SLICE * max(np.count_nonzero(own), np.count_nonzero(hit)):
                    return f"{cut(name)} = {cut(value)}"
        return ""


def distance(values: Floats, profile: NumericProfile) -> float:
    """Return how far values are from the reference's: the mean difference of their ranks.

    That is the Wasserstein distance of their ranks among the reference's: 0 of the same
    distribution, 0.5 where all lie beyond one end.

    >>> grid = (np.arange(200) + 0.5) / 200
    >>> known = NumericProfile(
    ...     points=grid.tolist(), ranks=(grid - 0.5).tolist(), mean=0.5, sd=0.29, low=0, high=1
    ... )
    >>> round(distance(grid, known), 2), round(distance(grid + 5, known), 2)
    (0.0, 0.5)
    """
    ranks = Profiles([profile]).ranks(np.sort(values)[:, None])[:, 0]
    own = Profiles([profile]).ranks(like(profile, len(values))[:, None])[:, 0]
    return float(np.abs(ranks - own).mean())


def apart(values: Floats, others: Floats) -> float:
    """Return the mean difference of the quantiles of two sets of values, in their unit.

    >>> apart(np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 3.5]))
    0.5
    """
    shares = np.linspace(0.05, 0.95, 19)
    return float(np.abs(np.quantile(values, shares) - np.quantile(others, shares)).mean())


def out_of_range(values: Floats, profile: NumericProfile) -> Flags:
    """Return which values lie far outside the reference; missing ones do not."""
    low, high = bounds(profile)
    found: Flags = (values < low) | (values > high)
    return found


def share_at(profile: NumericProfile, value: float) -> float:
    """Return which share of the reference has a value, at most."""
    points, ranks = np.array(profile.points), np.array(profile.ranks)
    near = 1e-9 * max(abs(value), 1e-300)
    below, above = points < value - near, points > value + near
    first = ranks[below][-1] if below.any() else -0.5
    last = ranks[above][0] if above.any() else 0.5
    return float(last - first)
