"""Plain rows of many model versions that wait for more of their own: a block costs what many do.

Of a thousand versions interleaved a batch has a dozen rows each. They are copied, so that nothing
keeps the whole fetch they came in, and wait only as long as nothing could be told of them.
"""

from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.intake.plain import TAKEN, PlainPart
from tidegauge.streams.monitor.intake.plain_rows import PlainRows
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.intake.texts import copy_texts, size

ENOUGH: Final = 512  # rows of a version that are folded without waiting for more
BYTES: Final = 64 * 1_048_576  # of all rows that wait, without their texts
TEXT_BYTES: Final = 32 * 1_048_576
ROOM: Final = 2  # times as many rows as could wait: those that were taken stay for a while
TEXT: Final = 128  # bytes of a row for which there is room


class Patience(NamedTuple):
    """How many rows of a version may wait, and of which event times, both included.

    It holds until rows of the version are given.
    """

    rows: int
    first_ms: int
    last_ms: int


NONE: Final = Patience(0, 0, 0)
EVER: Final = 1 << 62  # later than any time, and behind any offset


class WaitingRows:
    """Rows that wait, by the places that their versions have in the kernel."""

    def __init__(self) -> None:
        self._patience: Ints = np.zeros((0, 3), np.int64)
        self._counts: Ints = np.zeros(0, np.int64)
        self._room: PlainPart | None = None
        self._used = 0  # rows of the room
        self._text: Ints = np.zeros(1, np.int64)  # bytes of its buffer
        self._taken_from = EVER

    def __len__(self) -> int:
        """Return how many there are."""
        return int(self._counts.sum())

    @property
    def oldest(self) -> int:
        """The least offset of rows that wait, or were taken since ``begin``; EVER without any."""
        if self._room is None:
            return EVER
        part = self._part
        waiting = part.offsets[part.rows.owner != TAKEN]
        return int(waiting.min(initial=self._taken_from))

    def begin(self) -> None:
        """Take note that all rows that were taken are folded."""
        self._taken_from = EVER

    def allow(self, place: int, patience: Patience) -> None:
        """Let rows of a version wait, of which none does."""
        self._make_places(place + 1)
        self._patience[place] = patience

    def allow_none(self) -> None:
        """Let no further rows of any version wait, until this is allowed again."""
        self._patience[:] = 0

    def _make_places(self, places: int) -> None:
        if (more := places - len(self._counts)) > 0:
            self._patience = np.pad(self._patience, ((0, more), (0, 0)))
            self._counts = np.pad(self._counts, (0, more))

    def offer(self, part: PlainPart) -> Iterator[tuple[int, PlainPart]]:
        """Take rows, sorted by their versions' places; yield those that must not wait any longer.

        Of each version what waited comes with the new ones, in order.
        """
        if not len(part.offsets):
            return
        owner = part.rows.owner
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        places, edges = owner[starts], np.append(starts, len(owner))
        self._make_places(int(places[-1]) + 1)
        counts = np.diff(edges)
        waits = self._may_wait(part, places, starts, counts)
        joins = waits | ((self._counts[places] > 0) & (counts <= ENOUGH))
        if joins.any():
            joining = part if joins.all() else part.cut(np.repeat(joins, counts))
            if self._has_room(joining):
                self._add(joining)
                self._counts[places] += np.where(joins, counts, 0)
            else:
                yield from self.give_all()
                waits[:] = joins[:] = False
        for at in np.flatnonzero(~waits).tolist():
            place = int(places[at])
            if (waited := self.take(place)) is not None:
                yield place, waited
            if not joins[at]:
                yield place, part.cut(slice(edges[at], edges[at + 1]))

    def _may_wait(self, part: PlainPart, places: Any, starts: Ints, counts: Ints) -> Flags:
        rows, first_ms, last_ms = self._patience[places].T
        may: Flags = counts + self._counts[places] <= np.minimum(rows, ENOUGH)
        if may.any():
            may &= np.minimum.reduceat(part.rows.ts_ms, starts) >= first_ms
            may &= np.maximum.reduceat(part.rows.ts_ms, starts) <= last_ms
        return may

    def _has_room(self, part: PlainPart) -> bool:
        """Return whether rows fit; where only rows are in the way that wait no longer, they go."""
        if self._room is None or not self._used or not len(self):
            self._begin(part)
        elif not (_alike(self._room, part) and self._fits(part)):
            if not _alike(self._room, part) or len(self) > len(self._room.offsets) // 2:
                return False
            left = self._part.cut(self._part.rows.owner != TAKEN)
            self._begin(left)
            self._add(left)
        return self._fits(part)

    def _begin(self, part: PlainPart) -> None:
        """Begin with room for rows like these; blocks may still show texts of what was there."""
        shapes = [getattr(part.rows, field.name) for field in fields(PlainRows)]
        taken = sum(column[0].nbytes for column in (part.offsets, *shapes))
        rows = min(BYTES // taken, ROOM * ENOUGH * len(self._counts))
        columns = [np.empty((rows, *column.shape[1:]), column.dtype) for column in shapes]
        room = PlainRows(*columns)
        text = np.empty(min(TEXT_BYTES, TEXT * rows), np.uint8)
        self._room = PlainPart(text, np.empty(rows, np.int64), room)
        self._used, self._text[0] = 0, 0

    def _fits(self, part: PlainPart) -> bool:
        assert self._room is not None
        text = size(part.rows.ids) + size(part.rows.texts)
        rows = self._used + len(part.offsets)
        room = self._room
        return rows <= len(room.offsets) and int(self._text[0]) + text <= len(room.buffer)

    def _add(self, part: PlainPart) -> None:
        assert self._room is not None
        new = slice(self._used, self._used + len(part.offsets))
        self._used = new.stop
        room = self._room.cut(new)
        room.offsets[:] = part.offsets
        for field in fields(PlainRows):
            getattr(room.rows, field.name)[:] = getattr(part.rows, field.name)
        for spans in (room.rows.ids, room.rows.texts.reshape(-1, 2)):
            copy_texts(part.buffer, spans, room.buffer, self._text)

    @property
    def _part(self) -> PlainPart:
        assert self._room is not None
        return self._room.cut(slice(self._used))

    def take(self, place: int) -> PlainPart | None:
        """Return the rows of a version, which wait no longer; no others may before it is allowed.

        None if there are none.
        """
        self.allow(place, NONE)
        if not self._counts[place]:
            return None
        part, self._counts[place] = self._part, 0
        found = np.flatnonzero(part.rows.owner == place)
        taken = part.cut(found)
        part.rows.owner[found] = TAKEN
        self._taken_from = min(self._taken_from, int(taken.offsets[0]))
        return taken

    def give_all(self) -> Iterator[tuple[int, PlainPart]]:
        """Yield each version's place and its rows, which wait no longer."""
        if not len(self):
            return
        self._taken_from = self.oldest
        part = self._part
        order = np.argsort(part.rows.owner, kind="stable")
        given = part.cut(order)
        owner = given.rows.owner
        part.rows.owner[:] = TAKEN
        self._counts[:], self._patience[:] = 0, 0
        edges = np.flatnonzero(np.diff(owner, prepend=TAKEN - 1)).tolist()
        for start, stop in pairwise([*edges, len(owner)]):
            if (place := int(owner[start])) != TAKEN:
                yield place, given.cut(slice(start, stop))


def _alike(one: PlainPart, other: PlainPart) -> bool:
    columns = [(part.rows.numbers.shape[1], part.rows.texts.shape[1]) for part in (one, other)]
    return columns[0] == columns[1]
