"""How a deployment stands, from its topics alone: state, lag, workers, the latest reports."""

import asyncio
import contextlib
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import RetriableError

from tidegauge.streams.monitor.effective import Effective, effective
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Record
from tidegauge.streams.monitor.state import PartitionSettings
from tidegauge.streams.monitor.status import (
    ModelStatus,
    Unattributed,
    merge,
    model_statuses,
    unattributed,
)
from tidegauge.streams.runtime.admin import admin_client
from tidegauge.streams.runtime.clients import ISOLATION, LogEnds, new_restoring_reader
from tidegauge.streams.runtime.cores import restoring
from tidegauge.streams.runtime.errors import WorkerError
from tidegauge.streams.runtime.groups import Member, members
from tidegauge.streams.runtime.loading import MissingError, load
from tidegauge.streams.runtime.logs import PartitionLog
from tidegauge.streams.runtime.settings import Settings
from tidegauge.streams.runtime.unreachable import unreachable

T = TypeVar("T")
WindowKey = tuple[str, str, str]  # model, version and source

REPORTS = 2000  # latest of each partition in which the last windows are looked for
LATEST_BYTES = 8 * 1_048_576  # of them, and of others: more are not read
STEP = 20  # records held at once: each may have a megabyte
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
    ticked: bool = False


class LastRows(msgspec.Struct, frozen=True, kw_only=True):
    """Of a record of rows what tells whose it is."""

    model: str
    version: str = ""
    features: dict[str, msgspec.Raw] = {}


@dataclass
class Heard:
    """What the latest records say of a model version."""

    record_ms: int = 0  # own time of the latest rows, or report that rows gave rise to; 0: none
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
    windows: Mapping[WindowKey, LastWindow]  # the last
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
    statuses = _each(settings, partitions, model_statuses)
    return sorted({status.model for status in statuses})


def in_force(settings: Settings, partitions: int) -> list[Effective]:
    """Return how every stream of every model version is watched."""
    return _each(settings, partitions, effective)


def _each(settings: Settings, partitions: int, say: Callable[[Partition], Iterable[T]]) -> list[T]:
    """Return all that is said of each partition, as its last snapshot describes it."""

    async def read() -> list[T]:
        found: list[T] = []
        async with _logs(settings) as logs:
            own = PartitionSettings(settings.sources, partitions)
            for number in range(partitions):
                async with asyncio.timeout(PARTITION_WITHIN_S):
                    found += say(await _partition(logs, own, number))
        return found

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

    async def latest(self, topic: str, number: int, count: int) -> AsyncIterator[Record]:
        """Yield the last records of a partition, the last first: so many, or so many bytes."""
        log, size = self.log(topic, number), 0
        first, end = await log.bounds()
        first = max(first, end - count)
        while first < end and size < LATEST_BYTES:
            start = max(first, end - STEP)
            records = [r async for some in log.read(start, end) for r in some]
            for record in reversed(records):
                yield record
            size += sum(len(record.value or b"") for record in records)
            end = start


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
    windows: dict[WindowKey, LastWindow] = {}
    heard: dict[Key, Heard] = {}
    models: list[ModelStatus] = []
    found: list[PartitionOverview] = []
    holders = {n: w.instance for w in workers for n in w.partitions.get(own.topics["labels"], ())}
    async with _logs(settings) as logs:
        for number in range(partitions):
            async with asyncio.timeout(PARTITION_WITHIN_S):
                partition = await _partition(logs, own, number)
                statuses = model_statuses(partition)
                closed = {(*m.key, s.source) for m in statuses for s in m.streams if s.windows}
                reports = logs.latest("windows", number, REPORTS)
                windows |= await _last_windows(reports, closed, heard)
                for source in partition.rows:
                    await _hear(heard, logs.latest(source, number, RECORDS))
                written = [r.timestamp async for r in logs.latest("state", number, 1)]
                behind = {
                    s: n for s, n in lag[number].items() if await _is_real(logs, s, number, n)
                }
            models += statuses
            found.append(
                PartitionOverview(
                    number,
                    behind,
                    written[0] if written else None,
                    holders.get(number, ""),
                    unattributed(partition),
                )
            )
    return Overview(merge(models), windows, heard, found, workers)


async def _is_real(logs: _Logs, source: str, number: int, behind: int) -> bool:
    """Tell whether there is anything to read: the last offsets may be markers of transactions."""
    if behind > RECORDS:
        return True
    return await anext(logs.latest(source, number, behind), None) is not None


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


async def _last_windows(
    records: AsyncIterator[Record], wanted: Collection[WindowKey], heard: dict[Key, Heard]
) -> dict[WindowKey, LastWindow]:
    """Return the last report of each of ``wanted``, from records of which the latest come first."""
    found: dict[WindowKey, LastWindow] = {}
    while found.keys() != wanted and (record := await anext(records, None)) is not None:
        with contextlib.suppress(msgspec.DecodeError):  # not ours: workers write only reports
            report = msgspec.json.decode(record.value or b"", type=LastWindow)
            key = report.model, report.version, report.source
            if key in wanted and key not in found:
                found[key] = report
                if report.source != "outcomes" and not report.ticked:  # so it was closed by a row
                    own = heard.setdefault((report.model, report.version), Heard())
                    own.record_ms = max(own.record_ms, record.timestamp)
    return found


async def _hear(found: dict[Key, Heard], records: AsyncIterator[Record]) -> None:
    async for record in records:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # counted as rejected
            rows = msgspec.json.decode(record.value or b"", type=LastRows)
            heard = found.setdefault((rows.model, rows.version), Heard())
            heard.record_ms = max(heard.record_ms, record.timestamp)
            heard.features |= rows.features.keys()
