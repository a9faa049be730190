"""``tidegauge reference``: publishes what a model's rows look like when all is well."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from schemas.monitors import MonitorSpec
from schemas.references import Reference, version_name
from schemas.topics import PREFIX
from streams.cli.options import (
    BROKERS,
    Brokers,
    Columns,
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
    TimeColumn,
    columns_of,
    examples,
    tell_left_out,
    topic_names,
)
from streams.runtime.errors import ConfigurationError

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
    monitors: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            envvar="TIDEGAUGE_MONITORS",
            help="YAML with the model's spec, for its windows and features.",
        ),
    ] = None,
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Learn a reference from good rows and publish it.

    It holds for the model, or for one version of it. Give the windows that the worker uses
    (--monitors); 90 of them or more carry a full promise.
    """
    from streams.cli.clients import sending
    from streams.runtime.control import MAX_BYTES

    columns = columns_of(
        id=id_column,
        time=time_column,
        prediction=prediction_column,
        label=label_column,
        label_time=label_time_column,
        label_delay_ms=label_delay,
        features=features,
    )
    from streams.monitor.series import PROMISED_WINDOWS

    reference = _learn(file, columns, _spec(model, monitors), version)
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
    if windows < PROMISED_WINDOWS:
        typer.echo(
            f"tidegauge: {windows} windows carry no promise: only blatant faults will be told; "
            f"give rows for {PROMISED_WINDOWS}, better 90",
            err=True,
        )


def _spec(model: str, monitors: Path | None) -> MonitorSpec:
    if monitors is None:
        return MonitorSpec(model=model)
    from streams.cli.monitors_file import read_monitors

    found = [spec for spec in read_monitors(monitors) if spec.model == model]
    if not found:
        raise ConfigurationError(f"{monitors}: expected a spec of {model!r}, found none")
    return found[0]


def _learn(file: Path, columns: Columns, spec: MonitorSpec, version: str) -> Reference:
    from streams.cli.columns import read_table
    from streams.cli.traffic import Traffic, check
    from streams.monitor.offline import learn_reference
    from streams.monitor.trial import check_control

    now_ms = 1000 * time.time()
    traffic = Traffic(read_table(file), columns, spec.model, version, now_ms)
    tell_left_out(traffic.left_out)
    messages = list(traffic.messages(FRAME_ROWS))
    check(messages[0], as_frame=True)
    try:
        reference = learn_reference(spec, version, [(m.topic, m.value) for m in messages])
        check_control(spec, reference)
        return reference
    except ValueError as error:
        raise ConfigurationError(
            f"{file}: expected rows that fill 3 windows or more: {error}; see the model's windows"
        ) from error
