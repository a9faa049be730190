"""``tidegauge alerts``: what the worker has to say, for people and for pipes."""

import os
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tidegauge.schemas.topics import PREFIX, TopicNames
from tidegauge.streams.cli.events import NoEventError, OutputTopic, Told, read_event
from tidegauge.streams.cli.options import (
    BROKERS,
    WAIT,
    Brokers,
    MapTopic,
    Prefix,
    Wait,
    duration,
    examples,
    topic_names,
)
from tidegauge.streams.runtime.errors import ConfigurationError, WorkerError

EPILOG = examples(
    "tidegauge alerts                         all there are",
    "tidegauge alerts --follow --since now    from now on, until Ctrl-C",
    "tidegauge alerts --since 2h --topic windows --model fraud",
    "tidegauge alerts --json | jq .data.title",
    "tidegauge alerts --topic retraining --follow --json --group retrain | ./retrain.sh",
)
KNOWN = 10_000  # ids of the latest events, to know them when they come again


def moment_ms(text: str) -> int:
    """Return UTC milliseconds, or Kafka's word for the beginning or the end."""
    from tidegauge.streams.cli.reading import EARLIEST_MS, LATEST_MS

    if text in ("beginning", "now"):
        return EARLIEST_MS if text == "beginning" else LATEST_MS
    if text[:4].isdigit() and text[4:5] == "-":
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            raise typer.BadParameter(f"{error}, such as 2026-11-01T00:00Z") from error
        since_ms = int(1000 * (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    else:
        since_ms = int(1000 * time.time()) - duration(text)
    return max(0, since_ms)  # Kafka knows no time before 1970


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
        int,
        typer.Option(
            parser=moment_ms,
            envvar="TIDEGAUGE_SINCE",
            metavar="WHEN",
            help="What was written since then: beginning, now, 2h (ago), 2026-11-01T00:00Z.",
        ),
    ] = "beginning",  # type: ignore[assignment] # typer parses a default as it parses what is given
    reader_group: Annotated[
        str,
        typer.Option(
            "--group",
            "-g",
            envvar="TIDEGAUGE_ALERTS_GROUP",
            metavar="NAME",
            help="Go on where the last reader of this name stopped; --since is for its first "
            "start. One reader a name.",
        ),
    ] = "",
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", envvar="TIDEGAUGE_MODEL", help="Of this model only."),
    ] = None,
    topic: Annotated[
        OutputTopic,
        typer.Option(
            envvar="TIDEGAUGE_ALERTS_TOPIC",
            help="Alerts, requests to retrain, reports of closed windows, or what was rejected.",
        ),
    ] = "alerts",
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
    wait: Wait = WAIT,  # type: ignore[assignment] # typer parses a default as what is given
) -> None:
    """Print alerts, requests to retrain, window reports, or what was rejected and why.

    A line each: what moved, since when, from what to what, and what to do. What comes again, with
    the same id, is told once. A message that is none is skipped, and named on standard error.
    """
    from tidegauge.streams.cli.clients import partition_counts, reading
    from tidegauge.streams.cli.reading import Reader
    from tidegauge.streams.runtime.preflight import when_there
    from tidegauge.streams.runtime.settings import Settings

    names = topic_names(prefix, map_topic)
    if reader_group == Settings(brokers=brokers, topics=names).group_id:
        raise ConfigurationError(f"group {reader_group} is the workers' own: name another")
    name = names.by_topic()[topic]
    count = when_there(
        lambda: partition_counts(brokers, [name])[name],
        wait / 1000,
        lambda why: typer.echo(f"tidegauge: {why}", err=True),
    )
    try:
        with reading(brokers, reader_group) as consumer:
            reader = Reader(consumer, name, range(count), since, reader_group)
            events = _Events(reader, topic)
            found = False
            for event in events.of(reader.backlog()):
                found |= _tell(event, model, as_json, reader)
            reader.commit()
            if model is not None and not found:
                _tell_if_unknown(model, brokers, names)
            if follow:
                for event in events.of(reader.coming()):
                    _tell(event, model, as_json, reader)
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        if not follow:
            raise


def _tell(event: Told, model: str | None, as_json: bool, reader: Any) -> bool:
    """Print an event if it is of the model, and only then write down that it was."""
    if model not in (None, event.model):
        return False
    typer.echo(event.json() if as_json else event.text())
    sys.stdout.flush()
    reader.commit()
    return True


def _tell_if_unknown(model: str, brokers: str, names: TopicNames) -> None:
    """Say so if no row of the model was ever seen: nothing will be told of a misspelt one."""
    from tidegauge.streams.cli.clients import partition_counts
    from tidegauge.streams.cli.standing import unknown
    from tidegauge.streams.runtime.overview import known_models
    from tidegauge.streams.runtime.settings import Settings

    settings = Settings(brokers=brokers, topics=names)
    try:
        partitions = partition_counts(brokers, [names.state])[names.state]
        known = known_models(settings, partitions)
    except WorkerError as error:  # who may read alerts need not be allowed to read the state
        typer.echo(f"tidegauge: cannot tell which models there are: {error}", err=True)
        return
    if model not in known:
        typer.echo(f"tidegauge: {unknown(model, known)}", err=True)


class _Events:
    """Makes events of records, each once, and moves the reader's place beyond them."""

    def __init__(self, reader: Any, topic: OutputTopic) -> None:
        self._reader, self._topic = reader, topic
        self._known: OrderedDict[str, None] = OrderedDict()

    def of(self, records: Iterable[Any]) -> Iterator[Told]:
        """Yield the events that are new; what is none is named on standard error."""
        for record in records:
            is_old = self._reader.is_old(record)
            self._reader.pass_by(record)
            try:
                event = read_event(self._topic, record)
            except NoEventError as error:
                if not is_old:
                    place = f"{record.topic}[{record.partition}] offset {record.offset}"
                    typer.echo(f"tidegauge: skipped {place}: {error}", err=True)
                continue
            if self._is_first(event.id) and not is_old:
                yield event

    def _is_first(self, id: str) -> bool:
        first = id not in self._known
        self._known[id] = None
        self._known.move_to_end(id)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return first
