"""Rows from four clients are all observed; what comes of them is read by three."""

import asyncio
import contextlib
import datetime
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kafka import KafkaConsumer, KafkaProducer

from tests.end_to_end.workers import Sender, bodies, everything, group
from tests.streams.monitor.logs import NOON_MS, row
from tidegauge import Producer
from tidegauge.schemas.alerts import ALERT_TYPE, Alert
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, RetrainingSpec, WindowSpec
from tidegauge.schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from tidegauge.schemas.topics import PARTITIONS, TopicNames
from tidegauge.schemas.windows import WindowReport

pytestmark = pytest.mark.timeout(600)

CLIENTS = ("kafka-python", "aiokafka", "confluent-kafka", "tidegauge")
WINDOW, REFERENCE, CALM, SHIFTED = 20, 40, 40, 200
ROWS = WINDOW * REFERENCE + CALM + SHIFTED  # of each client
Event = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


def readings(model: str) -> list[float]:
    rng = random.Random(model)
    usual = [rng.random() for _ in range(ROWS)]
    return [x if n < ROWS - SHIFTED else 0.75 + x / 4 for n, x in enumerate(usual)]  # within range


def values(model: str) -> list[bytes]:
    return [
        row(model, f"{model}-{n}", NOON_MS + n, {"amount": amount}, 0.5)
        for n, amount in enumerate(readings(model))
    ]


def send_with_kafka_python(brokers: str, topics: TopicNames, model: str) -> None:
    with contextlib.closing(KafkaProducer(bootstrap_servers=brokers, acks="all")) as producer:
        for value in values(model):
            producer.send(topics.predictions, value, key=model.encode())
        producer.flush()


def send_with_aiokafka(brokers: str, topics: TopicNames, model: str) -> None:
    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
            for value in values(model):
                await producer.send(topics.predictions, value, model.encode())

    asyncio.run(send())


def send_with_confluent_kafka(brokers: str, topics: TopicNames, model: str) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers})
    for value in values(model):
        producer.produce(topics.predictions, value, model)
    assert producer.flush(60) == 0


def send_with_tidegauge(brokers: str, topics: TopicNames, model: str) -> None:
    prefix = topics.predictions.removesuffix("predictions")
    with Producer(brokers, model=model, prefix=prefix) as producer:
        for n, amount in enumerate(readings(model)):
            producer.prediction(f"{model}-{n}", 0.5, {"amount": amount}, ts_ms=NOON_MS + n)
        assert producer.flush(60)
        assert producer.sent == ROWS


SEND: dict[str, Callable[[str, TopicNames, str], None]] = {
    "kafka-python": send_with_kafka_python,
    "aiokafka": send_with_aiokafka,
    "confluent-kafka": send_with_confluent_kafka,
    "tidegauge": send_with_tidegauge,
}


def read_with_kafka_python(brokers: str, topic: str, count: int) -> list[Event]:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=brokers, auto_offset_reset="earliest", consumer_timeout_ms=60_000
    )
    with contextlib.closing(consumer):
        found = [message for _, message in zip(range(count), consumer, strict=False)]
    return [(one.key, one.value, tuple(one.headers)) for one in found]


def read_with_aiokafka(brokers: str, topic: str, count: int) -> list[Event]:
    async def read() -> list[Event]:
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
        async with consumer, asyncio.timeout(60):
            found = [await consumer.getone() for _ in range(count)]
        return [(one.key, one.value, tuple(one.headers)) for one in found]

    return asyncio.run(read())


def read_with_confluent_kafka(brokers: str, topic: str, count: int) -> list[Event]:
    options = {"bootstrap.servers": brokers, "group.id": topic, "auto.offset.reset": "earliest"}
    consumer: Any = confluent_kafka.Consumer(options)
    with contextlib.closing(consumer):
        consumer.subscribe([topic])
        found = [consumer.poll(60) for _ in range(count)]
        return [(one.key(), one.value(), tuple(one.headers())) for one in found]


def check_cloud_event(event: Event, kind: str) -> None:
    """Assert what CloudEvents 1.0 asks of Kafka's binary mode."""
    key, value, pairs = event
    headers = {name: (text or b"").decode() for name, text in pairs}
    assert len(headers) == len(pairs)
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_type"] == kind
    assert headers["content-type"] == "application/json"
    assert headers["ce_id"]
    assert headers["ce_source"].startswith("/tidegauge/")
    assert headers["ce_subject"].encode() == key
    told = datetime.datetime.fromisoformat(headers["ce_time"])
    body = json.loads(value or b"")
    at = body["told_ms"] if kind == ALERT_TYPE else body["requested_ms"]
    assert round(told.timestamp() * 1000) == at


def test_rows_of_every_client_are_observed_and_every_client_reads_what_comes_of_them(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    spec = MonitorSpec(
        model="any",
        windows=WindowSpec(rows=WINDOW),
        reference=ReferenceSpec(windows=REFERENCE),
        retraining=RetrainingSpec(on=("drift",), blatant=True),
    )
    Sender(brokers).apply(topics, *(msgspec.structs.replace(spec, model=m) for m in CLIENTS))
    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only")
        workers.until_ready(worker)
        for model, send in SEND.items():
            send(brokers, topics, model)
        workers.until_settled()
        assert worker.terminate()[0] == 0, worker.told()
        observed = [partition.tallies["predictions"] for partition in workers.partitions()]

    assert len(observed) == PARTITIONS
    assert sum(tally.observed for tally in observed) == len(CLIENTS) * ROWS
    assert sum(tally.rejected for tally in observed) == 0
    last = {r.model: r.observed for r in bodies(brokers, topics.windows, WindowReport)}
    assert last == dict.fromkeys(CLIENTS, ROWS)

    check_read_by_all(brokers, topics.alerts, ALERT_TYPE, Alert)
    check_read_by_all(brokers, topics.retraining, RETRAIN_TYPE, RetrainingRequest)


def check_read_by_all(
    brokers: str, topic: str, kind: str, body: type[Alert] | type[RetrainingRequest]
) -> None:
    count = len(everything(brokers, topic))
    readers = (read_with_kafka_python, read_with_aiokafka, read_with_confluent_kafka)
    first, *others = [sorted(read(brokers, topic, count)) for read in readers]
    assert all(other == first for other in others)
    for event in first:
        check_cloud_event(event, kind)
    told = [msgspec.json.decode(value or b"", type=body) for _, value, _ in first]
    assert {one.model for one in told} == set(CLIENTS)
