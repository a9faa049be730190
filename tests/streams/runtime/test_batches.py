"""Fetched bytes as hostile producers make them; built with aiokafka's own builder."""

import inspect
import struct
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import codec as codecs
from aiokafka.consumer import fetcher as theirs
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import _MemoryRecordsPy as MemoryRecords  # see Records
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.runtime import batches
from tidegauge.streams.runtime.batches import PartitionRecords, Records, whole

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch(codec: int, values: list[bytes], header: str = "trace", first: int = 0) -> bytes:
    """Return a batch as a broker would send it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1_000 + number, b"k", value, [(header, b"7")])
    built = bytearray(builder.build())
    built[:8] = first.to_bytes(8, "big")
    return bytes(built)


Told = tuple[Any, ...]


def read(fetched: bytes, ours: bool = True, start: int = 0) -> list[Told]:
    """Return what a consumer gets that asks from ``start`` on; checksums are not looked at."""
    return fetch(fetched, ours, start)[0]


def fetch(
    fetched: bytes,
    ours: bool,
    start: int,
    aborted: Sequence[tuple[int, int]] = (),
    deserializer: Any = None,
    most: int = 1 << 30,
) -> tuple[list[Told], int]:
    """Return up to so many records, and where to fetch on."""
    aiokafkas = PartitionRecords.__bases__[0]  # the module may have ours by now
    kind, records = (PartitionRecords, Records) if ours else (aiokafkas, MemoryRecords)
    tp, isolation = TopicPartition("t", 0), theirs.READ_COMMITTED
    found = kind(tp, records(fetched), [*aborted], start, None, deserializer, False, isolation)
    taken = [*islice(found, most)]
    if deserializer is whole:
        assert all(isinstance(batch, RecordBatch) for batch in taken)
        taken = [record for batch in taken for record in batch]
    told = [
        (r.offset, -1 if r.timestamp is None else r.timestamp, r.key, r.value, list(r.headers))
        for r in taken
    ]
    return told, found.next_fetch_offset


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_fetch_is_read_as_aiokafka_reads_it(codec: int) -> None:
    values = [b"value %d" % n * 50 for n in range(100)]
    fetched = batch(codec, values) + batch(codec, values, first=100)
    assert read(fetched) == read(fetched, ours=False)
    assert len(read(fetched)) == 200


TEXTS = st.none() | st.binary(max_size=30)


@st.composite
def fetches(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, int]]]:
    """Return what a broker may send from a position on, and which transactions were aborted."""
    sent, offset, aborted = b"", draw(st.integers(0, 5)), list[tuple[int, int]]()
    start = offset
    for _ in range(draw(st.integers(1, 6))):
        codec, producer = draw(st.sampled_from([*CODECS.values()])), draw(st.integers(-1, 2))
        magic = draw(st.sampled_from([2, 2, 2, 2, 1, 0]))
        if magic < 2:
            codec = 0 if codec > 3 or (magic == 0 and codec == 3) else codec
            legacy = LegacyRecordBatchBuilder(magic, codec, 1 << 30)
            for _ in range(draw(st.integers(1, 3))):
                legacy.append(offset, 1_000 + offset, draw(TEXTS), draw(TEXTS))
                offset += 1
            sent += bytes(legacy.build())
            continue
        is_transaction = producer > 0
        if is_transaction and draw(st.booleans()):
            aborted.append((producer, offset))
        deltas = sorted(draw(st.sets(st.integers(0, 9), max_size=5)))
        codec = codec if deltas else 0  # there is nothing to unpack
        builder = DefaultRecordBatchBuilder(2, codec, is_transaction, producer, 0, 0, 1 << 30)
        for delta in deltas:
            headers = draw(st.lists(st.tuples(st.text("name", max_size=3), TEXTS), max_size=2))
            builder.append(
                delta, 1_000 + draw(st.integers(-50, 50)), draw(TEXTS), draw(TEXTS), headers
            )
        built = bytearray(builder.build())
        struct.pack_into(">q", built, 0, offset)
        struct.pack_into(">i", built, 23, 9)  # compaction keeps the last offset of a batch
        if draw(st.booleans()):  # log-append time
            struct.pack_into(">h", built, 21, struct.unpack_from(">h", built, 21)[0] | 8)
            struct.pack_into(">q", built, 35, 5_000)
        sent, offset = sent + built, offset + 10
        if is_transaction and draw(st.booleans()):
            sent, offset = sent + marker(producer, offset, draw(st.booleans())), offset + 1
        start = draw(st.integers(start, offset - 1)) if len(sent) == len(built) else start
    return sent[: len(sent) - draw(st.just(0) | st.integers(0, 90))], start, aborted


def marker(producer: int, offset: int, commits: bool) -> bytes:
    """Return the end of a transaction."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, -1, 1 << 30)
    builder.append(0, 1_000, struct.pack(">hh", 0, commits), b"\0" * 6, [])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, offset)
    struct.pack_into(">h", built, 21, struct.unpack_from(">h", built, 21)[0] | 32)
    return bytes(built)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(fetches())
