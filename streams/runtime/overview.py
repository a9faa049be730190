"""How a deployment stands, from its topics alone: state, lag, workers, the latest reports."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import RetriableError

from streams.monitor.decoding import Key
from streams.monitor.partition import Partition, PartitionSettings
from streams.monitor.records import Record
from streams.monitor.status import (
    ModelStatus,
    Unattributed,
    merge,
    model_statuses,
    unattributed,
)
from streams.runtime.admin import admin_client
from streams.runtime.clients import ISOLATION, LogEnds, new_restoring_reader
from streams.runtime.cores import restoring
from streams.runtime.errors import WorkerError
from streams.runtime.groups import Member, members
from streams.runtime.loading import MissingError, load
from streams.runtime.logs import PartitionLog
from streams.runtime.settings import Settings
from streams.runtime.unreachable import unreachable

T = TypeVar("T")

REPORTS = 2000  # latest of each partition in which the last windows are looked for
PARTITION_WITHIN_S = 60.0  # to read all there is to know of one
READY_WITHIN_S, ASK_EVERY_S = 10.0, 0.5
RECORDS = 200  # latest of each partition in which a model's rows are looked for


class LastWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Of a window's report what tells where a model is."""

    model: str
    version: str
    source: str
    window: int
    first_ts_ms: int
    last_ts_ms: int
    rows: int


class LastRows(msgspec.Struct, frozen=True, kw_only=True):
    """Of a record of rows what tells whose it is."""

    model: str
    version: str = ""
    features: dict[str, msgspec.Raw] = {}


@dataclass
class Heard:
    """What the latest records say of a model version."""

    record_ms: int = 0  # the record's own time, of the latest rows or the latest window's report
    features: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PartitionOverview:
    """One partition number over all topics."""

    number: int
    behind: Mapping[str, int]  # records not yet taken, by source, where there are any
    written_ms: int | None  # when its state was last written; None: never
    holder: str  # the worker that has it; empty: none
    others: Unattributed


@dataclass(frozen=True, slots=True)
class Overview:
    """A deployment."""

    models: Sequence[ModelStatus]
    windows: Mapping[tuple[str, str, str], LastWindow]  # the last, by model, version and source
    heard: Mapping[Key, Heard]
    partitions: Sequence[PartitionOverview]
    workers: Sequence[Member]


def overview(settings: Settings, partitions: int) -> Overview:
    """Return how everything stands now; nothing is changed, and no group is joined.

    Raises
    ------
    BrokerUnreachableError
        If no broker answers, or one takes longer than 60 s for a partition.
    StateError
        If the state of a partition cannot be read.
    """
    lag, workers = _when_ready(lambda: _group(settings, partitions))
    return _run(settings.brokers, _overview(settings, partitions, lag, workers))


def known_models(settings: Settings, partitions: int) -> list[str]:
    """Return the names of the models of which rows were seen."""

    async def read() -> list[str]:
        async with _logs(settings) as logs:
            own = PartitionSettings(settings.sources, partitions)
            names: set[str] = set()
            for number in range(partitions):
                async with asyncio.timeout(PARTITION_WITHIN_S):
                    partition = await _partition(logs, own, number)
                names |= {status.model for status in model_statuses(partition)}
        return sorted(names)

    return _run(settings.brokers, read())


