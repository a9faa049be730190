"""Batches that no client library makes: rows around them are read, and nobody ends."""

import asyncio
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from tests.end_to_end.workers import Sender, everything, group
from tests.streams.monitor.logs import NOON_MS, row
from tidegauge.schemas.rejected import PREFIX
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.runtime.batches import MAX_UNPACKED

pytestmark = pytest.mark.timeout(300)

CRC_AT, CRC_OF, LAST_AT = 17, 21, 23  # bytes of a batch
NAME, NO_TEXT = "NAME", b"\xff\xfe\xc3\x28"


async def send_batch(
    producer: AIOKafkaProducer, topic: str, value: bytes, replaced: bytes = NAME.encode()
) -> None:
    """Send a record in a batch of its own; ``replaced`` takes the place of its header's name."""
    batch = producer.create_batch()
    assert batch.append(key=b"m", value=value, timestamp=NOON_MS, headers=[(NAME, b"7")])
    batch.close()
    built = bytearray(bytes(batch._build()).replace(NAME.encode(), replaced))  # noqa: SLF001 (hostile)
    struct.pack_into(">I", built, CRC_AT, calc_crc32c(bytes(built[CRC_OF:])))
    batch._buffer = bytes(built)  # noqa: SLF001 (as above)
    await (await producer.send_batch(batch, topic, partition=0))


async def send(brokers: str, topics: TopicNames) -> None:
    """Send two good rows, one bad, and one that unpacks to too much."""
    good = row("m", "g", NOON_MS, {"amount": 1.0}, 0.5)
    large = 2 * MAX_UNPACKED
    async with (
        AIOKafkaProducer(bootstrap_servers=brokers) as plain,
        AIOKafkaProducer(
            bootstrap_servers=brokers, compression_type="zstd", max_batch_size=large
        ) as packed,
    ):
        await send_batch(plain, topics.predictions, good, NO_TEXT)
        await send_batch(plain, topics.predictions, b"{", NO_TEXT)
        await send_batch(packed, topics.predictions, b" " * (MAX_UNPACKED + 1))
        await send_batch(packed, topics.predictions, good)


def test_names_that_are_no_text_and_bombs_end_no_worker(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    asyncio.run(send(brokers, topics))
    sender = Sender(brokers)
    sender.send(topics.labels, b"{", b"m", 0, [("n" * 1_000_000, None)])
    sender.flush()
    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only")
        workers.until_settled()
        assert worker.terminate()[0] == 0, worker.told()
        partition = workers.partitions()[0]
    tally = partition.tallies["predictions"]
    assert (tally.records, tally.rejected) == (4, 2)
    letters = everything(brokers, topics.rejected)  # of two topics, in either order
    by_topic = sorted(letters, key=lambda m: dict(m.headers)[PREFIX + "topic"] or b"")
    wide, spoilt, left_out = by_topic
    assert spoilt.headers[0] == ("\\xff\\xfe\\xc3(", b"7")
    assert dict(left_out.headers)[PREFIX + "offset"] == b"2"
    assert b"offsets 2 to 2, unpacks to more than" in (left_out.value or b"")
    assert "offsets 2 to 2, unpacks to more than" in worker.told()
    assert dict(wide.headers)["tidegauge.truncated"]


def test_offsets_that_a_batch_does_not_have_hide_no_rows_behind_it(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    async def send_jump() -> None:
        async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
            jump = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
            jump.append(1_000_000, NOON_MS, b"m", b"{", [])
            built = jump.build()
            struct.pack_into(">i", built, LAST_AT, 0)
            struct.pack_into(">I", built, CRC_AT, calc_crc32c(bytes(built[CRC_OF:])))
            batch = producer.create_batch()
            batch.append(key=b"m", value=b"{", timestamp=NOON_MS)
            batch.close()
            batch._buffer = bytes(built)  # noqa: SLF001 (hostile)
            await (await producer.send_batch(batch, topics.predictions, partition=0))
            await send_batch(producer, topics.predictions, row("m", "g", NOON_MS, {"a": 1.0}, 0.5))

    asyncio.run(send_jump())
    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only")
        workers.until_settled()
        assert worker.terminate()[0] == 0, worker.told()
        tally = workers.partitions()[0].tallies["predictions"]
    assert (tally.records, tally.rejected) == (2, 1)
    assert "offsets 0 to 0, is not what its head says" in worker.told()


def test_status_tells_of_rows_that_wait_whatever_they_are_named(
    brokers: str, topics: TopicNames, prefix: str
) -> None:
    asyncio.run(send(brokers, topics))
    done = subprocess.run(  # in a process of its own: in this one a test may have made a worker
        [sys.executable, "-m", "tidegauge", "status", "--brokers", brokers, "--prefix", prefix],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 5, done.stderr
    assert "no worker holds partition 0, where " in done.stderr
    assert "Traceback" not in done.stderr
