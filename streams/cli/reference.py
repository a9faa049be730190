"""``tidegauge reference``: publishes what a model's rows look like when all is well."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference, version_name
from tidegauge.schemas.topics import PREFIX
from tidegauge.streams.cli.options import (
    BROKERS,
    Brokers,
    DataFile,
    Features,
    IdColumn,
    LabelColumn,
    LabelDelay,
    LabelTimeColumn,
    MapTopic,
    Model,
    ModelVersion,
    PredictionColumn,
    Prefix,
    SkipBad,
    SpecFile,
    TimeColumn,
    columns_of,
    examples,
    note,
    topic_names,
)
from tidegauge.streams.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from tidegauge.streams.cli.traffic import Traffic

FRAME_ROWS = 1000

app = typer.Typer(no_args_is_help=True, help="Set what a model's rows are compared with.")


@app.callback()
def _commands() -> None:
    """Keep ``publish`` a command of its own though it is the only one."""


@app.command(
    epilog=examples(
        "tidegauge reference publish good.parquet -m fraud --prediction-column score \\",
        "    --time-column at --label-column chargeback --monitors monitors.yaml",
    )
)
def publish(  # noqa: PLR0913, PLR0917 - an option is a parameter
    file: DataFile,
    model: Model,
    version: ModelVersion = "",
    id_column: IdColumn = None,
    time_column: TimeColumn = None,
    prediction_column: PredictionColumn = None,
    label_column: LabelColumn = None,
    label_delay: LabelDelay = None,
    label_time_column: LabelTimeColumn = None,
    features: Features = None,
    monitors: SpecFile = None,
    skip_bad: SkipBad = False,
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Learn a reference from good rows and publish it.

    It holds for the model, or for one version of it. Give the windows that the worker uses
    (--monitors); 90 of them or more carry a full promise.
    """
    from tidegauge.streams.cli.clients import sending
    from tidegauge.streams.cli.monitors_file import spec_of
    from tidegauge.streams.cli.traffic import read_traffic
    from tidegauge.streams.monitor.series.watched import PROMISED_WINDOWS
    from tidegauge.streams.monitor.verdict.aa_check import told_inside
    from tidegauge.streams.runtime.control import MAX_BYTES

    spec = spec_of(model, monitors)
    columns = columns_of(
        id=id_column,
        time=time_column,
        prediction=prediction_column,
        label=label_column,
        label_time=label_time_column,
        label_delay_ms=label_delay,
        features=features,
        types=spec.features,
    )
    traffic = read_traffic(file, columns, spec, version, skip_bad)
    reference = _learn(file, traffic, spec, version)
    value = msgspec.json.encode(reference)
    if len(value) > MAX_BYTES:
        raise ConfigurationError(
            f"a reference may have {MAX_BYTES} bytes, got {len(value)}: name fewer --features"
        )
    topic = topic_names(prefix, map_topic).references
    with sending(brokers, [topic]) as sender:
        sender.send(topic, reference.key, value)
    windows = max((len(profile.values) for profile in reference.series.values()), default=0)
    name = version_name(model, version)
    typer.echo(f"{name}: reference of {reference.rows:,} rows in {windows} windows published")
    if traffic.empty:
        note(f"not watched, as no row has a value: {', '.join(traffic.empty)}")
    if inside := told_inside(reference, spec.effect):
        note(f"taken for normal as a whole, though it is not one thing: {'; '.join(inside[:5])}")
    if unfinished := traffic.rows - reference.rows:
        note(f"{unfinished:,} rows after the last full window are not in the reference")
    if windows < PROMISED_WINDOWS:
        note(
            f"{windows} windows carry no promise: only blatant faults will be told; "
            f"give rows for {PROMISED_WINDOWS}, better 90"
        )


def _learn(file: Path, traffic: "Traffic", spec: MonitorSpec, version: str) -> Reference:
    from tidegauge.streams.monitor.dry_run import choose
    from tidegauge.streams.monitor.offline import learn_reference

    rows = [(message.topic, message.value) for message in traffic.messages(FRAME_ROWS)]
    try:
        reference = learn_reference(spec, version, rows)
        choose(spec, reference)  # refuses what no worker could use
        return reference
    except ValueError as error:
        raise ConfigurationError(
            f"{file}: expected rows that fill 3 windows or more: {error}; see the model's windows"
        ) from error
