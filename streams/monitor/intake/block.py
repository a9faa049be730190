"""Rows of one model version as arrays: what monitors fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.monitor.intake.columns import Decoders

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of one model version, in the order of the log."""

    offsets: Ints  # of the record each row came in
    ts_ms: Ints
    ids: list[str]
    numbers: Floats  # rows x (numeric columns, then the score where there is one); NaN = missing
    categories: tuple[Sequence[str | None], ...]  # one sequence a categorical column

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def cut(self, start: int, stop: int) -> "Block":
        """Return some of the rows."""
        return Block(
            self.offsets[start:stop],
            self.ts_ms[start:stop],
            self.ids[start:stop],
            self.numbers[start:stop],
            tuple(values[start:stop] for values in self.categories),
        )

    def piece(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the event times and the offsets of some of them."""
        return self.ts_ms[start:stop], self.offsets[start:stop]

    def last_ms(self, default: int) -> int:
        """Return the event time of the last row; blocks have one."""
        return int(self.ts_ms[-1]) if len(self.ts_ms) else default


class Waiting(msgspec.Struct, frozen=True):
    """Rows of a monitor that it cannot fold yet, as a snapshot holds them."""

    offsets: list[int] = []
    ts_ms: list[int] = []
    numbers: bytes = b""
    categories: list[list[str | None]] = []

    def before(self, block: Block) -> Block:
        """Return a block with these rows before its own."""
        if not self.offsets:
            return block
        width = block.numbers.shape[1]
        waiting = np.frombuffer(self.numbers).reshape(len(self.offsets), width)
        pairs = zip(self.categories, block.categories, strict=True)
        return Block(
            np.concatenate([np.array(self.offsets, np.int64), block.offsets]),
            np.concatenate([np.array(self.ts_ms, np.int64), block.ts_ms]),
            [*[""] * len(self.offsets), *block.ids],  # which no monitor asks for
            np.concatenate([waiting, block.numbers]),
            tuple([*mine, *theirs] for mine, theirs in pairs),
        )


def waiting(block: Block) -> Waiting:
    """Return the rows of a block as a snapshot holds them."""
    return Waiting(
        block.offsets.tolist(),
        block.ts_ms.tolist(),
        block.numbers.tobytes(),
        [list(values) for values in block.categories],
    )


def from_rows(rows: Sequence[Any], offsets: Sequence[int], read: Decoders) -> Block:
    """Return decoded rows as a block."""
    columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
    fields = dict(zip(read.row_type.__struct_fields__, columns, strict=True))
    features = fields["features"]
    numbers = np.array(list(map(read.numbers, features)), np.float64).reshape(len(rows), -1)
    if "prediction" in fields:
        numbers = np.column_stack([numbers, np.array(fields["prediction"], np.float64)])
    return Block(
        np.array(offsets, np.int64),
        np.array(fields["ts_ms"], np.int64),
        list(fields["id"]),
        np.ascontiguousarray(numbers),
        tuple(zip(*map(read.categories, features), strict=True)),
    )


def from_frame(frame: Any, offset: int, read: Decoders) -> Block:
    """Return a decoded frame, its columns of equal length, as a block."""
    rows = len(frame.ids)
    numbers = list(read.numbers(frame.features))
    if hasattr(frame, "predictions"):
        numbers.append(frame.predictions)
    table = np.empty((rows, len(numbers)))
    for column, values in enumerate(numbers):
        table[:, column] = np.nan if values is None else np.array(values, np.float64)
    absent: list[str | None] = [None] * rows
    return Block(
        np.full(rows, offset, np.int64),
        np.array(frame.ts_ms, np.int64),
        frame.ids,
        table,
        tuple(absent if v is None else v for v in read.categories(frame.features)),
    )
