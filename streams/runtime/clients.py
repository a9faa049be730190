"""The Kafka clients a worker has besides Faust's."""

import contextlib
import math
from collections.abc import Awaitable, Callable, Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from tidegauge.schemas.topics import OUTPUT_BYTES
from tidegauge.streams.runtime.batches import read_in_any_case, whole

Ask = Callable[[Iterable[TopicPartition]], Awaitable[dict[TopicPartition, int]]]

BATCH_BYTES = 512 * 1024
LINGER_MS = 5
FETCH_WAIT_MS = 20
REQUEST_TIMEOUT_MS = 40_000  # then it is sent again
# What a transaction aborted never was. All readers are alike in it, so all know the same ends: the
# last stable offset, before the first record of a transaction that is still open.
ISOLATION = "read_committed"


def new_producer(brokers: str) -> AIOKafkaProducer:
    """Return a producer that keeps the order, repeats nothing and waits for brokers."""
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers,
        enable_idempotence=True,
        acks="all",
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=OUTPUT_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    # It repeats requests for as long as it takes, but would give up a batch that has waited for
    # longer than a request may take when a broker comes back and has no leaders yet.
    producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 (no setting for it alone)
    return producer


def new_reader(brokers: str) -> AIOKafkaConsumer:
    """Return a consumer without a group: it reads what it is told to and commits nothing."""
    read_in_any_case()
    return AIOKafkaConsumer(
        bootstrap_servers=brokers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=ISOLATION,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


def new_restoring_reader(brokers: str) -> AIOKafkaConsumer:
    """Return a reader for many short stretches, by batches: no fetch that waits is in the way."""
    read_in_any_case()
    return AIOKafkaConsumer(
        bootstrap_servers=brokers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=ISOLATION,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        value_deserializer=whole,
    )


class LogEnds:
    """Asks the brokers where logs begin and end; waits for as long as none answers.

    It has a connection of its own: brokers answer in order, and on a consumer's connection a fetch
    that waits for data (Faust lets it wait 1.5 s) would come first.
    """

    def __init__(self) -> None:
        self._client: AIOKafkaConsumer | None = None

    def start(self, client: AIOKafkaConsumer) -> None:
        """Ask through this client, which reads nothing; started and stopped by its owner."""
        self._client = client

    async def starts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset there is in each partition."""
        return await self._answered(self._started().beginning_offsets, partitions)

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset behind the last record of each partition that may be read now."""
        return await self._answered(self._started().end_offsets, partitions)

    async def _answered(
        self, ask: Ask, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        while True:
            with contextlib.suppress(KafkaTimeoutError):
                return await ask(partitions)

    def _started(self) -> AIOKafkaConsumer:
        if self._client is None:
            raise RuntimeError("LogEnds must be started before it can ask")
        return self._client
