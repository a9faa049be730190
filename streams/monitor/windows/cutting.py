"""Cuts a model version's rows into windows: blocks of rows, or of event time.

One clock gone wrong must not move a model's time: a row may skip a whole window of event time, or a
day where windows are blocks of rows, only if most of the rows around it do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from tidegauge.schemas.monitors import WindowSpec
from tidegauge.streams.monitor.intake.block import Flags, Ints
from tidegauge.streams.monitor.windows.bounds import Bounds, slots

DEFAULT_ROWS = 500  # of a window, where so many come within a day
DAY_MS = 86_400_000
LATE_MS = 60_000  # behind the latest row: less is no disorder
AROUND = 9  # rows that are asked whether time has moved on
MOST = AROUND // 2 + 1


def choose(ts_ms: Ints) -> WindowSpec | None:
    """Return the windows for a model whose spec names none, from the times of its first rows.

    They are blocks of 500 rows if these come within a day, else days. None: it cannot be told yet.
    No single clock decides: a day has passed when most of 9 rows in a row say so.

    >>> minutes = np.arange(600) * 60_000
    >>> choose(minutes[:499]), choose(minutes).rows, choose(minutes * 10).every
    (None, 500, '1d')
    """
    seen = ts_ms[:DEFAULT_ROWS]
    if len(seen) >= AROUND:
        later = seen >= np.sort(seen[:AROUND])[MOST - 1] + DAY_MS
        if np.any(np.convolve(later, np.ones(AROUND, np.int64), "valid") >= MOST):
            return WindowSpec(every="1d")
    return WindowSpec(rows=DEFAULT_ROWS) if len(seen) == DEFAULT_ROWS else None


def windows_of(said: WindowSpec | None, known: WindowSpec | None) -> WindowSpec | None:
    """Return what rows are cut into: as a reference was, where there is one.

    How late rows may be is the spec's to say all the same.

    >>> windows_of(WindowSpec(every="1h", lateness="10m"), WindowSpec(every="1d")).lateness
    '10m'
    """
    if said is None or known is None or known.every is None:
        return known or said
    return replace(known, lateness=said.lateness)


@dataclass(frozen=True, slots=True)
class Dated:
    """Rows with the times they count with; what comes behind them must wait for more rows."""

    ts_ms: Ints
    early: Flags

    def __len__(self) -> int:
        """Return how many rows are certain."""
        return len(self.ts_ms)

    def cut(self, start: int, stop: int) -> "Dated":
        """Return some of the rows."""
        if start == 0 and stop == len(self.ts_ms):
            return self
        return Dated(self.ts_ms[start:stop], self.early[start:stop])

    def take(self, rows: Flags) -> "Dated":
        """Return some of the rows."""
        return Dated(self.ts_ms[rows], self.early[rows])


def dated(bounds: Bounds, spec: WindowSpec, ts_ms: Ints) -> Dated:
    """Return as many rows as can be told from what only a wrong clock would say.

    A row that skips a window is early, and gets the time of the latest row before it, unless most
    of it and the next 8 rows lie no more than a window before it.

    >>> hours = np.array([5, 5, 25, 5, 5, 5, 5, 5, 6, 9, 9, 9, 9, 9, 12]) * 3_600_000
    >>> found = dated(Bounds(), WindowSpec(every="1h"), hours)
    >>> (found.ts_ms // 3_600_000).tolist()
    [5, 5, 5, 5, 5, 5, 5, 5, 6, 9, 9, 9, 9, 9]
    """
    nobody = np.zeros(len(ts_ms), np.bool_)
    latest_ms = bounds.latest_ms
    if latest_ms < 0 and spec.every is None and len(ts_ms):
        latest_ms = int(ts_ms[0])  # a block of rows needs no time to begin with
    first = _skip(spec, ts_ms, latest_ms)
    if first == len(ts_ms):
        return Dated(ts_ms, nobody)
    return _walk(spec, ts_ms, first, int(ts_ms[:first].max(initial=latest_ms)))


def _skip(spec: WindowSpec, ts_ms: Ints, latest_ms: int) -> int:
    """Return the first row that skips a window, or is the first ever; their number, if none is."""
    if latest_ms < 0:
        return 0
    newest = int(ts_ms.max(initial=latest_ms))
    if slots(spec, newest) <= slots(spec, latest_ms) + 1:
        return len(ts_ms)  # as nearly always: none of them can
    clock = slots(spec, np.maximum.accumulate(np.append(latest_ms, ts_ms)))[:-1]
    skips = np.flatnonzero(slots(spec, ts_ms) > clock + 1)
    return int(skips[0]) if len(skips) else len(ts_ms)


def _walk(spec: WindowSpec, ts_ms: Ints, first: int, latest_ms: int) -> Dated:
    """Look at each row from the first on that skips a window; in such a block all may."""
    own, raw = slots(spec, ts_ms).tolist(), ts_ms.tolist()
    times, early = ts_ms.copy(), np.zeros(len(ts_ms), np.bool_)
    clock = slots(spec, latest_ms) if latest_ms >= 0 else None
    for at in range(first, len(own)):
        slot = own[at]
        if clock is None or slot > clock + 1:
            around = own[at : at + AROUND]
            agree = sum(other >= slot - 1 for other in around)
            if len(around) - agree >= MOST:
                if clock is None:
                    # Of the first that say so: how many more are there depends on the batch.
                    behind = [raw[at + n] for n, other in enumerate(around) if other < slot - 1]
                    latest_ms = sorted(behind[:MOST])[MOST // 2]
                    clock = slots(spec, latest_ms)
                times[at], early[at] = latest_ms, True
                continue
            if agree < MOST:
                return Dated(times[:at], early[:at])
        latest_ms, clock = max(latest_ms, raw[at]), slot if clock is None else max(clock, slot)
    return Dated(times, early)


class Piece(NamedTuple):
    """Rows one after the other, and into which windows they go."""

    start: int
    stop: int
    floor: int | None = None  # windows of event time before it close first
    slots: Ints | None = None  # the window of each row, where they are of event time
    closes: bool = False  # whether the open window is full with them

    def windows(self) -> Iterator[tuple[int, Flags | None]]:
        """Yield each window of event time and which rows are its own; None: all are.

        That of the last row is the last one.

        >>> piece = Piece(0, 3, 7, np.array([8, 7, 8]))
        >>> [(slot, own.tolist()) for slot, own in piece.windows()]
        [(7, [False, True, False]), (8, [True, False, True])]
        """
        assert self.slots is not None
        if (self.slots == self.slots[0]).all():
            yield int(self.slots[0]), None
            return
        found, back = np.unique(self.slots[::-1], return_index=True)
        for slot in found[np.argsort(-back)].tolist():
            yield slot, self.slots == slot


def cut(bounds: Bounds, spec: WindowSpec, ts_ms: Ints, floor: int | None = None) -> Iterator[Piece]:
    """Yield rows in pieces, by the windows they go into; where batches are cut is no matter.

    A window of event time closes when a row comes that lies ``lateness`` or more behind its end. A
    row of a window that has closed is late, and counts in the first one that may still be open.

    Parameters
    ----------
    bounds
        Of the open window; of several, of the latest.
    spec
        How windows are cut.
    ts_ms
        When the rows count.
    floor
        The first window of event time that has not closed; None: none has.

    Examples
    --------
    >>> spec = WindowSpec(every="1s", lateness="100ms")
    >>> pieces = cut(Bounds(), spec, np.array([0, 1050, 9, 1100]))
    >>> [(piece.floor, piece.slots.tolist()) for piece in pieces]
    [(-1, [0]), (0, [1, 0]), (1, [1])]
    """
    if spec.rows is not None:
        yield from _cut_rows(bounds.rows, spec.rows, len(ts_ms))
    elif len(ts_ms):
        yield from _cut_time(bounds.latest_ms, spec, ts_ms, floor)


def _cut_rows(filled: int, size: int, rows: int) -> Iterator[Piece]:
    start = 0
    while start < rows:
        stop = min(rows, start + size - filled)
        closes = filled + stop - start == size
        yield Piece(start, stop, closes=closes)
        start, filled = stop, 0 if closes else filled + stop - start


def _cut_time(latest_ms: int, spec: WindowSpec, ts_ms: Ints, floor: int | None) -> Iterator[Piece]:
    own = slots(spec, ts_ms)
    clock_ms = np.maximum(np.maximum.accumulate(ts_ms), latest_ms)
    floors = slots(spec, clock_ms - spec.lateness_ms)
    if floor is not None:
        floors = np.maximum(floors, floor)
    own = np.maximum(own, floors)
    edges = {0, *(np.flatnonzero(np.diff(floors)) + 1).tolist()}
    if spec.lateness_ms:  # the row before a window's first is known then
        edges |= {*np.unique(own, return_index=True)[1].tolist()}
    for start, stop in pairwise([*sorted(edges), len(own)]):
        yield Piece(start, stop, int(floors[start]), own[start:stop])
