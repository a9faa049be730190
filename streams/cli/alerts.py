"""``tidegauge alerts``: what the worker has to say, for people and for pipes."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
import orjson
import typer

from schemas.alerts import ALERT_TYPE, Alert
from schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from schemas.topics import PREFIX
from streams.cli.options import BROKERS, Brokers, MapTopic, Prefix, examples, topic_names
from streams.monitor import wording

EPILOG = examples(
    "tidegauge alerts                         all there are",
    "tidegauge alerts --follow --since now    from now on, until Ctrl-C",
    "tidegauge alerts --json | jq .data.title",
    "tidegauge alerts --topic retraining --follow --json | ./retrain.sh",
)
POLL_MS = 500
TYPES = {"alerts": (ALERT_TYPE, Alert), "retraining": (RETRAIN_TYPE, RetrainingRequest)}
COLOURS = {"resolved": "green", "warning": "yellow", "critical": "red"}
ATTRIBUTE = "ce_"


class NoAlertError(ValueError):
    """A message of the topic that is not what it should be."""


def alerts(
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
        Literal["beginning", "now"],
        typer.Option(envvar="TIDEGAUGE_SINCE", help="Where to start in the topic."),
    ] = "beginning",
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", envvar="TIDEGAUGE_MODEL", help="Of this model only."),
    ] = None,
    topic: Annotated[
        Literal["alerts", "retraining"],
        typer.Option(envvar="TIDEGAUGE_ALERTS_TOPIC", help="Alerts, or requests to retrain."),
    ] = "alerts",
    brokers: Brokers = BROKERS,
    prefix: Prefix = PREFIX,
    map_topic: MapTopic = None,
) -> None:
    """Print alerts, or requests to retrain.

    A line each: what moved, since when, from what to what, and what to do. A message that is no
    alert is skipped, and named on standard error.
    """
    from streams.cli.clients import partition_counts, reading

    name = topic_names(prefix, map_topic).by_topic()[topic]
    partitions = range(partition_counts(brokers, [name])[name])
    try:
        with reading(brokers) as consumer:
            for record in _records(consumer, name, partitions, since == "now", follow):
                try:
                    event = _event(record, topic)
                except NoAlertError as error:
                    place = f"{record.topic}[{record.partition}] offset {record.offset}"
                    typer.echo(f"tidegauge: skipped {place}: {error}", err=True)
                    continue
                if model in (None, event.body.model):
                    typer.echo(event.json() if as_json else event.text())
                    sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        if not follow:
            raise


def _records(
    consumer: Any, name: str, partitions: Sequence[int], only_new: bool, follow: bool
) -> Iterator[Any]:
    """Yield what is there, in order of time, and then what comes."""
    from kafka import TopicPartition

    wanted = [TopicPartition(name, number) for number in partitions]
    consumer.assign(wanted)
    ends = consumer.end_offsets(wanted)
    if only_new:
        for tp, end in ends.items():
            consumer.seek(tp, end)
    else:
        consumer.seek_to_beginning()
        found: list[Any] = []
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                found += records
        yield from sorted(found, key=lambda record: record.timestamp)
    while follow:
        for records in consumer.poll(timeout_ms=POLL_MS).values():
            yield from records


class Event(msgspec.Struct, frozen=True):
    """A CloudEvent with its body, as read and as it came."""

    attributes: dict[str, str]
    body: Alert | RetrainingRequest
    value: bytes

    def json(self) -> str:
        """Return it in CloudEvents' structured mode, in one line."""
        data = orjson.loads(self.value)  # not the body: a newer worker may say more
        return orjson.dumps({**self.attributes, "data": data}).decode()

    def text(self) -> str:
        """Return it as a sentence for people."""
        if isinstance(self.body, RetrainingRequest):
            return one_line(_request(self.body))
        alert = self.body
        mark = alert.status if alert.status == "resolved" else alert.severity
        time = wording.moment(alert.told_ms)
        told = one_line(wording.sentence(alert))
        state = typer.style(f"{alert.severity:8} {alert.status:8}", fg=COLOURS[mark])
        return f"{time:21} {state} {told}"


def _request(request: RetrainingRequest) -> str:
    span = f"{wording.moment(request.train_from_ms)} to {wording.moment(request.train_to_ms)}"
    time = wording.moment(request.requested_ms)
    return f"{time:21} retrain {request.model} on rows of {span}: {request.reason}"


def _event(record: Any, topic: str) -> Event:
    """Return the CloudEvent in a record, in binary mode, or raise NoAlertError."""
    expected, kind = TYPES[topic]
    headers = {name: value.decode(errors="replace") for name, value in record.headers if value}
    came = headers.get(ATTRIBUTE + "type")
    if came != expected:
        raise NoAlertError(f"expected a CloudEvent of type {expected}, got {came}")
    try:
        body = msgspec.json.decode(record.value or b"", type=kind)
    except ValueError as error:
        raise NoAlertError(str(error)) from error
    attributes = {
        name.removeprefix(ATTRIBUTE): value
        for name, value in headers.items()
        if name.startswith(ATTRIBUTE)
    }
    if "content-type" in headers:
        attributes["datacontenttype"] = headers["content-type"]
    return Event(attributes, body, record.value)


def one_line(text: str) -> str:
    r"""Return text that a terminal only shows: names in it come from whoever sent the rows.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
