"""Puts a worker together: the shell of the core, on a Faust app."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from aiokafka import TopicPartition
from faust import App
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from tidegauge.streams.monitor.join.siphash import KEY_BYTES
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.state import PartitionSettings
from tidegauge.streams.runtime.agents import watch
from tidegauge.streams.runtime.batches import read_in_any_case
from tidegauge.streams.runtime.clients import (
    LogEnds,
    new_producer,
    new_reader,
    new_restoring_reader,
)
from tidegauge.streams.runtime.consumer import DISCONNECT_WITHIN_S, BatchScheduler, Consumer
from tidegauge.streams.runtime.control import ControlReader
from tidegauge.streams.runtime.cores import Cores
from tidegauge.streams.runtime.errors import StateError, WorkerError
from tidegauge.streams.runtime.heartbeat import heartbeat
from tidegauge.streams.runtime.ledger import Ledger
from tidegauge.streams.runtime.logs import PartitionLog
from tidegauge.streams.runtime.outbox import Outbox
from tidegauge.streams.runtime.preflight import watch_groups
from tidegauge.streams.runtime.restore import Restored, Restorer
from tidegauge.streams.runtime.settings import Settings
from tidegauge.streams.runtime.watchdog import Watchdog, compared

CHECKPOINT_EVERY_S = 0.5
TICK_EVERY_S = 5.0
FETCH_BYTES = 8 * 1_048_576  # of one topic at once, over all its partitions
PARTITION_FETCH_BYTES = (65_536, 4 * 1_048_576)  # at least, at most


class MonitorApp(App):
    """A Faust app with the producer and the control reader that its agents need.

    Both start before Kafka's consumer and stop after its last checkpoint.
    """

    outbox: Outbox
    control: ControlReader
    log_ends: LogEnds
    brokers: str
    topic_names: Iterable[str]
    clients: contextlib.AsyncExitStack
    cause: BaseException | None = None  # of its end; the first, others often follow from it

    @property
    def exit_code(self) -> int:
        """What the process should end with."""
        if self.cause is None:
            consumer = cast(Consumer, self.consumer)
            return 0 if consumer.is_checkpointed else WorkerError.exit_code
        return getattr(self.cause, "exit_code", WorkerError.exit_code)

    def _crash(self, reason: BaseException) -> None:
        self.cause = self.cause or reason
        super()._crash(reason)

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        connect = self.clients.enter_async_context
        self.outbox.start(await connect(new_producer(self.brokers)))
        self.log_ends.start(await connect(new_reader(self.brokers)))
        await self.log_ends.ends([TopicPartition(name, 0) for name in self.topic_names])  # warm up
        reader = await connect(new_reader(self.brokers))
        await self.control.start(reader, lambda error: self.add_future(self.crash(error)))
        self.clients.push_async_callback(self.control.stop)

    def _create_directories(self) -> None:
        """Make none: nothing is kept on disk, and there may be no place to write to."""

    async def on_shutdown(self) -> None:
        """Disconnect."""
        await super().on_shutdown()
        with contextlib.suppress(TimeoutError):  # what is still unsent then is not missed
            async with asyncio.timeout(DISCONNECT_WITHIN_S):
                await self.clients.aclose()


def monitor_cores(settings: Settings, partitions: int) -> Cores:
    """Return how to make the real core."""
    key = secrets.token_bytes(KEY_BYTES)
    own = PartitionSettings(settings.sources, partitions, settings.join_bytes, key)
    return Cores(
        lambda number: Partition(number, own),
        lambda number, snapshot: Partition.restore(number, own, snapshot),
    )


def create_app(settings: Settings, partitions: int, cores: Cores | None = None) -> MonitorApp:
    """Return the app of a worker, not started.

    Parameters
    ----------
    settings
        Of the deployment.
    partitions
        Of each source topic.
    cores
        Makes the core of a partition; the monitor, if not given.
    """
    read_in_any_case()
    app = MonitorApp(settings.group_id, **_faust_settings(settings, partitions))
    names = settings.topics.by_topic()
    app.brokers, app.topic_names = settings.brokers, names.values()
    app.clients = contextlib.AsyncExitStack()
    app.outbox = Outbox(names)
    app.log_ends = LogEnds()
    app.control = ControlReader(names["monitors"], names["references"], app.log_ends)
    ledger = Ledger(
        app.outbox,
        app.control,
        lambda: cast(Consumer, app.consumer),
        _restorer(settings, app, cores or monitor_cores(settings, partitions)),
    )
    _use_consumer(app, ledger, settings.sources)
    for source, name in settings.sources.items():
        topic = app.topic(name, value_type=bytes, value_serializer="raw", acks=False)  # we commit
        watch(app, topic, source, ledger)
    _keep_time(app, ledger)
    _gate(app, ledger, settings.sources)
    _watch_over(app, ledger, settings)
    return app


def _faust_settings(settings: Settings, partitions: int) -> dict[str, Any]:
    least, most = PARTITION_FETCH_BYTES
    return {
        "broker": [f"kafka://{broker}" for broker in settings.brokers.split(",")],
        "web_enabled": False,
        "ConsumerScheduler": BatchScheduler,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.instance,
        "consumer_max_fetch_size": max(least, min(most, FETCH_BYTES // partitions)),
        "broker_session_timeout": 10.0,
        "broker_rebalance_timeout": 10.0,
        "broker_heartbeat_interval": 1.0,
        # Batches. Faust stops fetching a partition when a topic's buffer is 4/5 full, but two more
        # batches of each may come, one of them fetched ahead: if they did not fit, all topics
        # would wait for this one, also the predictions that its labels wait for.
        "stream_buffer_maxsize": max(16, 10 * (partitions + 1)),
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "table_standby_replicas": 0,
    }


def _use_consumer(app: MonitorApp, ledger: Ledger, sources: Mapping[Source, str]) -> None:
    class LedgerConsumer(Consumer):
        pass

    LedgerConsumer.ledger, LedgerConsumer.topics = ledger, sources
    LedgerConsumer.sources = {topic: source for source, topic in sources.items()}
    LedgerConsumer.log_ends = app.log_ends

    class LedgerTransport(driver.Transport):
        Consumer = LedgerConsumer

    app.transport = LedgerTransport(app.conf.broker_consumer, app)


def _keep_time(app: App, ledger: Ledger) -> None:
    async def checkpoint() -> None:
        while not app.should_stop:
            await asyncio.sleep(CHECKPOINT_EVERY_S)
            try:
                if not app.rebalancing:
                    await ledger.checkpoint_due()
            except Exception as error:
                await app.crash(error)

    async def tick() -> None:
        while not app.should_stop:
            await asyncio.sleep(TICK_EVERY_S)
            try:
                if not app.rebalancing:
                    await ledger.tick()
            except Exception as error:
                await app.crash(error)

    app.task(checkpoint)
    app.task(tick)


def _gate(app: App, ledger: Ledger, sources: Mapping[Source, str]) -> None:
    async def restore(*_: Any, **__: Any) -> None:
        assigned: dict[str, set[int]] = {name: set() for name in sources.values()}
        for tp in app.consumer.assignment():
            assigned[tp.topic].add(tp.partition)
        first, *others = assigned.values()
        if any(other != first for other in others):
            raise StateError(
                f"expected the same partitions of every source topic, got {assigned}: is there a "
                "worker of another version in the group?"
            )
        await ledger.restore(first)

    app.on_rebalance_complete.connect(restore)


def _restorer(
    settings: Settings, app: MonitorApp, cores: Cores
) -> Callable[[set[int], Callable[[], bool]], Any]:
    names = settings.topics.by_topic()

    async def restore(numbers: set[int], wanted: Callable[[], bool]) -> dict[int, Restored]:
        if not numbers:  # aiokafka's reader, closed as soon as it was opened, cancels its caller
            return {}
        try:
            async with (
                asyncio.timeout(settings.restore_within_s),
                new_restoring_reader(settings.brokers) as reader,
            ):
                return {n: await restore_one(n, reader, wanted) for n in sorted(numbers)}
        except TimeoutError as error:
            raise StateError(
                f"state not restored within {settings.restore_within_s:.0f} s: allow more time"
            ) from error

    async def restore_one(number: int, reader: Any, wanted: Callable[[], bool]) -> Restored:
        def log(topic: str) -> PartitionLog:
            return PartitionLog(reader, app.log_ends, names[topic], number)

        return await Restorer(number, cores, app.outbox, log, wanted).restore()

    return restore


def _watch_over(app: MonitorApp, ledger: Ledger, settings: Settings) -> None:
    sources = settings.sources

    def positions() -> dict[TP, int]:
        if ledger.restoring:  # which has a limit of its own
            return {}
        try:
            assigned = app.consumer.assignment()
        except ConsumerNotStarted:
            return {}
        held = ledger.positions().items()
        found = {TP(sources[source], number): at for (source, number), at in held}
        return compared(found, assigned)

    async def has_drained(tp: TP, end: int, position: int) -> bool:
        consumer = cast(Consumer, app.consumer)
        return await consumer.has_drained(consumer.sources[tp.topic], tp.partition, end, position)

    watchdog = Watchdog(
        settings.stalled_after_s, positions, app.log_ends.ends, has_drained, app.crash
    )

    async def stay_alone() -> None:
        await watch_groups(settings.brokers, settings.group_id, settings.topics.by_topic())

    app.task(watchdog.run)
    app.task(stay_alone)
    if settings.heartbeat_file is not None:
        app.task(heartbeat(settings.heartbeat_file))
