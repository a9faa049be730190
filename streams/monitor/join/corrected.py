"""Labels that correct an earlier one to another value: as columns, as the journal has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.classes import Classes, is_class
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.join.pairs import ESCAPED

RECORD_BYTES = 800_000
OTHER_BYTES = 80  # of a label beside its texts


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """Corrected labels of one model, in their order."""

    ids: Texts
    ts_ms: Ints
    labels: Floats  # 0 of a class
    label_classes: Any  # texts, None of a number
    label_offsets: Ints

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ts_ms)

    def records(self) -> Iterator["Corrected"]:
        """Yield them in pieces that fit into one record of the journal each."""
        longest = int(self.ids.spans[:, 1].max()) + max(
            len(one or "") for one in self.label_classes
        )
        step = max(1, RECORD_BYTES // (ESCAPED * longest + OTHER_BYTES))
        for start in range(0, len(self), step):
            own = slice(start, start + step)
            yield Corrected(
                self.ids[own], self.ts_ms[own], self.labels[own], self.label_classes[own],
                self.label_offsets[own],
            )  # fmt: skip

    @classmethod
    def of(cls, came: LabelArrivals, at: Ints, classes: Classes) -> Self:
        """Return those of the labels that stand at these places."""
        values = came.values[at]
        named = classes.named(values)
        numbers = np.where(is_class(values), 0.0, values)
        ids = Texts(came.ids.buffer, came.ids.spans[at])
        return cls(ids, came.ts_ms[at], numbers, named, came.offsets[at])
