"""Rows of small blocks that close no window, copied together: a fold costs the same for all."""

import numpy as np

from tidegauge.streams.monitor.intake.block import NO_IDS, Block

BYTES = 16_384  # of a monitor's gathered rows: 160 of ten features, none of 2,000
FEW = 32  # rows of a block; larger ones are worth a fold of their own


class Gathered:
    """Copies the rows of small blocks, so that nothing keeps the whole fetch they came in."""

    def __init__(self) -> None:
        self.rows = 0
        self._room: Block | None = None  # of which the first rows are used

    def take(self, block: Block) -> bool:
        """Take a block's rows; return False where there is no room, or columns are others."""
        start, stop = self.rows, self.rows + len(block)
        if len(block) > FEW:
            return False
        if self._room is None or not (self.rows or _are_alike(self._room, block)):
            self._room = _room(block)
        if stop > len(self._room) or not _are_alike(self._room, block):
            return False
        self._room.offsets[start:stop] = block.offsets
        self._room.ts_ms[start:stop] = block.ts_ms
        self._room.numbers[start:stop] = block.numbers
        self._room.codes[start:stop] = block.codes
        if self._room.logged_ms is not None and block.logged_ms is not None:
            self._room.logged_ms[start:stop] = block.logged_ms
        self.rows = stop
        return True

    @property
    def block(self) -> Block | None:
        """The rows so far, None if there are none; they hold until more are taken."""
        return self._room.cut(0, self.rows) if self._room is not None and self.rows else None

    def clear(self) -> None:
        """Forget them."""
        self.rows = 0


def _are_alike(one: Block, other: Block) -> bool:
    return (
        one.names == other.names
        and one.categorical == other.categorical
        and one.dictionaries == other.dictionaries
    )


def _room(block: Block) -> Block:
    """Return room for rows of the same columns."""
    numbers, codes = len(block.names), len(block.categorical)
    rows = BYTES // (24 + 8 * numbers + 4 * codes)
    return Block(
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        NO_IDS,
        np.empty((rows, numbers)),
        block.names,
        np.empty((rows, codes), np.int32),
        block.categorical,
        block.dictionaries,
        logged_ms=None if block.logged_ms is None else np.empty(rows, np.int64),
    )
