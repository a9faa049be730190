"""Options that several commands share, each with its environment variable."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tidegauge.schemas.monitors import FeatureSpec, milliseconds
from tidegauge.schemas.topics import PREFIX, TopicNames
from tidegauge.streams.runtime.errors import ConfigurationError

BROKERS = "127.0.0.1:9092"
ADDRESS = re.compile(r"[^\s:/@]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}")
TOPIC_VARIABLE = "TIDEGAUGE_TOPIC_"


def examples(*commands: str) -> str:
    """Return commands as the end of a help text."""
    return "\b\n" + "\n".join(("Examples:", *(f"  {command}" for command in commands)))


def duration(text: str) -> int:
    """Return milliseconds; as the parser of an option it makes a usage error of a ValueError."""
    try:
        return milliseconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


class Columns(NamedTuple):
    """Which column of a file is what; those not named are features."""

    id: str | None = None
    time: str | None = None
    prediction: str | None = None
    label: str | None = None
    label_time: str | None = None
    label_delay_ms: int = 0
    features: Sequence[str] | None = None
    types: Mapping[str, FeatureSpec] = {}  # declared in the model's spec

    @property
    def roles(self) -> set[str]:
        """The columns that are no features."""
        named = {self.id, self.time, self.prediction, self.label, self.label_time}
        return {name for name in named if name is not None}

    @property
    def said(self) -> set[str]:
        """The columns of which something is said, so that nothing has to be inferred."""
        return self.roles | self.types.keys()


def addresses(text: str) -> str:
    """Return host:port, several separated by commas, as Kafka's clients want them."""
    found = [address.strip() for address in text.split(",")]
    for address in found:
        if not ADDRESS.fullmatch(address):
            raise typer.BadParameter(f"expected host:port, got {address!r}")
    return ",".join(found)


Brokers = Annotated[
    str,
    typer.Option(
        "--brokers",
        "-b",
        parser=addresses,
        envvar="TIDEGAUGE_BROKERS",
        metavar="HOST:PORT",
        help="Kafka's address; several separated by commas.",
    ),
]
Prefix = Annotated[
    str,
    typer.Option(
        envvar="TIDEGAUGE_PREFIX", metavar="TEXT", help="What the names of all topics begin with."
    ),
]
MapTopic = Annotated[
    list[str] | None,
    typer.Option(
        envvar="TIDEGAUGE_MAP_TOPIC",
        metavar="TOPIC=NAME",
        help="Use an existing topic: predictions=scores. May be repeated; "
        "TIDEGAUGE_TOPIC_PREDICTIONS=scores does the same.",
    ),
]
WAIT = "120s"
Wait = Annotated[
    int,
    typer.Option(
        parser=duration,
        envvar="TIDEGAUGE_WAIT",
        metavar="DURATION",
        help="How long to wait for a broker that does not answer yet, or topics that are missing.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", envvar="TIDEGAUGE_MODEL", metavar="NAME", help="The model's name."
    ),
]
ModelVersion = Annotated[
    str,
    typer.Option(
        "--version", envvar="TIDEGAUGE_MODEL_VERSION", metavar="NAME", help="The model's version."
    ),
]
DataFile = Annotated[
    Path,
    typer.Argument(
        exists=True,
        dir_okay=False,
        readable=True,
        help="Rows as CSV in UTF-8, or as Parquet; read into memory.",
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEGAUGE_ID_COLUMN",
        metavar="COLUMN",
        help="Column of the rows' ids. Default: time of the first row and a number.",
    ),
]
TimeColumn = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEGAUGE_TIME_COLUMN",
        metavar="COLUMN",
        help="Column of the event times: ISO 8601 (UTC where no zone is given) or milliseconds "
        "since 1970. Rows are sent in its order. "
        "Default: made up, in the order of the file, up to now.",
    ),
]
PredictionColumn = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEGAUGE_PREDICTION_COLUMN",
        metavar="COLUMN",
        help="Column of the predictions. Default: none; rows go to the topic features.",
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEGAUGE_LABEL_COLUMN",
        metavar="COLUMN",
        help="Column of what turned out to be true, as a number or a boolean; may have gaps.",
    ),
]
LabelDelay = Annotated[
    int | None,
    typer.Option(
        parser=duration,
        envvar="TIDEGAUGE_LABEL_DELAY",
        metavar="DURATION",
        help="How long after its row a label is known: 90s, 6h, 30d. Default: at once.",
    ),
]
LabelTimeColumn = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEGAUGE_LABEL_TIME_COLUMN",
        metavar="COLUMN",
        help="Column of when each label was known; takes the place of --label-delay.",
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEGAUGE_FEATURES",
        metavar="A,B,C",
        help="Columns of the features. Default: all others with numbers, booleans or text.",
    ),
]


SpecFile = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        readable=True,
        envvar="TIDEGAUGE_MONITORS",
        help="YAML with the model's spec: what it declares rules how columns are read.",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        envvar="TIDEGAUGE_SKIP_BAD",
        help="Leave out, and count, rows and labels that a worker would reject. "
        "Default: refuse the file.",
    ),
]


def columns_of(
    *,
    id: str | None,
    time: str | None,
    prediction: str | None,
    label: str | None,
    label_time: str | None,
    label_delay_ms: int | None,
    features: str | None,
    types: Mapping[str, FeatureSpec] | None = None,
) -> Columns:
    """Return the columns that the options name.

    Raises
    ------
    ConfigurationError
        If the options do not go together.
    """
    if label and not prediction:
        raise ConfigurationError("--label-column needs --prediction-column beside it")
    if label_time and label_delay_ms is not None:
        raise ConfigurationError("expected --label-delay or --label-time-column, got both")
    if not label and (label_time or label_delay_ms is not None):
        raise ConfigurationError("--label-delay and --label-time-column need --label-column")
    names = None
    if features is not None:
        names = list(dict.fromkeys(n.strip() for n in features.split(",") if n.strip()))
    delay_ms = label_delay_ms or 0
    return Columns(id, time, prediction, label, label_time, delay_ms, names, types or {})


def topic_names(prefix: str = PREFIX, mapped: Iterable[str] | None = None) -> TopicNames:
    """Return what the topics are called; an option goes before its environment variable.

    Raises
    ------
    ConfigurationError
        If a topic is unknown, or a name is not one that Kafka takes.
    """
    chosen = {
        name.removeprefix(TOPIC_VARIABLE).lower(): value
        for name, value in os.environ.items()
        if name.startswith(TOPIC_VARIABLE)
    }
    for pair in mapped or ():
        topic, equals, name = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"--map-topic: expected TOPIC=NAME, got {pair!r}")
        chosen[topic] = name
    try:
        return TopicNames.prefixed(prefix, chosen)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def note(text: str) -> None:
    """Tell on standard error what the user should know and need not mend."""
    typer.echo(f"tidegauge: {text}", err=True)
