"""``tidegauge monitors``: what is in force for a model, and where each value is from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegauge.schemas.topics import PREFIX
from tidegauge.streams.cli.options import BROKERS, Brokers, MapTopic, Prefix, examples, topic_names
from tidegauge.streams.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.table import Table

    from tidegauge.streams.monitor.effective import Effective

WIDTH = 110

app = typer.Typer(no_args_is_help=True, help="See how models are watched.")


@app.callback()
def monitors() -> None:
    """See how models are watched."""


@app.command(
    epilog=examples(
        "tidegauge monitors show                  every model",
        "tidegauge monitors show --model fraud",
        "tidegauge monitors show --json | jq '.[].series'",
    )
)
def show(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", envvar="TIDEGAUGE_MODEL", help="This model alone."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="TIDEGAUGE_JSON", help="One JSON array in a line.")
    ] = False,
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Tell what is in force for a model: each setting with its origin, each series with its part.

    The part is how many false alarms are expected of a series within the windows of the budget;
    from it follows the threshold of its evidence. "default" stands for what holds without a spec,
    also where a spec says the same. All is as old as the workers' last snapshot.
    """
    import msgspec
    from rich.console import Console

    from tidegauge.streams.cli import standing
    from tidegauge.streams.cli.clients import answering, partition_counts
    from tidegauge.streams.runtime.overview import in_force
    from tidegauge.streams.runtime.settings import Settings

    names = topic_names(prefix, map_topic)
    counts = partition_counts(brokers, names.by_topic().values())
    with answering(brokers):
        found = in_force(Settings(brokers=brokers, topics=names), counts[names.predictions])
    chosen = [one for one in found if model in (None, one.model)]
    if model is not None and not chosen:
        raise ConfigurationError(standing.unknown(model, {one.model for one in found}))
    if as_json:
        typer.echo(msgspec.json.encode(chosen).decode())
        return
    console = Console(markup=False, highlight=False, emoji=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    for one in chosen:
        for part in tables(one):
            console.print(part)


def tables(one: "Effective") -> Iterator["Table"]:
    """Yield the settings of a stream, and its series."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tidegauge.schemas.references import version_name
    from tidegauge.streams.monitor.words import moment

    name = f"{version_name(one.model, one.version)} {one.source} in partition {one.partition}"
    settings = Table("setting", "value", "from", box=SIMPLE_HEAD, title=name, title_justify="left")
    for setting, held in one.settings.items():
        settings.add_row(setting, _text(held.value), held.origin)
    yield settings
    if not one.series:
        return
    heads = ("series", "false alarms", "threshold", "least shift", "reference worth", "decides")
    series = Table(*heads, "compared with", box=SIMPLE_HEAD)
    for watched, part in one.series.items():
        figures = (part.false_alarms, part.threshold, part.gate, part.worth)
        told = ["" if figure is None else f"{figure:.4g}" for figure in figures]
        told[2] += f" ({part.asked})" if part.asked else ""
        level = "reference" if part.level_ms is None else f"level since {moment(part.level_ms)}"
        level += ", by the week" if part.by_week else ""
        level = "no reference: it is declared" if part.is_declared else level
        series.add_row(watched, *told, part.decider, level)
    yield series


def _text(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode().replace('"', "") if value is not None else "none"
