"""Every event fits into a record of its topic, whatever came in.

By construction all are far smaller: names and examples are cut, series listed up to a number; pairs
are split among journal entries, and dead letters name what they cannot copy. This is the last line
of defence, so that a gap in that reasoning costs a detail and never the worker.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tidegauge.schemas.topics import OUTPUT_BYTES
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.words import cut

MAX_BYTES = OUTPUT_BYTES - 65_536  # the rest is for what a batch of records adds
EMPTIED = ("series", "columns", "context", "metrics", "intervals", "reliability", "adwin")
CUT = ("title", "advice", "reason", "model", "version")


def bounded(outputs: Iterable[Output]) -> Iterator[Output]:
    """Yield outputs as they are, or a short one that says so in place of one that does not fit."""
    for output in outputs:
        is_event = output.topic in ("alerts", "windows", "retraining")
        yield _shortened(output) if is_event and size(output) > MAX_BYTES else output


def size(output: Output) -> int:
    """Return an output's bytes: key, value and headers."""
    headers = sum(len(name.encode()) + len(value or b"") for name, value in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers


def _shortened(output: Output) -> Output:
    body: dict[str, Any] = msgspec.json.decode(output.value or b"{}")
    for name in EMPTIED:
        if name in body:
            body[name] = type(body[name])()
    body |= {name: cut(body[name]) for name in CUT if name in body} | {"shortened": True}
    value, said = msgspec.json.encode(body), output.message
    message = None if said is None else msgspec.json.decode(value, type=type(said))
    return dataclasses.replace(output, key=(output.key or b"")[:1024], value=value, message=message)
