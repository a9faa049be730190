"""The demo's stage: a broker and a worker, what is sent to them and what comes back."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference
from tidegauge.schemas.topics import FOREVER_MS, TopicNames
from tidegauge.streams.monitor.records import SOURCES
from tidegauge.streams.runtime.broker import EmbeddedBroker
from tidegauge.streams.runtime.errors import WorkerError
from tidegauge.streams.runtime.topics import create_topics

STOP_S = 15.0
ACKNOWLEDGED_S = 60.0
PARTITIONS = 4
GROUP = "tidegauge-demo"
CALM_LOOKS = 2  # between two a pair may be on its way to the journal
LATEST = -1  # Kafka's word for the end of a partition


class DemoError(WorkerError):
    """The demo cannot go on; the text says why and what to look at."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of an output topic."""

    topic: str  # alerts, retraining, rejected
    value: bytes


class Stage:
    """A running broker and worker.

    Parameters
    ----------
    brokers
        Where Kafka answers.
    worker
        The worker's process.
    log
        Where the worker writes what it has to say.
    """

    def __init__(self, brokers: str, worker: "subprocess.Popen[bytes]", log: Path) -> None:
        self._worker, self._log = worker, log
        self._names = TopicNames().by_topic()
        self._predictions: list[Any] = []  # sent, perhaps not acknowledged
        self._producer = KafkaProducer(
            bootstrap_servers=brokers, acks="all", batch_size=1_000_000, max_request_size=2_000_000
        )
        self._admin = KafkaAdminClient(bootstrap_servers=brokers)
        self._outputs = {
            self._names[topic]: topic for topic in ("alerts", "retraining", "rejected")
        }
        self._consumer = KafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
        self._consumer.assign(self._partitions(self._outputs))
        self._consumer.seek_to_beginning()

    def publish(self, spec: MonitorSpec, reference: Reference) -> None:
        """Publish a spec and a reference; return when the broker has them."""
        for topic, key, body in (
            ("monitors", spec.model, spec),
            ("references", reference.key, reference),
        ):
            self._producer.send(
                self._names[topic], value=msgspec.json.encode(body), key=key.encode()
            )
        self.flush()

    def send(self, topic: str, frame: Any) -> None:
        """Send a frame, keyed by its model; labels only when the predictions before are there.

        A producer keeps the order within a topic, not between two.
        """
        if topic == "labels":
            for sent in self._predictions:
                sent.get(ACKNOWLEDGED_S)
            self._predictions = []
        sent = self._producer.send(
            self._names[topic], value=orjson.dumps(frame), key=frame["model"].encode()
        )
        if topic == "predictions":
            self._predictions.append(sent)

    def flush(self) -> None:
        """Return when the broker has everything sent."""
        self._producer.flush()

    def receive(self, timeout_s: float = 0.0) -> list[Received]:
        """Return what the worker has published since the last call."""
        found = self._consumer.poll(timeout_ms=int(1000 * timeout_s), max_records=1000)
        return [
            Received(self._outputs[tp.topic], record.value)
            for tp, records in found.items()
            for record in records
        ]

    def lag(self) -> int:
        """Return how many records the worker has not yet finished with, over all its sources."""
        code = self._worker.poll()
        if code is not None:
            raise DemoError(f"the worker ended with exit code {code}; its log is {self._log}")
        self.flush()
        sources = self._partitions(self._names[source] for source in SOURCES)
        ends = self._admin.list_partition_offsets(dict.fromkeys(sources, LATEST))
        try:
            done = self._admin.list_group_offsets({GROUP: sources})[GROUP]
        except CoordinatorNotAvailableError:  # the worker has not joined its group yet
            done = {}
        return sum(
            end.offset - max(done[tp].offset if tp in done else 0, 0) for tp, end in ends.items()
        )

    def close(self) -> None:
        """Disconnect."""
        for client in (self._producer, self._consumer, self._admin):
            client.close()

    def _partitions(self, names: Any) -> list[TopicPartition]:
        return [TopicPartition(name, number) for name in names for number in range(PARTITIONS)]


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Start a broker on a free port and a worker; yield them ready, end both afterwards.

    The worker's log is kept where something goes wrong.
    """
    broker, folder = EmbeddedBroker(), Path(tempfile.mkdtemp(prefix="tidegauge-demo-"))
    try:
        broker.start()
        create_topics(broker.address, TopicNames(), PARTITIONS, retention_ms=FOREVER_MS)
        log = folder / "worker.log"
        with _worker(broker.address, log) as worker:
            built = Stage(broker.address, worker, log)
            try:
                yield built
            finally:
                built.close()
        shutil.rmtree(folder)
    finally:
        broker.close()


@contextlib.contextmanager
def _worker(brokers: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "tidegauge", "worker", "--brokers", brokers, "--group", GROUP]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGAUGE_")}
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=clean)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_folded(stage: Stage, seen: Any, timeout_s: float = 120.0) -> None:
    """Call ``seen`` with what comes until the worker has finished with everything sent."""
    end = time.monotonic() + timeout_s
    calm = 0
    while calm < CALM_LOOKS:
        messages = stage.receive(0.2)
        for message in messages:
            seen(message)
        calm = calm + 1 if stage.lag() == 0 and not messages else 0
        if time.monotonic() > end:
            raise DemoError(f"the worker is {stage.lag()} records behind after {timeout_s:.0f} s")
