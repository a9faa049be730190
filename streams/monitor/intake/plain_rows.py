"""What a kernel read of rows and frames, whoever's they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

NULL: Final = -1  # length of what is not there


@dataclass(frozen=True, slots=True)
class PlainRows:
    """The rows of a batch, in its order; where the owner is ``CAREFUL`` nothing else counts."""

    owner: NDArray[np.int32]  # the place of the model version
    strange: NDArray[np.bool_]  # whether there are features that its layout does not know
    ts_ms: NDArray[np.int64]
    ids: NDArray[np.int64]  # rows x (start, length) in the buffer
    numbers: NDArray[np.float64]  # rows x most numbers, the score last; NaN = missing
    texts: NDArray[np.int64]  # rows x most texts x (start, length); NULL = missing
    logged_ms: NDArray[np.int64]  # the records' own times

    @classmethod
    def missing(
        cls, rows: int, numbers: int, texts: int, place: int = 0, strange: bool = False
    ) -> Self:
        """Return rows of the version at ``place``, of which no number and no text is there yet."""
        return cls(
            np.full(rows, place, np.int32),
            np.full(rows, strange),
            np.zeros(rows, np.int64),
            np.empty((rows, 2), np.int64),
            np.full((rows, numbers), np.nan),
            np.full((rows, texts, 2), NULL),
            np.zeros(rows, np.int64),
        )

    def cut(self, at: Any) -> "PlainRows":
        """Return some of the rows: of a slice, arrays that are shared."""
        return PlainRows(
            self.owner[at], self.strange[at], self.ts_ms[at], self.ids[at], self.numbers[at],
            self.texts[at], self.logged_ms[at],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was read of records before they are folded; it holds as long as the layouts do."""

    layouts: object
    rows: PlainRows  # one a record
    frames: Mapping[int, PlainRows | None]  # by the offset of their record; None: not plain
