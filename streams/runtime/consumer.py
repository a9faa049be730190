"""Faust's consumer, taught to hand over whole batches and to take its offsets from snapshots."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from tidegauge.streams.monitor.records import Record, Source
from tidegauge.streams.runtime.batches import whole
from tidegauge.streams.runtime.clients import ISOLATION, LogEnds
from tidegauge.streams.runtime.ledger import Fetch, Ledger
from tidegauge.streams.runtime.membership import guard

LEAVE_WITHIN_S = 5.0
DISCONNECT_WITHIN_S = 2.0
BUSY_WAIT_MS, IDLE_WAIT_MS = 2, 250  # how long a fetch waits at the broker for a first record

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Batch:
    """Looks like a Kafka record to Faust; its value is all that one fetch gave for a partition."""

    topic: str
    partition: int
    offset: int  # of the last record
    value: Fetch
    timestamp: int
    timestamp_type: int = 0
    key: bytes | None = None
    headers: tuple[()] = ()
    checksum: int | None = None
    serialized_key_size: int = 0
    serialized_value_size: int = 0


class Fetched(dict[TP, list[Sequence[Record]]]):
    """What one poll gave, and the flow it was fetched under."""

    flow: object = None


class BatchScheduler(DefaultSchedulingStrategy):
    """Faust's setting ``ConsumerScheduler``: turns one poll into few events per partition."""

    def iterate(self, records: Mapping[TP, list[Sequence[Record]]]) -> Iterator[tuple[TP, Batch]]:
        """Yield an event for each batch; mostly a partition has one."""
        flow = records.flow if isinstance(records, Fetched) else None
        for tp, batches in records.items():
            for batch in batches:
                last = batch[-1]
                fetch = Fetch(flow, batch)
                yield tp, Batch(tp.topic, tp.partition, last.offset, fetch, last.timestamp)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Runs aiokafka's consumer; everything here happens in its thread."""

    consumer: "Consumer"

    def __post_init__(self) -> None:
        """Set up; Faust calls it at the end of its own constructor."""
        super().__post_init__()
        self.last_fetched: dict[TP, int] = {}
        self._ahead: asyncio.Task[Fetched] | None = None  # what will be asked for next

    async def on_start(self) -> None:
        """Connect; nothing is subscribed to yet."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 (aiokafka shows it nowhere)
        guard(coordinator, self.app.conf.consumer_group_instance_id, self._end_worker)

    async def on_thread_stop(self) -> None:
        """Disconnect, or leave the connections to the operating system."""
        if self._ahead is not None:
            self._ahead.cancel()
        # Cancelled: aiokafka awaits fetches that it has cancelled itself.
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(DISCONNECT_WITHIN_S):
                await super().on_thread_stop()

    def _stopped_set(self) -> None:
        # After a crash the thread ends by itself, and has closed its loop or is about to.
        with contextlib.suppress(RuntimeError):
            super()._stopped_set()

    def _end_worker(self, error: BaseException) -> None:
        asyncio.run_coroutine_threadsafe(self.app.crash(error), self.parent_loop)

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust takes round robin where there are no tables; range gives partition p of all topics
        # to one member, as their partition counts and their subscriptions are the same.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)  # noqa: SLF001
        consumer._value_deserializer = whole  # noqa: SLF001 (Faust sets none)
        consumer._isolation_level = ISOLATION  # noqa: SLF001 (Faust ties it to exactly-once)
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[TP], *args: Any, **kwargs: Any
    ) -> Fetched:
        """Return what was fetched while the last was folded, and begin to fetch the next.

        What was fetched before a seek comes again. Faust must not see it: it would take no record
        below its last offset from then on.
        """
        ahead, self._ahead = self._ahead, None
        fetched = await ahead if ahead else None
        if fetched is None or fetched.flow is not self.consumer.ledger.flow:
            fetched = await self._fetch(consumer, active_partitions, *args, **kwargs)
        # Of none aiokafka would fetch all. A copy: Faust takes out of its own what it pauses.
        if active := set(active_partitions):
            self._ahead = asyncio.create_task(self._fetch(consumer, active, *args, **kwargs))
        return fetched

    async def _fetch(self, consumer: Any, *args: Any, **kwargs: Any) -> Fetched:
        fetched = Fetched(await super()._fetch_records(consumer, *args, **kwargs))
        fetched.flow = self.consumer.ledger.flow  # no seek can come between the fetch and this
        for tp, batches in fetched.items():
            self.last_fetched[tp] = batches[-1][-1].offset
            source = self.consumer.sources[tp.topic]
            read_ahead = partial(self.consumer.ledger.read_ahead, source, tp.partition)
            fetched[tp] = [*map(read_ahead, batches)]
        # aiokafka asks a broker one thing at a time. While it waits there for the topics that are
        # silent, the busy one's next records must wait, too: so wait briefly while there are any.
        wait_ms = BUSY_WAIT_MS if fetched else IDLE_WAIT_MS
        consumer._fetcher._fetch_max_wait_ms = wait_ms  # noqa: SLF001
        return fetched

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self.consumer.ledger.flow = object()
        self.last_fetched.clear()
        await super()._seek_wait(consumer, partitions)


class Consumer(driver.Consumer):
    """Checkpoints before partitions leave and starts where the snapshots end."""

    ledger: Ledger
    topics: Mapping[Source, str]
    sources: Mapping[str, Source]  # of those topics
    log_ends: LogEnds
    is_checkpointed = True  # at the worker's end, by the brokers' word
    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def wait_empty(self) -> None:
        """Checkpoint and let go, or give up in time; called when partitions leave and at stop.

        Giving up loses nothing: the next owner starts at the last snapshot.
        """
        confirmed = False
        try:
            async with asyncio.timeout(LEAVE_WITHIN_S):
                confirmed = await self.ledger.release()
        except TimeoutError:
            log.warning("Left without a checkpoint: not confirmed in %.0f s", LEAVE_WITHIN_S)
        finally:
            if self.app.should_stop and not confirmed:
                self.is_checkpointed = False

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to where the restored states go on; what is committed is only for people to see."""
        committed = await super().seek_to_committed()
        assigned = self.assignment()
        positions = {
            tp: offset
            for (source, partition), offset in self.ledger.positions().items()
            if (tp := TP(self.topics[source], partition)) in assigned
        }
        await self.seek_wait(positions)
        return {**committed, **positions}

    async def commit_positions(self, positions: Mapping[tuple[Source, int], int]) -> None:
        """Commit what snapshots cover. Partitions lost meanwhile are left out, with a log line."""
        await self._commit_offsets({TP(self.topics[s], p): at for (s, p), at in positions.items()})

    async def rejoin(self) -> None:
        """Give up all partitions and take them anew, as in any rebalance: state is restored."""
        coordinator = self._thread._ensure_consumer()._coordinator  # noqa: SLF001 (as in on_start)
        self._thread.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    async def start_offset(self, source: Source, partition: int) -> int:
        """Ask the broker where a log begins now."""
        tp = TP(self.topics[source], partition)
        return (await self.log_ends.starts([tp]))[tp]

    async def end_offset(self, source: Source, partition: int) -> int:
        """Ask the broker where a log ends now."""
        tp = TP(self.topics[source], partition)
        return (await self.log_ends.ends([tp]))[tp]

    async def has_drained(self, source: Source, partition: int, end: int, folded: int) -> bool:
        """Tell whether all records before ``end`` are folded if the last offsets hold none.

        Transactions end with markers: offsets that no record will ever have.
        """
        tp = TP(self.topics[source], partition)
        try:
            position = await self.position(tp)
        except IllegalStateError:  # not assigned any more
            return False
        if position is None or position < end:
            return False
        return folded > self._thread.last_fetched.get(tp, -1)  # kept together with the position
