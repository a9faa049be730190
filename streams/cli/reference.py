"""``tidegauge reference``: says what a model's rows are compared with."""

import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Adoption, Reference, version_name
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
    topic_names,
)
from tidegauge.streams.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from tidegauge.streams.cli.traffic import Traffic

FOR_BUILT = {"file", "model", "version", "brokers", "prefix", "map_topic"}  # of publish

app = typer.Typer(no_args_is_help=True, help="Set what a model's rows are compared with.")


@app.command(
    epilog=examples(
        "tidegauge reference build good.parquet -m fraud --prediction-column score \\",
        "    --time-column at --exclude 2013-02-08..2013-02-10 --out fraud.json",
    )
)
def build(  # noqa: PLR0913, PLR0917 - an option is a parameter
    ctx: typer.Context,
    file: DataFile,
    model: Model,
    time_column: Annotated[
        str,
        typer.Option(
            envvar="TIDEGAUGE_TIME_COLUMN",
            metavar="COLUMN",
            help="Column of the event times: ISO 8601 (UTC where no zone is given) or "
            "milliseconds since 1970.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", dir_okay=False, envvar="TIDEGAUGE_OUT", help="Where to write it: .json."
        ),
    ],
    version: ModelVersion = "",
    id_column: IdColumn = None,
    prediction_column: PredictionColumn = None,
    label_column: LabelColumn = None,
    label_delay: LabelDelay = None,
    label_time_column: LabelTimeColumn = None,
    features: Features = None,
    monitors: SpecFile = None,
    skip_bad: SkipBad = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TIDEGAUGE_EXCLUDE",
            metavar="FROM..TO",
            help="Days, or UTC times, known to be bad: their rows are left out. May be repeated.",
        ),
    ] = None,
    despite_alarms: Annotated[
        bool,
        typer.Option(
            "--despite-alarms",
            envvar="TIDEGAUGE_DESPITE_ALARMS",
            help="Write it although its halves are not alike; it says what was told.",
        ),
    ] = False,
) -> None:
    """Learn a reference from good rows and write it as a file, without a row in it.

    A worker that learned from its first half must tell nothing of its second; else nothing is
    written. The file says what it was built from, and the same rows give the same bytes.
    """
    from tidegauge.streams.cli import reference_file as files

    if out.suffix != files.SUFFIX:
        raise ConfigurationError(f"--out: expected a name that ends in .json, got {out}")
    if not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        raise ConfigurationError(
            f"--out: expected a folder that can be written to, got {out.parent}"
        )
    periods = [files.period(text) for text in exclude or ()]
    spec, traffic = _read(file, monitors, ctx.params)
    reference = files.build(file, traffic, spec, version, periods, despite_alarms)
    out.write_bytes(files.encoded(reference) + b"\n")
    typer.echo(f"{files.described(reference)} written to {out}")


@app.command(
    epilog=examples(
        "tidegauge reference publish fraud.json",
        "tidegauge reference publish good.parquet -m fraud --prediction-column score \\",
        "    --time-column at --label-column chargeback --monitors monitors.yaml",
    )
)
def publish(  # noqa: PLR0913, PLR0917 - an option is a parameter
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="A reference that was built (.json), which takes no option for rows; or rows as "
            "CSV in UTF-8, or as Parquet.",
        ),
    ],
    model: Model = "",
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
    """Publish a reference that was built, or learn one from good rows and publish that.

    It holds for the model, or for one version of it. Give the windows that the worker uses
    (--monitors); 90 of them or more carry a full promise.
    """
    from tidegauge.streams.cli import reference_file as files
    from tidegauge.streams.cli.clients import sending

    if file.suffix == files.SUFFIX:
        reference = files.read_reference(file)
        _check_said(ctx, reference)
    else:
        if not model:
            raise ConfigurationError(f"{file}: expected --model beside a file of rows")
        spec, traffic = _read(file, monitors, ctx.params)
        reference = files.learned(file, traffic, spec, version)
    value = files.encoded(reference)
    topic = topic_names(prefix, map_topic).references
    with sending(brokers, [topic]) as sender:
        sender.send(topic, reference.key, value)
    typer.echo(f"{files.described(reference)} published")


def _read(
    file: Path, monitors: Path | None, options: Mapping[str, Any]
) -> tuple[MonitorSpec, "Traffic"]:
    """Return a model's spec and a file's rows, read as the options of a command say."""
    from tidegauge.streams.cli.monitors_file import spec_of
    from tidegauge.streams.cli.traffic import read_traffic

    spec = spec_of(options["model"], monitors)
    columns = columns_of(
        id=options["id_column"],
        time=options["time_column"],
        prediction=options["prediction_column"],
        label=options["label_column"],
        label_time=options["label_time_column"],
        label_delay_ms=options["label_delay"],
        features=options["features"],
        types=spec.types,
    )
    return spec, read_traffic(file, columns, spec, options["version"], options["skip_bad"])


def _check_said(ctx: typer.Context, reference: Reference) -> None:
    """Raise ConfigurationError if options say other than a reference that was built, or of rows."""
    file, model, version = (ctx.params[name] for name in ("file", "model", "version"))
    own, said = (reference.model, reference.version), (model or reference.model, version)
    if (model or version) and said != own:
        raise ConfigurationError(
            f"{file} is the reference of {version_name(*own)}: expected --model and --version "
            f"to say so, or neither; got {version_name(*said)}"
        )
    typed = [
        max(option.opts, key=len)
        for option in ctx.command.params
        if option.name not in FOR_BUILT
        and (source := ctx.get_parameter_source(str(option.name)))
        and source.name == "COMMANDLINE"  # the environment may be meant for other commands
    ]
    if typed:
        raise ConfigurationError(
            f"{file}: a file that was built takes no {', '.join(typed)}, as it has no rows"
        )


@app.command(
    epilog=examples(
        "tidegauge reference adopt fraud",
        "tidegauge reference adopt fraud --version 3 --series 'rank(amount)' --series loss",
    )
)
def adopt(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    version: ModelVersion = "",
    series: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TIDEGAUGE_SERIES",
            metavar="NAME",
            help="This series, as the alert names it. May be repeated. Default: all.",
        ),
    ] = None,
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Accept a new normal: the level that a series has kept becomes its reference at once.

    It is for series that are compared with a level (see monitors show), and for the levels they
    have when the workers hear of it; others stay as they are. Without --version it holds for all
    versions.
    """
    import msgspec

    from tidegauge.streams.cli.clients import sending
    from tidegauge.streams.monitor.series.registry import parse

    if unknown := [name for name in series or () if parse(name) is None]:
        raise ConfigurationError(
            f"--series: expected names as an alert has them, such as 'rank(amount)', got {unknown}"
        )
    now_ms, topic = time.time_ns() // 1_000_000, topic_names(prefix, map_topic).references
    with sending(brokers, [topic]) as sender:
        for name in series or [""]:
            said = Adoption(model=model, version=version, series=name, at_ms=now_ms)
            sender.send(topic, said.key, msgspec.json.encode(said))
    levels = f"the levels of {', '.join(series)}" if series else "all levels"
    typer.echo(
        f"{version_name(model, version)}: asked to adopt {levels} as the reference; tidegauge "
        f"monitors show --model {shlex.quote(model)} tells what each series is compared with"
    )
