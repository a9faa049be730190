"""The slices of a model's rows, and which series of them are watched."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

import numpy as np

from tidegauge.schemas.monitors import SliceSpec
from tidegauge.schemas.references import CategoryProfile, NumericProfile
from tidegauge.schemas.windows import SliceReport
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Categories, Numbers
from tidegauge.streams.monitor.slices.dimensions import Dimensions
from tidegauge.streams.monitor.windows.readings import FIELDS, HIGH, LOW, ROWS, SHOWN
from tidegauge.streams.monitor.windows.readings import VALUE as READING
from tidegauge.streams.monitor.windows.slice_sums import RANK, SQUARE, VALUE, SliceSums

MOST_SERIES: Final = 180  # of all slices of a model: each costs as much as one of all rows
KINDS: Final = ("rank", "missing", "share")


class SliceSeries(NamedTuple):
    """A series of the rows of one slice."""

    series: Series
    slice: str  # "country = DE"
    at: int  # its place among the slices
    feature: str  # of a share that by which rows are sliced
    column: int  # its place among numbers, then categories

    @property
    def name(self) -> str:
        """What it is called in specs, reports and alerts, but for the name of the series."""
        return self.slice if self.series is SERIES["share"] else f"{self.feature} | {self.slice}"


class Slicing:
    """Tells rows apart as a spec declares it, by what a reference says of the features.

    Parameters
    ----------
    declared
        The slices of the spec.
    numbers, categories
        Names of the columns.
    numeric, categorical
        What the reference says of them.

    Notes
    -----
    Of each slice are watched its share of the rows, the rank of the score and, as far as
    ``MOST_SERIES`` reach, the ranks of the numbers and what is missing: first those of the slices
    with most rows.
    """

    def __init__(
        self,
        declared: Sequence[str | SliceSpec],
        numbers: Sequence[str],
        categories: Sequence[str],
        numeric: Mapping[str, NumericProfile],
        categorical: Mapping[str, CategoryProfile],
    ) -> None:
        self.numbers, self.categories = list(numbers), list(categories)
        known = {name: own for name, own in numeric.items() if name in self.numbers}
        texts = {name: own for name, own in categorical.items() if name in self.categories}
        self.dimensions = Dimensions(declared, known, texts)
        self.names, self.left_out = self.dimensions.names, self.dimensions.left_out
        self.series = self._series(known)
        self._places = [
            np.array([(s.at, s.column) for s in self.series if s.series.statistic == kind], np.intp)
            .reshape(-1, 2)
            .T
            for kind in KINDS
        ]

        self._columns = [  # that are watched in each slice: ranks, and what is missing
            [
                [
                    (s.feature, s.column)
                    for s in self.series
                    if (s.at, s.series.statistic) == (at, kind)
                ]
                for kind in KINDS[:2]
            ]
            for at in range(len(self.names))
        ]

    def _series(self, known: Mapping[str, NumericProfile]) -> list[SliceSeries]:
        """Return what is watched, as many as may be: ranks, then what is missing, then shares."""
        found = list(self._candidates(known))
        ranked = sorted(range(len(found)), key=lambda at: found[at][0])
        kept = [found[at][1] for at in sorted(ranked[:MOST_SERIES])]
        if more := len(found) - len(kept):
            why = f"{MOST_SERIES} are watched at most"
            self.left_out.append(f"{more} of {len(found)} series, of the smallest slices: {why}")
        return sorted(kept, key=lambda own: KINDS.index(own.series.statistic))

    def _candidates(
        self, known: Mapping[str, NumericProfile]
    ) -> Iterator[tuple[tuple[int, float], SliceSeries]]:
        """Yield all series there could be, with what they are ranked by, the first ones first."""
        rank, missing, share = (SERIES[kind] for kind in KINDS)
        at = 0
        for own in self.dimensions.own:
            for name, part in zip(own.names, own.shares, strict=True):
                yield (0, -part), SliceSeries(share, name, at, own.feature, 0)
                for column, feature in enumerate([*self.numbers, *self.categories]):
                    if feature in known and feature != own.feature:
                        first = feature == SCORE
                        yield (
                            (0 if first else 1, -part),
                            SliceSeries(rank, name, at, feature, column),
                        )
                    if feature not in (own.feature, SCORE):
                        yield (2, -part), SliceSeries(missing, name, at, feature, column)
                at += 1

    def begin(self) -> SliceSums:
        """Return what a window adds up."""
        return SliceSums(len(self.names), len(self.numbers), len(self.categories))

    def add(self, sums: SliceSums, numbers: Numbers, categories: Categories) -> None:
        """Take further rows of a window."""
        slots = self.dimensions.slices(numbers, categories).slots
        sums.add(slots, numbers.ranks, numbers.values, categories.codes)

    def moments(self, sums: SliceSums) -> Floats:
        """Return rows, mean, variance and the figure for people of each series, a row each."""
        (at, column), (of, gone), (whole, _) = self._places
        rows = sums.known[at, column]
        with np.errstate(divide="ignore", invalid="ignore"):  # of a window without such rows
            ranks = sums.part(RANK)[at, column] / rows
            squares = sums.part(SQUARE)[at, column] / rows - ranks**2
            shown = sums.part(VALUE)[at, column] / rows
            among = sums.rows[of]
            shares = np.concatenate(
                [(among - sums.known[of, gone]) / among, sums.rows[whole] / sums.total]
            )
        counts = np.concatenate([rows, among, np.full(len(whole), sums.total)])
        means = np.concatenate([ranks, shares])
        variances = np.concatenate([np.maximum(squares, 0.0), shares * (1.0 - shares)])
        return np.stack([counts, means, variances, np.concatenate([shown, shares])])

    def readings(self, sums: SliceSums) -> Floats:
        """Return what a window says of each series, shape (fields of a reading, series).

        Without one of its rows a mean of ranks is at most what it would be without the least rank
        there can be.
        """
        rows, means, _, shown = self.moments(sums)
        found = np.empty((FIELDS, len(rows)))
        found[READING], found[ROWS], found[SHOWN] = means, rows, shown
        is_rank = np.arange(len(rows)) < self._places[0].shape[1]
        least = np.where(is_rank, -0.5, np.where(means == 1.0, 1.0, 0.0))
        most = np.where(is_rank, 0.5, np.where(means > 0.0, 1.0, 0.0))
        several = rows > 1
        others = np.maximum(rows - 1, 1)
        found[LOW] = np.where(several, (rows * means - most) / others, -inf)
        found[HIGH] = np.where(several, (rows * means - least) / others, inf)
        return found

    def reports(self, sums: SliceSums) -> list[SliceReport]:
        """Return what a window had of each slice."""
        rows, known = sums.rows.tolist(), sums.known.tolist()
        values, found = sums.part(VALUE).tolist(), list[SliceReport]()
        for at, name in enumerate(self.names):
            there, own = known[at], self._columns[at]
            means = {n: values[at][column] / there[column] for n, column in own[0] if there[column]}
            gone = {n: rows[at] - there[column] for n, column in own[1] if there[column] < rows[at]}
            found.append(SliceReport(slice=name, rows=rows[at], means=means, missing=gone))
        return found
