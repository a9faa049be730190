"""What a team would write instead: a plain Faust agent with River; and the ceiling without either.

Run as a process of its own: ``python -m load_tests.peers faust|aiokafka BROKERS TOPIC PROGRESS``.
Every thousand rows it says so on the topic PROGRESS; the broker's clock gives the rate.
"""

import asyncio
import sys
import tempfile
from typing import Any, Final

import faust
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.worker import Worker
from river import drift, stats

EVERY: Final = 1000  # rows between two marks
IDLE_S: Final = 5.0


def faust_with_river(brokers: str, topic: str, progress: str) -> None:
    """Watch ten features and a score with River, an event at a time."""
    folder = tempfile.mkdtemp(prefix="tidegauge-peer-")
    app = faust.App(
        "bench-faust",
        broker=f"kafka://{brokers}",
        datadir=folder,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
    )
    source = app.topic(topic, value_type=bytes, value_serializer="raw")
    marks = app.topic(progress, value_type=bytes, value_serializer="raw")
    detectors: dict[str, Any] = {}
    means: dict[str, Any] = {}
    seen = 0

    @app.agent(source)
    async def watch(stream: Any) -> None:
        nonlocal seen
        async for value in stream:
            row = orjson.loads(value)
            numbers = {**row["features"], "score": row["prediction"]}
            for name, number in numbers.items():
                if not isinstance(number, float):
                    continue
                if name not in detectors:
                    detectors[name], means[name] = drift.ADWIN(), stats.Var()
                detectors[name].update(number)
                means[name].update(number)
            seen += 1
            if seen % EVERY == 0:
                await marks.send(value=str(seen).encode())

    Worker(app, loglevel="ERROR", quiet=True).execute_from_commandline()


async def bare_aiokafka(brokers: str, topic: str, progress: str) -> None:
    """Fetch and decode every row, and do nothing with it."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    seen = told = 0
    async with producer, consumer:
        while fetched := await consumer.getmany(timeout_ms=int(1000 * IDLE_S)):
            for records in fetched.values():
                for record in records:
                    orjson.loads(record.value)
                seen += len(records)
            while told + EVERY <= seen:
                told += EVERY
                await producer.send(progress, str(told).encode())


if __name__ == "__main__":
    kind, *where = sys.argv[1:]
    if kind == "faust":
        faust_with_river(*where)
    else:
        asyncio.run(bare_aiokafka(*where))
