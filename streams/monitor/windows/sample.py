"""Rows of a window kept until it closes, and how its numbers are summed up."""

from collections.abc import Callable
from math import isnan
from typing import Any, Final

import msgspec
import numpy as np

from tidegauge.detectors._jit import INTS, STATE, kernel
from tidegauge.streams.monitor.intake.block import Floats

SAMPLE: Final = 2000  # rows, if nothing else is said
STEPS: Final = 64  # a window's numbers are summed up by, beside the values that many rows share


class Sample(msgspec.Struct):
    """Every stride-th row of the open window: bounded, and the same wherever batches are cut."""

    stride: int = 1
    seen: int = 0
    rows: list[bytes] = []
    most: int = SAMPLE  # rows; an even number

    def add(self, rows: int, chosen: Callable[[slice], Floats]) -> None:
        """Take further rows of the window; ``chosen`` gives those of them that are kept.

        >>> sample, values = Sample(most=2), np.arange(5.0)[:, np.newaxis]
        >>> sample.add(5, lambda at: values[at])
        >>> sample.table(1).T.tolist()
        [[0.0, 4.0]]
        """
        stride, begin = self.stride, -self.seen % self.stride
        while -(-(self.seen + rows) // stride) > self.most:
            stride, begin = 2 * stride, -self.seen % (2 * stride)
        found = chosen(slice(begin, None, stride))
        size = 8 * found.shape[1]
        if self.rows and len(self.rows[0]) != size:  # of an earlier version, which kept less
            self.stride, self.seen, self.rows = 1, 0, []
            self.add(rows, chosen)
            return
        data = found.tobytes()
        self.rows = self.rows[:: stride // self.stride]
        self.rows += [data[row * size : (row + 1) * size] for row in range(len(found))]
        self.stride, self.seen = stride, self.seen + rows

    def some(self, size: int) -> bytes:
        """Return as many of the rows as so many bytes hold, evenly from the window.

        >>> Sample(rows=[b"a", b"b", b"c", b"d", b"e"]).some(3)
        b'ace'
        """
        each = -(-sum(map(len, self.rows)) // size)
        return b"".join(self.rows[:: max(each, 1)])

    def table(self, width: int) -> Floats:
        """Return the first columns of the rows that are kept, shape (rows, width)."""
        size = len(self.rows[0]) // 8 if self.rows else width
        return np.frombuffer(b"".join(self.rows)).reshape(len(self.rows), size)[:, :width]

    def steps(self, width: int) -> list[tuple[Floats, Floats]]:
        """Return the values of the first columns summed up: points, and how many each stands for.

        A value that many rows share, and the two least and the two greatest, stand for themselves.

        >>> values = np.repeat([0.0, 1.0, 7.0, np.nan], [90, 9, 1, 5])
        >>> sample = Sample(rows=[value.tobytes() for value in values])
        >>> [(points.tolist(), weights.tolist()) for points, weights in sample.steps(1)]
        [([0.0, 1.0, 7.0], [90.0, 9.0, 1.0])]
        """
        points = np.sort(np.ascontiguousarray(self.table(width).T))
        sizes = np.empty(width, np.int64)
        weights = np.empty_like(points)
        sum_up(points, weights, sizes)
        return [
            (points[column, :size], weights[column, :size])
            for column, size in enumerate(sizes.tolist())
        ]


@kernel(STATE, STATE, INTS, allocates=False)
def sum_up(points: Any, weights: Any, sizes: Any) -> None:
    """Replace the first points of each column, ascending and NaN last, by those it is summed up by.

    Their weights say how many values each stands for, and sizes[column] how many they are.
    """
    for column in range(points.shape[0]):
        values, size = 0, 0
        while values < points.shape[1] and not isnan(points[column, values]):
            value = points[column, values]
            if size == 0 or value != points[column, size - 1]:
                points[column, size], weights[column, size] = value, 0.0
                size += 1
            weights[column, size - 1] += 1.0
            values += 1
        sizes[column] = size
        if size <= STEPS:
            continue
        begin, kept, below, last, stood_alone = 0, -1, 0, -1, True
        for at in range(size):
            count = int(weights[column, at])
            alone = count * STEPS >= values or at < 2 or at >= size - 2  # noqa: PLR2004 - the ends
            step = below * STEPS // values
            if alone or stood_alone or step > last:
                begin, kept = at, kept + 1
                weights[column, kept] = 0.0
            weights[column, kept] += count
            points[column, kept] = points[column, (begin + at + 1) // 2]
            below, last, stood_alone = below + count, step, alone
        sizes[column] = kept + 1
