"""What an open window accumulates for the series of some columns, and their readings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.series.base import Flags, Reading, Series, Share
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Categories, View

EXAMPLES = 5  # values named in an alert

Views = Mapping[type[View], View]


class Place(NamedTuple):
    """A series of one column."""

    series: Series
    reads: type[View]
    column: str
    name: str

    def rows(self, views: Views) -> Floats:
        """Return what a detector on rows sees of it."""
        view = views[self.reads]
        column: Floats = self.series.rows(view)[:, view.columns.index(self.column)]
        return column


def places(columns: Mapping[type[View], Sequence[str]]) -> list[Place]:
    """Return all series of these columns: the shares first, each in the order of the registry."""
    found = [
        Place(series, reads, column, series.name(column))
        for series in SERIES.values()
        for reads in series.reads
        for column in columns.get(reads, ())
    ]
    return sorted(found, key=lambda place: not place.series.is_share)


class FiguresState(msgspec.Struct, array_like=True):
    """What is accumulated, for the snapshot."""

    hits: list[int]
    among: list[int]
    moments: bytes
    examples: dict[str, list[str]]


class Figures:
    """Counts of shares and moments of means, value by value: cuts never change a bit.

    Parameters
    ----------
    places
        All series of some columns, as ``places`` returns them.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places
        pairs = [(p.series, p.reads) for p in self.places]
        kinds = dict.fromkeys(pairs)
        self._shares = [(s, reads) for s, reads in kinds if isinstance(s, Share)]
        self._means = [(s, reads) for s, reads in kinds if not isinstance(s, Share)]
        width = sum(isinstance(series, Share) for series, _ in pairs)
        self._hits, self._among = np.zeros(width, np.int64), np.zeros(width, np.int64)
        self._moments = Moments(len(pairs) - width)
        self.examples: dict[str, list[str]] = {}  # by series: values that were hit

    def add(self, views: Views, times: Ints | None = None) -> None:
        """Take further rows; of shares alone, each may come several ``times``."""
        if self._shares:
            hits = [share.hits(views[reads]) for share, reads in self._shares]
            among = [share.among(views[reads]) for share, reads in self._shares]
            self._hits += _count(hits, times)
            self._among += _count(among, times)
            self._name(views, hits)
        if self._means:
            tables = [series.quantity(views[reads]) for series, reads in self._means]
            self._moments.update(np.concatenate(tables, axis=1))

    def _name(self, views: Views, hits: Sequence[Flags]) -> None:
        """Remember the first values that were hit, where alerts name them."""
        for (share, reads), flags in zip(self._shares, hits, strict=True):
            view = views[reads]
            if not (share.names_values and isinstance(view, Categories) and flags.any()):
                continue
            for column in np.flatnonzero(flags.any(axis=0)).tolist():
                found = self.examples.setdefault(share.name(view.columns[column]), [])
                for value in view.named(column, flags[:, column]):
                    if value not in found and len(found) < EXAMPLES:
                        found.append(value)

    def readings(self, means: Mapping[str, float]) -> Iterable[Reading]:
        """Return what the window says of each series; ``means`` are those of the columns."""
        yield from map(Reading.of_share, self._among.tolist(), self._hits.tolist())
        m, start = self._moments, len(self._hits)
        table = np.stack([m.count, m.mean, m.low, m.high]).T.tolist()
        for place, row in zip(self.places[start:], table, strict=True):
            reading = Reading.of_mean(*row)
            if place.series.shows_mean:
                reading = reading._replace(shown=means[place.column])
            yield reading

    def state(self) -> FiguresState:
        """Return what a snapshot needs."""
        return FiguresState(
            self._hits.tolist(), self._among.tolist(), self._moments.snapshot(), self.examples
        )

    def load(self, state: FiguresState) -> None:
        """Take back the state of figures of the same columns."""
        self._hits, self._among = np.array(state.hits, np.int64), np.array(state.among, np.int64)
        self._moments.restore(state.moments)
        self.examples = state.examples

    def hits(self) -> dict[str, int]:
        """Return how many rows each share has, by the name of its series."""
        return {p.name: n for p, n in zip(self.places, self._hits.tolist(), strict=False)}


def _count(flags: Sequence[Flags], times: Ints | None) -> Ints:
    """Return how many rows each column of several tables has."""
    table = np.concatenate(flags, axis=1)
    counts: Ints = table.sum(axis=0) if times is None else times @ table
    return counts
