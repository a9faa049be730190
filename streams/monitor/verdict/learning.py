"""A reference learned window by window: from a model's first rows, or from a file of good ones."""

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from tidegauge.schemas.references import (
    CategoryProfile,
    NumericProfile,
    RelationProfile,
    SeriesProfile,
)
from tidegauge.streams.monitor.intake.block import Block, Codes, Floats, Ints
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.intake.dictionary import MISSING, Dictionary
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.hist import REST
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.summary import Summary
from tidegauge.streams.monitor.series.view import (
    Categories,
    Numbers,
    Profiles,
    View,
    Vocabulary,
)
from tidegauge.streams.monitor.verdict.relating import relate
from tidegauge.streams.monitor.verdict.strays import (
    Summed,
    own_extremes,
    ranges_of_others,
    usual_range,
)
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.figures import Measures
from tidegauge.streams.monitor.windows.window import Counted, WindowPart

POINTS = 201  # of a profile
MAX_BYTES = 64 * 1_048_576  # of windows that are gathered; with more the reference is complete
SAMPLE_BYTES = 16_384  # of whole rows of a window: 200 of ten numbers, ten of 200
MAX_CATEGORIES = 1000  # a feature with more is an identifier: its unseen values say nothing
SEVERAL = -1  # more than one window has the category
KEPT = 64  # categories of a window whose counts are kept


class LearnedWindow(msgspec.Struct):
    """What is kept of one closed window of the reference; arrays as bytes."""

    rows: int
    start: Start
    last_ts_ms: int
    steps: list[tuple[bytes, bytes]]  # points and weights, a pair a number
    moments: bytes  # count, mean, variance, low, high: five rows
    missing: list[int]  # rows, a value a categorical column
    direct: bytes = b""  # rows, means and variances of the series that need no reference
    sample: bytes = b""  # some whole rows: numbers, then places of categories
    counts: list[bytes] = []  # places of the most frequent categories, and how often they came

    @property
    def size(self) -> int:
        """Bytes of its arrays."""
        steps = sum(len(points) * 2 for points, _ in self.steps)
        counts = sum(map(len, self.counts))
        return len(self.moments) + len(self.direct) + len(self.sample) + steps + counts


class Count(msgspec.Struct, array_like=True):
    """How often a category came, and in which window, if only in one."""

    times: int
    window: int
    here: int = 0  # how often in the last window that has it, which is ``last``
    last: int = SEVERAL

    def add(self, times: int, window: int) -> None:
        """Count further ones of a window."""
        self.times, self.window = self.times + times, window if window == self.window else SEVERAL
        self.here, self.last = times + (self.here if window == self.last else 0), window


class LearnerState(msgspec.Struct):
    """Everything a learner remembers, for the snapshot."""

    windows: list[LearnedWindow]
    counts: list[dict[str, Count]]


