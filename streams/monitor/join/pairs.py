"""Predictions that met their labels: as columns, as the journal has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np

from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.intake.texts import Texts

PAIRS_PER_RECORD = 4000  # some 400 kB of journal
ID_BYTES_PER_RECORD = 500_000
ESCAPED = 6  # bytes that a control character takes in JSON, as one of an id may


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of one model version, in their order."""

    version: str
    ids: Texts
    ts_ms: Ints
    prediction_ts_ms: Ints
    predictions: Floats
    labels: Floats
    prediction_offsets: Ints
    label_offsets: Ints
    classes: Any  # what was predicted, as text; None where it is a number
    label_classes: Any
    probabilities: Floats  # of the label's class; NaN where none were said

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ts_ms)

    @classmethod
    def joined(cls, parts: Sequence["Pairs"]) -> "Pairs":
        """Return several of one version as one."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in fields(cls)][2:]
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return cls(parts[0].version, Texts.joined([part.ids for part in parts]), *columns)

    def records(self) -> Iterator["Pairs"]:
        """Yield them in pieces that fit into one record of the journal each."""
        start = 0
        for stop in (*self._ends(), len(self)):
            if stop > start:
                yield self._cut(slice(start, stop))
            start = stop

    def _ends(self) -> Iterator[int]:
        texts = [column for column in (self.classes, self.label_classes) if any(column)]
        most = ESCAPED * int(self.ids.spans[:, 1].sum()) + 2 * len(self)
        if len(self) <= PAIRS_PER_RECORD and most <= ID_BYTES_PER_RECORD and not texts:
            return
        start = size = 0
        for at, said in enumerate(zip(self.ids, *texts, strict=True)):
            own = sum(len(msgspec.json.encode(text)) for text in said)
            size += own
            if at > start and (size > ID_BYTES_PER_RECORD or at - start == PAIRS_PER_RECORD):
                yield at
                start, size = at, own

    def _cut(self, own: slice) -> "Pairs":
        if own == slice(0, len(self)):
            return self
        return Pairs(
            self.version, self.ids[own], self.ts_ms[own], self.prediction_ts_ms[own],
            self.predictions[own], self.labels[own], self.prediction_offsets[own],
            self.label_offsets[own], self.classes[own], self.label_classes[own],
            self.probabilities[own],
        )  # fmt: skip
