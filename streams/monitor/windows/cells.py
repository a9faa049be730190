"""How losses of pairs lie among slices, and among what every two of these have in common."""

from typing import Any, Final

import numpy as np
from numba import types

from tidegauge.detectors._jit import VECTOR, kernel
from tidegauge.streams.monitor.intake.block import Floats, Ints

COUNT, SUM, SQUARES = range(3)
VECTOR_STATE: Final = types.Array(types.float64, 1, "C")


@kernel(
    VECTOR_STATE,
    types.Array(types.float64, 3, "C"),
    types.Array(types.int64, 2, "C", readonly=True),
    VECTOR,
    allocates=False,
)
def add_up(whole: Any, table: Any, slots: Any, losses: Any) -> None:
    """Add each pair to what every two of its slices have in common: count, loss and its square."""
    for row in range(len(losses)):
        loss = losses[row]
        if loss != loss:  # noqa: PLR0124 - only NaN is not itself
            continue
        whole[COUNT] += 1.0
        whole[SUM] += loss
        whole[SQUARES] += loss * loss
        for first in range(slots.shape[1]):
            one = slots[row, first]
            for second in range(first, slots.shape[1]):
                other = slots[row, second]
                if one >= 0 and other >= 0:
                    table[COUNT, one, other] += 1.0
                    table[SUM, one, other] += loss
                    table[SQUARES, one, other] += loss * loss


class Cells:
    """How many pairs each two slices have in common, and the sums of their losses and of squares.

    Added up one by one in the order of the log, so that where batches are cut changes no bit.

    Parameters
    ----------
    slices
        How many there are.
    """

    def __init__(self, slices: int) -> None:
        self.whole = np.zeros(3)
        self.table = np.zeros((3, slices, slices))

    def add(self, slots: Ints, losses: Floats) -> None:
        """Take further pairs: in which slices each is, one a feature, and its loss."""
        add_up(self.whole, self.table, slots, np.ascontiguousarray(losses))

    def merge(self, other: "Cells") -> None:
        """Take the pairs of another one."""
        self.whole += other.whole
        self.table += other.table

    def state(self) -> bytes:
        """Return what a snapshot needs."""
        return self.whole.tobytes() + self.table.tobytes()

    def load(self, state: bytes) -> None:
        """Take back the state of as many slices."""
        self.whole = np.frombuffer(state)[:3].copy()
        self.table = np.frombuffer(state)[3:].reshape(self.table.shape).copy()