def test_whatever_is_fetched_is_read_as_aiokafka_reads_it(
    fetched: tuple[bytes, int, list[tuple[int, int]]],
) -> None:
    sent, start, aborted = fetched
    expected = fetch(sent, False, start, aborted)
    assert fetch(sent, True, start, aborted) == expected
    assert fetch(sent, True, start, aborted, whole) == expected
    for most in range(1, len(expected[0])):
        assert fetch(sent, True, start, aborted, most=most) == fetch(
            sent, False, start, aborted, most=most
        )


def test_what_is_fetched_of_a_partition_is_one_batch() -> None:
    sent = b"".join(batch(codec, [b"a", b"b"], first=2 * codec) for codec in CODECS.values())
    tp = TopicPartition("t", 0)
    [found] = PartitionRecords(tp, Records(sent), [], 3, None, whole, True, theirs.READ_COMMITTED)
    assert isinstance(found, RecordBatch)
    assert found.offsets.tolist() == [*range(3, 10)]


def test_a_batch_with_a_wrong_checksum_ends_the_fetch() -> None:
    sent = bytearray(batch(0, [b"value"]))
    sent[-3] ^= 1
    found = PartitionRecords(
        TopicPartition("t", 0), Records(bytes(sent)), [], 0, None, whole, True, 0
    )
    with pytest.raises(CorruptRecordException):
        next(found)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_batch_that_is_not_as_its_head_says_is_left_out_and_named(codec: int) -> None:
    bad = bytearray(batch(0, [b"c", b"d"], first=2))
    struct.pack_into(">i", bad, 57, 3)  # records
    sent = batch(0, [b"a", b"b"]) + repacked(codec, bytes(bad)) + batch(0, [b"e"], first=4)
    told = read(sent)
    assert [record[0] for record in told] == [0, 1, 3, 4]
    assert told[2][1] == 1_001
    assert b"offsets 2 to 3, is not what its head says" in told[2][3]
    assert fetch(sent, True, 0, (), whole) == (told, 5)


def test_aiokafka_still_looks_both_classes_up_where_ours_are_put() -> None:
    looked_up = theirs.Fetcher._proc_fetch_request.__code__.co_names  # noqa: SLF001 (the point)
    assert {"MemoryRecords", "PartitionRecords"} <= set(looked_up)
    given = inspect.signature(PartitionRecords.__bases__[0].__init__).parameters
    assert [*given][1:] == [
        "tp", "records", "aborted_transactions", "fetch_offset", "key_deserializer",
        "value_deserializer", "check_crcs", "isolation_level",
    ]  # fmt: skip


def test_aiokafka_still_keeps_what_is_set_and_asked_of_it_under_these_names() -> None:
    kept = AIOKafkaConsumer.__init__.__code__.co_names
    assert {"_value_deserializer", "_isolation_level", "_partition_assignment_strategy"} <= {*kept}
    assert "_fetch_max_wait_ms" in theirs.Fetcher.__init__.__code__.co_names
    walk = PartitionRecords.__bases__[0]._unpack_records.__code__.co_names  # noqa: SLF001 (the point)
    assert {"has_next", "next_batch", "_consumer_record", "next_fetch_offset"} <= {*walk}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_header_name_that_is_no_text_is_escaped_and_can_be_sent_again(codec: int) -> None:
    good, bad = batch(0, [b"a", b"b"]), batch(0, [b"c", b"d"], "NAME", first=2)
    spoilt = repacked(codec, bad.replace(b"NAME", b"\xff\xc3\x28\x00"))
    found = read(good + spoilt)
    assert [record[3] for record in found] == [b"a", b"b", b"c", b"d"]
    names = [record[4][0][0] for record in found]
    assert names == ["trace", "trace", *["\\xff\\xc3(\x00"] * 2]
    assert all(name.encode() for name in names)


@pytest.mark.parametrize("codec", list(CODECS.values())[1:], ids=list(CODECS)[1:])
def test_a_batch_that_unpacks_to_too_much_is_left_out_and_named_once(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_UNPACKED", 100_000)
    fetched = (
        batch(codec, [b"small"])
        + batch(codec, [b"x" * 60_000] * 3, first=1)
        + batch(codec, [b"small"], first=4)
    )
    before, named, behind = read(fetched)
    assert (before[0], behind[0]) == (0, 4)
    assert (named[0], named[1]) == (3, 1_002)
    assert b"offsets 1 to 3, unpacks to more than 100000 bytes" in named[3]


def test_a_fetch_ends_with_the_batch_that_passes_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_UNPACKED", 100_000)
    pieces = [batch(4, [b"x" * 60_000], first=n) for n in range(5)]
    assert [record[0] for record in read(b"".join(pieces))] == [0, 1]
    assert [record[0] for record in read(b"".join(pieces[2:]))] == [
        2,
        3,
    ]  # where it is fetched again


def repacked(codec: int, plain: bytes) -> bytes:
    """Return an uncompressed batch compressed, as no builder would let its records be."""
    pack = (bytes, codecs.gzip_encode, codecs.snappy_encode, codecs.lz4_encode, codecs.zstd_encode)
    head, records = bytearray(plain[:61]), bytes(pack[codec](plain[61:]))
    struct.pack_into(">h", head, 21, codec)
    struct.pack_into(">i", head, 8, len(head) + len(records) - 12)
    return bytes(head) + records
