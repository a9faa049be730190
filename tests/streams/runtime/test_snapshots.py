import random
import struct

import pytest

from tests.streams.runtime.memory import MemoryLog, Row
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.errors import StateError
from tidegauge.streams.runtime.loading import GAP, Loaded, load
from tidegauge.streams.runtime.snapshots import CHUNK_BYTES, SnapshotWriter
from tidegauge.streams.runtime.state_log import HEADER, SNAPSHOT_KEY, part_key, root_key

LARGE = random.Random(1).randbytes(2 * CHUNK_BYTES + 1000)  # three chunks
MODEL = random.Random(2).randbytes(20_000)


def writer(log: MemoryLog, epoch: int = 1, garbage: set[bytes] | None = None) -> SnapshotWriter:
    return SnapshotWriter(log.append_state, epoch, garbage or set())


def keys(log: MemoryLog) -> list[bytes | None]:
    return [record.key for record in log.records]


def size(log: MemoryLog) -> int:
    return sum(len(record.value or b"") for record in log.records)


def of(root: bytes, *parts: bytes, at: int = 0) -> Snapshot:
    return Snapshot(root, {at + n: part for n, part in enumerate(parts)})


async def loaded(log: MemoryLog) -> tuple[bytes, list[bytes]] | None:
    found = (await load(log)).snapshot
    return None if found is None else (found.root, list(found.parts.values()))


async def test_an_empty_log_holds_no_snapshot() -> None:
    assert await load(MemoryLog()) == Loaded(None, 0, {SNAPSHOT_KEY})


@pytest.mark.parametrize("body", [b"", b"small", b"x" * CHUNK_BYTES])
async def test_a_part_that_fits_is_one_record_and_the_root_comes_last(body: bytes) -> None:
    log = MemoryLog()
    await writer(log).write(of(b"root", body, MODEL))
    assert keys(log) == [part_key(1, 0), part_key(1, 1), root_key(1)]
    assert await loaded(log) == (b"root", [body, MODEL])


async def test_a_larger_one_is_chunks() -> None:
    log = MemoryLog()
    await writer(log, epoch=7).write(of(b"root", LARGE))
    assert keys(log) == [*(part_key(7, number) for number in range(3)), root_key(7)]
    assert max(len(record.value or b"") for record in log.records) < CHUNK_BYTES + 100
    assert await loaded(log) == (b"root", [LARGE])


async def test_only_what_has_changed_is_written() -> None:
    log = MemoryLog()
    own = writer(log)
    await own.write(of(b"root", MODEL, b"one", b"two"))
    await own.write(of(b"second", b"other", at=1))
    assert keys(log)[4:] == [part_key(1, 3), root_key(1)]
    assert await loaded(log) == (b"second", [MODEL, b"other", b"two"])


async def test_a_small_change_of_a_large_part_takes_few_bytes() -> None:
    log = MemoryLog()
    own = writer(log)
    body, chance = LARGE, random.Random(3)
    await own.write(of(b"root", body))
    before = size(log)
    for turn in range(50):
        at = chance.randrange(len(body))
        body = body[:at] + b"changed %d" % turn + body[at + chance.randrange(20) :]
        await own.write(of(b"root", body))
        assert await loaded(log) == (b"root", [body])
    assert size(log) - before < 50 * 5_000


async def test_differences_never_cost_more_than_what_they_differ_from() -> None:
    log = MemoryLog()
    own, body = writer(log), b""
    for turn in range(200):
        body += random.Random(turn).randbytes(100)
        await own.write(of(b"", body))
    log.compact()
    assert size(log) < 3 * len(body)
    assert await loaded(log) == (b"", [body])


@pytest.mark.parametrize("lost", range(1, 6))
async def test_parts_without_their_root_leave_the_snapshot_before_them(lost: int) -> None:
    log = MemoryLog()
    own = writer(log)
    for turn in range(6):
        await own.write(of(b"root %d" % turn, LARGE + b"%d" % turn, MODEL, b"%d" % turn))
        bodies = [LARGE + b"%d" % turn, MODEL, b"%d" % turn]
    other = random.Random(9).randbytes(len(LARGE))
    before = len(log.records)
    await own.write(of(b"lost", other, MODEL[::-1], b"new"))
    assert len(log.records) == before + 6  # five parts and a root
    log.records, log.end = log.records[: before + lost], before + lost
    log.compact()
    assert await loaded(log) == (b"root 5", bodies)


async def test_a_new_owner_removes_the_records_of_the_one_before() -> None:
    log = MemoryLog()
    old = writer(log, epoch=1)
    await old.write(of(b"", LARGE))
    await old.write(of(b"", LARGE[::-1]))
    log.append(part_key(1, 9), b"cut off before its root")
    found = await load(log)
    await writer(log, 2, found.garbage).write(of(b"small again", b"part"))
    log.compact()
    assert keys(log) == [part_key(2, 0), root_key(2)]
    assert await loaded(log) == (b"small again", [b"part"])


