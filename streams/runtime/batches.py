"""Reads what brokers send, whatever producers put in; aiokafka alone fails at it again and again.

A header's name that is not UTF-8 ends a fetch with an error; 79 kB of zstd may unpack to 1 GB.
"""

import contextlib
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import (
    DefaultRecordBase,
    DefaultRecordBatch,
    _DefaultRecordBatchPy,
)
from aiokafka.record.memory_records import MemoryRecords

MAX_UNPACKED = 64 * 1_048_576  # bytes of a batch; a fetch ends with the batch that passes it
MOSTLY = 32  # bytes or fewer come of one
LENGTH, LENGTH_AT, BEFORE = struct.Struct(">i"), 8, 12  # of a batch: not counted are 12 bytes
HEAD = DefaultRecordBase.HEADER_STRUCT.size
XERIAL = 16  # bytes before the blocks of snappy, where Java packed it
UNPACK = {
    DefaultRecordBase.CODEC_GZIP: cramjam.gzip.decompress_into,
    DefaultRecordBase.CODEC_LZ4: cramjam.lz4.decompress_into,
    DefaultRecordBase.CODEC_ZSTD: cramjam.zstd.decompress_into,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StandIn:
    """A record in place of a batch that was not unpacked; it is rejected, and says why."""

    offset: int  # of the batch's last record
    timestamp: int
    timestamp_type: int
    value: bytes
    key: bytes | None = None
    headers: tuple[()] = ()
    checksum: None = None


class LenientBytes(bytearray):
    """Bytes whose parts are text in any case: escaped where they are not UTF-8."""

    def __getitem__(self, key: Any) -> Any:
        """Return a byte, or a part that is lenient, too."""
        found = super().__getitem__(key)
        return LenientBytes(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "") -> str:
        """Return text that can be sent again."""
        return super().decode(encoding, "backslashreplace")


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """What was fetched of a partition, record by record; read again leniently where it must be."""

    def __init__(self, tp: Any, records: "Records", aborted: Any, *others: Any) -> None:
        super().__init__(tp, records, aborted, *others)
        self._again = tp, Records(records.data, lenient=True), aborted, *others

    def __next__(self) -> Any:
        """Return the next record."""
        try:
            return next(self._records_iterator)
        except UnicodeDecodeError:
            tp, records, aborted, _, *others = self._again
            super().__init__(tp, records, aborted, self.next_fetch_offset, *others)
            return next(self._records_iterator)


class Records:
    """What was fetched, batch by batch; aiokafka's ``MemoryRecords``, with limits.

    Parameters
    ----------
    data
        As the broker sent it.
    lenient
        Whether to read text that is none; slower.
    """

    def __init__(self, data: bytes, lenient: bool = False) -> None:
        self.data, self.lenient, self.unpacked = data, lenient, 0
        self._records, self._at = MemoryRecords(data), 0
        self.size_in_bytes = self._records.size_in_bytes

    def has_next(self) -> bool:
        """Tell whether to read on; what is left is fetched again."""
        return self.unpacked < MAX_UNPACKED and self._records.has_next()

    def next_batch(self) -> Any:
        """Return the next batch."""
        batch, start = self._records.next_batch(), self._at
        self._at += BEFORE + LENGTH.unpack_from(self.data, start + LENGTH_AT)[0]
        if isinstance(batch, DefaultRecordBatch) and (self.lenient or batch.compression_type):
            return Batch(batch, memoryview(self.data)[start : self._at], self)
        return batch


class Batch:
    """aiokafka's batch, whose records are read with care."""

    def __init__(self, batch: Any, content: memoryview, fetched: Records) -> None:
        self._batch, self._content, self._fetched = batch, content, fetched

    def __getattr__(self, name: str) -> Any:
        """Return what aiokafka knows of the batch."""
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """Return the record of a transaction's marker, which is asked for without an iterator."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """Return the records, or one in place of all."""
        content = self._unpack() if self._batch.compression_type else self._content
        if content is None:
            return iter([self._stand_in()])
        self._fetched.unpacked += len(content)
        if not self._fetched.lenient:
            return iter(DefaultRecordBatch(content))
        lenient = _DefaultRecordBatchPy(content)
        lenient._buffer = LenientBytes(lenient._buffer)  # noqa: SLF001 (its way in)
        return iter(lenient)

    def _unpack(self) -> Any:
        """Return the batch as if it had not been compressed; None where that is too large."""
        records = unpack(self._batch.compression_type, self._content[HEAD:])
        if records is None:
            return None
        head = bytearray(self._content[:HEAD])
        at = DefaultRecordBase.ATTRIBUTES_OFFSET
        attributes = self._batch.attributes & ~DefaultRecordBase.CODEC_MASK
        struct.pack_into(">h", head, at, attributes)
        return bytes(head) + records

    def _stand_in(self) -> StandIn:
        batch = self._batch
        told = (
            f"a batch of {len(self._content)} bytes, offsets {batch.base_offset} to "
            f"{batch.next_offset - 1}, unpacks to more than {MAX_UNPACKED} bytes"
        )
        log.error("Left out %s", told)
        return StandIn(
            batch.next_offset - 1, batch.max_timestamp, batch.timestamp_type, told.encode()
        )


def unpack(kind: int, data: memoryview) -> bytes | None:
    """Return what was compressed, or None if it has more than ``MAX_UNPACKED`` bytes."""
    if kind == DefaultRecordBase.CODEC_SNAPPY:
        return codec.snappy_decode(data.tobytes()) if snappy_size(data) <= MAX_UNPACKED else None
    for room in (MOSTLY * len(data), MAX_UNPACKED):
        space = np.empty(min(room, MAX_UNPACKED), np.uint8).data  # untouched, it costs nothing
        with contextlib.suppress(cramjam.DecompressionError):  # no room: brokers let no damage pass
            return space[: UNPACK[kind](data, space)].tobytes()
    return None


def snappy_size(data: memoryview) -> int:
    """Return how many bytes come out of one of the two ways to frame snappy."""
    if not codec._detect_xerial_stream(data):  # noqa: SLF001 (the same question)
        return int(cramjam.snappy.decompress_raw_len(data))
    size, at = 0, XERIAL
    while at < len(data):
        (length,) = struct.unpack_from(">i", data, at)
        size += int(cramjam.snappy.decompress_raw_len(data[at + 4 : at + 4 + length]))
        at += 4 + length
    return size


def read_in_any_case() -> None:
    """Let every consumer of this process read with these classes."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = Records, PartitionRecords
