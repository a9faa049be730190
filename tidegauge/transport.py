"""What carries frames to a broker: kafka-python, kept quiet."""

import encodings.idna  # noqa: F401 - or the first look-up imports it, and a fork then is stuck
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import Any, Protocol, Self

from kafka import KafkaProducer
from kafka.cluster import collect_hosts
from kafka.errors import KafkaError

log = logging.getLogger("tidegauge.producer")

CONNECT_S = 5.0  # for a port to answer
PARKED_S = 0.1  # how often a producer that has no broker yet looks whether it is to end
NEWEST = (4, 3)  # what kafka-python speaks at best; with each broker it settles on what both know
THREAD = "tidegauge-producer"  # ours; kafka-python's begins with the same, through the client id
ARROW_BEGINS = b"\xff\xff\xff\xff"  # no JSON begins so
ARROW = ("content-type", b"application/vnd.apache.arrow.stream")
NOISY = ["cluster", "producer.sender"]
NOISY += ["net.connection", "net.manager", "net.selector", "net.transport"]

NetClient: Any = KafkaProducer.DEFAULT_CONFIG["kafka_client"]

Done = Callable[[BaseException | None], None]


def headers(value: bytes) -> list[tuple[str, bytes]]:
    """Return the headers of a frame: what it is, where it is no JSON."""
    return [ARROW] if value.startswith(ARROW_BEGINS) else []


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


class ParkedClient(NetClient):  # type: ignore[misc]  # kafka-python ships no types
    """kafka-python's network client, which stays off the network until a broker was reached."""

    def __init__(self, reached: threading.Event, **options: Any) -> None:
        super().__init__(**options)
        self._reached = reached

    def poll(self, timeout_ms: float | None = None, future: Any = None) -> None:
        """Do what is due on the network."""
        if self._reached.wait(PARKED_S):
            super().poll(timeout_ms=timeout_ms, future=future)


class KafkaTransport:
    """kafka-python behind the two calls the producer needs, set up in two steps.

    Python 3.12 starts no thread once the end of a program has begun, and a program may end right
    after its first row. So kafka-python's thread is started with that row, which takes a few
    milliseconds and no network, and ``connect`` comes later, in the producer's own thread.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        for name in NOISY:
            logging.getLogger(f"kafka.{name}").addFilter(is_wanted)  # again changes nothing
        self._options = options
        self._reached = threading.Event()
        # Without a version the constructor would ask a broker for its own.
        parked = {"api_version": NEWEST, "kafka_client": partial(ParkedClient, self._reached)}
        self._producer = KafkaProducer(**{**parked, **options})

    def connect(self) -> Self:
        """Wait for a broker to answer; raise what kept it from that."""
        # For every refused connection kafka-python keeps a socket until it is collected: ask first.
        if not self._options.get("proxy_url"):
            reach(self._options["bootstrap_servers"])
        # What answers may be no Kafka, or want other credentials.
        with closing(NetClient(**self._options)) as client:
            client.check_version(timeout_ms=self._options["bootstrap_timeout_ms"])
        self._reached.set()
        return self

    def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
        """Send one frame."""
        future = self._producer.send(topic, value=value, key=key, headers=headers(value))
        future.add_callback(lambda _: done(None))
        future.add_errback(done)

    def close(self) -> None:
        """Close the connection, at most one second for what is still under way."""
        with suppress(KafkaError):
            self._producer.close(timeout=1)
