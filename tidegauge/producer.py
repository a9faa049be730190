"""The client for model servers: rows are taken at once, frames leave in the background."""

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from math import inf
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import orjson
from kafka import KafkaProducer

from tidegauge.frames import MAX_MODEL, MAX_ROWS, MAX_VERSION, Row, Scalar, clean, encode, text
from tidegauge.transport import THREAD, KafkaTransport, Transport

log = logging.getLogger(__name__)

TOPICS = ("predictions", "labels", "features")
RETRY_S = 1.0  # between attempts to reach a broker
COMPLAINT_S = 60.0  # between two log lines about rows that failed or were dropped


class Counts(NamedTuple):
    """What became of the rows so far; the four add up to the calls."""

    sent: int  # acknowledged by the broker
    failed: int  # no meaning on the wire, refused by the broker, or given up at close
    dropped: int  # not taken: the buffer was full, or the producer closed
    pending: int  # taken, waiting or under way


def call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call the method of an object that is still there."""
    if (alive := method()) is not None:
        alive()


def check(
    model: str, version: str, prefix: str, linger_s: float, max_rows: int, max_buffered_rows: int
) -> None:
    """Raise a ValueError if a setting is out of range."""
    for name, given in (("model", model), ("version", version), ("prefix", prefix)):
        try:
            text(given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
    if not 0 < len(model) <= MAX_MODEL:
        raise ValueError(f"model must have 1 to {MAX_MODEL} characters, got {len(model)}")
    if len(version) > MAX_VERSION:
        raise ValueError(f"version may have {MAX_VERSION} characters, got {len(version)}")
    if not 0 <= linger_s < inf:
        raise ValueError(f"linger_s must be >= 0, got {linger_s!r}")
    if not 0 < max_rows <= MAX_ROWS:
        raise ValueError(f"max_rows must be 1 to {MAX_ROWS}, got {max_rows!r}")
    if max_buffered_rows < max_rows:
        raise ValueError(
            f"max_buffered_rows must be >= max_rows ({max_rows}), got {max_buffered_rows!r}"
        )


def writer(format: str) -> Callable[[dict[str, Any]], bytes]:
    """Return what writes frames in a format; pyarrow is imported for none but its own."""
    if format == "json":
        return orjson.dumps
    if format != "arrow":
        raise ValueError(f"format must be 'json' or 'arrow', got {format!r}")
    try:
        arrow = import_module("tidegauge.arrow_frames")
    except ModuleNotFoundError as error:
        error.add_note("format='arrow' needs pyarrow: install the extra tidegauge[arrow]")
        raise
    dumps: Callable[[dict[str, Any]], bytes] = arrow.dumps
    return dumps


class Producer:
    """Tells Tidegauge what a model server predicts, without ever making it wait.

    A call appends one row under a lock and returns; it never blocks on a broker and never raises.
    Threads, started by the first row in some milliseconds, check the rows, build columnar frames
    and send them. Without a broker they log one line and keep trying while rows collect up to the
    bound. At level DEBUG kafka-python's own lines come too.

    A row leaves within about ``linger_s``. What cannot be sent is counted, in ``counts`` or in
    ``sent``, ``failed`` and ``dropped`` alone, and told in a warning: the latest reason at most
    once a minute, the total at close.

    Feature values may be float, int, bool, str or None, and what stands for one of them: NumPy's
    scalars, arrays and tensors of one element, Decimal. NaN, infinities, pandas' NA and NaT and
    NumPy's NaT travel as null, that is as missing; the rest of the row is kept. Any other type,
    and a prediction or label that is not finite, fails the row. Mappings are copied by the call,
    so a dict may be used again; None is one without features.

    A process that forks may create the producer before the fork: each child starts its own
    threads and connection with its own first row, with counts at zero, and what the parent had not
    sent stays the parent's. Close it at the end (``with`` does). A program that ends without is
    held up until its rows are sent, for five seconds, or seven where a connection hangs. Where
    Python runs no exit functions nothing is sent: ``os._exit``, a signal without a handler, and
    before Python 3.13 the children of multiprocessing.

    Parameters
    ----------
    brokers
        ``host:port``, several with commas; default: ``TIDEGAUGE_BROKERS``, else 127.0.0.1:9092.
    prefix
        What the topics' names begin with, before ``predictions``, ``labels``, ``features``.
    model
        Id of the model, 1 to 200 characters; also the key of every message.
    version
        Version of the model, up to 100 characters.
    linger_s
        How long a row may wait for others before a frame is sent, in seconds; >= 0.
    max_rows
        Rows in a frame at most, 1 to 100,000. A frame is also kept below 256 kB.
    max_buffered_rows
        Rows waiting or under way at most; >= ``max_rows``. Beyond it the newest is dropped.
    format
        How frames are written: ``json``, or ``arrow``, which a worker reads faster and which needs
        ``tidegauge[arrow]``. A frame whose column has values of several types goes as JSON.
    kafka_options
        More keyword arguments of ``kafka.KafkaProducer``: TLS, SASL, compression, timeouts.
    clock
        Seconds since 1970, the time of a row that comes without ``ts_ms``.
    transport
        What opens the connection, called in the producer's thread; for tests.

    Raises
    ------
    ModuleNotFoundError
        If ``format`` is ``arrow`` and pyarrow is not installed.
    ValueError
        If a parameter is out of range, or ``kafka_options`` names an unknown option.

    Examples
    --------
    >>> class Print:
    ...     def send(self, topic, key, value, done):
    ...         print(topic, value.decode())
    ...         done(None)
    ...     def close(self): ...
    >>> with Producer(model="fraud", transport=Print) as producer:
    ...     producer.prediction("req-1", 0.93, {"amount": 12.5}, ts_ms=0)
    ...     producer.flush(timeout_s=5)
    tidegauge.predictions {"model":"fraud",...,"features":{"amount":[12.5]},"predictions":[0.93]}
    True
    """

    def __init__(  # noqa: PLR0913 - what a user may set; all but the model have a default
        self,
        brokers: str | None = None,
        *,
        model: str,
        version: str = "",
        prefix: str = "tidegauge.",
        linger_s: float = 0.2,
        max_rows: int = 500,
        max_buffered_rows: int = 100_000,
        format: Literal["json", "arrow"] = "json",
        kafka_options: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        transport: Callable[[], Transport] | None = None,
    ) -> None:
        check(model, version, prefix, linger_s, max_rows, max_buffered_rows)
        self._dumps = writer(format)
        known = set(KafkaProducer.DEFAULT_CONFIG) - {"bootstrap_servers"}
        if unknown := set(kafka_options or ()) - known:
            raise ValueError(
                f"kafka_options are those of kafka.KafkaProducer without bootstrap_servers, "
                f"which is brokers here; got {sorted(unknown)}"
            )
        self.brokers = brokers or os.environ.get("TIDEGAUGE_BROKERS") or "127.0.0.1:9092"
        self.model, self.version, self.prefix = model, version, prefix
        self._key = model.encode()
        self._linger_s, self._max_rows, self._max_buffered = linger_s, max_rows, max_buffered_rows
        self._clock = clock
        self._kafka_options = {
            "bootstrap_servers": self.brokers,
            "client_id": THREAD,
            "bootstrap_timeout_ms": 5_000,
            "max_block_ms": 5_000,  # a topic that is missing must not hold up the others for long
            **(kafka_options or {}),
        }
        self._open_transport = transport or self._connect_kafka
        self._needs_kafka = transport is None
        self._kafka: KafkaTransport | None = None
        self._of_parents: list[KafkaTransport | None] = []
        self._start_afresh()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                after_in_child=partial(call, weakref.WeakMethod(self._start_afresh))
            )

    def _start_afresh(self) -> None:
        """Set all that changes to its beginning: in a new producer and in a forked child."""
        # Kept: let go of, kafka-python would close it, and wait for a thread that the parent has.
        self._of_parents.append(self._kafka)
        self._kafka = None
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)  # for the thread: rows, or a reason to hurry
        self._settled = threading.Condition(self._lock)  # for flush: rows were sent or failed
        self._thread: threading.Thread | None = None
        self._rows: list[Row] = []
        self._taken = 0  # rows the thread has taken over from _rows, ever
        self._unsettled: dict[int, int] = {}  # batch, named by _taken before it -> rows left
        self._flush_to = 0  # a flush waits for the rows before this one
        self._sent = self._failed = self._dropped = self._pending = 0
        self._complained_s = -inf
        self._told = 0  # rows failed and dropped when the log told of them last
        self._trouble = ""  # what keeps us from a broker
        self._retry_s = -inf  # no attempt to start the thread before
        self._closed = self._stop = False

    @property
    def counts(self) -> Counts:
        """All counts at one moment."""
        with self._lock:
            return Counts(self._sent, self._failed, self._dropped, self._pending)

    @property
    def sent(self) -> int:
        """Rows the broker has acknowledged."""
        return self._sent

    @property
    def failed(self) -> int:
        """Rows without a meaning on the wire, refused by the broker, or given up at close."""
        return self._failed

    @property
    def dropped(self) -> int:
        """Rows that were not taken since the buffer was full or the producer closed."""
        return self._dropped

    def prediction(
        self,
        id: str,
        prediction: float | str | Mapping[str, float],
        features: Mapping[str, Scalar] | None = None,
        ts_ms: int | None = None,
    ) -> None:
        """Report one scored request; ``id`` is what its label will name.

        ``prediction`` is a number, or for several classes the predicted one or each one's
        probability: ``"cat"``, ``{"cat": 0.7, "dog": 0.3}``.
        ``ts_ms`` is when it was scored: whole milliseconds since 1970; None means now.
        """
        self._offer("predictions", id, ts_ms, features, prediction)

    def label(self, id: str, label: float | str, ts_ms: int | None = None) -> None:
        """Report what turned out to be true for the prediction ``id``; a bool is 0.0 or 1.0.

        Text is a class.

        ``ts_ms`` is when it became known: whole milliseconds since 1970; None means now.
        """
        self._offer("labels", id, ts_ms, {}, label)

    def features(
        self, id: str, features: Mapping[str, Scalar] | None, ts_ms: int | None = None
    ) -> None:
        """Report features apart from the prediction ``id``; ``ts_ms`` is when they were made."""
        self._offer("features", id, ts_ms, features, None)

    def _offer(
        self, topic: str, id: Any, ts_ms: Any, features: Mapping[str, Scalar] | None, value: Any
    ) -> None:
        """Append one row if there is room: all that the caller's thread does."""
        try:
            when = int(self._clock() * 1000) if ts_ms is None else ts_ms
            said = dict(value) if isinstance(value, Mapping) else value
            row = (topic, id, when, {} if features is None else dict(features), said)
        except Exception:  # a monitor must not end the request it watches
            with self._lock:
                self._failed += 1
            kind = type(features).__name__
            self._complain(topic, f"features must be a dict of names and values, got {kind}")
            return
        with self._lock:
            if not self._closed and self._pending < self._max_buffered:
                self._pending += 1
                self._rows.append(row)
                if len(self._rows) in (1, self._max_rows):
                    self._wake.notify()
                if self._thread is None:
                    self._start_thread()
                return
            self._dropped += 1
        full = f"{self._max_buffered} rows (max_buffered_rows) wait for {self.brokers} already"
        self._complain(topic, "the producer is closed" if self._closed else full)

    def _start_thread(self) -> None:
        """Start what sends. Where that fails, a row or a flush tries again a second later."""
        if time.monotonic() < self._retry_s:
            return
        try:
            if self._needs_kafka and self._kafka is None:
                self._kafka = KafkaTransport(self._kafka_options)
            thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
            thread.start()
        except Exception as error:  # no threads left, a wrong option, the end of the program
            self._retry_s = time.monotonic() + RETRY_S
            self._report_trouble(error)
        else:
            self._thread = thread
            # Again, since kafka-python closes itself at exit, and the last registered runs first.
            atexit.register(self.close)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send now, and wait until every row given before this call is sent or has failed.

        Return False if that took longer than ``timeout_s``.
        """
        with self._lock:
            target = self._taken + len(self._rows)
            self._flush_to = target
            self._wake.notify()
            if self._rows and self._thread is None:
                self._start_thread()
            return self._settled.wait_for(
                lambda: self._settled_to() >= target, timeout_s if self._thread else 0
            )

    def _settled_to(self) -> int:
        return next(iter(self._unsettled), self._taken)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Take no more rows, flush, and let go of the broker, in at most ``timeout_s``.

        Return what ``flush`` did; rows that are left then count as failed, and the log says how
        many.
        """
        began = time.monotonic()
        with self._lock:
            self._closed = True
        atexit.unregister(self.close)
        flushed = self.flush(timeout_s)
        with self._lock:
            self._stop = True
            given_up, self._pending = self._pending, 0
            self._failed += given_up
            self._taken += len(self._rows)
            self._rows.clear()
            self._unsettled.clear()
            self._wake.notify()
            self._settled.notify_all()
        took_s = time.monotonic() - began
        if self._failed + self._dropped > self._told:
            self._told = self._failed + self._dropped
            told = (
                f"; of those that failed, {given_up} had no answer from {self.brokers} in "
                f"{took_s:.1f} s" + (f" ({self._trouble})" if self._trouble else "")
            )
            log.warning(
                "Closed: %d rows were sent, %d failed and %d were dropped%s",
                self._sent,
                self._failed,
                self._dropped,
                told if given_up else "",
            )
        if self._thread is not None:
            self._thread.join(max(0.0, timeout_s - took_s))
        return flushed

    def __enter__(self) -> Self:
        """Return the producer itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close with the default timeout."""
        self.close()

    def _run(self) -> None:
        """Send batch after batch until closed: all that the background thread does."""
        transport = self._connect()
        while transport is not None:
            batch, rows = self._take()
            if not rows:
                break
            good = []
            for row in rows:
                try:
                    good.append(clean(row))
                except Exception as error:  # whatever a caller's object raises in its float()
                    self._settle(batch, 1, row[0], error)
            for topic in TOPICS:
                self._send(transport, batch, topic, [row for row in good if row[0] == topic])
        if (left := transport or self._kafka) is not None:
            left.close()

    def _connect_kafka(self) -> Transport:
        assert self._kafka is not None  # made before the thread that calls this
        return self._kafka.connect()

    def _connect(self) -> Transport | None:
        """Open the transport, however long it takes; None if closed before."""
        while not self._stop:
            try:
                transport = self._open_transport()
            except Exception as error:  # no broker, no name for it, wrong credentials
                self._report_trouble(error)
                with self._lock:
                    self._wake.wait_for(lambda: self._stop, RETRY_S)
            else:
                self._trouble = ""
                return transport
        return None

    def _report_trouble(self, error: Exception) -> None:
        """Say once what keeps us from a broker, until it is something else."""
        told, self._trouble = self._trouble, str(error)
        if told != self._trouble and not self._stop:
            log.warning(
                "No broker at %s yet (%s): trying on, and keeping up to %d rows meanwhile",
                self.brokers,
                error,
                self._max_buffered,
            )

    def _take(self) -> tuple[int, list[Row]]:
        """Wait for rows, then for more of them, and take them all; none means stop."""
        with self._lock:
            self._wake.wait_for(lambda: self._rows or self._stop)
            self._wake.wait_for(self._is_due, self._linger_s)
            batch, rows = self._taken, self._rows
            self._rows = []
            self._taken += len(rows)
            if rows:
                self._unsettled[batch] = len(rows)
            return batch, rows

    def _is_due(self) -> bool:
        return len(self._rows) >= self._max_rows or self._flush_to > self._taken or self._stop

    def _send(self, transport: Transport, batch: int, topic: str, rows: list[Row]) -> None:
        for start in range(0, len(rows), self._max_rows):
            part = rows[start : start + self._max_rows]
            for payload, count in encode(self.model, self.version, topic, part, self._dumps):
                done = partial(self._settle, batch, count, topic)
                try:
                    transport.send(self.prefix + topic, self._key, payload, done)
                except Exception as error:  # too large, no such topic, no metadata in time
                    done(error)

    def _settle(self, batch: int, count: int, topic: str, error: BaseException | None) -> None:
        """Count rows of a batch as sent or failed."""
        with self._lock:
            if batch not in self._unsettled:
                return  # close() gave them up before
            self._unsettled[batch] -= count
            if not self._unsettled[batch]:
                del self._unsettled[batch]
            self._pending -= count
            if error is None:
                self._sent += count
            else:
                self._failed += count
            self._settled.notify_all()
        if error is not None:
            self._complain(topic, error)

    def _complain(self, topic: str, reason: BaseException | str) -> None:
        """Say how many rows were lost and why the last one was, at most once a minute."""
        if abs(self._clock() - self._complained_s) >= COMPLAINT_S:
            self._complained_s = self._clock()
            self._told = self._failed + self._dropped
            log.warning(
                "%d rows failed and %d were dropped so far; the last one, of %s%s: %s",
                self._failed,
                self._dropped,
                self.prefix,
                topic,
                reason,
            )
