"""Kafka's admin client, or the error that says why there is none."""

import contextlib
from collections.abc import Iterator
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tidegauge.streams.runtime.unreachable import listens, unreachable

BOOTSTRAP_MS = 10_000


@contextlib.contextmanager
def admin_client(brokers: str) -> Iterator[Any]:
    """Yield a client for topics and groups.

    Raises
    ------
    BrokerUnreachableError
        If no broker answers within 10 s.
    """
    if not any(map(listens, brokers.split(","))):  # kafka-python would try for BOOTSTRAP_MS
        raise unreachable(brokers)
    try:
        client = KafkaAdminClient(bootstrap_servers=brokers, bootstrap_timeout_ms=BOOTSTRAP_MS)
    except KafkaError as error:
        raise unreachable(brokers) from error
    with contextlib.closing(client):
        yield client
