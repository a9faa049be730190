"""How far a log has come in event time, and what of it is old enough to be forgotten."""

from collections.abc import Iterator

import msgspec

BLOCK = 100  # rows of which the earliest dates the log
STEPS = 32  # in which the time that is kept is forgotten
MAX_PLACES = 64


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Rows before this offset are older than this event time."""

    offset: int
    ts_ms: int


class Watermark(msgspec.Struct):
    """Event time of one model in one log: the earliest of its last whole block of rows.

    No row that is dated ahead moves it, and none that is dated back for longer than a block. What
    is forgotten is always the beginning of the log, so that one offset says what a restore must
    leave out; times that go back, as in a replay, make nothing older that comes with them.
    """

    first: int | None = None  # offset of the first row
    rows: int = 0  # in the open block
    low_ms: int = 0  # their earliest event time
    first_offset: int = 0
    ts_ms: int | None = None  # of the last whole block
    places: list[Place] = []
    forgotten: int = 0  # rows before this offset

    @property
    def start(self) -> int | None:
        """The first offset that is not forgotten; None before the first row."""
        return None if self.first is None else max(self.first, self.forgotten)

    def begin(self, offset: int) -> None:
        """Take note of a row that may be the first."""
        if self.first is None or offset < self.first:
            self.first = offset

    def pieces(self, rows: int) -> Iterator[tuple[int, int]]:
        """Yield where to cut rows at the ends of blocks; the caller lets each piece be seen."""
        start = 0
        while start < rows:
            stop = min(rows, start + BLOCK - self.rows)
            yield start, stop
            start = stop

    def see(self, offset: int, low_ms: int, rows: int, step_ms: int) -> bool:
        """Take rows that begin at ``offset``; return whether they end a block."""
        self.begin(offset)
        if not self.rows:
            self.first_offset, self.low_ms = offset, low_ms
        self.low_ms = min(self.low_ms, low_ms)
        self.rows += rows
        if self.rows < BLOCK:
            return False
        self.rows, self.ts_ms = 0, self.low_ms
        if not self.places or abs(self.low_ms - self.places[-1].ts_ms) >= step_ms:
            ahead_ms = self.low_ms + STEPS * step_ms
            if self.places and self.places[0].ts_ms <= ahead_ms:
                # Rows in between were dated ahead, and are forgotten with those around them.
                self.places = [place for place in self.places if place.ts_ms <= ahead_ms]
            self.places.append(Place(self.first_offset, self.low_ms))
            if len(self.places) > MAX_PLACES:
                del self.places[1:-1:2]
        return True

    def forget(self, before_ms: int) -> bool:
        """Forget the beginning of the log that is older than this; return whether there was any."""
        was = self.forgotten
        while self.places and self.places[0].ts_ms < before_ms:
            self.forgotten = max(self.forgotten, self.places.pop(0).offset)
        return self.forgotten > was
