"""``tidegauge status``: how every model stands, and whether anything stands still."""

import dataclasses
import time
from typing import Annotated

import typer

from tidegauge.schemas.topics import PREFIX
from tidegauge.streams.cli.options import (
    BROKERS,
    Brokers,
    MapTopic,
    Prefix,
    duration,
    examples,
    topic_names,
)
from tidegauge.streams.runtime.errors import ConfigurationError

EPILOG = examples(
    "tidegauge status                         a line a model",
    "tidegauge status --model fraud           all there is to say of one",
    "tidegauge status --json | jq .troubles   for a probe; see the exit code, too",
)
STANDS_STILL, INCIDENTS = 5, 6  # exit codes


def status(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", envvar="TIDEGAUGE_MODEL", help="All about this model."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="TIDEGAUGE_JSON", help="One JSON object in a line.")
    ] = False,
    silent_after: Annotated[
        int,
        typer.Option(
            parser=duration,
            envvar="TIDEGAUGE_SILENT_AFTER",
            metavar="DURATION",
            help="Without a row for so long a model is called silent.",
        ),
    ] = "1h",  # type: ignore[assignment] # typer parses a default as it parses what is given
    fail_on_incidents: Annotated[
        bool,
        typer.Option(
            "--fail-on-incidents",
            envvar="TIDEGAUGE_FAIL_ON_INCIDENTS",
            help=f"Exit with {INCIDENTS} where an incident is open.",
        ),
    ] = False,
    group: Annotated[
        str, typer.Option(envvar="TIDEGAUGE_GROUP", help="The workers' consumer group.")
    ] = "",
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Tell how every model stands: how far it has learned, what is open, who works on it.

    It reads the topics alone, and changes nothing. What it says is as old as the workers' last
    snapshot, some ten seconds. Exits with 5 if rows wait and nobody reads them.
    """
    import msgspec
    from rich.console import Console

    from tidegauge.streams.cli import standing
    from tidegauge.streams.cli.clients import answering, partition_counts
    from tidegauge.streams.runtime.overview import overview
    from tidegauge.streams.runtime.settings import Settings

    names = topic_names(prefix, map_topic)
    counts = partition_counts(brokers, names.by_topic().values())
    settings = Settings(brokers=brokers, topics=names, group=group)
    with answering(brokers):
        found = overview(settings, counts[names.predictions])
    if model is not None:
        chosen = [one for one in found.models if one.model == model]
        if not chosen:
            raise ConfigurationError(standing.unknown(model, {one.model for one in found.models}))
        found = dataclasses.replace(found, models=chosen)
    now_ms = int(1000 * time.time())
    troubles = standing.troubles(found, now_ms)
    if as_json:
        body = standing.as_json(found, now_ms, silent_after) | {"troubles": troubles}
        typer.echo(msgspec.json.encode(body).decode())
    else:
        console = Console(markup=False, highlight=False, emoji=False)
        console.width = (
            min(console.width, standing.WIDTH) if console.is_terminal else standing.WIDTH
        )
        for line in standing.lines(found, model, now_ms, silent_after):
            console.print(line, soft_wrap=isinstance(line, str))
    for trouble in troubles:
        typer.echo(f"tidegauge: {trouble}", err=True)
    if troubles:
        raise typer.Exit(STANDS_STILL)
    if fail_on_incidents and any(one.open for one in found.models):
        raise typer.Exit(INCIDENTS)
