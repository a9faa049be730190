"""What the worker publishes: in the order the core gave it, every record accounted for."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka.errors import KafkaTimeoutError

from tidegauge.streams.monitor.records import Output

MAX_UNACKNOWLEDGED = 10_000  # records; beyond it folding waits for the brokers


class Producer(Protocol):
    """What is used of ``aiokafka.AIOKafkaProducer``."""

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        timestamp_ms: None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> "asyncio.Future[Any]":
        """Take a record; the future has its offset, once the brokers have it."""


class Outbox:
    """Sends outputs through one producer and knows when the brokers have all of them.

    Parameters
    ----------
    topics
        The topic's name for each destination, and for ``state``.
    """

    def __init__(self, topics: Mapping[str, str]) -> None:
        self._topics = topics
        self._producer: Producer | None = None
        self._queue: deque[tuple[int, Output]] = deque()
        self._unacknowledged: set[asyncio.Future[Any]] = set()
        self._in_order = asyncio.Lock()
        self._failure: BaseException | None = None

    def start(self, producer: Producer) -> None:
        """Send through this producer: idempotent, ``acks=all``, started, stopped by its owner."""
        self._producer = producer

    def put(self, partition: int, outputs: Iterable[Output]) -> None:
        """Queue outputs of a partition; synchronous, so that the queue has the folds' order."""
        self._queue.extend((partition, output) for output in outputs)

    def clear(self) -> None:
        """Forget what is queued: the state it came from has been dropped."""
        self._queue.clear()

    async def send(self) -> None:
        """Hand the whole queue to the producer, in order."""
        async with self._in_order:
            await self._empty_queue()

    async def deliver(self, partition: int, output: Output) -> int:
        """Send what is queued and then this; return its offset once the brokers have it."""
        async with self._in_order:
            await self._empty_queue()
            sent = await self._hand_over(partition, output)
        return await _offset(sent)

    async def append_state(self, partition: int, key: bytes, value: bytes | None) -> int:
        """Append to the topic ``state``; return the offset once the brokers have it."""
        sent = await self._send("state", partition, key, value, [])
        return await _offset(sent)

    async def settled(self) -> None:
        """Send what is queued; return once the brokers have all that was sent until now.

        Raises
        ------
        BaseException
            What the first failed send failed with, also at every later call of any method.
        """
        await self.send()
        if waiting := set(self._unacknowledged):
            await asyncio.wait(waiting)  # unlike gather, leaves them alone when cancelled
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _empty_queue(self) -> None:
        self._check()
        while self._queue:
            first = self._queue[0]
            await self._hand_over(*first)  # cancelled or failed, it is still there
            if self._queue and self._queue[0] is first:  # not cleared meanwhile
                self._queue.popleft()
        while len(self._unacknowledged) > MAX_UNACKNOWLEDGED:
            await asyncio.wait(self._unacknowledged, return_when=asyncio.FIRST_COMPLETED)

    async def _hand_over(self, partition: int, output: Output) -> "asyncio.Future[Any]":
        value = output.value
        if output.key is None and value is None:
            value = b""  # aiokafka refuses records with neither; a dead letter may have neither
        sent = await self._send(output.topic, partition, output.key, value, output.headers)
        self._unacknowledged.add(sent)
        sent.add_done_callback(self._acknowledged)
        return sent

    async def _send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> "asyncio.Future[Any]":
        if self._producer is None:
            raise RuntimeError("the outbox must be started before anything is sent")
        while True:
            with contextlib.suppress(KafkaTimeoutError):  # no room for it: it has not been taken
                return await self._producer.send(
                    self._topics[topic], value, key, partition, None, headers
                )

    def _acknowledged(self, sent: "asyncio.Future[Any]") -> None:
        self._unacknowledged.discard(sent)
        if self._failure is None:
            lost = ConnectionError("the producer gave a record up")
            self._failure = lost if sent.cancelled() else sent.exception()


async def _offset(sent: "asyncio.Future[Any]") -> int:
    return int((await asyncio.shield(sent)).offset)
