"""Writes snapshots to the compacted topic ``state``: what has changed, then a root.

A root holds the partition's own state and names a record for each part, by offset and checksum;
only what the last root names counts. A part is written whole or, where that is shorter, as its
difference from the last whole one. A key is used again only once no root that counts names what
lies under it, so compaction takes nothing that is needed, wherever a snapshot breaks off.
"""

import asyncio
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
from backports import zstd

from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.state_log import (
    NOTE,
    PART,
    ROOT,
    SNAPSHOT_KEY,
    Append,
    encode,
    part_key,
    root_key,
)

CHUNK_BYTES: Final = 900_000  # brokers and producers refuse records of 1 MiB by default
IN_FLIGHT: Final = 100  # records appended at once
MIN_BASE: Final = 8  # bytes; zstd refuses less


class Place(NamedTuple):
    """Where a record lies, and how to know that it is the one."""

    offset: int
    crc: int


class PartPlaces(msgspec.Struct, array_like=True):
    """The records of a part: whole, in chunks, and the difference since, if there is one."""

    whole: list[Place]
    difference: list[Place]


class Root(msgspec.Struct, array_like=True):
    """The body of a root: the partition's own state, and where every part lies."""

    state: bytes
    parts: list[PartPlaces]
    garbage: list[bytes]  # keys of former owners that are not removed yet


def compress(body: bytes, base: bytes | None = None) -> bytes:
    """Return a body in few bytes; with a base they are its difference from that.

    >>> len(compress(bytes(1000) + b"new", bytes(1000))) < 50
    True
    """
    size = len(body) + len(base or b"")
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 1,
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
        zstd.CompressionParameter.window_log: max(10, size.bit_length()),
    }
    return zstd.compress(body, options=options, zstd_dict=_prefix(base))


def decompress(data: bytes, base: bytes | None = None) -> bytes:
    """Return the body again; raises ZstdError where data and base do not belong together."""
    return zstd.decompress(data, zstd_dict=_prefix(base))


def _prefix(base: bytes | None) -> tuple[zstd.ZstdDict, int] | None:
    if base is None or len(base) < MIN_BASE:
        return None
    return zstd.ZstdDict(base, is_raw=True).as_prefix


@dataclass(slots=True)
class _Written:
    """What is in the log of one part."""

    whole: bytes  # compressed
    numbers: list[int]  # of keys
    places: PartPlaces
    size: int  # bytes last written
    since: int = 0  # bytes of differences written since it was written whole


@dataclass(slots=True)
class _Numbers:
    """Gives out numbers of keys; those that are not in use any more come again."""

    used: int = 0
    free: list[int] = field(default_factory=list)

    def take(self) -> int:
        if self.free:
            return self.free.pop()
        self.used += 1
        return self.used - 1

    def keep(self, named: set[int]) -> None:
        self.free = [number for number in range(self.used) if number not in named]


class SnapshotWriter:
    """Appends the snapshots of one owner of a partition; the first must hold every part.

    Parameters
    ----------
    append
        Appends one record to the state log and waits until the brokers have it.
    epoch
        Of the owner, from its fence.
    garbage
        Keys of former owners; removed after the first snapshot of this one. Where ``snapshot`` is
        among them, a note takes its place, so that a version before this one refuses the topic.
    size
        Bytes of the snapshot that was restored: about what the first one will take.
    """

    def __init__(self, append: Append, epoch: int, garbage: set[bytes], size: int = 0) -> None:
        self._append, self._epoch, self._garbage = append, epoch, set(garbage)
        self._parts: dict[Hashable, _Written] = {}
        self._numbers = _Numbers()
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)
        self._root_size = size

    def cost(self, moved: Collection[Hashable]) -> int:
        """Return about how many bytes a snapshot takes in which these parts have changed."""
        return self._root_size + sum(self._parts[key].size for key in moved if key in self._parts)

    async def write(self, snapshot: Snapshot) -> None:
        """Return when the snapshot is complete in the log."""
        written = [self._write_part(key, body) for key, body in snapshot.parts.items()]
        self._parts |= zip(snapshot.parts, await asyncio.gather(*written), strict=True)
        places = [part.places for part in self._parts.values()]
        root = Root(snapshot.root, places, sorted(self._garbage))
        body = compress(msgspec.msgpack.encode(root))
        value, _ = encode(ROOT, self._epoch, self._numbers.used, body)
        await self._append(root_key(self._epoch), value)
        self._root_size = len(value)
        self._numbers.keep({n for part in self._parts.values() for n in part.numbers})
        note, _ = encode(NOTE, self._epoch, 0, b"")
        removed = [self._send(k, note if k == SNAPSHOT_KEY else None) for k in self._garbage]
        await asyncio.gather(*removed)
        self._garbage.clear()

    async def _write_part(self, key: Hashable, body: bytes) -> _Written:
        held = self._parts.get(key)
        if held is not None:
            difference = compress(body, decompress(held.whole))
            if held.since + len(difference) < len(held.whole):
                return await self._write_difference(held, difference)
        whole = compress(body)
        numbers, places = await self._write_chunks(whole)
        return _Written(whole, numbers, PartPlaces(places, []), len(whole))

    async def _write_difference(self, held: _Written, difference: bytes) -> _Written:
        numbers, places = await self._write_chunks(difference)
        whole = held.places.whole
        return _Written(
            held.whole,
            held.numbers[: len(whole)] + numbers,
            PartPlaces(whole, places),
            len(difference),
            held.since + len(difference),
        )

    async def _write_chunks(self, data: bytes) -> tuple[list[int], list[Place]]:
        chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        numbers = [self._numbers.take() for _ in chunks]
        values = [encode(PART, self._epoch, 0, chunk) for chunk in chunks]
        offsets = await asyncio.gather(
            *(
                self._send(part_key(self._epoch, number), value)
                for number, (value, _) in zip(numbers, values, strict=True)
            )
        )
        return numbers, [Place(at, crc) for at, (_, crc) in zip(offsets, values, strict=True)]

    async def _send(self, key: bytes, value: bytes | None) -> int:
        async with self._in_flight:
            return await self._append(key, value)
