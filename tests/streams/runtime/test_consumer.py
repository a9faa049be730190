import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.runtime import consumer as module
from tidegauge.streams.runtime.consumer import Consumer, ConsumerThread


async def confirmed() -> bool:
    return True


async def broken() -> bool:
    return False


async def refused() -> bool:
    raise ConnectionError("refused")


async def unanswered() -> bool:
    return await asyncio.Future()


@pytest.mark.parametrize(
    ("release", "stops", "checkpointed"),
    [
        (confirmed, True, True),
        (broken, True, False),
        (refused, True, False),
        (unanswered, True, False),
        (unanswered, False, True),  # partitions leave, and the worker goes on
    ],
)
async def test_a_worker_is_checkpointed_at_its_end_only_by_the_brokers_word(
    release: Callable[[], Awaitable[bool]],
    stops: bool,
    checkpointed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LEAVE_WITHIN_S", 0.05)
    consumer: Any = object.__new__(Consumer)
    consumer.ledger = SimpleNamespace(release=release)
    consumer.app = SimpleNamespace(should_stop=stops)
    if release is refused:
        with pytest.raises(ConnectionError):
            await consumer.wait_empty()
    else:
        await consumer.wait_empty()
    assert consumer.is_checkpointed is checkpointed


PREDICTIONS, LABELS = TP("p", 0), TP("l", 0)


class Thread(ConsumerThread):
    """A consumer's thread of which the broker is two counters."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.positions = {PREDICTIONS: 0, LABELS: 0}
        self.last_fetched, self._ahead = {}, None
        self._stopped: Any = asyncio.Event()
        ledger: Any = SimpleNamespace(flow=object(), read_ahead=lambda source, partition, own: own)
        sources = {"p": "predictions", "l": "labels"}
        self.consumer: Any = SimpleNamespace(ledger=ledger, sources=sources)
        self.kafka = SimpleNamespace(_fetcher=SimpleNamespace())

        async def fetch(_: Thread, consumer: object, active: set[TP], **__: object) -> Any:
            await asyncio.sleep(0)
            found = {}
            for tp in active or self.positions:
                start = self.positions[tp]
                self.positions[tp] = start + 10
                found[tp] = [[LoggedRecord(at, 0, None, b"") for at in range(start, start + 10)]]
            return found

        async def seek(_: Thread, consumer: object, partitions: Mapping[TP, int]) -> None:
            self.positions.update(partitions)

        monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
        monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_seek_wait", seek)

    async def first_offsets(self, active: set[TP]) -> dict[TP, int]:
        found = await self._fetch_records(self.kafka, active)
        assert found.flow is self.consumer.ledger.flow
        for _ in range(3):
            await asyncio.sleep(0)  # what is asked for next is fetched meanwhile
        return {tp: batches[0][0].offset for tp, batches in found.items()}

    def told_to_stop(self) -> None:
        self._stopped_set()


async def test_the_next_records_are_fetched_while_those_before_are_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread = Thread(monkeypatch)
    for expected in (0, 10, 20):
        assert await thread.first_offsets({PREDICTIONS}) == {PREDICTIONS: expected}
        assert thread.positions[PREDICTIONS] == expected + 20


async def test_after_a_seek_nothing_comes_that_was_fetched_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread = Thread(monkeypatch)
    for _ in range(3):
        await thread.first_offsets({PREDICTIONS})
    await thread._seek_wait(thread.kafka, {PREDICTIONS: 5})  # noqa: SLF001 - as Faust does
    assert await thread.first_offsets({PREDICTIONS}) == {PREDICTIONS: 5}
    assert await thread.first_offsets({PREDICTIONS}) == {PREDICTIONS: 15}


async def test_a_partition_that_is_paused_meanwhile_makes_not_all_of_them_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread, active = Thread(monkeypatch), {PREDICTIONS}
    await thread._fetch_records(thread.kafka, active)  # noqa: SLF001 - as Faust does
    active.clear()  # as Faust does, in place; to aiokafka none means all
    assert await thread.first_offsets(active) == {PREDICTIONS: 10}


async def test_a_thread_that_has_ended_by_itself_is_told_to_stop_without_ado(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a crash: its loop is closed."""
    thread = Thread(monkeypatch)
    thread.thread_loop = asyncio.new_event_loop()
    thread.thread_loop.close()
    thread.told_to_stop()
