"""Topics: created, filled, and read back for marks. Every wait is bounded."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from load_tests.processes import Contender, QuietError
from load_tests.traffic import Headers
from tidegauge.schemas.topics import FOREVER_MS, TopicNames, configuration

WITHIN_S: Final = 60.0
BATCH_BYTES: Final = 500_000


class Record(NamedTuple):
    """What is used of a record that was read."""

    topic: str
    value: bytes
    written_ms: int
    headers: dict[str, bytes]


def create(brokers: str, topics: dict[str, dict[str, str]]) -> None:
    """Create topics of one partition each, given their settings."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})
    new = [NewTopic(name, 1, 1, config=config) for name, config in topics.items()]
    for future in admin.create_topics(new, operation_timeout=WITHIN_S).values():
        future.result(WITHIN_S)


def create_ours(brokers: str, prefix: str, mapped: dict[str, str]) -> None:
    """Create what a worker needs under a prefix, but for the topics that are there already."""
    names = TopicNames.prefixed(prefix).by_topic()
    fresh = {topic: name for topic, name in names.items() if topic not in mapped}
    create(brokers, {name: configuration(topic, FOREVER_MS) for topic, name in fresh.items()})


def fill(
    brokers: str,
    topic: str,
    messages: Iterable[tuple[bytes, Headers]],
    codec: str = "none",
    key: bytes = b"model",
) -> None:
    """Send everything, in order, and wait until the broker has it."""
    producer = Producer({
        "bootstrap.servers": brokers, "compression.type": codec, "linger.ms": 50,
        "batch.size": BATCH_BYTES, "enable.idempotence": True, "log_level": 2,
        "message.max.bytes": 1_000_000,
        "queue.buffering.max.messages": 2_000_000,
        "queue.buffering.max.kbytes": 1_000_000,
    })  # fmt: skip
    for value, headers in messages:
        while True:
            try:
                producer.produce(topic, value, key, partition=0, headers=dict(headers))
                break
            except BufferError:
                producer.poll(1.0)
        producer.poll(0)
    left = producer.flush(WITHIN_S)
    if left:
        raise TimeoutError(
            f"expected the broker to take all within {WITHIN_S:g} s, {left} are left"
        )


def reader(brokers: str, *topics: str) -> Consumer:
    """Return a consumer of whole topics that belongs to no group."""
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": "load-tests", "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10,
        "log_level": 2,
    })  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
    return consumer


def follow(
    consumer: Consumer, contender: Contender, take: Callable[[Record], bool], patience_s: float
) -> None:
    """Hand over messages until ``take`` says that it is enough.

    Raises
    ------
    QuietError
        If the contender ends, or is silent for ``patience_s``.
    """
    end = time.monotonic() + patience_s
    while True:
        message = consumer.poll(0.1)
        if message is not None and message.error():
            raise QuietError(str(message.error()))
        if message is not None:
            end = time.monotonic() + patience_s
            if take(_record(message)):
                return
            continue
        if contender.process.poll() is not None:
            raise QuietError(f"it ended with {contender.process.returncode}")
        if time.monotonic() > end:
            raise QuietError(f"no word from it for {patience_s:g} s")


def _record(message: Any) -> Record:
    headers = dict(message.headers() or [])
    return Record(message.topic(), message.value(), message.timestamp()[1], headers)
