"""What an open window accumulates for the series of some columns, and their readings."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.streams.monitor.intake.block import Flags, Floats, Ints
from tidegauge.streams.monitor.series.base import SHOWN, Series, Share, readings
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Categories, View

EXAMPLES = 5  # values named in an alert

Views = Mapping[type[View], View]
Places = slice | list[int]  # of columns in a view


class Measure(NamedTuple):
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


class Measures(tuple[Measure, ...]):
    """Series of some columns: the shares first, each in the order of the registry.

    Parameters
    ----------
    columns
        By the view that has them.
    known
        Names of the series that a reference knows; None: all. So a series that is new to the
        registry leaves alone what began without it.
    """

    def __new__(
        cls, columns: Mapping[type[View], Sequence[str]], known: Container[str] | None = None
    ) -> "Measures":
        """Return those that are known."""
        found = [
            Measure(series, reads, column, series.name(column))
            for series in SERIES.values()
            for reads in series.reads
            for column in columns.get(reads, ())
        ]
        kept = [measure for measure in found if known is None or measure.name in known]
        return super().__new__(cls, sorted(kept, key=lambda measure: not measure.series.is_share))

    def __init__(
        self, columns: Mapping[type[View], Sequence[str]], known: Container[str] | None = None
    ) -> None:
        own: dict[tuple[Series, type[View]], list[int]] = {}
        for measure in self:
            at = columns[measure.reads].index(measure.column)
            own.setdefault((measure.series, measure.reads), []).append(at)
        places = [(s, reads, _places(at)) for (s, reads), at in own.items()]
        self.shares = [(s, reads, at) for s, reads, at in places if isinstance(s, Share)]
        self.means = [(s, reads, at) for s, reads, at in places if not isinstance(s, Share)]
        self.width = sum(measure.series.is_share for measure in self)  # of the shares
        self.shows_mean = [at for at, measure in enumerate(self) if measure.series.shows_mean]


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
    measures
        All series of some columns.

    Examples
    --------
    >>> from tidegauge.streams.monitor.series.view import Records
    >>> figures = Figures(Measures({Records: ("",)}))
    >>> figures.add({Records: Records(np.array([True, False, False, False]))})
    >>> figures.hits()
    {'rejected': 1}
    >>> figures.readings({}).round(2).tolist()  # the share, its rows, without one of them, shown
    [[0.25, 4.0, 0.0, 0.33, 0.25]]
    """

    def __init__(self, measures: Measures) -> None:
        self.measures = measures
        self._hits = np.zeros(measures.width, np.int64)
        self._among = np.zeros(measures.width, np.int64)
        self._moments = Moments(len(measures) - measures.width)
        self.examples: dict[str, list[str]] = {}  # by series: values that were hit

    def add(self, views: Views, times: Ints | None = None) -> None:
        """Take further rows; of shares alone, each may come several ``times``."""
        shares, means = self.measures.shares, self.measures.means
        if shares:
            hits = [share.hits(views[reads])[:, at] for share, reads, at in shares]
            among = [share.among(views[reads])[:, at] for share, reads, at in shares]
            self._hits += _count(hits, times)
            self._among += _count(among, times)
            for (share, reads, at), flags in zip(shares, hits, strict=True):
                if share.names_values and flags.any():
                    self._name(share, views[reads], at, flags)
        if means:
            tables = [series.quantity(views[reads])[:, at] for series, reads, at in means]
            self._moments.update(np.concatenate(tables, axis=1))

    def _name(self, share: Share, view: View, at: Places, flags: Flags) -> None:
        """Remember the first values that were hit, which alerts name."""
        assert isinstance(view, Categories)  # others have no values to name
        columns = np.arange(len(view.columns))[at].tolist()
        for measure in np.flatnonzero(flags.any(axis=0)).tolist():
            column = columns[measure]
            found = self.examples.setdefault(share.name(view.columns[column]), [])
            for value in view.named(column, flags[:, measure]):
                if value not in found and len(found) < EXAMPLES:
                    found.append(value)

    def readings(self, means: Mapping[str, float]) -> Floats:
        """Return what the window says of each series, shape (series, fields of a reading).

        ``means`` are those of the columns, which people are shown for some series.
        """
        m, rows, hits = self._moments, self._among, self._hits
        with np.errstate(divide="ignore", invalid="ignore"):  # of no row there is no share
            share = hits / rows
        table = readings(
            np.concatenate([rows, m.count]),
            np.concatenate([share, m.mean]),
            np.concatenate([(hits == rows).astype(np.float64), m.low]),
            np.concatenate([(hits > 0).astype(np.float64), m.high]),
        )
        for at in self.measures.shows_mean:
            table[at, SHOWN] = means[self.measures[at].column]
        return table

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
        return {p.name: n for p, n in zip(self.measures, self._hits.tolist(), strict=False)}


def _places(columns: list[int]) -> Places:
    """Return places of columns, without a copy of what lies there where they are neighbours."""
    first, stop = columns[0], columns[-1] + 1
    return slice(first, stop) if columns == list(range(first, stop)) else columns


def _count(flags: Sequence[Flags], times: Ints | None) -> Ints:
    """Return how many rows each column of several tables has."""
    table = np.concatenate(flags, axis=1)
    counts: Ints = table.sum(axis=0) if times is None else times @ table
    return counts