class Learner:
    """Gathers the reference of a monitor's inputs from its first windows.

    A window's numbers are summed up by some 64 values each, so that memory stays bounded while the
    distribution of the whole is not known yet.

    Parameters
    ----------
    numeric, categorical
        Names of the columns, in the order in which rows have them.
    """

    def __init__(self, numeric: Sequence[str], categorical: Sequence[str]) -> None:
        self.numeric, self.categorical = numeric, categorical
        self.direct = Measures.direct({Numbers: numeric, Categories: categorical})
        self.windows: list[LearnedWindow] = []
        self.counts: list[dict[str, Count]] = [{} for _ in categorical]
        self._known: list[dict[str, int]] = [{} for _ in categorical]  # their places in these
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether what was gathered takes as much memory as it may."""
        return self._size >= MAX_BYTES

    @property
    def samples(self) -> list[bytes]:
        """Some whole rows of each window: numbers, then places of categories."""
        return [window.sample for window in self.windows]

    @property
    def starts(self) -> list[Start]:
        """Where each window began."""
        return [window.start for window in self.windows]

    def means(self) -> dict[str, Floats]:
        """Return the means of the windows of each number."""
        return dict(zip(self.numeric, self._moments()[:, 1].T, strict=True))

    def add(self, part: WindowPart, block: Block, numbers: Floats, codes: Codes) -> None:
        """Take further rows of the open window: their categories, and a sample."""
        assert part.sample is not None
        for name, own in zip(self.categorical, part.counted, strict=True):
            own.add(block.counts(name), MAX_CATEGORIES + 1)
        texts = [*zip(self.categorical, codes.T, part.counted, strict=True)]

        def chosen(at: slice) -> Floats:
            places = [self._places(block, name, own[at], c.places) for name, own, c in texts]
            return np.column_stack([numbers[at], *places])

        part.sample.add(len(block), chosen)

    def counted(self) -> list[Counted]:
        """Return the categories of a new window: those so far, of which none has come in it."""
        return [Counted(dict(own), [0] * len(own)) for own in self._known]

    def _places(self, block: Block, name: str, codes: Codes, own: dict[str, int]) -> Floats:
        """Return for each row the place of its category among those that are counted, or NaN."""
        values = block.dictionaries[block.categorical.index(name)].values
        places = np.full(len(values) + 1, np.nan)  # the last is that of a missing one
        for code in np.unique(codes[codes >= 0]).tolist():
            places[code] = own.get(values[code], np.nan)
        return places[codes]

    def _count(self, column: int, counted: Counted) -> Floats:
        """Count the categories of a window; return their places among all that are counted.

        NaN where there is none; it is also that of a category that is missing, the last one.
        """
        known, window = self.counts[column], len(self.windows)
        for value, times in zip(counted.places, counted.times, strict=True):
            own = known.get(value)
            if own is not None and times:
                own.add(times, window)
            elif own is None and len(known) <= MAX_CATEGORIES:
                self._known[column][value] = len(known)
                known[value] = Count(times, window, times, window)
        places = self._known[column]
        return np.array([*(places.get(value, np.nan) for value in counted.places), np.nan])

    def _sample(self, part: WindowPart) -> bytes:
        """Count the categories of a window; return some of its rows, with places among them all."""
        assert part.sample is not None
        rows, first = part.sample.some(SAMPLE_BYTES), len(self.numeric)
        if not self.categorical:
            return rows
        table = np.frombuffer(rows).reshape(-1, first + len(self.categorical)).copy()
        for at, counted in enumerate(part.counted):
            own, places = table[:, first + at], self._count(at, counted)
            own[:] = places[np.where(np.isnan(own), -1, own).astype(np.intp)]
        return table.tobytes()

    def close(self, bounds: Bounds, part: WindowPart) -> None:
        """Sum up a window that closed, with a sample and figures of the direct series."""
        assert part.sample is not None and part.figures is not None
        m, summed = part.moments, part.sample.steps(len(self.numeric))
        sample = self._sample(part)
        learned = LearnedWindow(
            bounds.rows,
            bounds.start,
            bounds.last_ts_ms,
            [(points.tobytes(), weights.tobytes()) for points, weights in summed],
            np.stack([m.count, m.mean, m.sd**2, m.low, m.high]).tobytes(),
            part.missing.tolist(),
            part.figures.moments().tobytes(),
            sample,
            [self._frequent(counts) for counts in self.counts],
        )
        self._size += learned.size
        self.windows.append(learned)

    def _frequent(self, counts: dict[str, Count]) -> bytes:
        """Return the places of a window's most frequent categories, and how often each came."""
        here, window = enumerate(counts.values()), len(self.windows)
        found = [(-own.here, place) for place, own in here if own.last == window]
        return np.array(
            [(place, -less) for less, place in sorted(found)[:KEPT]], np.int64
        ).tobytes()

    def profiles(
        self,
    ) -> tuple[
        dict[str, NumericProfile],
        dict[str, CategoryProfile],
        dict[str, SeriesProfile],
        dict[str, RelationProfile],
    ]:
        """Return what the windows so far say of numbers, categories, their series and relations."""
        numeric, categorical = dict[str, NumericProfile](), dict[str, CategoryProfile]()
        series: dict[str, SeriesProfile] = {}
        moments = self._moments()
        for place, name in enumerate(self.numeric):
            read = _Number(moments[:, :, place], self._summed(place))
            found = read.profile()
            if found is not None:
                numeric[name] = found
            rows = read.windows(name, found, np.array([window.rows for window in self.windows]))
            own = self._series(Numbers, name, rows, found is not None)
            if found is not None:
                means = {s.name(name) for s in SERIES.values() if s.shows_mean}
                own |= {n: replace(own[n], shown=found.mean) for n in own.keys() & means}
            series |= own
        for place, name in enumerate(self.categorical):
            counts = self.counts[place]
            is_known = 0 < len(counts) <= MAX_CATEGORIES
            if is_known:
                total = sum(count.times for count in counts.values())
                shares = {value: count.times / total for value, count in counts.items()}
                categorical[name] = CategoryProfile(shares=shares)
            windows, counted = self._categories(place), self._counted(place)
            series |= self._series(Categories, name, windows, is_known, counted)
        relations, residuals = relate(
            numeric, self.numeric, self.categorical, self._known, self.samples
        )
        return numeric, categorical, series | self._direct() | residuals, relations

    def _series(
        self,
        reads: type[View],
        name: str,
        windows: Summary,
        is_known: bool,
        counted: Summary | None = None,
    ) -> dict[str, SeriesProfile]:
        """Return the profiles of a column's series; of those that need none, if it has none."""
        return {
            series.name(name): series.learn(counted if counted and series.has_bins else windows)
            for series in SERIES.values()
            if reads in series.reads
            and not series.is_direct
            and (is_known or not series.needs_profile)
            and (name != SCORE or series.of_score)
        }

    def _direct(self) -> dict[str, SeriesProfile]:
        """Return the profiles of the series that need no reference."""
        width = len(self.direct)
        unknown = np.repeat([0.0, np.nan, np.nan], width).tobytes()  # of an earlier version
        kept = b"".join(window.direct or unknown for window in self.windows)
        tables = np.frombuffer(kept).reshape(len(self.windows), 3, width)
        return {
            measure.name: series_profile(measure.series, *tables[:, :, place].T)
            for place, measure in enumerate(self.direct)
        }

    def _moments(self) -> Floats:
        """Return the moments of all windows, shape (windows, 5, numbers)."""
        data = b"".join(window.moments for window in self.windows)
        return np.frombuffer(data).reshape(len(self.windows), 5, len(self.numeric))

    def _summed(self, place: int) -> Summed:
        """Return what is kept of a number's values."""
        points, weights = zip(*(window.steps[place] for window in self.windows), strict=True)
        starts = np.cumsum([0, *(len(own) // 8 for own in points)])
        return Summed(np.frombuffer(b"".join(points)), np.frombuffer(b"".join(weights)), starts)

    def _categories(self, place: int) -> Summary:
        """Return a category's windows: values that others have, that none has, and gaps."""
        alone = np.zeros(len(self.windows))
        for count in self.counts[place].values():
            if 0 <= count.window < len(alone):  # the open window is not among them
                alone[count.window] += count.times
        dictionary = Dictionary()
        dictionary.encode(["known", "new"])
        codes = np.tile(np.array([[0], [1], [MISSING]], np.int32), (len(alone), 1))
        view = Categories([self.categorical[place]], codes, [dictionary], [Vocabulary(["known"])])
        missing = np.array([window.missing[place] for window in self.windows])
        known = np.array([window.rows for window in self.windows]) - missing - alone
        weights = np.stack([known, alone, missing], axis=1).ravel()
        return Summary(view, weights, np.arange(0, len(weights) + 1, 3))

    def _counted(self, place: int) -> Summary:
        """Return a category's windows: their most frequent values one by one, then the rest."""
        dictionary, codes, weights = Dictionary(), list[Ints](), list[Ints]()
        dictionary.values += [*self.counts[place], REST]
        for window in self.windows:
            kept = window.counts[place] if window.counts else b""  # none of an earlier version
            places, times = np.frombuffer(kept, np.int64).reshape(-1, 2).T
            rest = window.rows - window.missing[place] - times.sum() if len(kept) else 0
            codes.append(np.append(places, len(dictionary.values) - 1))
            weights.append(np.append(times, rest))
        starts = np.cumsum([0, *map(len, codes)])
        table = np.concatenate(codes).astype(np.int32)[:, None]
        view = Categories([self.categorical[place]], table, [dictionary], [Vocabulary(None)])
        return Summary(view, np.concatenate(weights).astype(np.float64), starts)

    def state(self) -> LearnerState:
        """Return what a snapshot needs."""
        return LearnerState(self.windows, self.counts)

    def load(self, state: LearnerState) -> None:
        """Take back the state of a learner of the same columns."""
        self.windows, self.counts = state.windows, state.counts
        self._known = [{value: at for at, value in enumerate(own)} for own in state.counts]
        self._size = sum(window.size for window in self.windows)


class _Number:
    """What the windows of a number say of it: moments, shape (windows, 5), and values."""

    def __init__(self, moments: Floats, summed: Summed) -> None:
        self._count, self._mean, self._variance, self._low, self._high = moments.T
        self._summed = summed
        self._extremes = own_extremes(self._low, self._high, summed)

    def profile(self) -> NumericProfile | None:
        """Return its profile; None where it never had a value."""
        known = self._count > 0
        if not known.any():
            return None
        count, mean, summed = self._count[known], self._mean[known], self._summed
        total = count.sum()
        overall = float((count * mean).sum() / total)
        squares = (self._variance[known] + (mean - overall) ** 2) * count
        # Of a sample, each value stands for more.
        weights = summed.weights * summed.each(self._count) / summed.each(summed.totals)
        points, ranks = mid_ranks(summed.points, weights)
        return NumericProfile(
            points=points.tolist(),
            ranks=ranks.tolist(),
            mean=overall,
            sd=float(np.sqrt(squares.sum() / total)),
            low=float(self._low[known].min()),
            high=float(self._high[known].max()),
            usual=usual_range(*self._extremes),
        )

    def windows(self, name: str, profile: NumericProfile | None, rows: Ints) -> Summary:
        """Return its windows of so many rows, each beside the usual range of the others."""
        summed, ends = self._summed, self._summed.starts[1:]
        starts = summed.starts + np.arange(len(summed.starts))  # a gap comes behind each
        profiles = Profiles([profile])
        if profile is not None:
            limits = np.array(ranges_of_others(*self._extremes))
            profiles = profiles.within(*np.repeat(limits, np.diff(starts), axis=0).T)
        # Of a sample there are fewer values than of the window, and so of gaps.
        kept = np.divide(summed.totals, self._count, out=np.ones(len(ends)), where=self._count > 0)
        gaps = (rows - self._count) * kept
        view = Numbers([name], np.insert(summed.points, ends, np.nan)[:, None], profiles)
        return Summary(view, np.insert(summed.weights, ends, gaps), starts)


def mid_ranks(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return at most 201 points of a sample, ascending, and their mid-ranks minus one half.

    >>> points, ranks = mid_ranks(np.array([1.0, 2.0, 2.0, 3.0]), np.ones(4))
    >>> points.tolist(), ranks.tolist()
    ([1.0, 2.0, 3.0], [-0.375, 0.0, 0.375])
    """
    points, where = np.unique(values, return_inverse=True)
    mass = np.bincount(where, weights) / weights.sum()
    ranks = np.cumsum(mass) - mass / 2 - 0.5
    if len(points) > POINTS:
        at = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], POINTS))
        keep = np.unique(np.clip(at, 0, len(points) - 1))
        points, ranks = points[keep], ranks[keep]
    return points, ranks
