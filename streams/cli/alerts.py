"""``tidegauge alerts``: what the worker has to say, for people and for pipes."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import typer

from schemas.topics import PREFIX
from streams.cli.events import NoEventError, read_event
from streams.cli.options import (
    BROKERS,
    WAIT,
    Brokers,
    MapTopic,
    Prefix,
    Wait,
    examples,
    topic_names,
)

EPILOG = examples(
    "tidegauge alerts                         all there are",
    "tidegauge alerts --follow --since now    from now on, until Ctrl-C",
    "tidegauge alerts --json | jq .data.title",
    "tidegauge alerts --topic retraining --follow --json | ./retrain.sh",
)
POLL_MS = 500


def alerts(  # noqa: PLR0913, PLR0917 - an option is a parameter
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", envvar="TIDEGAUGE_FOLLOW", help="Wait for more, until Ctrl-C."
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            envvar="TIDEGAUGE_JSON",
            help="A CloudEvent as JSON on each line, the alert under data.",
        ),
    ] = False,
    since: Annotated[
        Literal["beginning", "now"],
        typer.Option(envvar="TIDEGAUGE_SINCE", help="Where to start in the topic."),
    ] = "beginning",
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", envvar="TIDEGAUGE_MODEL", help="Of this model only."),
    ] = None,
    topic: Annotated[
        Literal["alerts", "retraining"],
        typer.Option(envvar="TIDEGAUGE_ALERTS_TOPIC", help="Alerts, or requests to retrain."),
    ] = "alerts",
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
    wait: Wait = WAIT,  # type: ignore[assignment] # typer parses a default as what is given
) -> None:
    """Print alerts, or requests to retrain.

    A line each: what moved, since when, from what to what, and what to do. A message that is no
    alert is skipped, and named on standard error.
    """
    from streams.cli.clients import partition_counts, reading
    from streams.runtime.preflight import when_there

    name = topic_names(prefix, map_topic).by_topic()[topic]
    count = when_there(
        lambda: partition_counts(brokers, [name])[name],
        wait / 1000,
        lambda why: typer.echo(f"tidegauge: {why}", err=True),
    )
    try:
        with reading(brokers) as consumer:
            for record in _records(consumer, name, range(count), since == "now", follow):
                try:
                    event = read_event(topic, record)
                except NoEventError as error:
                    place = f"{record.topic}[{record.partition}] offset {record.offset}"
                    typer.echo(f"tidegauge: skipped {place}: {error}", err=True)
                    continue
                if model in (None, event.body.model):
                    typer.echo(event.json() if as_json else event.text())
                    sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        if not follow:
            raise


def _records(
    consumer: Any, name: str, partitions: Sequence[int], only_new: bool, follow: bool
) -> Iterator[Any]:
    """Yield what is there, in order of time, and then what comes."""
    from kafka import TopicPartition

    wanted = [TopicPartition(name, number) for number in partitions]
    consumer.assign(wanted)
    ends = consumer.end_offsets(wanted)
    if only_new:
        for tp, end in ends.items():
            consumer.seek(tp, end)
    else:
        consumer.seek_to_beginning()
        found: list[Any] = []
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                found += records
        yield from sorted(found, key=lambda record: record.timestamp)
    while follow:
        for records in consumer.poll(timeout_ms=POLL_MS).values():
            yield from records
