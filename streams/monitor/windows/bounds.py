"""Where a window lies: in the log, in event time, and with how many rows."""

from typing import TypeVar

import msgspec
import numpy as np

from tidegauge.schemas.monitors import WindowSpec, milliseconds
from tidegauge.streams.monitor.intake.block import Ints

YEAR_MS = 31_557_600_000


class Start(msgspec.Struct, frozen=True, array_like=True):
    """Where a window began in the log."""

    index: int
    first_ts_ms: int
    first_offset: int
    slot: int | None = None  # which piece of event time it is


class Bounds(msgspec.Struct):
    """Of an open window; and what is told of it when it closes."""

    index: int = 0  # counts the closed windows before it
    rows: int = 0
    late: int = 0  # rows of windows that had closed; counted here all the same
    first_ts_ms: int = 0
    last_ts_ms: int = 0
    first_offset: int = 0
    last_offset: int = 0
    slot: int | None = None  # which piece of event time it is
    early: int = 0  # rows far ahead of those around them; they count here, with the time before
    latest_ms: int = -1  # event time of the latest row so far, early ones aside; -1: none yet
    delay_ms: int = 0  # of a window of labels: by how much half of them came after the predictions
    slow_ms: int | None = None  # and nine in ten of them; None: it is none of labels
    skipped: int = 0  # empty windows of event time between the last with rows and this one
    ticked: bool = False  # whether the worker's clock closed it

    @property
    def start(self) -> Start:
        """Where the window began; its end, where a row lies years before it, as seconds do.

        Its time is that of predictions: a window of labels began earlier by their median delay.
        The earliest prediction would be that of the slowest label, of another day.
        """
        spans_years = self.last_ts_ms - self.first_ts_ms > YEAR_MS
        began_ms = self.last_ts_ms if spans_years else self.first_ts_ms
        return Start(self.index, max(began_ms - self.delay_ms, 0), self.first_offset, self.slot)

    @property
    def labelled_ms(self) -> int | None:
        """The time before which predictions have their labels, nine in ten."""
        return None if self.slow_ms is None else max(self.last_ts_ms - self.slow_ms, 0)

    def add(self, spec: WindowSpec, ts_ms: Ints, offsets: Ints, early: int = 0) -> None:
        """Take the times and offsets of further rows, of which so many are early."""
        self.early += early
        if self.slot is not None:
            self.late += int(np.count_nonzero(slots(spec, ts_ms) < self.slot))
        first_ms, last_ms = int(ts_ms.min()), int(ts_ms.max())
        if not self.rows:
            self.first_ts_ms, self.first_offset = first_ms, int(offsets[0])
            self.last_ts_ms = first_ms
        self.rows += len(ts_ms)
        self.first_ts_ms = min(self.first_ts_ms, first_ms)
        self.last_ts_ms = max(self.last_ts_ms, last_ms)
        self.latest_ms = max(self.latest_ms, self.last_ts_ms)
        self.first_offset = min(self.first_offset, int(offsets.min()))
        self.last_offset = max(self.last_offset, int(offsets.max()))

    def empty(self, spec: WindowSpec, slot: int) -> None:
        """Be a window of event time without a row."""
        self.slot, self.first_offset = slot, self.last_offset
        self.first_ts_ms, self.last_ts_ms = first_ms(spec, slot), first_ms(spec, slot + 1) - 1

    def following(self) -> "Bounds":
        """Return the window after this one; until it has rows, the log stands where this ended."""
        return Bounds(
            index=self.index + 1,
            last_ts_ms=self.last_ts_ms,
            last_offset=self.last_offset,
            slot=self.slot,
            latest_ms=self.latest_ms,
        )


T = TypeVar("T", int, Ints)


def slots(spec: WindowSpec, ts_ms: T) -> T:
    """Return which piece of event time each row lies in; days, where windows are blocks of rows."""
    return (ts_ms - milliseconds(spec.offset)) // milliseconds(spec.every or "1d")


def first_ms(spec: WindowSpec, slot: int) -> int:
    """Return the event time at which a piece of it begins."""
    return slot * milliseconds(spec.every or "1d") + milliseconds(spec.offset)
