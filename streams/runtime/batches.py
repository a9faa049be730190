"""Reads what brokers send, whatever producers put in; aiokafka alone fails at it again and again.

A header's name that is not UTF-8 ends a fetch with an error; 79 kB of zstd may unpack to 1 GB. And
it makes an object of each record: here a fetch is one batch of bytes, for those who can take it.
"""

import contextlib
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBase, DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from tidegauge.streams.monitor.intake.framing import Body, framed
from tidegauge.streams.monitor.intake.record_batch import RecordAt, RecordBatch

MAX_UNPACKED = 64 * 1_048_576  # bytes of a batch; a fetch ends with the batch that passes it
MOSTLY = 32  # bytes or fewer come of one
HEAD = DefaultRecordBase.HEADER_STRUCT.size
LENGTH, LENGTH_AT, BEFORE = struct.Struct(">i"), 8, 12  # of a batch: not counted are 12 bytes
MAGIC_AT, MAGIC, COUNT_AT = 16, 2, HEAD - 4
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
    aborted; of a batch it is given one ``Piece`` for a record.
    """

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Any]:
        """Yield batches of records, or records, and move ``next_fetch_offset`` behind each."""
        start, pieces = self.next_fetch_offset, [*super()._unpack_records()]
        end = self.next_fetch_offset
        for batch in joined(self._records.data, pieces, start):
            for taken in [batch] if self._value_deserializer is whole else batch:
                last = taken.offsets[-1] if isinstance(taken, RecordBatch) else taken.offset
                self.next_fetch_offset = int(last) + 1
                yield taken
        self.next_fetch_offset = end

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        if isinstance(record, Piece | StandIn):
            return record
        timestamp = -1 if record.timestamp is None else record.timestamp  # magic 0 has none
        return RecordAt(record.offset, timestamp, record.key, record.value, ())


@dataclass(frozen=True, slots=True)
class Piece:
    """The records of a batch, as bytes that are not compressed."""

    offset: int  # the last; aiokafka takes this for a record
    content: memoryview | None  # None: they lie in what was fetched
    body: Body
    batch: "Batch"


def joined(data: bytes, pieces: list[Any], position: int) -> Iterator[RecordBatch]:
    """Yield what was fetched in as few batches as can be, from ``position`` on."""
    for are_pieces, group in groupby(pieces, lambda piece: isinstance(piece, Piece)):
        own = list(group)
        yield from _framed(data, own, position) if are_pieces else [RecordBatch.of(own)]


def _framed(data: bytes, pieces: list[Piece], position: int) -> Iterator[RecordBatch]:
    bodies = [piece.body for piece in pieces]
    if any(piece.content is not None for piece in pieces):
        contents = [
            memoryview(data)[p.body.start : p.body.end] if p.content is None else p.content
            for p in pieces
        ]
        ends = np.cumsum([len(content) for content in contents]).tolist()
        data = b"".join(contents)
        bodies = [
            body._replace(start=end - len(content), end=end)
            for body, content, end in zip(bodies, contents, ends, strict=True)
        ]
    batch, damaged = framed(np.frombuffer(data, np.uint8), bodies, position)
    start = 0
    for place, row in damaged:
        if row > start:
            yield batch[start:row]
        yield RecordBatch.of([pieces[place].batch.stand_in("is not what its head says")])
        start = row
    if start < len(batch):
        yield batch[start:]


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
        if self._at - start < LEAST:
            raise CorruptRecordException(f"expected {LEAST} bytes or more in a batch, got fewer")
        content, magic = memoryview(self.data)[start : self._at], self.data[start + MAGIC_AT]
        if magic < MAGIC:
            return LegacyRecordBatch(content, magic)
        return Batch(DefaultRecordBatch(content), start, self._at, self)

    def _end(self) -> int:
        if len(self.data) - self._at < BEFORE:
            return len(self.data) + 1
        (length,) = LENGTH.unpack_from(self.data, self._at + LENGTH_AT)
        return int(self._at + BEFORE + max(length, 0))


class Batch:
    """aiokafka's batch, of which the records are not read one by one."""

    def __init__(self, batch: Any, start: int, end: int, fetched: Records) -> None:
        self._batch, self._start, self._end, self._fetched = batch, start, end, fetched

    def __getattr__(self, name: str) -> Any:
        """Return what aiokafka knows of the batch."""
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """Return the record of a transaction's marker, which is asked for without an iterator."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """Return all records as one piece, or one record in place of them."""
        batch, data, start = self._batch, self._fetched.data, self._start + HEAD
        content = None
        if batch.compression_type:
            content = unpack(batch.compression_type, memoryview(data)[start : self._end])
            if content is None:
                return iter([self.stand_in(f"unpacks to more than {MAX_UNPACKED} bytes")])
        self._fetched.unpacked += self._end - start if content is None else len(content)
        (count,) = LENGTH.unpack_from(data, self._start + COUNT_AT)
        append_ms = batch.max_timestamp if batch.timestamp_type else -1
        first, last = batch.base_offset, batch.next_offset - 1
        body = Body(start, self._end, count, first, last, batch.first_timestamp, append_ms)
        return iter([Piece(last, content, body, self)])

    def stand_in(self, reason: str) -> StandIn:
        """Return a record in place of the batch, which is left out."""
        batch = self._batch
        told = (
            f"a batch of {self._end - self._start} bytes, offsets {batch.base_offset} to "
            f"{batch.next_offset - 1}, {reason}"
        )
        log.error("Left out %s", told)
        return StandIn(batch.next_offset - 1, batch.max_timestamp, told.encode())


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
