"""The Kafka clients a worker has besides Faust's."""

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import OUTPUT_BYTES

BATCH_BYTES = 512 * 1024
LINGER_MS = 5
FETCH_WAIT_MS = 20
# What a transaction aborted never was. All readers are alike in it, so all know the same ends: the
# last stable offset, before the first record of a transaction that is still open.
ISOLATION = "read_committed"


def new_producer(brokers: str) -> AIOKafkaProducer:
    """Return a producer that keeps the order and repeats nothing."""
    return AIOKafkaProducer(
        bootstrap_servers=brokers,
        enable_idempotence=True,
        acks="all",
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=OUTPUT_BYTES,
    )


def new_reader(brokers: str) -> AIOKafkaConsumer:
    """Return a consumer without a group: it reads what it is told to and commits nothing."""
    return AIOKafkaConsumer(
        bootstrap_servers=brokers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=ISOLATION,
    )


def new_restoring_reader(brokers: str) -> AIOKafkaConsumer:
    """Return a reader for many short stretches: no fetch that waits stands before the next."""
    return AIOKafkaConsumer(
        bootstrap_servers=brokers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=ISOLATION,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )


class LogEnds:
    """Asks the brokers where logs begin and end.

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
        found: dict[TopicPartition, int] = await self._started().beginning_offsets(partitions)
        return found

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset behind the last record of each partition that may be read now."""
        found: dict[TopicPartition, int] = await self._started().end_offsets(partitions)
        return found

    def _started(self) -> AIOKafkaConsumer:
        if self._client is None:
            raise RuntimeError("LogEnds must be started before it can ask")
        return self._client
