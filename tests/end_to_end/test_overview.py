"""What `tidegauge status` reads, where the brokers or the topics are not as they should be."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.end_to_end.workers import Sender
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime import overview
from tidegauge.streams.runtime.broker import EmbeddedBroker
from tidegauge.streams.runtime.errors import BrokerUnreachableError, StateError
from tidegauge.streams.runtime.settings import Settings
from tidegauge.streams.runtime.snapshots import SnapshotWriter
from tidegauge.streams.runtime.topics import create_topics

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("ask", [overview.overview, overview.known_models])
def test_brokers_that_freeze_while_they_are_read_are_not_waited_for_for_ever(
    ask: Callable[[Settings, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "PARTITION_WITHIN_S", 2.0)
    read = overview._partition  # noqa: SLF001 (the first thing that is read)
    broker = EmbeddedBroker()
    broker.start()
    process = broker._process  # noqa: SLF001 (it leads a process group, and no user freezes one)
    assert process is not None

    async def freeze_and_read(*arguments: Any) -> Any:
        os.killpg(process.pid, signal.SIGSTOP)
        return await read(*arguments)

    monkeypatch.setattr(overview, "_partition", freeze_and_read)
    with contextlib.closing(broker):
        names = TopicNames.prefixed("frozen.")
        create_topics(broker.address, names)
        try:
            with pytest.raises(BrokerUnreachableError, match="no Kafka broker answers"):
                ask(Settings(brokers=broker.address, topics=names), 4)
        finally:
            os.killpg(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("ask", [overview.overview, overview.known_models])
def test_a_state_that_cannot_be_read_is_named(
    ask: Callable[[Settings, int], Any], brokers: str, topics: TopicNames
) -> None:
    sender, offset = Sender(brokers), 0

    async def append(key: bytes, value: bytes | None) -> int:
        nonlocal offset
        sender.send(topics.state, value, key, partition=2)
        offset += 1
        return offset - 1

    later = msgspec.msgpack.encode({"layout": 99})
    asyncio.run(SnapshotWriter(append, 1, set()).write(Snapshot(later, {})))
    sender.flush()
    with pytest.raises(StateError, match="state of partition 2: snapshot: expected layout"):
        ask(Settings(brokers=brokers, topics=topics), 4)


async def test_the_last_windows_are_found_without_reading_all_that_is_large(
    brokers: str, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "LATEST_BYTES", 30_000)
    sender = Sender(brokers)
    for window in range(200):  # with what a report of many features takes besides
        body = {"model": "fraud", "version": "", "source": "predictions", "window": window}
        body |= {"first_ts_ms": 0, "last_ts_ms": 1, "rows": 100, "features": "x" * 1000}
        sender.send(topics.windows, json.dumps(body).encode(), b"fraud")
    sender.flush()
    heard: dict[Any, overview.Heard] = {}
    fraud, silent = ("fraud", "", "predictions"), ("silent", "", "predictions")
    async with overview._logs(Settings(brokers=brokers, topics=topics)) as logs:  # noqa: SLF001 (where it is read)
        read = [record.offset async for record in logs.latest("windows", 0, 2000)]
        few = [record.offset async for record in logs.latest("windows", 0, 5)]
        for wanted in ({fraud}, {fraud, silent}):
            reports = logs.latest("windows", 0, 2000)
            found = await overview._last_windows(reports, wanted, heard)  # noqa: SLF001 (as above)
            assert {key: report.window for key, report in found.items()} == {fraud: 199}
    assert read == list(range(199, 159, -1)), "two steps of 20"
    assert few == [199, 198, 197, 196, 195]
