"""Reads what brokers send, whatever producers put in; aiokafka alone fails at it again and again.

A header's name that is not UTF-8 ends a fetch with an error; 79 kB of zstd may unpack to 1 GB. And
it makes an object of each record: here a fetch is one batch of bytes, for those who can take it.
"""

import contextlib
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBase, DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from crc32c import crc32c

from tidegauge.streams.monitor.intake.framing import Body, framed
from tidegauge.streams.monitor.intake.record_batch import RecordAt, RecordBatch

MAX_UNPACKED = 64 * 1_048_576  # bytes of a batch; a fetch ends with the batch that passes it
MOSTLY = 32  # bytes or fewer come of one
HEAD = DefaultRecordBase.HEADER_STRUCT.size
LENGTH, LENGTH_AT, BEFORE = struct.Struct(">i"), 8, 12  # of a batch: not counted are 12 bytes
MAGIC_AT, MAGIC = 16, 2
LEAST = 26  # bytes of the smallest old batch
XERIAL = 16  # bytes before the blocks of snappy, where Java packed it
UNPACK = {
    DefaultRecordBase.CODEC_GZIP: cramjam.gzip.decompress_into,
    DefaultRecordBase.CODEC_LZ4: cramjam.lz4.decompress_into,
    DefaultRecordBase.CODEC_ZSTD: cramjam.zstd.decompress_into,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StandIn:
    """A record in place of a batch that cannot be read; it is rejected, and says why."""

    offset: int  # of the batch's last record
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: tuple[()] = ()


def whole(value: Any) -> Any:
    """Say as a consumer's value deserializer that it takes whole batches; nothing is deserialized.

    What it fetches of a partition comes as few ``RecordBatch``es, to others record by record.
    """
    return value


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """What was fetched of a partition, in place of aiokafka's class of this name.

    aiokafka's own goes through the batches, checks them, and leaves out markers and what was
    aborted; of a ``Batch`` it is given itself for a record.
    """

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Any]:
        """Yield batches of records, or records, and move ``next_fetch_offset`` behind each."""
        start, found = self.next_fetch_offset, [*super()._unpack_records()]
        end = self.next_fetch_offset
        for batch in joined(self._records.data, found, start):
            for taken in [batch] if self._value_deserializer is whole else batch:
                last = taken.offsets[-1] if isinstance(taken, RecordBatch) else taken.offset
                self.next_fetch_offset = int(last) + 1
                yield taken
        self.next_fetch_offset = end

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        if isinstance(record, Batch | StandIn):
            return record
        timestamp = -1 if record.timestamp is None else record.timestamp  # magic 0 has none
        return RecordAt(record.offset, timestamp, record.key, record.value, ())


def joined(data: bytes, found: list[Any], position: int) -> Iterator[RecordBatch]:
    """Yield what was fetched in as few batches as can be, from ``position`` on."""
    for are_whole, group in groupby(found, lambda one: isinstance(one, Batch)):
        own = list(group)
        yield from _framed(data, own, position) if are_whole else [RecordBatch.of(own)]


def _framed(data: bytes, batches: list["Batch"], position: int) -> Iterator[RecordBatch]:
    if all(batch.unpacked is None for batch in batches):
        bodies = [batch.body(batch.start + HEAD, batch.end) for batch in batches]
    else:
        contents = [
            memoryview(data)[batch.start + HEAD : batch.end]
            if batch.unpacked is None
            else batch.unpacked
            for batch in batches
        ]
        ends = [*accumulate(len(content) for content in contents)]
        bodies = [
            batch.body(end - len(content), end)
            for batch, content, end in zip(batches, contents, ends, strict=True)
        ]
        data = b"".join(contents)
    records, damaged = framed(np.frombuffer(data, np.uint8), bodies, position)
    start = 0
    for place, row in damaged:
        if row > start:
            yield records[start:row]
        yield RecordBatch.of([batches[place].stand_in("is not what its head says")])
        start = row
    if start < len(records):
        yield records[start:]


