"""The client for model servers: rows are taken at once, frames leave in the background."""

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaProducer

from tidegauge.frames import MAX_MODEL, MAX_ROWS, MAX_VERSION, Row, Scalar, clean, encode
from tidegauge.transport import THREAD, KafkaTransport, Transport

log = logging.getLogger(__name__)

TOPICS = ("predictions", "labels", "features")
RETRY_S = 1.0  # between attempts to reach a broker
COMPLAINT_S = 60.0  # between two log lines about rows that failed


class Counts(NamedTuple):
    """What became of the rows so far; the four add up to the calls."""

    sent: int  # acknowledged by the broker
    failed: int  # not to be written as JSON, refused by the broker, or given up at close
    dropped: int  # not taken: the buffer was full, or the producer closed
    pending: int  # taken, waiting or under way


def call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call the method of an object that is still there."""
    if (alive := method()) is not None:
        alive()


class Producer:
    """Tells Tidegauge what a model server predicts, without ever making it wait.

    A call appends one row under a lock and returns; it never blocks on a broker and never raises.
    A daemon thread, started by the first row, checks the rows, builds columnar frames and sends
    them. Without a broker it logs one line and keeps trying while rows collect up to the bound;
    rows that fail are one line a minute. At level DEBUG kafka-python's own lines come too.

    A row leaves within about ``linger_s``. What cannot be sent is counted, never silently lost:
    read ``counts``, or ``sent``, ``failed`` and ``dropped`` alone.

    Feature values may be float, int, bool, str or None, and whatever ``item()`` or ``float()``
    turns into one of them: NumPy scalars, Decimal. NaN and infinities travel as null, that is as
    missing, since JSON has neither; the rest of the row is kept. Any other type, and a prediction
    or label that is not finite, fails the row. Mappings are copied by the call, so a dict may be
    used again.

    A process that forks may create the producer before the fork: each child starts its own
    thread and connection with its own first row, with counts at zero, and what the parent had not
    sent stays the parent's. Close it at the end (``with`` does); at exit it is closed as a last
    resort, which under Python 3.12 is too late to open a first connection.

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
    kafka_options
        More keyword arguments of ``kafka.KafkaProducer``: TLS, SASL, compression, timeouts.
    clock
        Seconds since 1970, the time of a row that comes without ``ts_ms``.
    transport
        What opens the connection, called in the producer's thread; for tests.

    Raises
    ------
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
        kafka_options: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        transport: Callable[[], Transport] | None = None,
    ) -> None:
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
        options = {
            "bootstrap_servers": self.brokers,
            "client_id": THREAD,
            "bootstrap_timeout_ms": 5_000,
            "max_block_ms": 5_000,  # a topic that is missing must not hold up the others for long
            **(kafka_options or {}),
        }
        self._open_transport = transport or partial(KafkaTransport, options)
        self._start_afresh()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                after_in_child=partial(call, weakref.WeakMethod(self._start_afresh))
            )

    def _start_afresh(self) -> None:
        """Set all that changes to its beginning: in a new producer and in a forked child."""
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
        """Rows that could not be written as JSON, were refused, or were given up at close."""
        return self._failed

    @property
    def dropped(self) -> int:
        """Rows that were not taken since the buffer was full or the producer closed."""
        return self._dropped

    def prediction(
        self, id: str, prediction: float, features: Mapping[str, Scalar], ts_ms: int | None = None
    ) -> None:
        """Report one scored request; ``id`` is what its label will name."""
        self._offer("predictions", id, ts_ms, features, prediction)

    def label(self, id: str, label: float, ts_ms: int | None = None) -> None:
        """Report what turned out to be true for the prediction ``id``; a bool is 0.0 or 1.0."""
        self._offer("labels", id, ts_ms, {}, label)

    def features(self, id: str, features: Mapping[str, Scalar], ts_ms: int | None = None) -> None:
        """Report features apart from the prediction ``id``."""
        self._offer("features", id, ts_ms, features, None)

    def _offer(
        self, topic: str, id: Any, ts_ms: Any, features: Mapping[str, Scalar], value: Any
    ) -> None:
        """Append one row if there is room: all that the caller's thread does."""
        try:
            when = int(self._clock() * 1000) if ts_ms is None else ts_ms
            row = (topic, id, when, dict(features), value)
        except Exception:  # not a mapping: a monitor must not end the request it watches
            with self._lock:
                self._failed += 1
            return
        with self._lock:
            if self._closed or self._pending >= self._max_buffered:
                self._dropped += 1
                return
            self._pending += 1
            self._rows.append(row)
            if len(self._rows) in (1, self._max_rows):
                self._wake.notify()
            if self._thread is None:
                self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        with suppress(RuntimeError):  # no threads left, or the interpreter ends; next row retries
            thread.start()
            self._thread = thread

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send now, and wait until every row given before this call is sent or has failed.

        Return False if that took longer than ``timeout_s``.
        """
        with self._lock:
            target = self._taken + len(self._rows)
            self._flush_to = target
            self._wake.notify()
            return self._settled.wait_for(lambda: self._settled_to() >= target, timeout_s)

    def _settled_to(self) -> int:
        return next(iter(self._unsettled), self._taken)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Take no more rows, flush, and let go of the broker, in at most ``timeout_s``.

        Return what ``flush`` did; rows that are left then count as failed.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            self._closed = True
        atexit.unregister(self.close)
        flushed = self.flush(timeout_s)
        with self._lock:
            self._stop = True
            self._failed += self._pending
            self._pending = 0
            self._taken += len(self._rows)
            self._rows.clear()
            self._unsettled.clear()
            self._wake.notify()
            self._settled.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
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
                transport.close()
                return
            good = []
            for row in rows:
                try:
                    good.append(clean(row))
                except Exception as error:  # whatever a caller's object raises in its float()
                    self._settle(batch, 1, row[0], error)
            for topic in TOPICS:
                self._send(transport, batch, topic, [row for row in good if row[0] == topic])

    def _connect(self) -> Transport | None:
        """Open the transport, however long it takes; None if closed before."""
        told = ""
        while not self._stop:
            try:
                transport = self._open_transport()
            except Exception as error:  # no broker, no name for it, wrong credentials
                if told != (told := str(error)):
                    log.warning(
                        "No broker at %s yet (%s): trying on, and keeping up to %d rows meanwhile",
                        self.brokers,
                        error,
                        self._max_buffered,
                    )
                with self._lock:
                    self._wake.wait_for(lambda: self._stop, RETRY_S)
            else:
                # kafka-python closes itself at exit; what was registered last runs first.
                atexit.unregister(self.close)
                atexit.register(self.close)
                return transport
        return None

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
            for payload, count in encode(self.model, self.version, topic, part):
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
        if error is not None and abs(self._clock() - self._complained_s) >= COMPLAINT_S:
            self._complained_s = self._clock()
            log.warning(
                "%d rows failed and %d were dropped so far; the last one, of %s%s: %s",
                self._failed,
                self._dropped,
                self.prefix,
                topic,
                error,
            )
