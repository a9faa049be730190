"""What carries frames to a broker: kafka-python, kept quiet."""

import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from kafka import KafkaProducer
from kafka.cluster import collect_hosts
from kafka.errors import KafkaError

log = logging.getLogger("tidegauge.producer")

CONNECT_S = 5.0  # for a port to answer
THREAD = "tidegauge-producer"  # ours; kafka-python's begins with the same, through the client id
NOISY = ["cluster", "producer.sender"]
NOISY += ["net.connection", "net.manager", "net.selector", "net.transport"]

Done = Callable[[BaseException | None], None]


class Transport(Protocol):
    """Carries frames to a broker; called from the producer's own thread only."""

    def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
        """Send one frame and later call ``done`` with None or the error; may block or raise."""

    def close(self) -> None:
        """Let go of the connection."""


def is_wanted(record: logging.LogRecord) -> bool:
    """Keep out what kafka-python logs in our threads, unless ours is set to debug.

    It has ten lines a second for a topic that is missing. Other clients' lines all pass.
    """
    return log.isEnabledFor(logging.DEBUG) or not (record.threadName or "").startswith(THREAD)


def reach(brokers: str) -> None:
    """Raise the last error if none of the brokers' ports answers."""
    error = OSError("no address given")
    for host, port, _ in collect_hosts(brokers):
        try:
            socket.create_connection((host, port), CONNECT_S).close()
        except OSError as refused:
            error = refused
        else:
            return
    raise error


class KafkaTransport:
    """kafka-python behind the two calls the producer needs."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        for name in NOISY:
            logging.getLogger(f"kafka.{name}").addFilter(is_wanted)  # again changes nothing
        # For every refused connection kafka-python keeps a socket until it is collected: ask first.
        if not options.get("proxy_url"):
            reach(options["bootstrap_servers"])
        self._producer = KafkaProducer(**options)

    def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
        """Send one frame."""
        future = self._producer.send(topic, value=value, key=key)
        future.add_callback(lambda _: done(None))
        future.add_errback(done)

    def close(self) -> None:
        """Close the connection, at most one second for what is still under way."""
        with suppress(KafkaError):
            self._producer.close(timeout=1)
