"""Cuts a model version's rows into windows: blocks of rows, or of event time.

One clock gone wrong must not move a model's time: a row may skip a whole window of event time, or a
day where windows are blocks of rows, only if most of the rows around it do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tidegauge.schemas.monitors import WindowSpec
from tidegauge.streams.monitor.intake.block import Flags, Ints
from tidegauge.streams.monitor.windows.bounds import Bounds, slots

DEFAULT_ROWS = 500  # of a window, where so many come within a day
DAY_MS = 86_400_000
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


def cut(bounds: Bounds, spec: WindowSpec, ts_ms: Ints) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, stop, closes): rows start to stop go into the open window, which then closes.

    A window of event time closes when a row of a later one arrives; a row of an earlier one is
    late and counts in the window that is open. Where batches are cut makes no difference.

    The caller adds the rows to the window, and replaces it after it closed.

    >>> list(cut(Bounds(), WindowSpec(every="1s"), np.array([0, 900, 1100])))
    [(0, 2, True), (2, 3, False)]
    """
    if spec.rows is not None:
        yield from _cut_rows(bounds.rows, spec.rows, len(ts_ms))
    else:
        yield from _cut_time(bounds, spec, ts_ms)


def _cut_rows(filled: int, size: int, rows: int) -> Iterator[tuple[int, int, bool]]:
    start = 0
    while start < rows:
        stop = min(rows, start + size - filled)
        closes = filled + stop - start == size
        yield start, stop, closes
        start, filled = stop, 0 if closes else filled + stop - start


def _cut_time(bounds: Bounds, spec: WindowSpec, ts_ms: Ints) -> Iterator[tuple[int, int, bool]]:
    own = slots(spec, ts_ms)
    newest = np.maximum.accumulate(own)
    if bounds.slot is not None:
        newest = np.maximum(newest, bounds.slot)
    if not len(own):
        return
    edges = [0, *(np.flatnonzero(np.diff(newest)) + 1).tolist(), len(own)]
    if bounds.slot is not None and newest[0] > bounds.slot:
        yield 0, 0, True
    for start, stop in pairwise(edges):
        yield start, stop, stop < len(own)