class Records:
    """What was fetched, batch by batch; aiokafka's ``MemoryRecords``, with limits.

    Where old batches lie before new ones, aiokafka's takes the former for the latter.

    Parameters
    ----------
    data
        As the broker sent it; what is torn at its end is not looked at.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.unpacked, self._at = data, 0, 0

    def size_in_bytes(self) -> int:
        """Return how many bytes were fetched."""
        return len(self.data)

    def has_next(self) -> bool:
        """Tell whether to read on; what is left is fetched again."""
        return self.unpacked < MAX_UNPACKED and self._end() <= len(self.data)

    def next_batch(self) -> Any:
        """Return the next batch."""
        start, self._at = self._at, self._end()
        length, magic = self._at - start, self.data[start + MAGIC_AT]
        if length < (least := LEAST if magic < MAGIC else HEAD):
            raise CorruptRecordException(f"expected {least} bytes or more in a batch, got {length}")
        if magic < MAGIC:
            return LegacyRecordBatch(memoryview(self.data)[start : self._at], magic)
        return Batch(start, self._at, self)

    def _end(self) -> int:
        if len(self.data) - self._at < BEFORE:
            return len(self.data) + 1
        (length,) = LENGTH.unpack_from(self.data, self._at + LENGTH_AT)
        return int(self._at + BEFORE + max(length, 0))


class Batch:
    """A batch as aiokafka asks about it; its records are not read one by one."""

    __slots__ = (
        "_attributes", "_count", "_crc", "_fetched", "_first_ms", "_max_ms", "base_offset", "end",
        "offset", "producer_id", "start", "unpacked",
    )  # fmt: skip

    def __init__(self, start: int, end: int, fetched: Records) -> None:
        self.start, self.end, self._fetched = start, end, fetched
        (
            self.base_offset, _, _, _, self._crc, self._attributes, last, self._first_ms,
            self._max_ms, producer, _, _, self._count,
        ) = DefaultRecordBase.HEADER_STRUCT.unpack_from(fetched.data, start)  # fmt: skip
        self.producer_id = None if producer < 0 else producer
        self.offset: int = self.base_offset + last  # its own: to aiokafka it is a record, too
        self.unpacked: memoryview | None = None  # None: its records lie in what was fetched

    @property
    def next_offset(self) -> int:
        """Return where the next batch begins; compaction does not change it."""
        return self.offset + 1

    @property
    def is_transactional(self) -> bool:
        """Tell whether it is part of a transaction."""
        return bool(self._attributes & DefaultRecordBase.TRANSACTIONAL_MASK)

    @property
    def is_control_batch(self) -> bool:
        """Tell whether it is the marker at the end of a transaction."""
        return bool(self._attributes & DefaultRecordBase.CONTROL_MASK)

    def _bytes(self, first: int) -> memoryview:
        return memoryview(self._fetched.data)[self.start + first : self.end]

    def validate_crc(self) -> bool:
        """Tell whether it is as it was sent."""
        return bool(crc32c(self._bytes(DefaultRecordBase.ATTRIBUTES_OFFSET)) == self._crc)

    def __next__(self) -> Any:
        """Return the record of a marker, which is asked for without an iterator."""
        return next(DefaultRecordBatch(self._bytes(0)))

    def __iter__(self) -> Iterator[Any]:
        """Return itself as one record, or another in its place."""
        size = self.end - self.start
        if codec := self._attributes & DefaultRecordBase.CODEC_MASK:
            self.unpacked = unpack(codec, self._bytes(HEAD))
            if self.unpacked is None:
                return iter([self.stand_in(f"unpacks to more than {MAX_UNPACKED} bytes")])
            size = len(self.unpacked)
        self._fetched.unpacked += size
        return iter([self])

    def body(self, start: int, end: int) -> Body:
        """Return what it says of its records, which lie there."""
        appended = self._attributes & DefaultRecordBase.TIMESTAMP_TYPE_MASK
        append_ms = self._max_ms if appended else -1
        return Body(
            start, end, self._count, self.base_offset, self.offset, self._first_ms, append_ms
        )

    def stand_in(self, reason: str) -> StandIn:
        """Return a record in place of the batch, which is left out."""
        told = (
            f"a batch of {self.end - self.start} bytes, offsets {self.base_offset} to "
            f"{self.offset}, {reason}"
        )
        log.error("Left out %s", told)
        return StandIn(self.offset, self._max_ms, told.encode())


def unpack(kind: int, data: memoryview) -> memoryview | None:
    """Return what was compressed, or None if it has more than ``MAX_UNPACKED`` bytes."""
    if kind == DefaultRecordBase.CODEC_SNAPPY:
        small = snappy_size(data) <= MAX_UNPACKED
        return memoryview(codec.snappy_decode(data.tobytes())) if small else None
    for room in (MOSTLY * len(data), MAX_UNPACKED):
        space = np.empty(min(room, MAX_UNPACKED), np.uint8).data  # untouched, it costs nothing
        with contextlib.suppress(cramjam.DecompressionError):  # no room: brokers let no damage pass
            return space[: UNPACK[kind](data, space)]
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
