"""Predictions that wait for their labels: segments by hash, that split one at a time.

What grows in one piece stops everything while it is copied, and takes twice the memory meanwhile.

References
----------
Martin (1979), Spiral storage: incrementally augmentable hash addressed storage. Of the equivalent
ways to make segments of unequal sizes, so that not all are full at once, the densities here come
from a parabola and not from a power of two: sums and products are the same on every machine.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numba import types

from tidegauge.detectors._jit import kernel, routine
from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.intake.classes import fitted, width_of
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.join.held import NOTHING, OFFSETS, WANTED, HashIndex, moved
from tidegauge.streams.monitor.join.siphash import Hashes

MOST: Final = 65536  # rows of a segment; with more it splits: a millisecond or two
PLACE_BITS: Final = 32  # of a place, those within its segment
PLACES: Final = (1 << PLACE_BITS) - 1


@routine
def segment_of(word: Any, segments: int) -> Any:
    """Return which of the segments has a hash of this word, from 0.

    Segment k has the numbers from segments + k to the next one. A number's density falls by half
    from 1 to 2, and numbers double until there is such a segment: so of b, 2b and 2b + 1 together
    have the rows, and segments have fewer the farther back they are, half as many at the end.
    """
    u = np.float64(word >> np.uint64(32)) * 2.0**-32
    number = 1.0 + u * (2.0 + u) / 3.0
    while number < segments:
        number *= 2.0
    return np.int64(number) - segments


@kernel(WANTED, OFFSETS, OFFSETS, allocates=False)
def by_segment(hashes: Any, order: Any, ends: Any) -> None:
    """Sort rows by segments, those of each in their order.

    ends[k] = where those of segment k end in the order; nought before.
    """
    segments = len(ends)
    for k in range(len(hashes)):
        ends[segment_of(hashes[k, 1], segments)] += 1
    start = 0
    for segment in range(segments):
        start, ends[segment] = start + ends[segment], start
    for k in range(len(hashes)):
        segment = segment_of(hashes[k, 1], segments)
        order[ends[segment]] = k
        ends[segment] += 1


@kernel(OFFSETS, types.int64, types.int64, types.int64, OFFSETS, allocates=False)
def count(offsets: Any, head: Any, tail: Any, stop: Any, told: Any) -> None:
    """Count the first rows that are held, up to the first of an offset that is not below stop."""
    for at in range(head, tail):
        if offsets[at] >= stop:
            break
        told[0] += offsets[at] >= 0


class Segment(HashIndex):
    """Some predictions of one version, with their times, scores and what they are sliced by."""

    def __init__(self, by: int = 0) -> None:
        super().__init__()
        self._ts_ms: Ints = np.empty(0, np.int64)
        self._scores: Floats = np.empty(0)
        self._by: Floats = np.empty((0, by))

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return super().nbytes + self._ts_ms.nbytes + self._scores.nbytes + self._by.nbytes

    def put(self, hashes: Hashes, offsets: Ints, ts_ms: Ints, scores: Floats, by: Floats) -> Flags:
        """Hold predictions whose hashes are not held yet; return which."""
        width = max(self.width, width_of(scores))
        if width > self.width:
            self._pack()  # what is gone gets no wider
            self._scores = fitted(self._scores, width)
        fresh = self.add(hashes, offsets)
        new = slice(self._tail - int(np.count_nonzero(fresh)), self._tail)
        self._ts_ms[new], self._scores[new] = ts_ms[fresh], fitted(scores, width)[fresh]
        self._by[new] = by[fresh]
        return fresh

    def slice_by(self, features: int) -> None:
        """Hold values of so many features beside each prediction; of those here none is known."""
        self._by = np.full((len(self._offsets), features), np.nan)

    def values(self, places: Ints) -> Floats:
        """Return what predictions are sliced by, shape (rows, features)."""
        found: Floats = self._by[places]
        return found

    @property
    def width(self) -> int:
        """How many columns scores have: further ones are probabilities of classes."""
        return width_of(self._scores)

    def at(self, places: Ints) -> tuple[Ints, Ints, Floats]:
        """Return offsets, event times and scores."""
        return self._offsets[places], self._ts_ms[places], self._scores[places]

    def before(self, offset: int) -> int:
        """Return how many predictions lie before an offset."""
        told = np.zeros(1, np.int64)
        count(self._offsets, self._head, self._tail, offset, told)
        return int(told[0])

    @property
    def hashes(self) -> Hashes:
        """Of the predictions that are held, in their order."""
        return self._hashes[self._places()]

    def take(self, chosen: Ints) -> tuple[Hashes, Ints, Ints, Floats, Floats]:
        """Hold these no longer, by their numbers in the order; return what ``put`` was given."""
        at = self._places()[chosen]
        own = self._hashes[at], self._offsets[at], self._ts_ms[at], self._scores[at]
        found = *own, self._by[at]
        self.remove(at)
        self._pack()
        return found

    def _move(self, kept: Ints, size: int) -> None:
        super()._move(kept, size)
        self._ts_ms, self._scores = moved(self._ts_ms, kept, size), moved(self._scores, kept, size)
        self._by = moved(self._by, kept, size)


class HeldPredictions:
    """Predictions of one version that wait, in the order in which they came.

    Examples
    --------
    >>> held, hashes = HeldPredictions(), np.array([[5, 5], [6, 6], [5, 5]], np.uint64)
    >>> offsets = np.array([10, 11, 12])
    >>> held.put(hashes, offsets, offsets * 1000, offsets / 100).tolist(), len(held)
    ([True, True, False], 2)
    >>> [column.tolist() for column in held.at(held.find(hashes)[1:2])]
    [[11], [11000], [0.11]]
    """

    def __init__(self) -> None:
        self._segments = deque([Segment()])
        self._width, self._by = 1, 0  # columns of scores, and features by which rows are sliced

    def __len__(self) -> int:
        """Return how many are held."""
        return sum(map(len, self._segments))

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(segment.nbytes for segment in self._segments)

    def put(
        self, hashes: Hashes, offsets: Ints, ts_ms: Ints, scores: Floats, by: Floats | None = None
    ) -> Flags:
        """Hold predictions whose hashes are not held yet, the first of equal ones; return which.

        ``by`` are the values they are sliced by, shape (rows, features).
        """
        self.widen(width_of(scores))
        values = np.empty((len(hashes), 0)) if by is None else by
        if values.shape[1] != self._by:  # of another spec
            self._by = values.shape[1]
            for segment in self._segments:
                segment.slice_by(self._by)
        order, own = self._by_segment(hashes)
        columns = hashes, offsets, ts_ms, scores, values
        hashes, offsets, ts_ms, scores, values = (column[order] for column in columns)
        fresh, told = np.empty(len(hashes), np.bool_), np.empty(len(hashes), np.bool_)
        for at, s in own:
            fresh[s] = self._segments[at].put(hashes[s], offsets[s], ts_ms[s], scores[s], values[s])
        told[order] = fresh
        while len(self._segments[0]) > MOST:
            self._split(self._segments.popleft())
        return told

    def _split(self, segment: Segment) -> None:
        """Make two segments of the first, behind all others."""
        self._segments.extend((segment, Segment(self._by)))
        order, own = self._by_segment(segment.hashes)
        last, some = own[-1]
        if last == len(self._segments) - 1:
            self._segments[last].put(*segment.take(order[some]))

    def _by_segment(self, hashes: Hashes) -> tuple[Any, list[tuple[int, slice]]]:
        """Return an order of rows by segments, and of each that has some its number and where."""
        segments = len(self._segments)
        if segments == 1:
            return slice(None), [(0, slice(len(hashes)))]
        order, ends = np.empty(len(hashes), np.int64), np.zeros(segments, np.int64)
        by_segment(hashes, order, ends)
        edges = enumerate(pairwise([0, *ends.tolist()]))
        return order, [(at, slice(start, stop)) for at, (start, stop) in edges if stop > start]

    def find(self, hashes: Hashes) -> Ints:
        """Return where each is held, for as long as none is added; -1 where it is not."""
        order, own = self._by_segment(hashes)
        hashes, found = hashes[order], np.full(len(hashes), NOTHING)
        for number, some in own:
            found[some] = self._segments[number].find(hashes[some])
            found[some][found[some] != NOTHING] += number << PLACE_BITS
        places = np.empty_like(found)
        places[order] = found
        return places

    def _parts(self, places: Ints) -> Iterator[tuple[Segment, Any, Ints]]:
        """Yield each segment that has some of the rows, which of them, and their places in it."""
        if len(self._segments) == 1:
            yield self._segments[0], slice(None), places
            return
        numbers = places >> PLACE_BITS
        for number in np.unique(numbers[numbers >= 0]).tolist():
            some = np.flatnonzero(numbers == number)
            yield self._segments[number], some, places[some] & PLACES

    def holds(self, places: Ints) -> Flags:
        """Return whether what was found there is still held."""
        found = np.zeros(len(places), np.bool_)
        for segment, some, own in self._parts(places):
            found[some] = segment.holds(own)
        return found

    def at(self, places: Ints) -> tuple[Ints, Ints, Floats]:
        """Return offsets, event times and scores of predictions."""
        offsets, ts_ms = np.empty_like(places), np.empty_like(places)
        scores, width = fitted(np.empty(len(places)), self.width), self.width
        for segment, some, own in self._parts(places):
            offsets[some], ts_ms[some], said = segment.at(own)
            scores[some] = fitted(said, width)
        return offsets, ts_ms, scores

    def values(self, places: Ints) -> Floats:
        """Return what predictions are sliced by, shape (rows, features)."""
        found = np.empty((len(places), self._by))
        for segment, some, own in self._parts(places):
            found[some] = segment.values(own)
        return found

    @property
    def width(self) -> int:
        """How many columns scores have, or will have when more are held."""
        return self._width

    def widen(self, width: int) -> None:
        """Let scores have so many columns, if they have fewer: those held now will get them."""
        self._width = max(self._width, width)

    def remove(self, places: Ints) -> None:
        """Hold predictions no longer, each of which is held."""
        for segment, _, own in self._parts(places):
            segment.remove(own)

    def drop_before(self, offset: int) -> int:
        """Hold no longer what lies before an offset; return how many predictions."""
        return sum(segment.drop_before(offset) for segment in self._segments)

    def shrink(self) -> None:
        """Give memory back, if little of it is in use."""
        for segment in self._segments:
            segment.shrink()
        if len(self._segments) > 1 and len(self) < MOST // 2:
            parts, width = list[Any](), self.width
            for segment in self._segments:
                *known, scores, by = segment.take(np.arange(len(segment)))
                parts.append((*known, fitted(scores, width), by))
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
            order = np.argsort(columns[1], kind="stable")
            self._segments = deque([Segment(self._by)])
            self._segments[0].put(*(column[order] for column in columns))

    def offset_of(self, number: int) -> int:
        """Return the offset of a prediction, counted from the oldest, which is 0."""
        offsets = range(self.last_offset + 1)
        return bisect_left(offsets, number + 1, key=lambda at: self._before(at + 1))

    def _before(self, offset: int) -> int:
        return sum(segment.before(offset) for segment in self._segments)

    @property
    def last_offset(self) -> int:
        """The offset of the prediction that came last; -1 where none is held."""
        return max(segment.last_offset for segment in self._segments)
