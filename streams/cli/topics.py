"""``tidegauge topics``: creates what is missing and says whether the rest will do."""

from typing import Annotated

import typer

from tidegauge.schemas.topics import FOREVER_MS, PARTITIONS, PREFIX
from tidegauge.streams.cli.options import (
    BROKERS,
    Brokers,
    MapTopic,
    Prefix,
    duration,
    examples,
    topic_names,
)

FOREVER = "forever"

app = typer.Typer(no_args_is_help=True, help="Set up Tidegauge's topics in Kafka.")


def retention(text: str) -> int:
    """Return milliseconds, or Kafka's word for ever."""
    return FOREVER_MS if text == FOREVER else duration(text)


@app.command(
    epilog=examples(
        "tidegauge topics create",
        "tidegauge topics create --retention forever    for replays of old rows",
        "tidegauge topics create --partitions 12 --replication 3",
    )
)
def create(
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="TIDEGAUGE_PARTITIONS",
            help="Of each topic; as many workers can share the work. Default: as many as those "
            f"that exist have, or {PARTITIONS}.",
        ),
    ] = None,
    replication: Annotated[
        int,
        typer.Option(
            min=-1,
            envvar="TIDEGAUGE_REPLICATION",
            help="Copies of each partition; -1: the brokers' default.",
        ),
    ] = -1,
    keep: Annotated[
        int | None,
        typer.Option(
            "--retention",
            parser=retention,
            envvar="TIDEGAUGE_RETENTION",
            metavar="DURATION",
            help="How long rows are kept: 12h, 7d, or forever. Default: 7d, and whatever topics "
            "have that exist.",
        ),
    ] = None,
) -> None:
    """Create the topics that are missing; those that exist are looked at and left alone.

    Exits with 2 if one exists that does not fit, with 1 if one could not be created. Where those
    that exist have other partition counts than asked for, nothing is created.
    """
    from tidegauge.streams.cli.clients import answering
    from tidegauge.streams.runtime.topics import create_topics

    names = topic_names(prefix, map_topic)
    with answering(brokers):
        results = create_topics(brokers, names, partitions, replication, keep)
    for result in results:
        told = f"{result.outcome:9} {result.topic}"
        typer.echo(f"{told}: {result.problem}" if result.problem else told)
    outcomes = {result.outcome for result in results}
    if "refused" in outcomes:
        raise typer.Exit(1)
    if "mismatch" in outcomes:
        raise typer.Exit(2)
