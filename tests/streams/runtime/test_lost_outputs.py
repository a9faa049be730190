"""Sends that fail, everywhere they can: nothing is published beyond an output that was not."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.streams.runtime.memory import MemoryProducer, rows
from tests.streams.runtime.test_ledger import World
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.runtime.ledger import Fetch

FAULTS = ("refused at once", "refused later", "cancelled")
POINTS = range(12)  # more than the sends of a run
COVERED = re.compile(rb'"predictions": ?(\d+)')


class FaultyProducer(MemoryProducer):
    """Fails at one of its sends; remembers what snapshots say is behind them."""

    def __init__(self, story: list[str], fault: str, point: int) -> None:
        super().__init__(story)
        self.fault, self.point = fault, point
        self.sends = self.covered = 0

    async def send(self, topic: str, value: bytes | None, *args: Any) -> "asyncio.Future[Any]":
        number, self.sends = self.sends, self.sends + 1
        for _ in range(3):  # others run, and want the same locks
            await asyncio.sleep(0)
        if number == self.point:
            if self.fault == "refused at once":
                raise ConnectionError("refused")
            if self.fault == "refused later":
                future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_later(0, future.set_exception, ConnectionError())
                return future
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        if topic == "state" and (found := COVERED.search(value or b"")):
            self.covered = max(self.covered, int(found[1]))
        return await super().send(topic, value, *args)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_published_or_committed_beyond_an_output_that_failed(
    fault: str, point: int
) -> None:
    w = World()
    w.producer = producer = FaultyProducer(w.story, fault, point)
    w.outbox.start(producer)
    await w.ledger.restore({0})
    w.cores[0].digests["m"] = control_digest(None, None)
    w.clock = 20  # a snapshot is due as soon as anything is folded

    async def fold(*offsets: int, source: Any = "predictions") -> None:
        await w.ledger.fold(source, 0, Fetch(w.ledger.flow, rows(*offsets)))

    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: fold(0, 1),
        w.ledger.checkpoint_due,
        lambda: fold(2, 3),
        lambda: fold(0, source="alerts"),
        w.ledger.checkpoint_due,
        lambda: fold(4),
        w.ledger.release,
    ]
    await asyncio.gather(*(step() for step in steps), return_exceptions=True)
    await asyncio.gather(w.ledger.release(), return_exceptions=True)

    there = {int(record.value or b"") for record in producer.log("windows").records}
    published = max(producer.covered, w.offsets.committed.get(("predictions", 0), 0))
    assert set(range(published)) <= there
    if point >= producer.sends:  # it never came to the fault
        assert published == len(there) == 5
