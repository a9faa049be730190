"""``tidegauge worker``: watches the rows, writes alerts, windows and retraining events."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegauge.schemas.topics import PREFIX
from tidegauge.streams.cli.options import (
    BROKERS,
    WAIT,
    Brokers,
    MapTopic,
    Prefix,
    Wait,
    duration,
    examples,
    topic_names,
)

EPILOG = examples(
    "tidegauge worker",
    "tidegauge worker --brokers kafka-1:9092,kafka-2:9092 --instance monitor-1",
)
MIN_JOIN_BYTES, JOIN_BYTES = 1_048_576, 268_435_456
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def worker(  # noqa: PLR0913, PLR0917 - an option is a parameter
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
    group: Annotated[
        str,
        typer.Option(
            envvar="TIDEGAUGE_GROUP",
            help="Consumer group; its workers share the partitions. Default: the prefix.",
        ),
    ] = "",
    instance: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGAUGE_INSTANCE",
            help="A name of this worker alone in its group: it then gets its partitions back "
            "at once after a restart.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            envvar="TIDEGAUGE_LOG_LEVEL",
            case_sensitive=False,
            help="Least level of what is logged, to standard error.",
        ),
    ] = "INFO",
    stalled_after: Annotated[
        int,
        typer.Option(
            parser=duration,
            envvar="TIDEGAUGE_STALLED_AFTER",
            metavar="DURATION",
            help="End, to be started again, when rows wait and none is read for this long.",
        ),
    ] = "60s",  # type: ignore[assignment] # typer parses a default as it parses what is given
    restore_within: Annotated[
        int,
        typer.Option(
            parser=duration,
            envvar="TIDEGAUGE_RESTORE_WITHIN",
            metavar="DURATION",
            help="How long restoring the state may take.",
        ),
    ] = "300s",  # type: ignore[assignment] # as above
    wait: Wait = WAIT,  # type: ignore[assignment] # as above
    heartbeat_file: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            writable=True,
            envvar="TIDEGAUGE_HEARTBEAT_FILE",
            help="A file to touch every 5 s while the worker is well, for health checks.",
        ),
    ] = None,
    join_bytes: Annotated[
        int,
        typer.Option(
            min=MIN_JOIN_BYTES,
            envvar="TIDEGAUGE_JOIN_BYTES",
            help="Memory for predictions and labels that wait for each other, in each partition. "
            "Give all workers the same.",
        ),
    ] = JOIN_BYTES,
) -> None:
    """Watch every model that sends rows, until SIGTERM or Ctrl-C.

    Start as many as you like: they share the partitions, and each goes on where another ended.
    """
    from tidegauge.streams.runtime.settings import Settings
    from tidegauge.streams.runtime.worker import run_worker

    settings = Settings(
        brokers=brokers,
        topics=topic_names(prefix, map_topic),
        group=group,
        instance=instance,
        log_level=log_level,
        stalled_after_s=stalled_after / 1000,
        restore_within_s=restore_within / 1000,
        wait_s=wait / 1000,
        heartbeat_file=heartbeat_file,
        join_bytes=join_bytes,
    )
    raise typer.Exit(run_worker(settings))
