"""Fetched bytes as hostile producers make them; built with aiokafka's own builder."""

import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka import codec as codecs
from aiokafka.consumer import fetcher as theirs
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from tidegauge.streams.runtime import batches
from tidegauge.streams.runtime.batches import PartitionRecords, Records

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch(codec: int, values: list[bytes], header: str = "trace", first: int = 0) -> bytes:
    """Return a batch as a broker would send it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1_000 + number, b"k", value, [(header, b"7")])
    built = bytearray(builder.build())
    built[:8] = first.to_bytes(8, "big")
    return bytes(built)


def read(fetched: bytes, ours: bool = True, start: int = 0) -> list[tuple[Any, ...]]:
    """Return what a consumer gets that asks from ``start`` on; checksums are not looked at."""
    aiokafkas = PartitionRecords.__bases__[0]  # the module may have ours by now
    kind, records = (PartitionRecords, Records) if ours else (aiokafkas, MemoryRecords)
    tp = TopicPartition("t", 0)
    found = kind(tp, records(fetched), None, start, None, None, False, theirs.READ_COMMITTED)
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in found]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_fetch_is_read_as_aiokafka_reads_it(codec: int) -> None:
    values = [b"value %d" % n * 50 for n in range(100)]
    fetched = batch(codec, values) + batch(codec, values, first=100)
    assert read(fetched) == read(fetched, ours=False)
    assert len(read(fetched)) == 200


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