async def test_what_an_owner_could_not_remove_any_more_the_next_one_removes() -> None:
    log = MemoryLog()
    for epoch in range(1, 5):
        await writer(log, epoch, (await load(log)).garbage).write(of(b"state", MODEL, b"part"))
        if epoch < 4:  # it dies before it has removed anything
            log.end = keys(log).index(root_key(epoch)) + 1
            log.records = log.records[: log.end]
    log.compact()
    assert keys(log) == [part_key(4, 0), part_key(4, 1), root_key(4), SNAPSHOT_KEY]


async def test_a_former_owner_that_goes_on_cannot_remove_our_records() -> None:
    log = MemoryLog()
    old, new = writer(log, epoch=1), writer(log, epoch=2)
    await old.write(of(b"", MODEL))
    await new.write(of(b"new", MODEL + b"new"))
    await old.write(of(b"late", MODEL + b"late"))
    log.records, log.end = log.records[:-1], log.end - 1  # it dies before its root
    log.compact()
    assert await loaded(log) == (b"new", [MODEL + b"new"])


async def test_the_root_of_a_former_owner_whose_parts_are_removed_does_not_count() -> None:
    log = MemoryLog()
    old = writer(log, epoch=1)
    await old.write(of(b"old", MODEL, b"other"))
    new = writer(log, 2, (await load(log)).garbage)
    await new.write(of(b"new", MODEL + b"new", b"other"))
    await old.write(of(b"late", b"late", at=1))  # names a part that is gone
    log.compact()
    found = await load(log)
    assert found.snapshot == Snapshot(b"new", {0: MODEL + b"new", 1: b"other"})
    await writer(log, 3, found.garbage).write(of(b"newest"))
    log.compact()
    assert keys(log) == [root_key(3)]


async def test_every_flipped_byte_is_refused() -> None:
    log = MemoryLog()
    await writer(log).write(of(b"state", b"part"))
    for number, record in enumerate(log.records):
        good = record.value or b""
        for at in range(len(good)):
            damaged = bytearray(good)
            damaged[at] ^= 1
            log.records[number] = Row(number, record.key, bytes(damaged))
            with pytest.raises(StateError, match=r"offset \d.*: expected"):
                await load(log)
        log.records[number] = record


async def test_a_missing_part_is_named() -> None:
    log = MemoryLog()
    await writer(log).write(of(b"", MODEL, LARGE))
    gone = log.records.pop(1).offset
    with pytest.raises(StateError, match=rf"part \d: names a record at offset {gone}, which is"):
        await load(log)


async def test_a_part_of_another_snapshot_in_its_place_is_refused() -> None:
    log, other = MemoryLog(), MemoryLog()
    await writer(log).write(of(b"", MODEL))
    await writer(other).write(of(b"", MODEL[::-1]))
    log.records[0] = other.records[0]
    with pytest.raises(StateError, match="part 0: expected checksum"):
        await load(log)


async def test_a_newer_layout_asks_for_the_version_that_wrote_it() -> None:
    log = MemoryLog()
    await writer(log).write(of(b"state"))
    value = bytearray(log.records[0].value or b"")
    struct.pack_into("<H", value, 4, 3)
    log.records[0] = Row(0, root_key(1), bytes(value))
    with pytest.raises(StateError, match="expected state layout 1 or 2, got 3; run the version"):
        await load(log)


async def test_an_earlier_version_finds_a_layout_that_it_refuses() -> None:
    log = MemoryLog()
    for epoch in range(1, 4):
        own = writer(log, epoch, (await load(log)).garbage)
        await own.write(of(b"state", b"part"))
        if epoch == 1:  # which dies before the note
            log.records, log.end = log.records[:2], 2
        log.compact()
    (note,) = [record.value or b"" for record in log.records if record.key == SNAPSHOT_KEY]
    assert HEADER.unpack_from(note)[1] == 2  # where the earlier version expects 1


async def test_thousands_of_parts_are_read_in_few_stretches() -> None:
    log = MemoryLog()
    own = writer(log)
    await own.write(of(b"", *(b"part %d" % number for number in range(3000))))
    await own.write(of(b"", b"again", at=5))
    log.end += 10 * GAP  # others' records, removed since
    await own.write(of(b"", b"again", at=2999))
    stretches = []
    read = log.read

    def count(start: int, end: int) -> object:
        stretches.append((start, end))
        return read(start, end)

    log.read = count  # type: ignore[method-assign, assignment]  # a spy
    assert (await load(log)).size > 3000
    assert len(stretches) < 6


async def test_what_a_snapshot_will_cost_follows_what_has_moved() -> None:
    log = MemoryLog()
    own = SnapshotWriter(log.append_state, 1, set(), 12345)
    assert own.cost([]) == 12345
    await own.write(of(b"", MODEL, MODEL[::-1], b"small"))
    assert own.cost([]) < 200
    assert own.cost([0]) > len(MODEL)
    await own.write(of(b"", MODEL + b"x"))
    assert own.cost([0]) < 300
    assert own.cost([0, 1, 3, "new"]) > len(MODEL)
