"""Snapshots of layout 1, the whole partition in one record or in chunks, are still read.

``tests/golden/state-layout-1.bin`` is a record of ``state`` as the code of commit ac1076c wrote it,
with rows that wait for their types, a change that waits for its offset, windows of three kinds,
and a retraining cool-down.
"""

import hashlib
import zlib

import msgspec
import pytest

from tests.streams.monitor.driver import SETTINGS
from tests.streams.runtime.goldens import golden
from tests.streams.runtime.memory import MemoryLog, Row
from tidegauge.streams.monitor.intake.columns import Columns
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.errors import StateError
from tidegauge.streams.runtime.loading import load
from tidegauge.streams.runtime.snapshots import CHUNK_BYTES, SnapshotWriter
from tidegauge.streams.runtime.state_log import (
    CHUNK,
    HEADER,
    MAGIC,
    MANIFEST,
    REST,
    SNAPSHOT_KEY,
    WHOLE,
    chunk_key,
)

LARGE = bytes(range(256)) * (2 * CHUNK_BYTES // 256 + 1)  # three chunks


def record(kind: int, epoch: int, slots: tuple[int, int], body: bytes) -> bytes:
    """Return a record as versions before wrote it."""
    rest = HEADER.pack(MAGIC, 1, 0, kind, epoch, *slots)[REST:] + body
    return HEADER.pack(MAGIC, 1, zlib.crc32(rest), 0, 0, 0, 0)[:REST] + rest


def chunked(log: MemoryLog, body: bytes, epoch: int = 7) -> None:
    """Append chunks and their manifest as versions before wrote them."""
    parts = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
    offsets = [
        log.append(chunk_key(epoch, 0, index), record(CHUNK, epoch, (0, 0), part))
        for index, part in enumerate(parts)
    ]
    manifest = {"offsets": offsets, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    slots = (len(parts), 0)
    log.append(SNAPSHOT_KEY, record(MANIFEST, epoch, slots, msgspec.json.encode(manifest)))


async def body_of(log: MemoryLog) -> bytes:
    found = (await load(log)).snapshot
    assert found is not None
    assert not found.parts
    return found.root


async def test_a_snapshot_that_an_earlier_version_wrote_is_restored() -> None:
    partition = Partition.restore(0, SETTINGS, await golden(1))
    at = {"predictions": 316, "features": 162, "labels": 181, "outcomes": 12, "alerts": 1}
    assert partition.next_offset == at
    tally = partition.tallies["predictions"]
    assert (tally.records, tally.observed, tally.rejected) == (316, 328, 21)
    versions = {("fraud", ""), ("fraud", "1"), ("fraud", "2"), ("house", ""), ("rare", "")}
    assert partition.known().keys() == versions
    assert partition.known()["fraud", "1"] == "4d296e0242dd7bc6"
    predictions, features = partition.rows["predictions"], partition.rows["features"]
    assert predictions.waiting() == 53
    house = predictions.monitors["house", ""]
    assert (house.observed, house.bounds.index) == (187, 12)
    assert features.monitors["fraud", "1"].observed == 153
    waiting = {(change.offset, change.key) for change in features.changes}
    assert waiting == {(162, ("fraud", "2")), (162, ("rare", ""))}
    assert partition.outcomes.monitors["fraud", "2"].observed == 101
    assert partition.outcomes.monitors["house", ""].outcomes.task == "regression"
    assert partition.join.counts.pairs == 248
    assert partition.retraining.quiet_until_ms == {"house": 1700604810910}
    assert len(partition.moved) == 6  # everything is written again, in parts


async def test_columns_that_held_before_an_offset_are_those_of_their_version() -> None:
    root = msgspec.msgpack.decode((await golden(1)).root)
    held = Columns(("amount",), ())
    root["rows"]["predictions"]["past"] = [[["fraud", "2"], [[100, held]]]]
    partition = Partition.restore(0, SETTINGS, Snapshot(msgspec.msgpack.encode(root), {}))
    assert partition.rows["predictions"].past == {("fraud", "2"): [(100, held)]}


async def test_it_is_followed_by_one_in_parts_and_then_removed() -> None:
    log = MemoryLog()
    chunked(log, LARGE)
    found = await load(log)
    assert found.snapshot == Snapshot(LARGE, {})
    await SnapshotWriter(log.append_state, 8, found.garbage).write(Snapshot(b"new", {"m": b"part"}))
    log.compact()
    assert [record.key for record in log.records] == [b"part-8-0", b"root-8", SNAPSHOT_KEY]
    assert (await load(log)).snapshot == Snapshot(b"new", {0: b"part"})


async def test_one_record_and_chunks_are_read_as_they_were() -> None:
    log = MemoryLog()
    log.append(SNAPSHOT_KEY, record(WHOLE, 3, (0, 0), b"small"))
    assert await body_of(log) == b"small"
    chunked(log, LARGE)
    assert await body_of(log) == LARGE


async def test_every_flipped_byte_of_a_record_is_refused() -> None:
    good = record(WHOLE, 3, (0, 0), b"state")
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1
        log = MemoryLog(records=[Row(0, SNAPSHOT_KEY, bytes(damaged))], end=1)
        with pytest.raises(StateError, match="topic t partition 0 offset 0: expected"):
            await load(log)


async def test_a_missing_chunk_is_named() -> None:
    log = MemoryLog()
    chunked(log, LARGE)
    del log.records[1]
    with pytest.raises(StateError, match=r"names a chunk at offset 1, which is not there"):
        await load(log)


async def test_a_chunk_of_another_snapshot_in_its_place_is_refused() -> None:
    log, other = MemoryLog(), MemoryLog()
    chunked(log, LARGE)
    chunked(other, LARGE[::-1])
    log.records[1] = other.records[1]
    with pytest.raises(StateError, match="expected chunks of sha256"):
        await load(log)
