"""Reads the last snapshot from the topic ``state``, whole or not at all."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
from backports import zstd

from tidegauge.streams.monitor.records import Record
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.errors import StateError
from tidegauge.streams.runtime.snapshots import PartPlaces, Place, Root, decompress
from tidegauge.streams.runtime.state_log import (
    CHUNK,
    MANIFEST,
    NOTE,
    PART,
    ROOT,
    SNAPSHOT_KEY,
    WHOLE,
    Decoded,
    Log,
    decode,
)

GAP: Final = 256  # offsets: a new fetch costs more than to read past so many records


class MissingError(StateError):
    """A root names a record that is not there."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Layout 1: where the chunks of a snapshot are, and how to know that they are whole."""

    offsets: list[int]
    length: int
    sha256: str


@dataclass
class Loaded:
    """What the log holds."""

    snapshot: Snapshot | None = None  # the last; None: there is none
    size: int = 0  # its bytes
    garbage: set[bytes] = field(default_factory=set)  # keys to be removed after the next one


async def load(log: Log) -> Loaded:
    """Return the last snapshot of a state log.

    Raises
    ------
    StateError
        If the last snapshot is damaged or incomplete; an older one is not taken, as the outputs
        and offsets that followed it are already out.
    """
    trailing = await _back_to_a_root(log)
    last = max((i for i, r in enumerate(trailing) if _is_root(r, log)), default=-1)
    garbage = {r.key for r in trailing[last + 1 :] if r.key and r.value}
    if last < 0:
        return Loaded(None, 0, garbage | {SNAPSHOT_KEY})
    try:
        return await _assemble(log, trailing[last], garbage)
    except MissingError:
        # An owner that was replaced unaware may have written a root after the new owner had
        # removed what it names; the new owner's own is then before it.
        newest = await _newest_root(log)
        if newest.offset == trailing[last].offset:
            raise
        return await _assemble(log, newest, garbage | _decoded(trailing[last], log).keys)


def _decoded(record: Record, log: Log) -> Decoded:
    return decode(record.value, f"{log.name} offset {record.offset}")


def _is_root(record: Record, log: Log) -> bool:
    if record.key == SNAPSHOT_KEY:
        return _decoded(record, log).kind != NOTE
    return (record.key or b"").startswith(b"root-") and record.value is not None


async def _back_to_a_root(log: Log) -> list[Record]:
    """Return the end of the log, from before its last root; all of it if there is none."""
    start, end = await log.bounds()
    trailing: list[Record] = []
    step, upper = 1, end
    while upper > start:  # what follows the last root belongs to a snapshot that broke off
        lower = max(start, upper - step)
        records = [record async for some in log.read(lower, upper) for record in some]
        trailing = records + trailing
        if any(_is_root(record, log) for record in records):
            break
        step, upper = step * 2, lower
    return trailing


async def _newest_root(log: Log) -> Record:
    """Return the last root of the newest owner, wherever it is in the log."""
    roots: list[tuple[int, int, Record]] = []
    async for some in log.read(*await log.bounds()):
        roots += [
            (_decoded(record, log).epoch, record.offset, record)
            for record in some
            if _is_root(record, log)
        ]
    return max(roots, key=lambda root: root[:2])[2]


async def _assemble(log: Log, record: Record, garbage: set[bytes]) -> Loaded:
    where, decoded = f"{log.name} offset {record.offset}", _decoded(record, log)
    if decoded.layout == 1:
        body = await _layout_1(log, where, decoded)
        return Loaded(Snapshot(body, {}), len(body), garbage | decoded.keys | {SNAPSHOT_KEY})
    if decoded.kind != ROOT:
        raise StateError(f"{where}: expected a root, got kind {decoded.kind}")
    root = msgspec.msgpack.decode(decompress(decoded.body), type=Root)
    records = await _read(log, [p for part in root.parts for p in (*part.whole, *part.difference)])
    bodies = [_body(part, records, f"{where} part {i}") for i, part in enumerate(root.parts)]
    size = sum(len(found.value or b"") for found in (record, *records.values()))
    garbage = garbage - {SNAPSHOT_KEY} | decoded.keys | set(root.garbage)
    return Loaded(Snapshot(root.state, dict(enumerate(bodies))), size, garbage)


def _body(part: PartPlaces, records: dict[int, Record], where: str) -> bytes:
    try:
        whole = decompress(_join(part.whole, records, where))
        if not part.difference:
            return whole
        return decompress(_join(part.difference, records, where), whole)
    except zstd.ZstdError as error:
        raise StateError(f"{where}: expected a whole part, got {error}") from error


def _join(places: Iterable[Place], records: dict[int, Record], where: str) -> bytes:
    return b"".join(_at(place, records, where) for place in places)


def _at(place: Place, records: dict[int, Record], where: str) -> bytes:
    found = records.get(place.offset)
    if found is None or found.value is None:
        raise MissingError(f"{where}: names a record at offset {place.offset}, which is not there")
    decoded = decode(found.value, f"{where}: offset {place.offset}")
    if (decoded.kind, decoded.crc) != (PART, place.crc):
        raise StateError(
            f"{where}: expected checksum {place.crc:08x} at offset {place.offset}, "
            f"got {decoded.crc:08x}"
        )
    return decoded.body


async def _read(log: Log, places: Iterable[Place]) -> dict[int, Record]:
    """Return the records at these places, read in as few stretches as is sensible."""
    wanted, found = {place.offset for place in places}, dict[int, Record]()
    for start, end in _stretches(sorted(wanted)):
        async for some in log.read(start, end):
            found |= {record.offset: record for record in some if record.offset in wanted}
    return found


def _stretches(offsets: list[int]) -> Iterator[tuple[int, int]]:
    """Yield from where to where to read.

    >>> list(_stretches([3, 4, 9, 5000]))
    [(3, 10), (5000, 5001)]
    """
    start = 0
    for at in range(1, len(offsets) + 1):
        if at == len(offsets) or offsets[at] - offsets[at - 1] > GAP:
            yield offsets[start], offsets[at - 1] + 1
            start = at


async def _layout_1(log: Log, where: str, decoded: Decoded) -> bytes:
    if decoded.kind == WHOLE:
        return decoded.body
    if decoded.kind != MANIFEST:
        raise StateError(f"{where}: expected a snapshot or a manifest, got kind {decoded.kind}")
    manifest = msgspec.json.decode(decoded.body, type=Manifest)
    records = await _read(log, [Place(offset, 0) for offset in manifest.offsets])
    body = b"".join(_chunk(records, offset, where) for offset in manifest.offsets)
    if len(body) != manifest.length:
        raise StateError(f"{where}: expected {manifest.length} bytes in chunks, got {len(body)}")
    if (found := hashlib.sha256(body).hexdigest()) != manifest.sha256:
        raise StateError(f"{where}: expected chunks of sha256 {manifest.sha256}, got {found}")
    return body


def _chunk(records: dict[int, Record], offset: int, where: str) -> bytes:
    if offset not in records:
        raise StateError(f"{where}: names a chunk at offset {offset}, which is not there")
    decoded = decode(records[offset].value, f"{where}: offset {offset}")
    if decoded.kind != CHUNK:
        raise StateError(f"{where}: expected a chunk at offset {offset}, got kind {decoded.kind}")
    return decoded.body
