"""Runs a worker until a signal or a fault ends it, and says in one line why."""

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from faust.worker import Worker

from tidegauge.schemas.topics import ONE_PARTITION
from tidegauge.streams.runtime.app import MonitorApp, create_app
from tidegauge.streams.runtime.cores import Cores
from tidegauge.streams.runtime.errors import WorkerError
from tidegauge.streams.runtime.heartbeat import check_heartbeat
from tidegauge.streams.runtime.preflight import (
    check_group,
    check_installation,
    check_topics,
    when_there,
)
from tidegauge.streams.runtime.settings import Settings

OURS = "tidegauge.streams."
REPEAT_AFTER_S = 10.0
END_WITHIN_S = 12.0  # of a signal or a fault; then by force
MAX_MESSAGES = 1000  # remembered at once
# Rows are millions of small objects without cycles; by default the collector walks over all that a
# join holds again and again, for a fifth of the worker's time.
COLLECT = (100_000, 20, 100)
NOISY = ("faust", "mode", "aiokafka")  # many lines at each rebalance; warnings are enough

log = logging.getLogger(__name__)


def printable(text: str) -> str:
    r"""Return text without control characters: a name must not forge a line, or colour one.

    >>> print(printable("model a\nERROR forged \x1b[31m"))
    model a\nERROR forged \x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class LogFormat(logging.Formatter):
    """A line per event; without the stack where an error's text says all that one can act on.

    The lines of a stack are indented, so that none looks like an event.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        if record.exc_info and isinstance(record.exc_info[1], WorkerError | None):
            record.exc_info = record.exc_text = None
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line's first part, which names from outside may be in."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Return the stack."""
        return "\n".join("  " + printable(line) for line in super().formatException(ei).split("\n"))


class Repeats(logging.Filter):
    """Lets the same message of a library through once in a while.

    Without brokers, each client says so many times a second.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now, self._said = now, dict[tuple[str, str], float]()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to show it; our own messages always are."""
        if record.name.startswith(OURS):
            return True
        what, now = (record.name, record.getMessage()), self._now()
        if now - self._said.get(what, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
            return False
        if len(self._said) >= MAX_MESSAGES:
            self._said.clear()
        self._said[what] = now
        return True


def configure_logging(level: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormat("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Repeats())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    quiet = max(logging.getLogger().level, logging.WARNING)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "DEBUG" else quiet)


class LimitedWorker(Worker):
    """Faust's worker; once told to stop it is gone in time, whatever the brokers do.

    Without them Kafka's clients wait for answers that will not come.
    """

    def __init__(self, app: MonitorApp, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
        self.spinner = None
        self._monitor = app
        self._limit = threading.Timer(END_WITHIN_S, self._end)
        self._limit.daemon = True

    async def stop(self) -> None:
        """Stop, or end the process."""
        if self._limit.ident is None:  # the first to say so
            self._limit.start()
        await super().stop()

    def _end(self) -> None:
        code = self._monitor.exit_code or int(not self._shutdown_immediately)  # 0 after a signal
        log.error("Ended by force with exit code %d: the brokers do not answer", code)
        os._exit(code)


def run_worker(settings: Settings, cores: Cores | None = None) -> int:
    """Run a worker in this process; return its exit code.

    That is 0 after SIGTERM or SIGINT, 1 after a fault or where the brokers did not confirm the
    last checkpoint, 2 if settings or topics do not fit together or another worker has taken the
    instance's name, 3 if no broker answers, 4 if a topic is missing.

    Parameters
    ----------
    settings
        Of the deployment.
    cores
        Makes the core of a partition; the monitor, if not given.
    """
    configure_logging(settings.log_level)
    gc.set_threshold(*COLLECT)
    names = settings.topics.by_topic()
    equal = [topic for topic in names if topic not in ONE_PARTITION]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until Faust has its own
    try:
        check_installation()
        if settings.heartbeat_file is not None:
            check_heartbeat(settings.heartbeat_file)
        partitions = when_there(
            lambda: asyncio.run(check_topics(settings.brokers, names, equal)),
            settings.wait_s,
            log.warning,
        )
        check_group(settings.brokers, settings.group_id, names)
        return _run(settings, partitions, cores)
    except WorkerError as error:
        log.error("%s", error)
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def _run(settings: Settings, partitions: int, cores: Cores | None) -> int:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Faust's services look there
    app = create_app(settings, partitions, cores)
    worker = LimitedWorker(app, loop)
    worker.install_signal_handlers()  # Faust has them late: a signal would break into its start
    log.info("Starting in group %s at %s", settings.group_id, settings.brokers)
    code = 1
    try:
        worker.execute_from_commandline()
    except SystemExit as end:  # its only way to return
        code = app.exit_code or int(end.code or 0)
    log.info("Ended with exit code %d", code)
    return code
