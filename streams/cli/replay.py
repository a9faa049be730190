"""``tidegauge replay``: sends a file's rows as if a model served them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

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

if TYPE_CHECKING:
    from tidegauge.streams.cli.traffic import Message

EPILOG = examples(
    "tidegauge replay flights.csv --model delay --prediction-column score",
    "tidegauge replay flights.parquet -m delay --prediction-column score \\",
    "    --time-column scheduled --label-column late --label-delay 6h --rate 1000",
    "tidegauge replay big.parquet -m delay --prediction-column score --rows frames",
    "tidegauge replay big.parquet -m delay --prediction-column score --rows frames --format arrow",
)


def replay(  # noqa: PLR0913, PLR0917 - an option is a parameter
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
    rate: Annotated[
        float,
        typer.Option(
            min=0, envvar="TIDEGAUGE_RATE", help="Rows a second; 0: as fast as Kafka takes them."
        ),
    ] = 0.0,
    rows: Annotated[
        Literal["single", "frames"],
        typer.Option(
            envvar="TIDEGAUGE_ROWS", help="A message for each row, or many rows in one, as columns."
        ),
    ] = "single",
    frame_rows: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, envvar="TIDEGAUGE_FRAME_ROWS", help="Rows in a frame, at most."
        ),
    ] = 500,
    format: Annotated[
        Literal["json", "arrow"],
        typer.Option(
            envvar="TIDEGAUGE_FORMAT", help="How frames are written; single rows are JSON."
        ),
    ] = "json",
    progress: Annotated[
        bool,
        typer.Option(
            envvar="TIDEGAUGE_PROGRESS", help="Show a progress bar, where there is a terminal."
        ),
    ] = True,
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Send a file's rows as if a model served them.

    Predictions go in order of time, each label when it is due, never before its row. An empty cell
    is a missing value. First all is read as a worker reads it: rows that it would reject are told
    with their place, and nothing is sent. Every message is keyed by the model and acknowledged.
    """
    from tidegauge.producer import writer
    from tidegauge.streams.cli.clients import sending
    from tidegauge.streams.cli.monitors_file import spec_of
    from tidegauge.streams.cli.traffic import read_traffic

    spec = spec_of(model, monitors)
    columns = columns_of(
        id=id_column,
        time=time_column,
        prediction=prediction_column,
        label=label_column,
        label_time=label_time_column,
        label_delay_ms=label_delay,
        features=features,
        types=spec.types,
    )
    traffic = read_traffic(file, columns, spec, version, skip_bad, rate)
    messages = traffic.messages(frame_rows if rows == "frames" else None, writer(format))
    used = [traffic.topic, "labels"] if label_column else [traffic.topic]
    names = {topic: topic_names(prefix, map_topic).by_topic()[topic] for topic in used}
    sent = Sent(traffic.topic)
    try:
        with (
            sending(brokers, names.values()) as sender,
            progress_bar(traffic.rows, progress) as advance,
        ):
            for message in messages:
                if rate and message.topic == traffic.topic:
                    time.sleep(max(0.0, sent.rows[traffic.topic] / rate - sent.seconds))
                sent.count(message, sender.send(names[message.topic], model, message.value))
                if message.topic == traffic.topic:
                    advance(message.rows)
    except BaseException:
        if sent.rows:
            typer.echo(f"stopped: {sent.acknowledged} are acknowledged", err=True)
        raise
    typer.echo(f"sent {sent}")


class Sent:
    """What was sent, since when."""

    def __init__(self, topic: str) -> None:
        self.rows: Counter[str] = Counter()
        self._topic = topic
        self._acknowledged: Counter[str] = Counter()
        self._messages = self._bytes = 0
        self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self._begun

    @property
    def acknowledged(self) -> str:
        """How much of it the brokers have said to have."""
        got, sent = self._acknowledged, self.rows
        rows = f"{got[self._topic]:,} of {sent[self._topic]:,} rows"
        return f"{rows} and {got['labels']:,} of {sent['labels']:,} labels"

    def count(self, message: "Message", future: Any) -> None:
        """Add a message, and that it is acknowledged once its future says so."""
        future.add_callback(self._acknowledge, message.topic, message.rows)
        self.rows[message.topic] += message.rows
        self._messages += 1
        self._bytes += len(message.value)

    def _acknowledge(self, topic: str, rows: int, _: object) -> None:
        self._acknowledged[topic] += rows

    def __str__(self) -> str:
        """Return it in a line."""
        rows, labels, seconds = self.rows[self._topic], self.rows["labels"], self.seconds
        return (
            f"{rows:,} rows and {labels:,} labels in {seconds:.1f} s: "
            f"{rows / seconds:,.0f} rows/s, {self._bytes / 1e6:,.1f} MB "
            f"in {self._messages:,} messages"
        )


@contextmanager
def progress_bar(total: int, wanted: bool) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on standard error and only on a terminal; yield how to advance."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (wanted and console.is_terminal),
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda rows: progress.advance(task, rows)
