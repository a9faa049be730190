"""Brokers that are away for longer than any request may take: everything waits, nothing is lost."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import TopicPartition

from tests.end_to_end.workers import everything
from tidegauge.schemas.topics import FOREVER_MS, TopicNames
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.runtime import clients
from tidegauge.streams.runtime.broker import EmbeddedBroker
from tidegauge.streams.runtime.clients import LogEnds, new_producer, new_reader
from tidegauge.streams.runtime.outbox import Outbox
from tidegauge.streams.runtime.topics import create_topics

pytestmark = pytest.mark.timeout(300)

TIMEOUT_MS = 1_000
AWAY_S = 5.0  # several times what a request may take
OUTPUTS = 300
LARGE = b"x" * 10_000  # so that they do not fit into one batch


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker of this test alone."""
    found = EmbeddedBroker()
    found.start()
    try:
        yield found
    finally:
        found.close()


async def test_outputs_under_way_and_questions_asked_wait_for_a_broker_that_is_away(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "REQUEST_TIMEOUT_MS", TIMEOUT_MS)
    topics = TopicNames.prefixed("outage.")
    await asyncio.to_thread(create_topics, broker.address, topics, 1, retention_ms=FOREVER_MS)
    outbox, ends, tp = Outbox(topics.by_topic()), LogEnds(), TopicPartition(topics.windows, 0)
    async with new_producer(broker.address) as producer, new_reader(broker.address) as reader:
        outbox.start(producer)
        ends.start(reader)
        outbox.put(0, [Output("windows", b"first", LARGE)])
        await outbox.settled()
        assert await ends.ends([tp]) == {tp: 1}
        await asyncio.to_thread(broker.kill)
        outbox.put(0, [Output("windows", b"%d" % number, LARGE) for number in range(OUTPUTS)])
        waiting = asyncio.gather(outbox.settled(), ends.ends([tp]))
        await asyncio.sleep(AWAY_S)
        assert not waiting.done()
        await asyncio.to_thread(broker.start)
        _, answer = await waiting
        assert answer[tp] >= 1
    there = [message.key for message in everything(broker.address, topics.windows)]
    assert there == [b"first", *(b"%d" % number for number in range(OUTPUTS))]


async def test_outputs_wait_for_a_partition_that_has_no_leader_as_after_a_brokers_return(
    brokers: str, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "REQUEST_TIMEOUT_MS", TIMEOUT_MS)
    outbox = Outbox(topics.by_topic())
    async with new_producer(brokers) as producer:
        outbox.start(producer)
        with monkeypatch.context() as leaderless:
            leaderless.setattr(producer.client.cluster, "leader_for_partition", lambda _: -1)
            outbox.put(0, [Output("windows", b"%d" % number, LARGE) for number in range(OUTPUTS)])
            waiting = asyncio.create_task(outbox.settled())
            await asyncio.sleep(AWAY_S)
            assert not waiting.done()
        await waiting
    there = [message.key for message in everything(brokers, topics.windows)]
    assert there == [b"%d" % number for number in range(OUTPUTS)]
