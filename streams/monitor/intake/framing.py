"""Finds the records in the bytes of Kafka's record batches, magic 2.

References
----------
Apache Kafka, Message Format (kafka.apache.org/documentation/#messageformat): a record is a varint
length, attributes, a time and an offset as differences from the batch's, key, value, headers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, overload

import numpy as np
from numba import types

from tidegauge.detectors._jit import BYTES, INTS, PAIRS, kernel, routine
from tidegauge.streams.monitor.intake.plain_rows import NULL
from tidegauge.streams.monitor.intake.record_batch import Bytes, Ints, RecordBatch

FAULT: Final = -1  # in place of where to read on
LONGEST: Final = 70  # bits of a varint of ten bytes
LEAST: Final = 7  # bytes of a record


class Body(NamedTuple):
    """The records of a batch, uncompressed, and what its head says of them."""

    start: int  # in the buffer
    end: int
    records: int
    first_offset: int
    last_offset: int
    first_ms: int
    append_ms: int  # the time of all records, where the broker set it; else -1


@routine
def varint(buffer: Any, at: int, end: int) -> Any:
    """Return a zigzag varint of 64 bits at most, and where it ends; FAULT where it does not."""
    value, shift = np.uint64(0), 0
    while at < end and shift < LONGEST:
        part = np.uint64(buffer[at])
        value |= (part & np.uint64(0x7F)) << np.uint64(shift)
        at, shift = at + 1, shift + 7
        if part < np.uint64(0x80):
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), at
    return 0, FAULT


@routine
def span(buffer: Any, at: int, end: int) -> Any:
    """Return start and length of what a length stands before, and where it ends; or FAULT."""
    length, at = varint(buffer, at, end)
    if at == FAULT or length < NULL or length > end - at:
        return 0, NULL, FAULT
    return at, length, at + max(length, 0)


@routine
def headers_end(buffer: Any, at: int, end: int) -> Any:
    """Return where headers end that begin at ``at``; FAULT where they do not."""
    count, at = varint(buffer, at, end)
    if at == FAULT or count < 0:
        return FAULT
    for _ in range(count):
        _, length, at = span(buffer, at, end)
        if at == FAULT or length < 0:
            return FAULT
        _, _, at = span(buffer, at, end)
        if at == FAULT:
            return FAULT
    return at


@kernel(BYTES, PAIRS, types.int64, INTS, INTS, PAIRS, PAIRS, PAIRS, INTS, allocates=False)
def frame(  # noqa: PLR0913, PLR0917 (a kernel takes each array by itself)
    buffer: Any, bodies: Any, position: Any, offsets: Any, timestamps: Any, keys: Any, values: Any,
    headers: Any, damaged: Any,
) -> None:  # fmt: skip
    """Find the records at ``position`` and behind it, of every body that is sound.

    damaged[b] = -1, or the row at which the records of body b would stand; its last element = rows.
    """
    row = 0
    for body in range(len(bodies)):
        at, end, first = bodies[body, 0], bodies[body, 1], row
        first_offset, last_offset = bodies[body, 3], bodies[body, 4]
        first_ms, append_ms = bodies[body, 5], bodies[body, 6]
        least = first_offset
        damaged[body] = first
        for _ in range(bodies[body, 2]):
            length, at = varint(buffer, at, end)
            if at == FAULT or length < 1 or length > end - at:
                at = FAULT
                break
            stop = at + length
            later, at = varint(buffer, at + 1, stop)  # behind the attributes
            offset, at = varint(buffer, at, stop) if at != FAULT else (later, at)
            key_at, key_length, at = span(buffer, at, stop) if at != FAULT else (0, NULL, at)
            value_at, value_length, at = span(buffer, at, stop) if at != FAULT else (0, NULL, at)
            offset += first_offset
            # Of an uncompressed batch brokers let pass any offsets, though they count in them.
            if at == FAULT or offset < least or offset > last_offset:
                at = FAULT
                break
            if headers_end(buffer, at, stop) != stop:
                at = FAULT
                break
            least = offset + 1
            if offset >= position:
                offsets[row] = offset
                timestamps[row] = append_ms if append_ms >= 0 else first_ms + later
                keys[row, 0], keys[row, 1] = key_at, key_length
                values[row, 0], values[row, 1] = value_at, value_length
                headers[row, 0], headers[row, 1] = at, stop - at
                row += 1
            at = stop
        if at == end:
            damaged[body] = -1
        else:
            row = first
    damaged[len(bodies)] = row


def framed(
    buffer: Bytes, bodies: Sequence[Body], position: int
) -> tuple[RecordBatch, list[tuple[int, int]]]:
    """Return the records at ``position`` and behind it, and which bodies are damaged.

    Of a damaged body there are its place among ``bodies`` and the row before which its records
    would stand; none of them is returned. Damaged is also one with offsets that do not rise, or
    that its head does not speak of.
    """
    most = ((body.end - body.start) // LEAST for body in bodies)  # a head may say anything
    rows = sum(max(0, min(body.records, own)) for body, own in zip(bodies, most, strict=True))
    offsets, timestamps = np.empty(rows, np.int64), np.empty(rows, np.int64)
    keys, values, headers = (np.empty((rows, 2), np.int64) for _ in range(3))
    damaged = np.empty(len(bodies) + 1, np.int64)
    table = np.array(bodies, np.int64).reshape(-1, len(Body._fields))
    frame(buffer, table, position, offsets, timestamps, keys, values, headers, damaged)
    batch = RecordBatch(buffer, offsets, timestamps, keys, values, Headers(buffer, headers))
    found = int(damaged[-1])
    places = np.flatnonzero(damaged[:-1] >= 0)
    told = [*zip(places.tolist(), damaged[places].tolist(), strict=True)]
    return (batch if found == rows else batch[:found]), told


@dataclass(frozen=True, slots=True, eq=False)
class Headers(Sequence[Sequence[tuple[str, bytes | None]]]):
    """The headers of records; decoded when they are asked for.

    A name that is not UTF-8 is escaped, so that it can be sent again.
    """

    buffer: Bytes
    spans: Ints  # records x (start, length)

    def __len__(self) -> int:
        """Return of how many records they are."""
        return len(self.spans)

    @overload
    def __getitem__(self, at: int) -> tuple[tuple[str, bytes | None], ...]: ...
    @overload
    def __getitem__(self, at: slice) -> "Headers": ...
    def __getitem__(self, at: int | slice) -> "tuple[tuple[str, bytes | None], ...] | Headers":
        """Return the headers of one record, or of some."""
        if isinstance(at, slice):
            return Headers(self.buffer, self.spans[at])
        start, length = self.spans[at].tolist()
        if self.buffer[start] == 0:  # there are none
            return ()
        return tuple(_pairs(self.buffer[start : start + length].tobytes()))


def _pairs(said: bytes) -> Iterator[tuple[str, bytes | None]]:
    count, at = _varint(said, 0)
    for _ in range(count):
        length, at = _varint(said, at)
        name, at = said[at : at + length].decode(errors="backslashreplace"), at + length
        length, at = _varint(said, at)
        yield name, None if length == NULL else said[at : at + length]
        at += max(length, 0)


def _varint(said: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while said[at] >= 0x80:  # noqa: PLR2004 (another byte follows)
        value, shift, at = value | (said[at] & 0x7F) << shift, shift + 7, at + 1
    value |= said[at] << shift
    return value >> 1 ^ -(value & 1), at + 1
