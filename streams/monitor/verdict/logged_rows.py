"""Rows in the order of the log: those that could be read, and those that could not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from tidegauge.schemas.events import within_calendar
from tidegauge.streams.monitor.intake.block import Flags, Ints
from tidegauge.streams.monitor.intake.messages import Kept
from tidegauge.streams.monitor.intake.rejections import Rejection
from tidegauge.streams.monitor.records import Record

REASON_CHARS = 200

T = TypeVar("T")


class Rows(Protocol):
    """Rows in the order of the log; only what is asked for is made into arrays."""

    def __len__(self) -> int:
        """Return how many there are."""

    def piece(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the event times and the offsets of some of them."""

    def last_ms(self, default: int) -> int:
        """Return the event time of the last that could be read."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """Rows as objects."""

    items: Sequence[T]
    ts_ms: Callable[[T], int]
    offset: Callable[[T], int]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.items)

    def piece(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the event times and the offsets of some of them."""
        some = self.items[start:stop]
        return np.array(list(map(self.ts_ms, some)), np.int64), np.array(
            list(map(self.offset, some)), np.int64
        )

    def last_ms(self, default: int) -> int:
        """Return the event time of the last that could be read."""
        return self.ts_ms(self.items[-1]) if self.items else default


@dataclass(frozen=True, slots=True)
class Good:
    """Rows that could be read."""

    ts_ms: Ints
    offsets: Ints

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.offsets)

    def piece(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the event times and the offsets of some of them."""
        return self.ts_ms[start:stop], self.offsets[start:stop]

    def last_ms(self, default: int) -> int:
        """Return the event time of the last that could be read."""
        return int(self.ts_ms[-1]) if len(self.ts_ms) else default


@dataclass(frozen=True, slots=True)
class Mixed(Good):
    """Good rows and bad ones; a reason for each bad one, in their order."""

    bad: Flags
    reasons: list[str]

    def last_ms(self, default: int) -> int:
        """Return the event time of the last that could be read."""
        good = self.ts_ms[~self.bad]
        return int(good[-1]) if len(good) else default


def in_order(
    pieces: Sequence[Rows], rejections: Sequence[Rejection], before_ms: int, held: int
) -> Mixed:
    """Return good and bad rows in the order in which they were judged; see ``Readability.fold``.

    A row that could not be read has no event time: it gets that of the good row before it, or,
    where there was none, that of its record.
    """
    arrays = [rows.piece(0, len(rows)) for rows in pieces]
    nothing = np.empty(0, np.int64)
    ts_ms = np.concatenate([nothing, *(times for times, _ in arrays)])
    offsets = np.concatenate([nothing, *(places for _, places in arrays)])
    counts = [rejected.rows for rejected in rejections]
    at = np.repeat([rejected.record.offset for rejected in rejections], counts)
    own_ms = np.repeat([dated(rejected.record) for rejected in rejections], counts)
    judged = np.repeat(
        [held if isinstance(r.record, Kept) else r.record.offset for r in rejections], counts
    )
    # Behind the good rows of its own frame.
    place = np.searchsorted(np.maximum(offsets, held), judged, side="right")
    before = np.concatenate([[before_ms], ts_ms])[place]
    return Mixed(
        np.insert(ts_ms, place, np.where(before > 0, before, own_ms)),
        np.insert(offsets, place, at),
        np.insert(np.zeros(len(offsets), np.bool_), place, True),
        [r.reason[:REASON_CHARS] for r in rejections for _ in range(r.rows)],
    )


def dated(record: Record) -> int:
    """Return the time of a record, UTC milliseconds, where its rows have none."""
    return within_calendar(record.timestamp)
