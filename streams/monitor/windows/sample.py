"""Rows of a window kept until it closes, and how its numbers are summed up."""

import msgspec
import numpy as np

from tidegauge.streams.monitor.intake.block import Floats

SAMPLE = 2000  # rows
STEPS = 64  # a window's numbers are summed up by, beside the values that many rows share


class Sample(msgspec.Struct):
    """Every stride-th row of the open window: bounded, and the same wherever batches are cut."""

    stride: int = 1
    seen: int = 0
    rows: list[bytes] = []

    def add(self, block: Floats) -> None:
        """Take further rows of the window."""
        at, stop = -(-self.seen // self.stride) * self.stride, self.seen + len(block)
        while at < stop:
            self.rows.append(block[at - self.seen].tobytes())
            if len(self.rows) > SAMPLE:
                self.rows = self.rows[::2]
                self.stride *= 2
            at += self.stride
        self.seen = stop

    def column(self, place: int, width: int) -> Floats:
        """Return the values of one column in ascending order, without those that are missing."""
        table = np.frombuffer(b"".join(self.rows)).reshape(len(self.rows), width)
        values: Floats = np.sort(table[~np.isnan(table[:, place]), place])
        return values


def steps(values: Floats) -> tuple[Floats, Floats]:
    """Return ascending values summed up: points, and how many values each stands for.

    A value that many rows share, and the two least and the two greatest, stand for themselves.

    >>> points, weights = steps(np.repeat([0.0, 1.0, 7.0], [90, 9, 1]))
    >>> points.tolist(), weights.tolist()
    ([0.0, 1.0, 7.0], [90.0, 9.0, 1.0])
    """
    points, counts = np.unique(values, return_counts=True)
    if len(points) > STEPS:
        alone = counts * STEPS >= len(values)
        alone[[0, 1, -2, -1]] = True
        step = (np.cumsum(counts) - counts) * STEPS // len(values)
        starts = np.flatnonzero(
            alone | np.append(True, alone[:-1]) | (np.diff(step, prepend=-1) > 0)
        )
        ends = np.append(starts[1:], len(points))
        points = points[(starts + ends) // 2]
        counts = np.add.reduceat(counts, starts)
    return points, counts.astype(np.float64)
