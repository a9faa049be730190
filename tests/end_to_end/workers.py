"""Worker processes to start, kill and stop; traffic to send to them; topics to read."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import confluent_kafka
import msgspec
from confluent_kafka import TopicPartition

from tests.streams.monitor.logs import NOON_MS
from tests.streams.runtime.memory import MemoryLog, Row
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.schemas.topics import PARTITIONS, TopicNames
from tidegauge.streams.monitor.journal.journal import Position, read_entry
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.monitor.state import PartitionSettings
from tidegauge.streams.runtime.loading import load

PATIENCE_S = 120.0  # on a slow and busy machine; a test that passes waits for none of it
POLL_S = 0.05
HELD = re.compile(r"Holds partitions \[(.*)\] after")

TIDEGAUGE = ("-m", "tidegauge")  # what Python is to run

Headers = Sequence[tuple[str, bytes | None]]
Body = TypeVar("Body")


def until(condition: Callable[[], bool], expected: Callable[[], str] | str) -> None:
    """Ask again and again, for what other processes do; fail with what was expected."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(expected if isinstance(expected, str) else expected())
        time.sleep(POLL_S)


# --- workers -----------------------------------------------------------------------------------


class Worker:
    """One process of ``tidegauge worker``."""

    def __init__(
        self, name: str, log: Path, words: Sequence[str], program: Sequence[str] = TIDEGAUGE
    ) -> None:
        self.name, self.log = name, log
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGAUGE_")}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program, "worker", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def held(self) -> set[int]:
        """The partitions it said last that it holds."""
        found = HELD.findall(self.log.read_text())
        return {int(number) for number in found[-1].split(",") if number} if found else set()

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def terminate(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to end; return its exit code and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE_S)
        return code, time.monotonic() - began

    def told(self) -> str:
        """Return the end of its log."""
        return f"--- {self.name}, exit code {self.process.poll()}\n{self.log.read_text()[-3000:]}"


@dataclass
class Group:
    """The workers of one consumer group, on one set of topics."""

    brokers: str
    topics: TopicNames
    logs: Path
    group: str
    prefix: str
    mapped: Mapping[str, str] = field(default_factory=dict)
    partition_count: int = PARTITIONS
    workers: list[Worker] = field(default_factory=list)

    def start(
        self,
        name: str,
        static: bool = True,
        options: Sequence[str] = (),
        program: Sequence[str] = TIDEGAUGE,
    ) -> Worker:
        """Start a worker; a static one gets its partitions back at once after a restart."""
        words = ["--brokers", self.brokers, "--prefix", self.prefix, "--group", self.group]
        for topic, existing in self.mapped.items():
            words += ["--map-topic", f"{topic}={existing}"]
        words += [*(["--instance", name] if static else []), *options]
        number = len(list(self.logs.glob("*.log")))
        self.workers.append(Worker(name, self.logs / f"{number}-{name}.log", words, program))
        return self.workers[-1]

    def until(self, condition: Callable[[], bool], expected: str) -> None:
        """Wait, for as long as no worker ends by itself."""

        def holds() -> bool:
            ended = [w for w in self.workers if w.process.poll() not in (None, 0, -9)]
            assert not ended, "ended by itself:\n" + "\n".join(w.told() for w in ended)
            return condition()

        until(holds, lambda: f"{expected}; got:\n" + "\n".join(w.told() for w in self.workers))

    def until_ready(self, *workers: Worker) -> None:
        """Wait until these share all partitions."""
        self.until(
            lambda: sorted(n for w in workers for n in w.held) == list(range(self.partition_count)),
            f"expected {[w.name for w in workers]} to hold all partitions",
        )

    @property
    def sources(self) -> dict[Source, str]:
        """The names of the topics that are folded."""
        names = self.topics.by_topic()
        return {source: names[source] for source in SOURCES}

    def committed(self) -> dict[TopicPartition, int]:
        """Return what is committed of each partition of each source."""
        numbers = range(self.partition_count)
        asked = [TopicPartition(n, p) for n in self.sources.values() for p in numbers]
        with reading(self.brokers, self.group) as consumer:
            answer = consumer.committed(asked, timeout=30)
        return {tp: max(tp.offset, 0) for tp in answer}

    def backlog(self) -> dict[TopicPartition, int]:
        """Return how many records of each partition are not committed, where any are."""
        found: dict[TopicPartition, int] = {}
        committed = self.committed()  # first: what it covers, with all outputs, is in the ends
        with reading(self.brokers) as consumer:
            for tp, offset in committed.items():
                end = consumer.get_watermark_offsets(tp, timeout=30)[1]
                found |= {tp: end - offset} if end > offset else {}
        return found

    def until_settled(self) -> None:
        """Wait until everything in the sources is folded, published and committed."""

        def is_settled() -> bool:
            try:
                return not self.backlog()
            except confluent_kafka.KafkaException:  # fresh topics have no leader for a moment
                return False

        self.until(is_settled, f"expected no backlog in {self.group}")

    def partitions(self) -> list[Partition]:
        """Return the state of all partitions, as a worker would take it from ``state``."""
        own = PartitionSettings(self.sources, self.partition_count)
        return [Partition.restore(n, own, found) for n, found in self.snapshots().items()]

    def snapshots(self) -> dict[int, Snapshot]:
        """Return the last snapshot of each partition."""
        logs: dict[int, MemoryLog] = {}
        for record in everything(self.brokers, self.topics.state):
            log = logs.setdefault(record.partition, MemoryLog())
            log.records.append(Row(record.offset, record.key, record.value))
            log.end = record.offset + 1
        found = {number: asyncio.run(load(log)).snapshot for number, log in sorted(logs.items())}
        return {number: snapshot for number, snapshot in found.items() if snapshot is not None}

    def end(self) -> None:
        """Leave nothing running."""
        for worker in self.workers:
            worker.kill()


