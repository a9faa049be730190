"""Labels on their way to the join: as columns, in the order of the log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.intake.classes import Classes, renamed
from tidegauge.streams.monitor.intake.record_batch import Bytes, Ints, RecordBatch
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.siphash import Hashes, hashes


@dataclass(frozen=True, slots=True, eq=False)
class LabelArrivals:
    """Labels of one model; those of one record stand together."""

    model: str
    records: RecordBatch  # that they came in, and maybe others
    at: Ints  # of each: the place of its record among them
    ids: Texts
    ts_ms: Ints
    values: Floats
    offsets: Ints  # of the records
    timestamps: Ints  # of the records, UTC ms
    strays: Flags  # whether the record has another key than the model
    hashes: Hashes  # of the ids
    classes: Sequence[str] = ()  # what codes among the values mean, as in ``classes.py``

    @classmethod
    def of(
        cls,
        model: str,
        records: RecordBatch,
        columns: tuple[Ints, Texts, Ints, Floats],
        key: bytes,
        classes: Sequence[str] = (),
    ) -> Self:
        """Return labels with what their records say of them, their ids hashed by a key.

        ``columns`` are the places of their records, ids, event times and values.
        """
        at, ids, ts_ms, values = columns
        strays = _differ(records.buffer, records.keys[at], model.encode())
        offsets, timestamps = records.offsets[at], records.timestamps[at]
        own = hashes(ids, key)
        return cls(
            model, records, at, ids, ts_ms, values, offsets, timestamps, strays, own, classes
        )

    def known_by(self, classes: Classes) -> "LabelArrivals":
        """Return them with the codes of a model's classes."""
        values = renamed(classes, self.classes, self.values)
        return replace(self, values=values, classes=()) if self.classes else self

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.at)

    def cut(self, own: slice) -> "LabelArrivals":
        """Return some of them; the arrays are shared."""
        return LabelArrivals(
            self.model, self.records, self.at[own], self.ids[own], self.ts_ms[own],
            self.values[own], self.offsets[own], self.timestamps[own], self.strays[own],
            self.hashes[own], self.classes,
        )  # fmt: skip

    def pieces(self, first: int, further: int) -> Iterator[tuple[int, int]]:
        """Yield where to cut them at ends of records: ``first`` labels at least, then ``further``.

        The last piece may have fewer.
        """
        ends = np.append(np.flatnonzero(np.diff(self.at)) + 1, len(self))
        start, least = 0, first
        while start < len(self):
            place = int(np.searchsorted(ends, start + least))
            stop = int(ends[min(place, len(ends) - 1)])
            yield start, stop
            start, least = stop, further

    def piece(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the event times and the offsets of some of them."""
        return self.ts_ms[start:stop], self.offsets[start:stop]

    def last_ms(self, default: int) -> int:
        """Return the event time of the last one."""
        return int(self.ts_ms[-1]) if len(self) else default


def _differ(buffer: Bytes, keys: Ints, key: bytes) -> Flags:
    """Return which keys, as start and length in a buffer, are another."""
    differ: Flags = keys[:, 1] != len(key)
    alike = np.flatnonzero(~differ)
    for place, letter in enumerate(key):
        differ[alike] |= buffer[keys[alike, 0] + place] != letter
    return differ
