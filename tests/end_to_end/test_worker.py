"""A worker on a real broker: killed, stopped, refused."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tidegauge.schemas.topics import PARTITIONS, TopicNames
from tidegauge.streams.runtime.errors import (
    BrokerUnreachableError,
    ConfigurationError,
    TopicMissingError,
)
from tidegauge.streams.runtime.preflight import check_topics

SCRIPT = """
import sys
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.runtime.settings import Settings
from tidegauge.streams.runtime.worker import run_worker
brokers, prefix = sys.argv[1:]
topics = TopicNames.prefixed(prefix)
sys.exit(run_worker(Settings(brokers=brokers, topics=topics, instance="only")))
"""
ROWS = 2000  # each round; 500 a partition
ROUNDS = 3
STOP_WITHIN_S = 10
LISTENING = "0A"  # in /proc/net/tcp


class Worker:
    """A worker in a process of its own."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, brokers, prefix], stderr=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> None:
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if "Holds partitions" in line:
                return
        raise AssertionError("the worker ended: " + "".join(said))

    def listening_sockets(self) -> list[str]:
        mine = Path(f"/proc/{self.process.pid}/fd").iterdir()
        inodes = {str(link.readlink()).removeprefix("socket:[")[:-1] for link in mine}
        tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table.splitlines()[1:]]
        return [row[1] for row in rows if row[3] == LISTENING and row[9] in inodes]

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        self.process.communicate(timeout=STOP_WITHIN_S)
        return self.process.returncode


def produce(brokers: str, topics: TopicNames, first: int) -> None:
    """Send predictions and their labels; every second label comes before its prediction."""
    producer = KafkaProducer(bootstrap_servers=brokers)
    for order in (0, 1):
        for row in range(first, first + ROWS):
            common = {"model": "m", "id": f"r{row}", "ts_ms": row}
            prediction = common | {"prediction": row % 10 / 10, "features": {"a": row % 7}}
            label = common | {"label": row % 3 == 0}
            is_label = row % 2 != order
            producer.send(
                topics.labels if is_label else topics.predictions,
                json.dumps(label if is_label else prediction).encode(),
                b"m",
                partition=row % PARTITIONS,
            )
    producer.flush()
    producer.close()


def follow(brokers: str, topic: str) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield what comes to a topic, by partition, until nothing has come for half a minute."""
    consumer = KafkaConsumer(
        bootstrap_servers=brokers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=30_000,
    )
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    try:
        for record in consumer:
            yield record.partition, json.loads(record.value)
    finally:
        consumer.close()


def pairs(brokers: str, topics: TopicNames, count: int) -> list[str]:
    """Return the ids that the journal has paired, in its order, once there are ``count``."""
    epochs, found = dict.fromkeys(range(PARTITIONS), 0), []
    for partition, entry in follow(brokers, topics.outcomes):
        if entry["kind"] == "fence":
            epochs[partition] = int(str(entry["epoch"]))
        elif entry["epoch"] == epochs[partition] and entry["kind"] == "outcomes":
            found += list(map(str, entry["ids"]))  # type: ignore[call-overload]  # checked JSON
        if len(found) >= count:
            break
    return found


def windows(brokers: str, topics: TopicNames) -> list[tuple[int, bytes]]:
    """Return every report there is by now, with its partition."""
    consumer = KafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
    parts = [TopicPartition(topics.windows, number) for number in range(PARTITIONS)]
    consumer.assign(parts)
    consumer.seek_to_beginning()
    ends, found = consumer.end_offsets(parts), []
    while any(consumer.position(tp) < ends[tp] for tp in parts):
        for records in consumer.poll(500).values():
            found += [(record.partition, record.value) for record in records]
    consumer.close()
    return found


def test_a_worker_killed_again_and_again_pairs_each_row_once_and_repeats_only_itself(
    brokers: str, topics: TopicNames, prefix: str
) -> None:
    for number in range(ROUNDS):
        worker = Worker(brokers, prefix)
        try:
            worker.wait_until_ready()
            produce(brokers, topics, number * ROWS)
            found = pairs(brokers, topics, number * ROWS + ROWS // 2)  # in the middle of a round
            assert worker.listening_sockets() == []
        finally:
            worker.process.kill()
            worker.process.communicate()
    last = Worker(brokers, prefix)
    try:
        last.wait_until_ready()
        found = pairs(brokers, topics, ROUNDS * ROWS)
        assert last.end(signal.SIGTERM) == 0
    finally:
        last.process.kill()
        last.process.communicate()
    assert len(found) == len(set(found)) == ROUNDS * ROWS
    reports: dict[tuple[int, str, int], set[bytes]] = {}
    for partition, value in windows(brokers, topics):
        report = json.loads(value)
        reports.setdefault((partition, report["source"], report["window"]), set()).add(value)
    closed = ROUNDS * ROWS // PARTITIONS // 500 - 1  # the last may not be told yet
    assert {(p, s) for p, s, _ in reports} == {
        (p, s) for p in range(PARTITIONS) for s in ("predictions", "outcomes")
    }
    assert sum(window < closed for *_, window in reports) == 2 * PARTITIONS * closed
    assert all(len(versions) == 1 for versions in reports.values())


async def test_a_broker_that_does_not_answer_is_told_in_one_line() -> None:
    with pytest.raises(BrokerUnreachableError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        await check_topics("127.0.0.1:1", TopicNames().by_topic(), ["predictions"])


async def test_a_missing_topic_is_named_with_the_command_that_creates_it(brokers: str) -> None:
    names = TopicNames.prefixed("nobody.").by_topic()
    with pytest.raises(TopicMissingError, match=r"nobody\.labels.*`tidegauge topics create`"):
        await check_topics(brokers, names, ["predictions"])


async def test_topics_of_unequal_partition_counts_are_refused(
    brokers: str, topics: TopicNames
) -> None:
    names = topics.by_topic()
    assert await check_topics(brokers, names, ["predictions", "labels"]) == PARTITIONS
    with pytest.raises(ConfigurationError, match="expected topics with equal partition counts"):
        await check_topics(brokers, names, ["predictions", "monitors"])