def _run(brokers: str, reading: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(reading)
    except (TimeoutError, KafkaConnectionError) as error:
        raise unreachable(brokers) from error
    except KafkaError as error:
        raise WorkerError(f"Kafka refused: {type(error).__name__}: {error}") from error


def _when_ready(ask: Callable[[], T]) -> T:
    """Return what ``ask`` returns; a new cluster has no place for groups until one is asked for."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            return ask()
        except RetriableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(ASK_EVERY_S)


def _group(
    settings: Settings, partitions: int
) -> tuple[dict[int, dict[str, int]], Sequence[Member]]:
    """Return how far the group is behind, by partition and source, and who is in it."""
    asked = {
        TopicPartition(name, number): (number, source)
        for source, name in settings.sources.items()
        for number in range(partitions)
    }
    with admin_client(settings.brokers) as admin:
        committed = admin.list_group_offsets({settings.group_id: list(asked)})[settings.group_id]
        first = admin.list_partition_offsets(dict.fromkeys(asked, OffsetSpec.EARLIEST))
        ends = admin.list_partition_offsets(
            dict.fromkeys(asked, OffsetSpec.LATEST), isolation_level=ISOLATION
        )
        workers = members(admin, [settings.group_id])
    lag: dict[int, dict[str, int]] = {number: {} for number in range(partitions)}
    for tp, (number, source) in asked.items():
        at = max(first[tp].offset, committed[tp].offset if tp in committed else 0)
        if ends[tp].offset > at:
            lag[number][source] = ends[tp].offset - at
    return lag, workers


@dataclass(frozen=True, slots=True)
class _Logs:
    """Logs of a deployment, through one reader."""

    settings: Settings
    reader: AIOKafkaConsumer
    ends: LogEnds

    def log(self, topic: str, number: int) -> PartitionLog:
        name = self.settings.topics.by_topic()[topic]
        return PartitionLog(self.reader, self.ends, name, number)

    async def tail(self, topic: str, number: int, count: int) -> list[Record]:
        log = self.log(topic, number)
        first, end = await log.bounds()
        return [r async for some in log.read(max(first, end - count), end) for r in some]


@contextlib.asynccontextmanager
async def _logs(settings: Settings) -> AsyncIterator[_Logs]:
    async with (
        new_restoring_reader(settings.brokers) as reader,
        new_restoring_reader(settings.brokers) as client,
    ):
        ends = LogEnds()
        ends.start(client)
        yield _Logs(settings, reader, ends)


async def _overview(
    settings: Settings,
    partitions: int,
    lag: Mapping[int, Mapping[str, int]],
    workers: Sequence[Member],
) -> Overview:
    own = PartitionSettings(settings.sources, partitions)
    windows: dict[tuple[str, str, str], LastWindow] = {}
    heard: dict[Key, Heard] = {}
    models: list[ModelStatus] = []
    found: list[PartitionOverview] = []
    holders = {n: w.instance for w in workers for n in w.partitions.get(own.topics["labels"], ())}
    async with _logs(settings) as logs:
        for number in range(partitions):
            async with asyncio.timeout(PARTITION_WITHIN_S):
                partition = await _partition(logs, own, number)
                models += model_statuses(partition)
                _see_windows(windows, heard, await logs.tail("windows", number, REPORTS))
                for source in partition.rows:
                    _hear(heard, await logs.tail(source, number, RECORDS))
                written = await logs.tail("state", number, 1)
                behind = {
                    s: n for s, n in lag[number].items() if await _is_real(logs, s, number, n)
                }
            found.append(
                PartitionOverview(
                    number,
                    behind,
                    written[-1].timestamp if written else None,
                    holders.get(number, ""),
                    unattributed(partition),
                )
            )
    return Overview(merge(models), windows, heard, found, workers)


async def _is_real(logs: _Logs, source: str, number: int, behind: int) -> bool:
    """Tell whether there is anything to read: the last offsets may be markers of transactions."""
    return behind > RECORDS or bool(await logs.tail(source, number, behind))


async def _partition(logs: _Logs, own: PartitionSettings, number: int) -> Partition:
    """Return what the last snapshot of a partition describes, as a worker would restore it."""
    log = logs.log("state", number)
    try:
        loaded = await load(log)
    except MissingError:  # it was replaced while we read it
        loaded = await load(log)
    if loaded.snapshot is None:
        return Partition(number, own)
    with restoring(number):
        return Partition.restore(number, own, loaded.snapshot)


def _see_windows(
    found: dict[tuple[str, str, str], LastWindow],
    heard: dict[Key, Heard],
    records: Iterable[Record],
) -> None:
    for record in records:
        with contextlib.suppress(msgspec.DecodeError):  # not ours: workers write only reports
            report = msgspec.json.decode(record.value or b"", type=LastWindow)
            found[report.model, report.version, report.source] = report
            own = heard.setdefault((report.model, report.version), Heard())
            own.record_ms = max(own.record_ms, record.timestamp)


def _hear(found: dict[Key, Heard], records: Iterable[Record]) -> None:
    for record in records:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # counted as rejected
            rows = msgspec.json.decode(record.value or b"", type=LastRows)
            heard = found.setdefault((rows.model, rows.version), Heard())
            heard.record_ms = max(heard.record_ms, record.timestamp)
            heard.features |= rows.features.keys()
