"""Records of one partition as arrays over the bytes they came in, with no object a record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.monitor.intake.plain_rows import NULL, Ahead
from tidegauge.streams.monitor.records import Record

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RecordAt:
    """One record of a batch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch(Sequence[Record]):
    """Consecutive records of a partition, in the order of the log; offsets rise and may have gaps.

    Looks like a list of records to whoever asks for one; those who can take columns.
    """

    buffer: Bytes  # read-only; what all spans lie in
    offsets: Ints
    timestamps: Ints  # UTC ms
    keys: Ints  # records x (start, length)
    values: Ints  # records x (start, length)
    headers: Sequence[Sequence[tuple[str, bytes | None]]]
    ahead: Ahead | None = None

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Return records as a batch."""
        found = [part for r in records for part in (r.key, r.value)]
        lengths = np.array([NULL if part is None else len(part) for part in found], np.int64)
        ends = np.cumsum(np.maximum(lengths, 0))
        spans = np.stack([ends - np.maximum(lengths, 0), lengths], axis=1)
        return cls(
            np.frombuffer(b"".join(part or b"" for part in found), np.uint8),
            np.array([r.offset for r in records], np.int64),
            np.array([r.timestamp for r in records], np.int64),
            np.ascontiguousarray(spans[0::2]),
            np.ascontiguousarray(spans[1::2]),
            [r.headers for r in records],
        )

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.offsets)

    @overload
    def __getitem__(self, at: int) -> RecordAt: ...
    @overload
    def __getitem__(self, at: slice) -> "RecordBatch": ...
    def __getitem__(self, at: int | slice) -> "RecordAt | RecordBatch":
        """Return one record, or some; the bytes are shared."""
        if isinstance(at, slice):
            return replace(
                self,
                offsets=self.offsets[at],
                timestamps=self.timestamps[at],
                keys=self.keys[at],
                values=self.values[at],
                headers=self.headers[at],
                ahead=self.ahead and replace(self.ahead, rows=self.ahead.rows.cut(at)),
            )
        return RecordAt(
            int(self.offsets[at]),
            int(self.timestamps[at]),
            self._bytes(self.keys[at]),
            self._bytes(self.values[at]),
            self.headers[at],
        )

    def _bytes(self, span: Ints) -> bytes | None:
        start, length = span.tolist()
        return None if length == NULL else self.buffer[start : start + length].tobytes()


def since(records: Sequence[Record], offset: int) -> Sequence[Record]:
    """Return the records from an offset on."""
    if isinstance(records, RecordBatch):
        return records[int(np.searchsorted(records.offsets, offset)) :]
    return [record for record in records if record.offset >= offset]


def until(records: Sequence[Record], offset: int) -> Sequence[Record]:
    """Return the records before an offset."""
    if isinstance(records, RecordBatch):
        return records[: int(np.searchsorted(records.offsets, offset))]
    return [record for record in records if record.offset < offset]


def size(records: Iterable[Record]) -> int:
    """Return how many bytes their values have."""
    if isinstance(records, RecordBatch):
        return int(np.maximum(records.values[:, 1], 0).sum())
    return sum(len(record.value or b"") for record in records)