@contextlib.contextmanager
def group(
    brokers: str,
    prefix: str,
    logs: Path,
    mapped: Mapping[str, str] | None = None,
    partition_count: int = PARTITIONS,
) -> Iterator[Group]:
    """Give a group of workers that are gone at the end."""
    mapped = mapped or {}
    found = Group(
        brokers,
        TopicNames.prefixed(prefix, mapped),
        logs,
        prefix.rstrip("."),
        prefix,
        mapped,
        partition_count,
    )
    try:
        yield found
    finally:
        found.end()


# --- sending -----------------------------------------------------------------------------------


@dataclass
class Sent:
    """A record under way; its offset is known once the broker has it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    offset: int = -1


class Sender:
    """Sends records to chosen partitions, in order, each once; ``flush`` waits for the broker."""

    def __init__(self, brokers: str, codec: str = "none") -> None:
        options = {"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 5}
        options["compression.codec"] = codec
        self._producer: Any = confluent_kafka.Producer(options | {"message.max.bytes": 16_000_000})
        self._errors: list[Any] = []

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int = 0,
        headers: Headers = (),
        timestamp: int = NOON_MS,
    ) -> Sent:
        """Queue a record with a given timestamp, so that the same call gives the same record."""
        sent = Sent(topic, partition, key, value, list(headers))

        def delivered(error: object, message: Any) -> None:
            self._errors += [error] if error else []
            sent.offset = message.offset()

        self._producer.produce(
            topic, value, key, partition, delivered, timestamp=timestamp, headers=sent.headers
        )
        self._producer.poll(0)
        return sent

    def flush(self) -> None:
        """Wait until the broker has everything."""
        assert self._producer.flush(60) == 0
        assert not self._errors, self._errors

    def apply(self, topics: TopicNames, *specs: MonitorSpec) -> None:
        """Publish specs."""
        for spec in specs:
            self.send(topics.monitors, msgspec.json.encode(spec), spec.model.encode())
        self.flush()


# --- reading -----------------------------------------------------------------------------------


class Message(NamedTuple):
    """A record as it was read."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    @property
    def ce_id(self) -> str:
        """The id of a CloudEvent."""
        return (dict(self.headers)["ce_id"] or b"").decode()


@contextlib.contextmanager
def reading(brokers: str, group_id: str = "nobody") -> Iterator[Any]:
    """Give a consumer that joins nothing and commits nothing."""
    options = {"bootstrap.servers": brokers, "group.id": group_id, "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(options | {"enable.partition.eof": True})
    try:
        yield consumer
    finally:
        consumer.close()


def everything(brokers: str, topic: str) -> list[Message]:
    """Return all records of a topic, partition after partition, each in its order."""
    found: list[Message] = []
    with reading(brokers) as consumer:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign(
            [TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in partitions]
        )
        ended = 0
        while ended < len(partitions):
            one = consumer.poll(30)
            assert one is not None, f"the broker is silent about {topic}"
            if one.error() is None:
                found.append(
                    Message(
                        one.partition(), one.offset(), one.key(), one.value(), one.headers() or []
                    )
                )
            else:
                assert one.error().code() == confluent_kafka.KafkaError._PARTITION_EOF  # noqa: SLF001 (its public name for it)
                ended += 1
    return sorted(found, key=lambda message: message[:2])


def bodies(brokers: str, topic: str, kind: type[Body]) -> list[Body]:
    """Return the bodies of all records of a topic."""
    return [msgspec.json.decode(m.value or b"", type=kind) for m in everything(brokers, topic)]


def by_id(messages: Sequence[Message]) -> dict[str, Message]:
    """Return CloudEvents, each once; a second delivery must be the same to the byte."""
    found: dict[str, Message] = {}
    for message in messages:
        first = found.setdefault(message.ce_id, message)
        same = message._replace(offset=first.offset)
        assert same == first, f"expected the same event again, got {same} after {first}"
    return found


Pair = tuple[Any, ...]  # id, times, score, label, offsets


def pairs(messages: Sequence[Message]) -> dict[tuple[int, str, str], list[Pair]]:
    """Return the pairs of the journal by partition and model version, as its readers see them."""
    positions: dict[int, Position] = {}
    found: dict[tuple[int, str, str], list[Pair]] = {}
    for message in messages:
        entry = read_entry(message.value)
        accepted = positions.setdefault(message.partition, Position()).accepts(entry)
        if accepted and isinstance(entry, Outcomes):
            columns = (
                entry.ids, entry.ts_ms, entry.prediction_ts_ms, entry.predictions,
                entry.labels, entry.prediction_offsets, entry.label_offsets,
            )  # fmt: skip
            key = (message.partition, entry.model, entry.version)
            found.setdefault(key, []).extend(zip(*columns, strict=True))
    return found


def repeated(ids: Sequence[object]) -> list[object]:
    """Return what is there more than once."""
    return [one for one, times in Counter(ids).items() if times > 1]
