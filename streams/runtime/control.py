"""Specs and references as the topics ``monitors`` and ``references`` have them now."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Adoption, Reference, reference_key, version_name
from tidegauge.streams.monitor.intake.rejections import FAULTS
from tidegauge.streams.monitor.lookup import Content, Lookup
from tidegauge.streams.monitor.records import Record
from tidegauge.streams.runtime.clients import LogEnds

POLL_MS = 200
MAX_BYTES = 900_000  # a spec and its reference must fit into one record of the journal

_SPEC = msgspec.json.Decoder(MonitorSpec).decode
log = logging.getLogger(__name__)


class ControlTables:
    """What both topics say; a message that cannot be used is logged, and changes nothing."""

    def __init__(self) -> None:
        self.revision = 0  # counts changes: who has seen this number has nothing new to see
        self.lookup = Lookup(unfit=_log_unfit)
        self._held: dict[tuple[str, str], Content] = {}  # by topic and key

    def read_monitors(self, records: Iterable[Record]) -> None:
        """Take in records of the topic ``monitors``."""
        for record in records:
            self._take("monitors", _SPEC, record)

    def read_references(self, records: Iterable[Record]) -> None:
        """Take in records of the topic ``references``."""
        for record in records:
            self._take("references", _compared, record)

    def _take(self, name: str, decode: Callable[[bytes], Content], record: Record) -> None:
        try:
            key = (record.key or b"").decode()
            content = None if record.value is None else _read(key, record.value, decode)
            if (name, key) in self._held:  # as compaction does: the newest record of a key holds
                self.lookup.remove(self._held.pop((name, key)))
            if content is not None:
                self.lookup.add(content)
                self._held[name, key] = content
        except FAULTS as error:
            log.error("%s offset %d ignored: %s", name, record.offset, error)
        else:
            self.revision += 1


def _log_unfit(model: str, fault: ValueError) -> None:
    log.error("model %s is watched without what does not fit: %s", model, fault)


class _Kind(msgspec.Struct):
    """What of a record says what it is; a reference says nothing."""

    kind: str = ""


def _compared(value: bytes) -> Reference | Adoption:
    is_adoption = msgspec.json.decode(value, type=_Kind).kind == "adoption"
    if is_adoption:
        return msgspec.json.decode(value, type=Adoption)
    return msgspec.json.decode(value, type=Reference)


def _read(key: str, value: bytes, decode: Callable[[bytes], Content]) -> Content:
    if len(value) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, got {len(value)}")
    content = decode(value)
    expected = [content.key if isinstance(content, Adoption) else content.model]
    if isinstance(content, Reference):  # the second is how version 0.1 wrote it
        whose = (content.model, content.version)
        expected = [reference_key(*whose), version_name(*whose)]
    if key not in expected:
        raise ValueError(f"expected the key {expected[0]!r}, got {key!r}")
    return content


class ControlReader:
    """Follows both topics, all partitions, from their start, for as long as the worker runs.

    Parameters
    ----------
    monitors, references
        The topics' names.
    log_ends
        Knows where the topics end.
    """

    def __init__(self, monitors: str, references: str, log_ends: LogEnds) -> None:
        self.tables = ControlTables()
        self._log_ends = log_ends
        self._partitions: list[TopicPartition] = []
        self._readers = {
            monitors: self.tables.read_monitors,
            references: self.tables.read_references,
        }
        self._read_up_to: dict[TopicPartition, int] = {}
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(
        self, consumer: AIOKafkaConsumer, died: Callable[[BaseException], object]
    ) -> None:
        """Begin to read.

        Parameters
        ----------
        consumer
            Without a group, started; stopped by its owner.
        died
            Called when a fault ends the reading: no change would be noticed any more.
        """
        self._partitions = [
            TopicPartition(topic, partition)
            for topic in self._readers
            for partition in consumer.partitions_for_topic(topic) or {0}
        ]
        consumer.assign(self._partitions)
        await consumer.seek_to_beginning()
        self._task = asyncio.create_task(self._follow(consumer))

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                died(error)

        self._task.add_done_callback(ended)

    async def stop(self) -> None:
        """End reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def catch_up(self) -> None:
        """Return once everything that is in the topics now has been read."""
        ends = await self._log_ends.ends(self._partitions)
        async with self._moved:
            await self._moved.wait_for(lambda: self._is_past(ends))

    def _is_past(self, ends: Mapping[TopicPartition, int]) -> bool:
        if self._task is not None and self._task.done():
            self._task.result()  # raises what ended the reading
        return all(self._read_up_to.get(tp, 0) >= end for tp, end in ends.items())

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                    self._readers[tp.topic](records)
                for tp in self._partitions:
                    self._read_up_to[tp] = await consumer.position(tp)
                await self._notify()
        finally:
            await asyncio.shield(self._notify())

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()
