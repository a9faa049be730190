"""What a team would write instead, with River; and the ceiling: rows decoded and nothing done.

Run as a process of its own: ``python -m load_tests.peers KIND BROKERS TOPIC PROGRESS``, where KIND
is ``aiokafka``, ``confluent``, ``faust`` or ``quix``. Every thousand rows it says on the topic
PROGRESS how many they are so far. It runs until it is ended.
"""

import asyncio
import importlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Final

import confluent_kafka
import orjson

EVERY: Final = 1000  # rows between two marks


class Watch:
    """River's ADWIN and variance for each number of a row: what both frameworks run."""

    def __init__(self) -> None:
        drift = importlib.import_module("river.drift")  # slow, and the bare consumers need none
        stats = importlib.import_module("river.stats")
        self._adwin, self._variance = drift.ADWIN, stats.Var
        self._watched: dict[str, tuple[Any, Any]] = {}
        self.seen = 0

    def row(self, row: dict[str, Any]) -> None:
        """Watch one row."""
        for name, number in {**row["features"], "score": row["prediction"]}.items():
            if not isinstance(number, float):
                continue
            if name not in self._watched:
                self._watched[name] = self._adwin(), self._variance()
            for statistic in self._watched[name]:
                statistic.update(number)
        self.seen += 1


def faust_with_river(brokers: str, topic: str, progress: str) -> None:
    """Watch with a Faust agent, an event at a time."""
    faust: Any = importlib.import_module("faust")
    app = faust.App(
        "bench-faust-" + progress,
        broker=f"kafka://{brokers}",
        datadir=tempfile.mkdtemp(prefix="tidegauge-peer-"),
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
    )
    source = app.topic(topic, value_type=bytes, value_serializer="raw")
    marks = app.topic(progress, value_type=bytes, value_serializer="raw")
    watch = Watch()

    @app.agent(source)  # type: ignore[untyped-decorator] # Faust ships no types
    async def watched(stream: Any) -> None:
        async for value in stream:
            watch.row(orjson.loads(value))
            if watch.seen % EVERY == 0:
                await marks.send(value=str(watch.seen).encode())

    worker = importlib.import_module("faust.worker").Worker(app, loglevel="ERROR", quiet=True)
    worker.execute_from_commandline()


def quix_with_river(brokers: str, topic: str, progress: str) -> None:
    """Watch with Quix Streams, an event at a time."""
    quix = importlib.import_module("quixstreams")
    app = quix.Application(
        brokers,
        consumer_group="bench-quix-" + progress,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="ERROR",
        state_dir=tempfile.mkdtemp(prefix="tidegauge-peer-"),
    )
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers})
    watch = Watch()

    def watched(value: bytes) -> None:
        watch.row(orjson.loads(value))
        if watch.seen % EVERY == 0:
            _say(producer, progress, watch.seen)

    app.dataframe(app.topic(topic, value_deserializer="bytes")).update(watched)
    app.run()


async def bare_aiokafka(brokers: str, topic: str, progress: str) -> None:
    """Fetch and decode every row with aiokafka, and do nothing with it."""
    aiokafka = importlib.import_module("aiokafka")
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=brokers)
    consumer = aiokafka.AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, auto_offset_reset="earliest"
    )
    seen = told = 0
    async with producer, consumer:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    orjson.loads(record.value)
                seen += len(records)
            while told + EVERY <= seen:
                told += EVERY
                await producer.send(progress, str(told).encode())


def bare_confluent(brokers: str, topic: str, progress: str) -> None:
    """Fetch and decode every row with librdkafka's client, and do nothing with it."""
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers})
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": brokers, "group.id": progress, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "fetch.queue.backoff.ms": 2,  # its default stalls a backlog
    })  # fmt: skip
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    seen = told = 0
    while True:
        messages = consumer.consume(EVERY, timeout=1.0)
        for message in messages:
            orjson.loads(message.value() or b"null")
        seen += len(messages)
        while told + EVERY <= seen:
            told += EVERY
            _say(producer, progress, told)


def _say(producer: Any, progress: str, rows: int) -> None:
    producer.produce(progress, str(rows).encode(), partition=0)
    producer.poll(0)


def _aiokafka(brokers: str, topic: str, progress: str) -> None:
    asyncio.run(bare_aiokafka(brokers, topic, progress))


PEERS: Final[dict[str, Callable[[str, str, str], None]]] = {
    "aiokafka": _aiokafka,
    "confluent": bare_confluent,
    "faust": faust_with_river,
    "quix": quix_with_river,
}

if __name__ == "__main__":
    kind, *where = sys.argv[1:]
    PEERS[kind](*where)
