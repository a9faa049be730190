"""Cuts a model version's rows into windows: blocks of rows, or of event time."""

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import numpy as np

from schemas.monitors import WindowSpec, milliseconds
from streams.monitor.block import Ints


class Window(msgspec.Struct):
    """The open window, and what is told of it when it closes."""

    index: int = 0  # counts the closed windows before it
    rows: int = 0
    late: int = 0  # rows whose event time lies in an earlier window; counted here all the same
    first_ts_ms: int = 0
    last_ts_ms: int = 0
    first_offset: int = 0
    last_offset: int = 0
    slot: int | None = None  # which piece of event time it is

    def add(self, spec: WindowSpec, ts_ms: Ints, offsets: Ints) -> None:
        """Take the times and offsets of further rows."""
        if spec.every is not None:
            own = slots(spec, ts_ms)
            self.slot = int(own.max()) if self.slot is None else max(self.slot, int(own.max()))
            self.late += int(np.count_nonzero(own < self.slot))
        self.add_rows(ts_ms, offsets)

    def add_rows(self, ts_ms: Ints, offsets: Ints) -> None:
        """Take further rows into a window that is not one of event time."""
        if not self.rows:
            self.first_ts_ms, self.first_offset = int(ts_ms.min()), int(offsets[0])
            self.last_ts_ms = self.first_ts_ms
        self.rows += len(ts_ms)
        self.first_ts_ms = min(self.first_ts_ms, int(ts_ms.min()))
        self.last_ts_ms = max(self.last_ts_ms, int(ts_ms.max()))
        self.first_offset = min(self.first_offset, int(offsets.min()))
        self.last_offset = max(self.last_offset, int(offsets.max()))

    def following(self) -> "Window":
        """Return the window after this one; until it has rows, the log stands where this ended."""
        return Window(
            index=self.index + 1,
            last_ts_ms=self.last_ts_ms,
            last_offset=self.last_offset,
            slot=self.slot,
        )


def cut(window: Window, spec: WindowSpec, ts_ms: Ints) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, stop, closes): rows start to stop go into the open window, which then closes.

    A window of event time closes when a row of a later one arrives; a row of an earlier one is
    late and counts in the window that is open. Where batches are cut makes no difference.

    The caller adds the rows to the window, and replaces it after it closed.

    >>> list(cut(Window(), WindowSpec(every="1s"), np.array([0, 900, 1100])))
    [(0, 2, True), (2, 3, False)]
    """
    if spec.rows is not None:
        yield from _cut_rows(window.rows, spec.rows, len(ts_ms))
    else:
        yield from _cut_time(window, spec, ts_ms)


def _cut_rows(filled: int, size: int, rows: int) -> Iterator[tuple[int, int, bool]]:
    start = 0
    while start < rows:
        stop = min(rows, start + size - filled)
        closes = filled + stop - start == size
        yield start, stop, closes
        start, filled = stop, 0 if closes else filled + stop - start


def slots(spec: WindowSpec, ts_ms: Ints) -> Ints:
    """Return which piece of event time each row lies in."""
    found: Ints = (ts_ms - milliseconds(spec.offset)) // milliseconds(spec.every or "")
    return found


def _cut_time(window: Window, spec: WindowSpec, ts_ms: Ints) -> Iterator[tuple[int, int, bool]]:
    own = slots(spec, ts_ms)
    newest = np.maximum.accumulate(own)
    if window.slot is not None:
        newest = np.maximum(newest, window.slot)
    bounds = [0, *(np.flatnonzero(np.diff(newest)) + 1).tolist(), len(own)]
    if window.slot is not None and newest[0] > window.slot:
        yield 0, 0, True
    for start, stop in pairwise(bounds):
        yield start, stop, stop < len(own)
