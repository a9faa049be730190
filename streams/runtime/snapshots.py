"""How a partition's state lies in the compacted topic ``state``.

The last record with the key ``snapshot`` is the state, or the manifest of it: a state that is too
large for one record lies in chunks before its manifest. Chunk keys carry the owner's epoch, so a
former owner that has not noticed yet cannot make compaction remove ours, and one of two slots in
turn, so the chunks of the last snapshot stay until the next is complete.
"""

import hashlib
import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from streams.monitor.records import Record
from streams.runtime.errors import StateError

SNAPSHOT_KEY: Final = b"snapshot"
CHUNK_BYTES: Final = 900_000  # brokers and producers refuse records of 1 MiB by default
MAGIC: Final = b"TDGS"
LAYOUT: Final = 1
WHOLE, MANIFEST, CHUNK = range(3)
HEADER: Final = struct.Struct("<4sHIHQII")  # magic, layout, crc32 of the rest, kind, epoch, slots
REST: Final = 10  # where the rest begins


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chunks of a snapshot are, and how to know that they are whole."""

    offsets: list[int]
    length: int
    sha256: str


class Log(Protocol):
    """One partition of a topic, to be read from one offset up to another."""

    @property
    def name(self) -> str:
        """Return what to call it in messages."""

    async def bounds(self) -> tuple[int, int]:
        """Return the first offset there is, and the one the next record will get."""

    def read(self, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of [start, end) in batches."""


class Append(Protocol):
    """Append a record to the state log; return its offset once the brokers have it."""

    async def __call__(self, key: bytes, value: bytes | None) -> int:
        """Append; None as value removes what was there under the key."""


@dataclass
class Loaded:
    """The last snapshot (None: there is none), and the chunk keys that lie about in its log."""

    body: bytes | None = None
    litter: set[bytes] = field(default_factory=set)


def chunk_key(epoch: int, slot: int, index: int) -> bytes:
    """Return the key of a chunk."""
    return b"chunk-%d-%d-%d" % (epoch, slot, index)


def encode(kind: int, epoch: int, slots: Sequence[int], body: bytes) -> bytes:
    """Return a record's value: a header with a checksum over all that follows it, and the body."""
    rest = HEADER.pack(MAGIC, LAYOUT, 0, kind, epoch, *slots)[REST:] + body
    return HEADER.pack(MAGIC, LAYOUT, zlib.crc32(rest), 0, 0, 0, 0)[:REST] + rest


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record of the state log, its checksum verified."""

    kind: int
    epoch: int
    slots: tuple[int, int]  # chunks this epoch has written into each slot
    body: bytes

    @property
    def chunk_keys(self) -> set[bytes]:
        """Return the keys of the chunks its epoch had written by then."""
        return {chunk_key(self.epoch, s, i) for s, n in enumerate(self.slots) for i in range(n)}


def decode(value: bytes | None, where: str) -> Decoded:
    """Take a record's value apart.

    Raises
    ------
    StateError
        If it is not a state record of this layout, or its checksum does not match.
    """
    if value is None or len(value) < HEADER.size or value[:4] != MAGIC:
        raise StateError(f"{where}: expected a state record, got {(value or b'')[:4]!r}")
    _, layout, crc, kind, epoch, *slots = HEADER.unpack_from(value)
    if layout != LAYOUT:
        raise StateError(
            f"{where}: expected state layout {LAYOUT}, got {layout}; "
            "run the version of tidegauge that wrote it, or a newer one"
        )
    if (found := zlib.crc32(value[REST:])) != crc:
        raise StateError(f"{where}: expected checksum {crc:08x}, got {found:08x}")
    return Decoded(kind, epoch, (slots[0], slots[1]), value[HEADER.size :])


async def load(log: Log) -> Loaded:
    """Return the last snapshot of a state log.

    Raises
    ------
    StateError
        If the last snapshot is damaged or misses a chunk; an older one is not taken, as the
        outputs and offsets that followed it are already out.
    """
    start, end = await log.bounds()
    trailing: list[Record] = []
    step, upper = 1, end
    while upper > start:  # back from the end: what follows the snapshot are chunks without manifest
        lower = max(start, upper - step)
        records = [record async for some in log.read(lower, upper) for record in some]
        trailing = records + trailing
        if any(record.key == SNAPSHOT_KEY for record in records):
            break
        step, upper = step * 2, lower
    last = max((i for i, r in enumerate(trailing) if r.key == SNAPSHOT_KEY), default=-1)
    litter = {record.key for record in trailing[last + 1 :] if record.key and record.value}
    if last < 0:
        return Loaded(None, litter)
    found = trailing[last]
    decoded = decode(found.value, f"{log.name} offset {found.offset}")
    body = decoded.body if decoded.kind == WHOLE else await _assemble(log, found.offset, decoded)
    return Loaded(body, litter | decoded.chunk_keys)


async def _assemble(log: Log, offset: int, decoded: Decoded) -> bytes:
    where = f"{log.name} offset {offset}"
    if decoded.kind != MANIFEST:
        raise StateError(f"{where}: expected a snapshot or a manifest, got kind {decoded.kind}")
    manifest = msgspec.json.decode(decoded.body, type=Manifest)
    parts = [await _chunk(log, at, where) for at in manifest.offsets]
    body = b"".join(parts)
    if len(body) != manifest.length:
        raise StateError(f"{where}: expected {manifest.length} bytes in chunks, got {len(body)}")
    if (found := hashlib.sha256(body).hexdigest()) != manifest.sha256:
        raise StateError(f"{where}: expected chunks of sha256 {manifest.sha256}, got {found}")
    return body


async def _chunk(log: Log, offset: int, where: str) -> bytes:
    found = [r async for some in log.read(offset, offset + 1) for r in some if r.offset == offset]
    if not found:
        raise StateError(f"{where}: names a chunk at offset {offset}, which is not there")
    decoded = decode(found[0].value, f"{log.name} offset {offset}")
    if decoded.kind != CHUNK:
        raise StateError(f"{where}: expected a chunk at offset {offset}, got kind {decoded.kind}")
    return decoded.body


class SnapshotWriter:
    """Appends the snapshots of one owner of a partition.

    Parameters
    ----------
    append
        Appends one record to the state log and waits until the brokers have it.
    epoch
        Of the owner, from its fence.
    litter
        Chunk keys of former owners; removed after the first snapshot of this one.
    """

    def __init__(self, append: Append, epoch: int, litter: set[bytes]) -> None:
        self._append, self._epoch, self._litter = append, epoch, set(litter)
        self._slots = [0, 0]
        self._next_slot = 0

    async def write(self, body: bytes) -> None:
        """Return when the snapshot is complete in the log."""
        if len(body) <= CHUNK_BYTES:
            kind = WHOLE
        else:
            kind, body = MANIFEST, await self._write_chunks(body)
        await self._append(SNAPSHOT_KEY, encode(kind, self._epoch, self._slots, body))
        while self._litter:
            await self._append(self._litter.pop(), None)

    async def _write_chunks(self, body: bytes) -> bytes:
        slot, self._next_slot = self._next_slot, 1 - self._next_slot
        parts = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
        self._slots[slot] = max(self._slots[slot], len(parts))
        offsets = [
            await self._append(
                chunk_key(self._epoch, slot, index), encode(CHUNK, self._epoch, (0, 0), part)
            )
            for index, part in enumerate(parts)
        ]
        manifest = Manifest(
            offsets=offsets, length=len(body), sha256=hashlib.sha256(body).hexdigest()
        )
        return msgspec.json.encode(manifest)
