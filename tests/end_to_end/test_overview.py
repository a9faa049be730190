"""What `tidegauge status` reads, where the brokers or the topics are not as they should be."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas.topics import TopicNames
from streams.monitor.snapshot import Snapshot
from streams.runtime import overview
from streams.runtime.broker import EmbeddedBroker
from streams.runtime.errors import BrokerUnreachableError, StateError
from streams.runtime.settings import Settings
from streams.runtime.snapshots import SnapshotWriter
from streams.runtime.topics import create_topics
from tests.end_to_end.workers import Sender

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]


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

    later = msgspec.msgpack.encode({"layout": 3})
    asyncio.run(SnapshotWriter(append, 1, set()).write(Snapshot(later, {})))
    sender.flush()
    with pytest.raises(StateError, match="state of partition 2: snapshot: expected layout"):
        ask(Settings(brokers=brokers, topics=topics), 4)
