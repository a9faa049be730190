import struct

import pytest

from streams.runtime.errors import StateError
from streams.runtime.snapshots import CHUNK_BYTES, SNAPSHOT_KEY, SnapshotWriter, chunk_key, load
from tests.streams.runtime.memory import MemoryLog, Row

LARGE = bytes(range(256)) * (2 * CHUNK_BYTES // 256 + 1)  # three chunks


def writer(log: MemoryLog, epoch: int = 1, litter: set[bytes] | None = None) -> SnapshotWriter:
    return SnapshotWriter(log.append_state, epoch, litter or set())


def keys(log: MemoryLog) -> list[bytes | None]:
    return [record.key for record in log.records]


async def test_an_empty_log_holds_no_snapshot() -> None:
    assert (await load(MemoryLog())).body is None


@pytest.mark.parametrize("body", [b"", b"small", b"x" * CHUNK_BYTES])
async def test_a_snapshot_that_fits_is_one_record_with_one_key(body: bytes) -> None:
    log = MemoryLog()
    await writer(log).write(body)
    assert keys(log) == [SNAPSHOT_KEY]
    assert (await load(log)).body == body


async def test_a_larger_one_is_chunks_and_then_a_manifest() -> None:
    log = MemoryLog()
    await writer(log, epoch=7).write(LARGE)
    assert keys(log) == [*(chunk_key(7, 0, index) for index in range(3)), SNAPSHOT_KEY]
    assert max(len(record.value or b"") for record in log.records) < CHUNK_BYTES + 100
    assert (await load(log)).body == LARGE


@pytest.mark.parametrize("written", [0, 1, 2])
async def test_chunks_without_their_manifest_leave_the_snapshot_before_them(written: int) -> None:
    log = MemoryLog()
    own = writer(log)
    await own.write(LARGE)
    await own.write(LARGE + b"second")
    before = len(log.records)
    await own.write(LARGE + b"third")
    log.records = log.records[: before + written]
    log.end = before + written
    log.compact()  # the third shares its slot with the first, not with the second
    assert (await load(log)).body == LARGE + b"second"


async def test_a_new_owner_removes_the_chunks_of_the_one_before() -> None:
    log = MemoryLog()
    old = writer(log, epoch=1)
    await old.write(LARGE)
    await old.write(LARGE)
    await log.append_state(chunk_key(1, 0, 9), b"cut off before its manifest")
    found = await load(log)
    new = writer(log, 2, found.litter)
    await new.write(b"small again")
    log.compact()
    assert keys(log) == [SNAPSHOT_KEY]
    assert (await load(log)).body == b"small again"


async def test_a_former_owner_that_goes_on_cannot_remove_our_chunks() -> None:
    log = MemoryLog()
    old, new = writer(log, epoch=1), writer(log, epoch=2)
    await old.write(LARGE)
    await new.write(LARGE + b"new")
    await old._write_chunks(LARGE + b"late")  # noqa: SLF001  # it dies before its manifest
    log.compact()
    assert (await load(log)).body == LARGE + b"new"


async def test_every_flipped_byte_of_a_record_is_refused() -> None:
    log = MemoryLog()
    await writer(log).write(b"state")
    good = log.records[0].value or b""
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1
        log.records[0] = Row(0, SNAPSHOT_KEY, bytes(damaged))
        with pytest.raises(StateError, match="topic t partition 0 offset 0: expected"):
            await load(log)


async def test_a_missing_chunk_is_named() -> None:
    log = MemoryLog()
    await writer(log).write(LARGE)
    del log.records[1]
    with pytest.raises(StateError, match=r"names a chunk at offset 1, which is not there"):
        await load(log)


async def test_a_chunk_of_another_snapshot_in_its_place_is_refused() -> None:
    log, other = MemoryLog(), MemoryLog()
    await writer(log).write(LARGE)
    await writer(other).write(LARGE[::-1])
    log.records[1] = other.records[1]
    with pytest.raises(StateError, match="expected chunks of sha256"):
        await load(log)


async def test_a_newer_layout_asks_for_the_version_that_wrote_it() -> None:
    log = MemoryLog()
    await writer(log).write(b"state")
    value = bytearray(log.records[0].value or b"")
    struct.pack_into("<H", value, 4, 2)
    log.records[0] = Row(0, SNAPSHOT_KEY, bytes(value))
    with pytest.raises(StateError, match="expected state layout 1, got 2; run the version"):
        await load(log)
