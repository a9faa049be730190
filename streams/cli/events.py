"""What the output topics hold: a sentence for people, JSON for pipes."""

import hashlib
from typing import Any, Literal, Protocol

import msgspec
import orjson
import typer

from tidegauge.schemas import rejected
from tidegauge.schemas.alerts import ALERT_TYPE, Alert
from tidegauge.schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from tidegauge.schemas.windows import WINDOW_TYPE, WindowReport
from tidegauge.streams.monitor import words
from tidegauge.streams.monitor.records import Record

OutputTopic = Literal["alerts", "retraining", "windows", "rejected"]
KINDS: dict[str, tuple[str, Any]] = {
    "alerts": (ALERT_TYPE, Alert),
    "retraining": (RETRAIN_TYPE, RetrainingRequest),
    "windows": (WINDOW_TYPE, WindowReport),
}
COLOURS = {"warning": "yellow", "critical": "red", "resolved": "green"}
ATTRIBUTE = "ce_"
ORIGIN = ("topic", "partition", "offset")


class NoEventError(ValueError):
    """A record is not what its topic is for."""


class Told(Protocol):
    """One message of an output topic."""

    @property
    def id(self) -> str:
        """What a second delivery has in common with the first."""

    @property
    def model(self) -> str:
        """Whose it is; empty where nobody knows."""

    def json(self) -> str:
        """Return it as JSON in one line."""

    def text(self) -> str:
        """Return it in one line, as a sentence for people."""


class Event(msgspec.Struct, frozen=True):
    """A CloudEvent: its attributes, its body, and the body's bytes as they came."""

    attributes: dict[str, str]
    body: Alert | RetrainingRequest | WindowReport
    value: bytes

    @property
    def id(self) -> str:
        """The event's id; a digest of its content, where it came without."""
        return self.attributes.get("id") or hashlib.sha256(self.value).hexdigest()

    @property
    def model(self) -> str:
        """Whose it is."""
        return self.body.model

    def json(self) -> str:
        """Return it in one line, in CloudEvents' structured mode."""
        data = orjson.loads(self.value)  # not the body: a newer worker may say more
        return orjson.dumps({**self.attributes, "data": data}).decode()

    def text(self) -> str:
        """Return it in one line, as a sentence for people."""
        body = self.body
        if isinstance(body, WindowReport):
            return f"{words.moment(body.last_ts_ms):21} {one_line(_window(body))}"
        if isinstance(body, RetrainingRequest):
            rows = words.rows_between(body.train_from_ms, body.train_to_ms, body.excluded)
            told = f"retrain {body.model} on rows from {rows}, as {body.reason}"
            return f"{words.moment(body.requested_ms):21} {one_line(told)}"
        from tidegauge.streams.monitor.verdict import wording

        colour = COLOURS["resolved" if body.status == "resolved" else body.severity]
        state = typer.style(f"{body.severity:8} {body.status:8}", fg=colour)
        return f"{words.moment(body.told_ms):21} {state} {one_line(wording.sentence(body))}"


class DeadLetter(msgspec.Struct, frozen=True):
    """What could not be read: where it came from, and why not. Its content is not shown."""

    model: str  # the key it came with
    rejected_ms: int
    fields: dict[str, str]  # topic, partition, offset, error, reason

    @property
    def id(self) -> str:
        """Its origin; a frame may be rejected for several reasons."""
        return "\n".join(self.fields.values())

    def json(self) -> str:
        """Return it in one line."""
        return orjson.dumps({"key": self.model, **self.fields}).decode()

    def text(self) -> str:
        """Return it in one line."""
        topic, partition, offset = (self.fields[name] for name in ORIGIN)
        told = f"{topic}[{partition}] offset {offset}, key {self.model}: {self.fields['reason']}"
        return f"{words.moment(self.rejected_ms):21} {one_line(told)}"


def read_event(topic: OutputTopic, record: Record) -> Told:
    """Return what a record of the topic holds: a CloudEvent in binary mode, or a dead letter.

    Raises
    ------
    NoEventError
        If it is another type of event, none, or its body does not fit.
    """
    headers = {name: value.decode(errors="replace") for name, value in record.headers if value}
    if topic == "rejected":
        return _dead_letter(record, headers)
    type, body = KINDS[topic]
    came = headers.get(ATTRIBUTE + "type")
    if came != type:
        raise NoEventError(f"expected an event of type {type}, got {came or 'none'}")
    value = record.value or b""
    try:
        decoded = msgspec.json.decode(value, type=body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoEventError(str(error)) from error
    attributes = {
        name.removeprefix(ATTRIBUTE): text
        for name, text in headers.items()
        if name.startswith(ATTRIBUTE)
    }
    if "content-type" in headers:
        attributes["datacontenttype"] = headers["content-type"]
    return Event(attributes, decoded, value)


def _dead_letter(record: Record, headers: dict[str, str]) -> DeadLetter:
    names = {name: name for name in ORIGIN}
    names |= {"error": "exception.class.name", "reason": "exception.message"}
    if missing := [n for n in names.values() if rejected.PREFIX + n not in headers]:
        raise NoEventError(f"expected a header {rejected.PREFIX}{missing[0]}, got none")
    fields = {name: headers[rejected.PREFIX + header] for name, header in names.items()}
    return DeadLetter((record.key or b"").decode(errors="replace"), record.timestamp, fields)


def _window(report: WindowReport) -> str:
    """Return a window in words; its end stands before it."""
    name = f"{report.model}@{report.version}" if report.version else report.model
    rows = "labelled rows" if report.source == "outcomes" else "rows"
    parts = [f"{report.rows:,} {rows} since {words.moment(report.first_ts_ms)}"]
    parts += [f"{report.late:,} of them late"] if report.late else []
    for state in ("firing", "pending"):
        found = [_series(name) for name, one in report.series.items() if one.state == state]
        parts += [f"{state}: {', '.join(found)}"] if found else []
    known = {name: value for name, value in report.metrics.items() if value is not None}
    parts += [", ".join(f"{name} {words.number(value)}" for name, value in known.items())]
    head = f"{name} {report.source} window {report.window} ({report.state})"
    return f"{head}: {'; '.join(filter(None, parts))}"


def _series(name: str) -> str:
    """Return a series in words; its name, if it is one of another version.

    >>> [_series(name) for name in ("rank(age)", "missing(age)", "error", "brand_new(age)")]
    ['age', 'share of rows without age', 'label - score', 'brand_new(age)']
    """
    from tidegauge.streams.monitor.series.registry import parse

    found = parse(name)
    return name if found is None else found[0].subject(found[1])


def one_line(text: str) -> str:
    r"""Return text that a terminal only shows: names in it come from whoever sent the rows.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
