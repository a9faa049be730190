"""Rows that wait for their partners, in few bytes each: arrays, and a table of hashes."""

from typing import Any, Final

import numpy as np
from numba import types
from numpy.typing import NDArray

from tidegauge.detectors._jit import FLAGS, PAIRS, kernel, routine
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.join.siphash import Hashes

NOTHING: Final = -1
GONE: Final = -1  # the offset of a row that is held no longer
LEAST: Final = 16  # rows of the smallest arrays
FULL, GROWTH = 0.8, 1.3  # of arrays: with more than this part in use they grow by so much
SPARSE: Final = 4  # times as many rows as are held have room: they get smaller
ROOM: Final = 1.5  # places of the table, at least, for each row of the arrays

HASHES = types.Array(types.uint64, 2, "C")
WANTED = types.Array(types.uint64, 2, "C", readonly=True)
OFFSETS = types.Array(types.int64, 1, "C")
GIVEN = types.Array(types.int64, 1, "A", readonly=True)
TABLE = types.Array(types.int32, 1, "C")


@routine
def place_of(first: Any, second: Any, own: Any, offsets: Any, table: Any) -> Any:
    """Return where the row of a hash is held; NOTHING where it is not."""
    last = len(table) - 1
    slot = np.int64(first & np.uint64(last))
    while table[slot] != NOTHING:
        place = table[slot]
        if own[place, 0] == first and own[place, 1] == second and offsets[place] != GONE:
            return np.int64(place)
        slot = (slot + 1) & last
    return np.int64(NOTHING)


@routine
def enter(place: int, own: Any, table: Any) -> None:
    """Enter a row into the table."""
    last = len(table) - 1
    slot = np.int64(own[place, 0] & np.uint64(last))
    while table[slot] != NOTHING:
        slot = (slot + 1) & last
    table[slot] = place


@kernel(HASHES, OFFSETS, TABLE, types.int64, WANTED, GIVEN, FLAGS, allocates=False)
def add(own: Any, offsets: Any, table: Any, tail: Any, hashes: Any, given: Any, fresh: Any) -> None:
    """Hold rows behind ``tail``, in their order, but none whose hash is held: fresh[k] says so."""
    for k in range(len(given)):
        fresh[k] = place_of(hashes[k, 0], hashes[k, 1], own, offsets, table) == NOTHING
        if fresh[k]:
            own[tail, 0], own[tail, 1], offsets[tail] = hashes[k, 0], hashes[k, 1], given[k]
            enter(tail, own, table)
            tail += 1


@kernel(HASHES, OFFSETS, OFFSETS, TABLE, types.int64, WANTED, PAIRS, PAIRS, allocates=False)
def add_apart(
    own: Any, offsets: Any, ts_ms: Any, table: Any, tail: Any, hashes: Any, given: Any, places: Any
) -> None:
    """Hold rows behind ``tail``; if the hash of one is held, only in its place and far from it.

    Parameters
    ----------
    own, offsets, ts_ms, table
        What is held.
    tail
        Where the first goes.
    hashes, given
        Of each row, given[:, k] = offset, time, and the most of far.
    places
        places[0, k] = where it is held, places[1, k] = where what it replaces was, or repeats is;
        or NOTHING.
    """
    for k in range(len(hashes)):
        former = place_of(hashes[k, 0], hashes[k, 1], own, offsets, table)
        places[0, k], places[1, k] = NOTHING, former
        if former != NOTHING:
            if abs(given[1, k] - ts_ms[former]) <= given[2, k]:
                continue
            offsets[former] = GONE
        own[tail, 0], own[tail, 1] = hashes[k, 0], hashes[k, 1]
        offsets[tail], ts_ms[tail], places[0, k] = given[0, k], given[1, k], tail
        enter(tail, own, table)
        tail += 1


@kernel(HASHES, OFFSETS, TABLE, WANTED, OFFSETS, allocates=False)
def find(own: Any, offsets: Any, table: Any, hashes: Any, places: Any) -> None:
    """Find where rows are held, by their hashes."""
    for k in range(len(places)):
        places[k] = place_of(hashes[k, 0], hashes[k, 1], own, offsets, table)


@kernel(HASHES, TABLE, types.int64, allocates=False)
def enter_all(own: Any, table: Any, rows: Any) -> None:
    """Enter the first rows into an empty table."""
    for place in range(rows):
        enter(place, own, table)


@kernel(OFFSETS, types.int64, types.int64, types.int64, OFFSETS, allocates=False)
def drop(offsets: Any, head: Any, tail: Any, before: Any, told: Any) -> None:
    """Let go of the first rows, up to the first of an offset that is not below ``before``.

    told[0] = the first row that is left, told[1] = how many went.
    """
    told[1] = 0
    while head < tail and offsets[head] < before:
        if offsets[head] != GONE:
            offsets[head] = GONE
            told[1] += 1
        head += 1
    told[0] = head


