"""The records of the compacted topic ``state``: headers, checksums, keys.

A root and what it names carry the owner's epoch in their keys, so a former owner that has not
noticed yet cannot make compaction remove ours. Under the key ``snapshot`` lies what earlier
versions look for: their last snapshot, or the note that there is a newer one.
"""

import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tidegauge.streams.monitor.records import Record
from tidegauge.streams.runtime.errors import StateError

SNAPSHOT_KEY: Final = b"snapshot"
MAGIC: Final = b"TDGS"
LAYOUT: Final = 2
WHOLE, MANIFEST, CHUNK, ROOT, PART, NOTE = range(6)  # the first three are of layout 1
HEADER: Final = struct.Struct("<4sHIHQII")  # magic, layout, crc32 of the rest, kind, epoch, slots
REST: Final = 10  # where the rest begins


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


def root_key(epoch: int) -> bytes:
    """Return the key of an owner's roots."""
    return b"root-%d" % epoch


def part_key(epoch: int, number: int) -> bytes:
    """Return the key of a record that roots name."""
    return b"part-%d-%d" % (epoch, number)


def chunk_key(epoch: int, slot: int, index: int) -> bytes:
    """Return the key of a chunk of layout 1."""
    return b"chunk-%d-%d-%d" % (epoch, slot, index)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record of the state log, its checksum verified."""

    layout: int
    crc: int
    kind: int
    epoch: int
    slots: tuple[int, int]  # keys of parts its epoch has used, 0; layout 1: chunks in each slot
    body: bytes

    @property
    def keys(self) -> set[bytes]:
        """Return the keys that its epoch had used by then, but for the snapshot's own."""
        if self.layout == 1:
            return {chunk_key(self.epoch, s, i) for s, n in enumerate(self.slots) for i in range(n)}
        parts = {part_key(self.epoch, number) for number in range(self.slots[0])}
        return {root_key(self.epoch), *parts}


def encode(kind: int, epoch: int, used: int, body: bytes) -> tuple[bytes, int]:
    """Return a record's value, header and body, and the checksum over all but its beginning."""
    rest = HEADER.pack(MAGIC, LAYOUT, 0, kind, epoch, used, 0)[REST:] + body
    crc = zlib.crc32(rest)
    return HEADER.pack(MAGIC, LAYOUT, crc, 0, 0, 0, 0)[:REST] + rest, crc


def decode(value: bytes | None, where: str) -> Decoded:
    """Take a record's value apart.

    Raises
    ------
    StateError
        If it is not a state record of a known layout, or its checksum does not match.
    """
    if value is None or len(value) < HEADER.size or value[:4] != MAGIC:
        raise StateError(f"{where}: expected a state record, got {(value or b'')[:4]!r}")
    _, layout, crc, kind, epoch, *slots = HEADER.unpack_from(value)
    if layout not in (1, LAYOUT):
        raise StateError(
            f"{where}: expected state layout 1 or {LAYOUT}, got {layout}; "
            "run the version of tidegauge that wrote it, or a newer one"
        )
    if (found := zlib.crc32(value[REST:])) != crc:
        raise StateError(f"{where}: expected checksum {crc:08x}, got {found:08x}")
    return Decoded(layout, crc, kind, epoch, (slots[0], slots[1]), value[HEADER.size :])
