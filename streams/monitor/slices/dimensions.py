"""Dimensions: a feature and the slices into which its values divide rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from tidegauge.schemas.monitors import MAX_VALUES, SliceSpec, feature_of
from tidegauge.schemas.references import CategoryProfile, NumericProfile
from tidegauge.streams.monitor.intake.block import Ints
from tidegauge.streams.monitor.intake.dictionary import as_text
from tidegauge.streams.monitor.series.view import Categories, Numbers, Slices, Vocabulary
from tidegauge.streams.monitor.words import exact, number

QUANTILES: Final = 4  # of a number, if nothing else is said
LEAST_SHARE: Final = 0.01  # of the reference's rows; a smaller slice is left out
MOST_SLICES: Final = 80  # ten of each of eight features
NOWHERE: Final = -1  # the place of a row that is in no slice


class Dimension(ABC):
    """A feature by which rows are told apart.

    Parameters
    ----------
    feature
        Its name.
    values
        What of it each slice has, as people read it: "= DE", "from 3.1 to 4.5".
    shares
        Which part of the reference's rows is in each slice, roughly.
    """

    def __init__(self, feature: str, values: Sequence[str], shares: Sequence[float]) -> None:
        self.feature, self.shares = feature, list(shares)
        self.names = [f"{feature} {value}" for value in values]

    @abstractmethod
    def places(self, numbers: Numbers, categories: Categories) -> Ints:
        """Return for each row the place of its slice among these, or NOWHERE."""


class ByCategory(Dimension):
    """By values of a category; ``shares`` are those of all there are in the reference."""

    def __init__(self, feature: str, shares: Mapping[str, float]) -> None:
        super().__init__(feature, [f"= {value}" for value in shares], [*shares.values()])
        self._vocabulary = Vocabulary(None, [*shares, ""])

    def places(self, numbers: Numbers, categories: Categories) -> Ints:
        """Return for each row the place of its slice, or NOWHERE."""
        column = categories.columns.index(self.feature)
        bins = self._vocabulary.binned(categories.dictionaries[column])
        bins = np.append(np.where(bins < len(self.names), bins, NOWHERE), NOWHERE)
        return bins[categories.codes[:, column]]  # the last is that of a missing value


def told_apart(values: Sequence[float]) -> list[str]:
    """Return numbers as people read them, with all digits where some would be alike.

    >>> told_apart([52.51, 60.0]), told_apart([52.512, 52.514])
    (['52.5', '60'], ['52.512', '52.514'])
    """
    told = [number(value) for value in values]
    return told if len({*told}) == len(told) else [exact(value) for value in values]


class ByValue(Dimension):
    """By values of a number of which the reference has few: each has a rank of its own."""

    def __init__(self, feature: str, points: Sequence[tuple[float, float, float]]) -> None:
        values, ranks, shares = zip(*points, strict=True)
        super().__init__(feature, [f"= {value}" for value in told_apart(values)], shares)
        self._ranks = np.array(ranks)

    def places(self, numbers: Numbers, categories: Categories) -> Ints:
        """Return for each row the place of its slice, or NOWHERE."""
        ranks = numbers.ranks[:, numbers.columns.index(self.feature)]
        found = np.minimum(np.searchsorted(self._ranks, ranks), len(self._ranks) - 1)
        return np.where(self._ranks[found] == ranks, found, NOWHERE)


class ByQuantile(Dimension):
    """By quantiles of a number: equal values have one rank, and so are in one slice."""

    def __init__(self, feature: str, profile: NumericProfile, quantiles: int) -> None:
        points, ranks = np.array(profile.points), np.array(profile.ranks)
        own = np.minimum((ranks + 0.5) * quantiles, quantiles - 1).astype(np.int64)
        kept, first = np.unique(own, return_index=True)
        begin = told_apart(points[first[1:]].tolist())
        names = [f"from {low} to {high}" for low, high in pairwise(begin)]
        if begin:
            names = [f"below {begin[0]}", *names, f"of {begin[-1]} or more"]
        super().__init__(feature, names, [*np.diff([0, *kept[1:], quantiles]) / quantiles])
        self._edges = kept[1:] / quantiles - 0.5

    def places(self, numbers: Numbers, categories: Categories) -> Ints:
        """Return for each row the place of its slice, or NOWHERE."""
        ranks = numbers.ranks[:, numbers.columns.index(self.feature)]
        found = np.searchsorted(self._edges, ranks, side="right")
        return np.where(np.isnan(ranks), NOWHERE, found)


class Dimensions:
    """All the features by which a spec slices rows, and the slices of each, one after the other.

    Parameters
    ----------
    declared
        The slices of the spec.
    numeric, categorical
        What a reference says of the features.
    most
        Slices that are told apart; a feature with more than are left is left out.
    """

    def __init__(
        self,
        declared: Sequence[str | SliceSpec],
        numeric: Mapping[str, NumericProfile],
        categorical: Mapping[str, CategoryProfile],
        most: int = MOST_SLICES,
    ) -> None:
        self.own: list[Dimension] = []
        self.left_out: list[str] = []  # why, of each feature that is
        self.names: list[str] = []
        for one in declared:
            found = dimension(one, numeric, categorical)
            if isinstance(found, str):
                self.left_out.append(found)
            elif len(self.names) + len(found.names) > most:
                self.left_out.append(f"{feature_of(one)}, as {most} slices are told apart at most")
            else:
                self.own.append(found)
                self.names += found.names

    def slices(self, numbers: Numbers, categories: Categories) -> Slices:
        """Return in which slices rows are."""
        slots = np.empty((len(numbers), len(self.own)), np.int64)
        first = 0
        for at, own in enumerate(self.own):
            places = own.places(numbers, categories)
            slots[:, at] = np.where(places < 0, places, places + first)
            first += len(own.names)
        return Slices(self.names, slots)


def dimension(
    declared: str | SliceSpec,
    numeric: Mapping[str, NumericProfile],
    categorical: Mapping[str, CategoryProfile],
) -> Dimension | str:
    """Return the slices that a spec declares of a feature; or why there are none.

    >>> shares = CategoryProfile(shares={"FR": 0.3, "DE": 0.6, "PL": 0.1})
    >>> dimension("country", {}, {"country": shares}).names
    ['country = DE', 'country = FR', 'country = PL']
    >>> dimension("amount", {}, {})
    'the reference has no amount, or too many categories of it'
    """
    spec = SliceSpec(feature=declared) if isinstance(declared, str) else declared
    name, profile, texts = spec.feature, numeric.get(spec.feature), categorical.get(spec.feature)
    found: Dimension | None = None
    if texts is not None and spec.quantiles is None:
        wanted = None if spec.values is None else as_text(spec.values)
        ranked = sorted(texts.shares.items(), key=lambda own: -own[1])
        own = [(v, s) for v, s in ranked if (wanted is None or v in wanted) and s >= LEAST_SHARE]
        found = ByCategory(name, dict(own[:MAX_VALUES])) if own else None
    elif profile is not None:
        found = _of_number(spec, profile)
    elif texts is None:
        return f"the reference has no {name}, or too many categories of it"
    if found is None or len(found.names) < 1 + (spec.values is None):
        return f"the reference has no two such values of {name} that are a hundredth of its rows"
    return found


def _of_number(spec: SliceSpec, profile: NumericProfile) -> Dimension | None:
    if spec.values is None and (spec.quantiles is not None or len(profile.points) > MAX_VALUES):
        return ByQuantile(spec.feature, profile, spec.quantiles or QUANTILES)
    wanted = None if spec.values is None else [v for v in spec.values if not isinstance(v, str)]
    own = [
        (value, rank, share)
        for value, rank, share in zip(profile.points, profile.ranks, _shares(profile), strict=True)
        if (wanted is None or value in wanted) and share >= LEAST_SHARE
    ]
    return ByValue(spec.feature, own) if own else None


def _shares(profile: NumericProfile) -> list[float]:
    """Return the share of each point, where the reference has no other values."""
    below, found = 0.0, list[float]()
    for rank in profile.ranks:
        found.append(2 * (rank + 0.5 - below))
        below += found[-1]
    return found