class HashIndex:
    """Which rows of a log are held, by the hashes of their ids, in the order in which they came.

    Examples
    --------
    >>> index, hashes = HashIndex(), np.array([[5, 5], [6, 6], [5, 5]], np.uint64)
    >>> index.add(hashes, np.array([10, 11, 12])).tolist(), len(index)
    ([True, True, False], 2)
    >>> index.drop_before(11), index.find(hashes).tolist()
    (1, [-1, 1, -1])
    """

    def __init__(self) -> None:
        self._hashes: Hashes = np.empty((0, 2), np.uint64)
        self._offsets: Ints = np.empty(0, np.int64)
        self._table: NDArray[np.int32] = np.full(LEAST, NOTHING, np.int32)
        self._head = self._tail = self._rows = 0

    def __len__(self) -> int:
        """Return how many rows are held."""
        return self._rows

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self._hashes.nbytes + self._offsets.nbytes + self._table.nbytes

    def add(self, hashes: Hashes, offsets: Ints) -> Flags:
        """Hold rows whose hashes are not held yet, the first of equal ones; return which."""
        if self._tail + len(offsets) > len(self._offsets):
            self._make_room(len(offsets))
        fresh = np.empty(len(offsets), np.bool_)
        add(self._hashes, self._offsets, self._table, self._tail, hashes, offsets, fresh)
        came = int(np.count_nonzero(fresh))
        self._tail, self._rows = self._tail + came, self._rows + came
        return fresh

    def find(self, hashes: Hashes) -> Ints:
        """Return where each row is held, for as long as none is added; -1 where it is not."""
        places = np.empty(len(hashes), np.int64)
        find(self._hashes, self._offsets, self._table, hashes, places)
        return places

    def holds(self, places: Ints) -> Flags:
        """Return whether what was found there is still held."""
        found: Flags = places != NOTHING
        found[found] = self._offsets[places[found]] != GONE
        return found

    def remove(self, places: Ints) -> None:
        """Hold rows no longer, each of which is held."""
        self._offsets[places] = GONE
        self._rows -= len(places)

    def drop_before(self, offset: int) -> int:
        """Hold no longer what lies before an offset, at the beginning; return how many rows."""
        told = np.zeros(2, np.int64)
        drop(self._offsets, self._head, self._tail, offset, told)
        self._head, gone = told.tolist()
        self._rows -= gone
        return int(gone)

    def shrink(self) -> None:
        """Give memory back, if little of it is in use."""
        if self._rows < len(self._offsets) // SPARSE:
            self._pack()

    def offset_of(self, number: int) -> int:
        """Return the offset of a row, counted from the oldest, which is 0."""
        return int(self._offsets[self._places()[number]])

    @property
    def last_offset(self) -> int:
        """The offset of the row that came last; -1 where none is held."""
        at = self._tail - 1
        while at >= self._head and self._offsets[at] == GONE:
            at -= 1
        return int(self._offsets[at]) if at >= self._head else NOTHING

    def _places(self) -> Ints:
        """Return where the rows are, the oldest first."""
        return np.flatnonzero(self._offsets[self._head : self._tail] != GONE) + self._head

    def _make_room(self, more: int) -> None:
        """Move what is held to the front of the arrays, of larger ones where they are full."""
        size, needed = len(self._offsets), self._rows + more
        if needed > FULL * size or needed < size // SPARSE:
            self._pack(more)
        else:
            self._rearrange(size)

    def _pack(self, more: int = 0) -> None:
        """Move what is held to arrays that have room for so many more, and for some."""
        self._rearrange(max(LEAST, int(GROWTH * (self._rows + more))))

    def _rearrange(self, size: int) -> None:
        rows = self._rows
        self._move(self._places(), size)
        places = 1 << (int(ROOM * size) - 1).bit_length()
        self._table = np.full(places, NOTHING, np.int32)
        self._head, self._tail = 0, rows
        enter_all(self._hashes, self._table, rows)

    def _move(self, kept: Ints, size: int) -> None:
        self._hashes, self._offsets = (
            moved(self._hashes, kept, size),
            moved(self._offsets, kept, size),
        )


def moved(column: Any, kept: Ints, size: int) -> Any:
    """Return an array of this size that begins with the rows that are kept."""
    found = np.empty((size, *column.shape[1:]), column.dtype)
    # "clip" writes at once to where it goes; "raise" would make a copy first
    np.take(column, kept, axis=0, out=found[: len(kept)], mode="clip")
    return found
