"""Alerts and retraining events as read from their topics: a sentence for people, JSON for pipes."""

from typing import Any, Literal

import msgspec
import orjson
import typer

from schemas.alerts import ALERT_TYPE, Alert
from schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from streams.monitor import wording
from streams.monitor.records import Record

KINDS: dict[str, tuple[str, Any]] = {
    "alerts": (ALERT_TYPE, Alert),
    "retraining": (RETRAIN_TYPE, RetrainingRequest),
}
COLOURS = {"warning": "yellow", "critical": "red", "resolved": "green"}
ATTRIBUTE = "ce_"


class NoEventError(ValueError):
    """A record is not what its topic is for."""


class Event(msgspec.Struct, frozen=True):
    """A CloudEvent: its attributes, its body, and the body's bytes as they came."""

    attributes: dict[str, str]
    body: Alert | RetrainingRequest
    value: bytes

    def json(self) -> str:
        """Return it in one line, in CloudEvents' structured mode."""
        data = orjson.loads(self.value)  # not the body: a newer worker may say more
        return orjson.dumps({**self.attributes, "data": data}).decode()

    def text(self) -> str:
        """Return it in one line, as a sentence for people."""
        body = self.body
        if isinstance(body, RetrainingRequest):
            span = f"{wording.moment(body.train_from_ms)} to {wording.moment(body.train_to_ms)}"
            told = f"retrain {body.model} on rows from {span}, as {body.reason}"
            return f"{wording.moment(body.requested_ms):21} {one_line(told)}"
        colour = COLOURS["resolved" if body.status == "resolved" else body.severity]
        state = typer.style(f"{body.severity:8} {body.status:8}", fg=colour)
        return f"{wording.moment(body.told_ms):21} {state} {one_line(wording.sentence(body))}"


def read_event(topic: Literal["alerts", "retraining"], record: Record) -> Event:
    """Return the CloudEvent that a record of the topic holds, in binary mode.

    Raises
    ------
    NoEventError
        If it is another type of event, none, or its body does not fit.
    """
    type, body = KINDS[topic]
    headers = {name: value.decode(errors="replace") for name, value in record.headers if value}
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


def one_line(text: str) -> str:
    r"""Return text that a terminal only shows: names in it come from whoever sent the rows.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
