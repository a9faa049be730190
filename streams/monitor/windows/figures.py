"""What an open window accumulates for the series of some columns, and their readings."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.series.base import Series, Share
from tidegauge.streams.monitor.series.bins import BINS, diverge, merged, owners
from tidegauge.streams.monitor.series.hist import Hist, most_moved
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import View
from tidegauge.streams.monitor.windows.readings import FIELDS, SHOWN, VALUE, read

EXAMPLES = 5  # values named in an alert
WORTH_NAMING = 0.05  # half of the usual gate of a divergence

Views = Mapping[type[View], View]
Places = slice | list[int]  # of columns in a view
Known = Mapping[str, SeriesProfile | None]


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
    """Series of some columns: the shares, the means and the hists, in the registry's order.

    Parameters
    ----------
    columns
        By the view that has them.
    known
        What a reference knows of its series; None: all are known. So a series that is new to the
        registry leaves alone what began without it.
    """

    @classmethod
    def direct(cls, columns: Mapping[type[View], Sequence[str]]) -> "Measures":
        """Return those that can be told of a row while the reference is learned."""
        found = (m for m in cls(columns) if m.series.is_direct)
        names = (m.name for m in found if m.column != SCORE or m.series.of_score)
        return cls(columns, dict.fromkeys(names))

    def __new__(
        cls, columns: Mapping[type[View], Sequence[str]], known: Known | None = None
    ) -> "Measures":
        """Return those that are known."""
        found = [
            Measure(series, reads, column, series.name(column))
            for series in SERIES.values()
            for reads in series.reads
            for column in columns.get(reads, ())
        ]
        kept = [measure for measure in found if known is None or measure.name in known]
        return super().__new__(cls, sorted(kept, key=lambda measure: _order(measure.series)))

    def __init__(
        self, columns: Mapping[type[View], Sequence[str]], known: Known | None = None
    ) -> None:
        own: dict[tuple[Series, type[View]], list[int]] = {}
        for measure in self:
            at = columns[measure.reads].index(measure.column)
            own.setdefault((measure.series, measure.reads), []).append(at)
        self.width = 0  # of the shares
        self.shares: list[tuple[Share, type[View], Places, slice]] = []  # and where they stand
        self.means: list[tuple[Series, type[View], Places]] = []
        self.hists: list[tuple[Hist, type[View], Places]] = []
        for (series, reads), places in own.items():
            if isinstance(series, Share):
                first, self.width = self.width, self.width + len(places)
                self.shares.append((series, reads, _places(places), slice(first, self.width)))
            elif isinstance(series, Hist):
                self.hists.append((series, reads, _places(places)))
            else:
                self.means.append((series, reads, _places(places)))
        shown = [at for at, measure in enumerate(self) if measure.series.shows_mean]
        of_columns = [columns[self[at].reads].index(self[at].column) for at in shown]
        self.shows_mean = np.array(shown, np.intp), np.array(of_columns, np.intp)
        self.first = sum(not isinstance(measure.series, Hist) for measure in self)  # of the hists
        profiles = [(known or {}).get(measure.name) for measure in self[self.first :]]
        self.bins = [[] if own is None else own.bins for own in profiles]
        self.expected = np.zeros((len(self.bins), BINS))
        for at, bins in enumerate(self.bins):
            self.expected[at, : len(bins)] = [own.share for own in bins]
        self.owners = owners(self.expected)


class FiguresState(msgspec.Struct, array_like=True):
    """What is accumulated, for the snapshot."""

    hits: list[int]
    among: list[int]
    moments: bytes
    examples: dict[str, list[str]]
    bins: bytes = b""


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
    >>> readings = figures.readings(np.empty(0))
    >>> readings.round(2).T.tolist()  # the share, its rows, without one of them, shown
    [[0.25, 4.0, 0.0, 0.33, 0.25]]
    """

    def __init__(self, measures: Measures) -> None:
        self.measures = measures
        self._hits = np.zeros(measures.width, np.int64)
        self._among = np.zeros(measures.width, np.int64)
        self._moments = Moments(measures.first - measures.width)
        self._bins = np.zeros((len(measures.bins), BINS), np.int64)
        self.examples: dict[str, list[str]] = {}  # by series: values that were hit

    def add(self, views: Views, times: Ints | None = None) -> None:
        """Take further rows; of shares alone, each may come several ``times``."""
        for share, reads, at, own in self.measures.shares:
            view = views[reads]
            if times is None:
                hits, among = share.count(view)
            else:
                hits, among = times @ share.hits(view), times @ share.among(view)
            found = hits[at]
            self._hits[own] += found
            self._among[own] += among[at]
            if share.names_values and found.any():
                self._name(share, view, np.arange(len(hits))[at])
        tables = [series.quantity(views[reads])[:, at] for series, reads, at in self.measures.means]
        if tables:
            self._moments.update(tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1))
        counts = [hist.count(views[reads])[at] for hist, reads, at in self.measures.hists]
        if counts:
            self._bins += counts[0] if len(counts) == 1 else np.concatenate(counts)

    def _name(self, share: Share, view: View, columns: Ints) -> None:
        """Remember the first values that were hit, which alerts name."""
        hits = share.hits(view)
        for column in columns[hits[:, columns].any(axis=0)].tolist():
            found = self.examples.setdefault(share.name(view.columns[column]), [])
            for value in view.named(column, hits[:, column]):
                if len(found) >= EXAMPLES:
                    break
                if value not in found:
                    found.append(value)

    def readings(self, means: Floats) -> Floats:
        """Return what the window says of each series, shape (fields of a reading, series).

        ``means`` are those of the columns, which people are shown for some series.
        """
        table = np.empty((FIELDS, len(self.measures)))
        read(table, self._hits, self._among, self._moments.table)
        series, columns = self.measures.shows_mean
        table[SHOWN, series] = means[columns]
        own = np.empty((SHOWN, len(self._bins)))
        diverge(own, self._binned(), self.measures.expected)
        first = self.measures.first
        table[:SHOWN, first:], table[SHOWN, first:] = own, own[VALUE]
        return table

    def _binned(self) -> Floats:
        """Return how many rows are in each bin of each hist."""
        return merged(self._bins, self.measures.owners)

    def named(self, readings: Floats) -> dict[str, list[str]]:
        """Return what alerts are to name, by series: values that were hit, bins that have moved."""
        first = self.measures.first
        far = np.flatnonzero(readings[VALUE, first:] >= WORTH_NAMING).tolist()
        counts = self._binned() if far else self._bins
        moved = {
            self.measures[first + at].name: most_moved(counts[at], self.measures.bins[at])
            for at in far
        }
        return self.examples | moved

    def moments(self) -> Floats:
        """Return rows, means and variances of each series, shape (3, series); NaN without rows.

        >>> from tidegauge.streams.monitor.series.view import Records
        >>> figures = Figures(Measures({Records: ("",)}))
        >>> figures.add({Records: Records(np.array([True, False, False, False]))})
        >>> figures.moments().T.tolist()
        [[4.0, 0.25, 0.1875]]
        """
        found = np.full((3, len(self.measures)), np.nan)
        width, rows = self.measures.width, self._among
        shares = np.divide(self._hits, rows, out=found[1, :width], where=rows > 0)
        found[0, :width], found[2, :width] = rows, shares * (1.0 - shares)
        own = self._moments
        found[:, width:] = own.count, own.mean, own.sd**2
        return found

    def state(self) -> FiguresState:
        """Return what a snapshot needs."""
        return FiguresState(
            self._hits.tolist(),
            self._among.tolist(),
            self._moments.snapshot(),
            self.examples,
            self._bins.tobytes(),
        )

    def load(self, state: FiguresState) -> None:
        """Take back the state of figures of the same columns."""
        self._hits, self._among = np.array(state.hits, np.int64), np.array(state.among, np.int64)
        self._moments.restore(state.moments)
        self.examples = state.examples
        if state.bins:
            self._bins = np.frombuffer(state.bins, np.int64).reshape(-1, BINS).copy()

    def shares(self) -> Ints:
        """Return of each share how many rows have it, and of how many, shape (shares, 2)."""
        return np.stack([self._hits, self._among], axis=1)

    def hits(self) -> dict[str, int]:
        """Return how many rows each share has, by the name of its series."""
        return {p.name: n for p, n in zip(self.measures, self._hits.tolist(), strict=False)}


def _order(series: Series) -> int:
    """Return which of the three parts of ``Measures`` a series is in."""
    return 2 * isinstance(series, Hist) + (not series.is_share)


def _places(columns: list[int]) -> Places:
    """Return places of columns, without a copy of what lies there where they are neighbours."""
    first, stop = columns[0], columns[-1] + 1
    return slice(first, stop) if columns == list(range(first, stop)) else columns
