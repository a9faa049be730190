"""Weak slices: where the loss is clearly worse than elsewhere, among slices and pairs of them."""

from math import sqrt
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numba import types

from tidegauge.detectors._jit import VECTOR, kernel
from tidegauge.schemas.windows import WeakSlice
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.slices.dimensions import Dimensions

LEAST: Final = 100  # pairs inside and outside: of fewer, a mean of losses is not yet normal
WRONG: Final = 0.05  # chance that any interval of a report does not hold
CLEARLY: Final = 1.5  # times as much worse as each alone, two slices are told together
LISTED: Final = 10  # of a report, the surest first
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

    def weak(self, dimensions: Dimensions, effect: float) -> list[WeakSlice]:
        """Return where the loss is worse than elsewhere by a gate, and surely so.

        Parameters
        ----------
        dimensions
            Whose slices these are.
        effect
            Least difference that is told, in standard deviations of the loss.

        Notes
        -----
        Of each slice, and of each two of different features, the mean loss is compared with that
        of all other pairs, with Welch's standard error. An interval is of 1 - 0.05/m where m were
        looked at (Bonferroni): so in 95 of 100 reports all of them hold, and at most one in 20 of
        models without any weak slice is told of one. Two slices together are told only where
        they are worse than each of them by half.
        """
        inside, whole = self.table, self.whole[:, None, None]
        among = (inside[COUNT] >= LEAST) & (whole[COUNT] - inside[COUNT] >= LEAST)
        looked = int(np.count_nonzero(among))
        if not looked:
            return []
        with np.errstate(divide="ignore", invalid="ignore"):  # where there are too few to look at
            (mean, error), (elsewhere, other_error) = map(_mean, (inside, whole - inside))
        worse = mean - elsewhere
        half = NormalDist().inv_cdf(1 - WRONG / (2 * looked)) * np.sqrt(error + other_error)
        rows, losses, squares = self.whole.tolist()
        gate = effect * sqrt(max(squares / rows - (losses / rows) ** 2, 0.0))
        alone = np.where(np.diag(among & (worse > half)), np.diag(worse), -np.inf)
        parents = np.maximum(alone[:, None], alone[None, :])
        is_more = (worse >= CLEARLY * parents) | np.eye(len(alone), dtype=np.bool_)
        hits = np.argwhere(among & (worse > half) & (worse >= gate) & is_more)
        found = [
            WeakSlice(
                slices=[dimensions.names[own] for own in dict.fromkeys(at)],
                pairs=int(inside[COUNT][at]),
                loss=float(mean[at]),
                elsewhere=float(elsewhere[at]),
                worse=float(worse[at]),
                interval=(float((worse - half)[at]), float((worse + half)[at])),
                looked_at=looked,
            )
            for at in map(tuple, hits.tolist())
        ]
        return sorted(found, key=lambda own: -own.interval[0])[:LISTED]


def _mean(sums: Floats) -> tuple[Floats, Floats]:
    """Return means and the squares of their standard errors."""
    count, total, squares = sums
    mean = total / count
    return mean, np.maximum(squares / count - mean**2, 0.0) / (count - 1)
