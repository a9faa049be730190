"""``tidegauge apply``: says how models are to be watched; takes effect without a restart."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidegauge.schemas.topics import PREFIX
from tidegauge.streams.cli.options import BROKERS, Brokers, MapTopic, Prefix, examples, topic_names
from tidegauge.streams.runtime.errors import ConfigurationError

EPILOG = examples(
    "tidegauge apply monitors.yaml",
    "tidegauge apply monitors.yaml --dry-run      look for faults, publish nothing",
    "tidegauge apply --remove fraud               back to the defaults",
    "",
    "cat monitors.yaml",
    "monitors:",
    "  - model: fraud",
    "    windows: {every: 1d}",
    "    false_alarms: {count: 1, windows: 90}",
    "    labels: {horizon: 30d}",
    "    retraining: {cooldown: 14d}",
)


def apply(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="YAML with a list of monitors.",
        ),
    ] = None,
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", envvar="TIDEGAUGE_DRY_RUN", help="Look for faults, publish nothing."
        ),
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TIDEGAUGE_REMOVE",
            metavar="MODEL",
            help="Take a model's spec away; it is watched with the defaults. May be repeated.",
        ),
    ] = None,
) -> None:
    """Publish how models are to be watched.

    Workers take it up as they run. Models that no file names are watched with the defaults.
    """
    from tidegauge.streams.cli.clients import sending
    from tidegauge.streams.cli.monitors_file import read_monitors
    from tidegauge.streams.runtime.control import MAX_BYTES

    removed = remove or []
    if file is None and not removed:
        raise ConfigurationError("expected a FILE of monitors to apply, or --remove MODEL")
    specs = {spec.model: msgspec.json.encode(spec) for spec in read_monitors(file)} if file else {}
    for model, spec in specs.items():
        if model in removed:
            raise ConfigurationError(f"model {model!r} is in {file} and under --remove: which?")
        if len(spec) > MAX_BYTES:
            raise ConfigurationError(
                f"{file}: the spec of {model!r} may have {MAX_BYTES} bytes, got {len(spec)}"
            )
    topic = topic_names(prefix, map_topic).monitors
    if not dry_run:
        with sending(brokers, [topic]) as sender:
            for model, value in [*specs.items(), *((model, None) for model in removed)]:
                sender.send(topic, model, value)
    done = "would be " if dry_run else ""
    for model in specs:
        typer.echo(f"{model}: {done}applied")
    for model in removed:
        typer.echo(f"{model}: {done}removed")
