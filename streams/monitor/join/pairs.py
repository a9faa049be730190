"""Predictions that met their labels: as columns, as the journal has them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import numpy as np

from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.intake.texts import Texts

PAIRS_PER_RECORD = 4000  # some 400 kB of journal
ID_BYTES_PER_RECORD = 500_000
SHARE_BYTES = 24  # that a probability takes in JSON
NUMBER = 25  # bytes of one in JSON, with its comma
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
    by: Any  # what predictions are sliced by, shape (rows, features): numbers, texts, None
    shares: Floats  # of each class, in the order of their codes; of those that came up later none
    names: Mapping[str, int]  # the model's classes and their codes

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ts_ms)

    @classmethod
    def joined(cls, parts: Sequence["Pairs"]) -> "Pairs":
        """Return several of one version as one."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in fields(cls)][2:-2]
        columns: dict[str, Any] = {
            n: np.concatenate([getattr(part, n) for part in parts]) for n in names
        }
        width = max(part.shares.shape[1] for part in parts)
        shares = np.concatenate([_fitted(part.shares, width) for part in parts])
        ids = Texts.joined([part.ids for part in parts])
        return replace(parts[0], ids=ids, shares=shares, **columns)

    def narrow(self) -> "Pairs":
        """Return them without the probabilities of all classes."""
        return replace(self, shares=self.shares[:, :0])

    def of_classes(self) -> dict[str, list[float | None]]:
        """Return the probability of each class, None where a prediction says none at all."""
        table = np.nan_to_num(self.shares).astype(object)
        table[np.isnan(self.shares).all(axis=1)] = None
        columns = table.T.tolist()
        return {name: columns[code] for name, code in self.names.items() if code < len(columns)}

    def records(self) -> Iterator["Pairs"]:
        """Yield them in pieces that fit into one record of the journal each."""
        start = 0
        for stop in (*self._ends(), len(self)):
            if stop > start:
                yield self._cut(slice(start, stop))
            start = stop

    def _ends(self) -> Iterator[int]:
        wide = SHARE_BYTES * self.shares.shape[1]
        texts = [column for column in (self.classes, self.label_classes) if any(column)]
        by = sum(map(_longest, self.by.T))
        most = ESCAPED * int(self.ids.spans[:, 1].sum()) + (2 + by) * len(self)
        if len(self) <= PAIRS_PER_RECORD and most <= ID_BYTES_PER_RECORD and not (texts or wide):
            return
        texts += [*self.by.T]
        start = size = 0
        for at, said in enumerate(zip(self.ids, *texts, strict=True)):
            own = wide + sum(len(msgspec.json.encode(text)) for text in said)
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
            self.probabilities[own], self.by[own], self.shares[own], self.names,
        )  # fmt: skip


def _fitted(shares: Floats, width: int) -> Floats:
    return np.pad(shares, ((0, 0), (0, width - shares.shape[1])), constant_values=np.nan)


def _longest(values: Any) -> int:
    """Return how many bytes a value takes in JSON, at most."""
    texts = {value for value in values if isinstance(value, str)}
    return max((len(msgspec.json.encode(text)) for text in texts), default=0) + NUMBER
