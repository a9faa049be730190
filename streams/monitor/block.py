"""Rows of one model version as arrays: what monitors fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.monitor.columns import Decoders

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


def from_rows(rows: Sequence[Any], offsets: Sequence[int], read: Decoders) -> Block:
    """Return decoded rows as a block."""
    scored = hasattr(rows[0], "prediction")
    numbers = [read.numbers(row.features) for row in rows]
    table = np.array(numbers, np.float64).reshape(len(rows), -1)
    if scored:
        scores = np.array([row.prediction for row in rows], np.float64)
        table = np.column_stack([table, scores])
    categories = zip(*(read.categories(row.features) for row in rows), strict=True)
    return Block(
        np.array(offsets, np.int64),
        np.array([row.ts_ms for row in rows], np.int64),
        [row.id for row in rows],
        np.ascontiguousarray(table),
        tuple(categories),
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
