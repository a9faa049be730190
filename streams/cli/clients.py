"""Kafka for short-lived commands: bounded waiting, and errors that say what to do."""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from tidegauge.schemas.topics import INPUT_BYTES, OUTPUT_BYTES
from tidegauge.streams.runtime import topics
from tidegauge.streams.runtime.admin import BOOTSTRAP_MS, admin_client
from tidegauge.streams.runtime.errors import ConfigurationError, TopicMissingError, WorkerError
from tidegauge.streams.runtime.unreachable import unreachable
from tidegauge.transport import headers

ACKNOWLEDGED_WITHIN_MS = 30_000
BATCH_BYTES = 512 * 1024
LINGER_MS = 5
UNACKNOWLEDGED_BYTES = 32 * 1_048_576  # the client itself has no bound
NO_TOPICS = "create them with `tidegauge topics create`"


@contextlib.contextmanager
def answering(brokers: str) -> Iterator[None]:
    """Turn what kafka-python raises in the block into errors with an exit code."""
    try:
        yield
    except (KafkaTimeoutError, KafkaConnectionError) as error:
        raise unreachable(brokers) from error
    except UnknownTopicOrPartitionError as error:
        raise TopicMissingError(f"a topic is missing: {NO_TOPICS}") from error
    except MessageSizeTooLargeError as error:
        raise ConfigurationError(
            f"a message is larger than its topic takes ({INPUT_BYTES} bytes for rows): send fewer "
            "rows a frame, or fewer features"
        ) from error
    except KafkaError as error:
        told = " ".join(str(error).split())
        raise WorkerError(f"Kafka at {brokers} refused: {type(error).__name__}: {told}") from error


def partition_counts(brokers: str, names: Iterable[str]) -> dict[str, int]:
    """Return the partition count of each topic.

    Raises
    ------
    BrokerUnreachableError
        If no broker answers within 10 s.
    TopicMissingError
        If a topic does not exist.
    """
    wanted = list(names)
    with answering(brokers), admin_client(brokers) as admin:
        counts = topics.partition_counts(admin, wanted)
    if missing := [name for name in wanted if name not in counts]:
        raise TopicMissingError(f"missing topics: {', '.join(missing)}; {NO_TOPICS}")
    return counts


class Sender:
    """Sends in order and waits for every acknowledgement, with bounded memory."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._waiting: deque[tuple[Any, int]] = deque()
        self._bytes = 0

    def send(self, topic: str, key: str, value: bytes | None) -> Any:
        """Send one message, return its future; raise what became of an earlier one if it failed."""
        size = len(value or b"")
        said = headers(value or b"")
        future = self._producer.send(topic, value=value, key=key.encode(), headers=said)
        self._waiting.append((future, size))
        self._bytes += size
        while self._bytes > UNACKNOWLEDGED_BYTES or (self._waiting and self._waiting[0][0].is_done):
            self._settle()
        return future

    def drain(self) -> None:
        """Wait until all is acknowledged; raise if anything failed."""
        self._producer.flush(timeout=ACKNOWLEDGED_WITHIN_MS / 1000)
        while self._waiting:
            self._settle()

    def _settle(self) -> None:
        future, size = self._waiting.popleft()
        future.get(timeout=ACKNOWLEDGED_WITHIN_MS / 1000)
        self._bytes -= size


@contextlib.contextmanager
def sending(brokers: str, names: Iterable[str]) -> Iterator[Sender]:
    """Yield a sender to existing topics; at the end all is acknowledged.

    Raises
    ------
    WorkerError
        As `partition_counts`, and if a message was refused.
    """
    partition_counts(brokers, names)
    with answering(brokers):
        producer = KafkaProducer(
            bootstrap_servers=brokers,
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            allow_auto_create_topics=False,
            acks="all",
            linger_ms=LINGER_MS,
            batch_size=BATCH_BYTES,
            max_request_size=OUTPUT_BYTES,
            request_timeout_ms=ACKNOWLEDGED_WITHIN_MS // 3,
            delivery_timeout_ms=ACKNOWLEDGED_WITHIN_MS,
        )
        try:
            sender = Sender(producer)
            yield sender
            sender.drain()
        finally:
            with contextlib.suppress(KafkaError):  # what it could not send is told already
                producer.close(timeout=1)
            # It gives up half-way where nobody answers, and would do it all again when collected.
            producer._closed = True  # noqa: SLF001 (no public way)


@contextlib.contextmanager
def reading(brokers: str, group: str = "") -> Iterator[Any]:
    """Yield a consumer without partitions; it commits what it is told to, and never by itself."""
    with (
        answering(brokers),
        contextlib.closing(
            KafkaConsumer(
                bootstrap_servers=brokers,
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                group_id=group or None,
                allow_auto_create_topics=False,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
            )
        ) as consumer,
    ):
        yield consumer
