"""A table as a model's traffic: rows in order of time, each label when it is due."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tidegauge.schemas.events import MAX_FEATURES, Label, LabelFrame
from tidegauge.schemas.monitors import MonitorSpec, milliseconds
from tidegauge.schemas.references import Period
from tidegauge.streams.cli.bad_rows import settle
from tidegauge.streams.cli.files import read_table
from tidegauge.streams.cli.options import Columns, note
from tidegauge.streams.cli.rows import read_rows
from tidegauge.streams.monitor.intake.columns import SCORE, decoders, infer
from tidegauge.streams.monitor.intake.rejections import FAULTS
from tidegauge.streams.runtime.errors import ConfigurationError

PART_ROWS = 1000  # turned from Arrow into Python at once
MESSAGE_BYTES = 1_000_000  # a topic takes somewhat more, key and headers included
Topic = Literal["predictions", "features", "labels"]
Part = dict[str, list[Any]]
Dumps = Callable[[dict[str, Any]], bytes]
# A label: when it is known, its row, its id, and what it says. They sort by that.
DueLabel = tuple[int, int, str, float | int | bool | str]
LABEL = msgspec.json.Decoder(Label).decode
LABEL_FRAME = msgspec.json.Decoder(LabelFrame).decode


class Message(NamedTuple):
    """One message to send, with this many rows or labels."""

    topic: Topic
    value: bytes
    rows: int


class Traffic:
    """Rows of a table in order of time, checked with the decoders of a worker.

    Parameters
    ----------
    table
        The rows, at least one.
    columns
        What each column is. Without one of predictions, the rows go to the topic ``features``.
    model, version
        Whose rows these are.
    now_ms
        When the first row is sent, UTC milliseconds. Rows without times are dated up to then.
    rate
        Rows a second that are sent; 0: all at once.

    Raises
    ------
    ConfigurationError
        If a column is not there, or is of a type that will not do.
    """

    def __init__(
        self,
        table: pa.Table,
        columns: Columns,
        model: str,
        version: str = "",
        *,
        now_ms: float,
        rate: float = 0.0,
    ) -> None:
        if columns.label and not columns.prediction:
            raise ConfigurationError("a label column needs a prediction column beside it")
        rows = read_rows(table, columns, now_ms, rate)
        self.topic: Topic = "predictions" if columns.prediction else "features"
        self.left_out, self.bad, self.bad_labels = rows.left_out, rows.bad, rows.bad_labels
        self._head = {"model": model, "version": version}
        self._dumps: Dumps = orjson.dumps
        self._own, self._features = rows.own, rows.features
        if len(self._features.column_names) > MAX_FEATURES:
            raise ConfigurationError(f"expected at most {MAX_FEATURES} features: use --features")
        self._drop_bad()
        self._check()
        self._drop_bad()
        order = np.argsort(self._own["ts_ms"], kind="stable")
        if (np.diff(order) < 0).any():
            self._take(order)

    @property
    def rows(self) -> int:
        """How many rows there are to send."""
        return self._own.num_rows

    def messages(
        self, frame_rows: int | None = None, dumps: Dumps = orjson.dumps
    ) -> Iterator[Message]:
        """Yield messages of one row each, or of up to ``frame_rows`` as columns, by ``dumps``.

        A label comes when it is due, and never before its row.
        """
        self._dumps = dumps
        pending: list[DueLabel] = []
        for own, features in self._parts(frame_rows or PART_ROWS):
            first = 0
            build = self._frames if frame_rows else self._singles
            for message in build(own, features):
                stop = first + message.rows
                yield from self._due(pending, own["ts_ms"][stop - 1], frame_rows)
                yield message
                for label in _labels(own, first, stop):
                    heappush(pending, label)
                first = stop
        yield from self._due(pending, None, frame_rows)

    def exclude(self, periods: Sequence[Period]) -> int:
        """Leave out the rows of some periods, with their labels; return how many."""
        ts_ms = self._own["ts_ms"].to_numpy()
        inside = np.zeros(len(ts_ms), np.bool_)
        for first_ms, last_ms in periods:
            inside |= (ts_ms >= first_ms) & (ts_ms <= last_ms)
        if inside.any():
            self._take(np.flatnonzero(~inside))
        return int(inside.sum())

    @property
    def empty(self) -> list[str]:
        """Which features have no value."""
        names = self._features.column_names
        return [name for name in names if self._features[name].null_count == self.rows]

    @property
    def distinct_ids(self) -> int:
        """How many ids these rows have."""
        return int(pc.count_distinct(self._own["id"]).as_py())

    def labels_beyond(self, horizon_ms: int) -> int:
        """Return how many labels lie further from their rows than a worker waits."""
        apart = self._own["due_ms"].to_numpy() - self._own["ts_ms"].to_numpy()
        return int((np.abs(apart) > horizon_ms).sum())  # NaN where there is no label

    def _parts(self, rows: int) -> Iterator[tuple[Part, pa.Table]]:
        """Yield so many rows at a time, their features apart."""
        for start in range(0, self.rows, rows):
            part = slice(start, start + rows)
            yield self._own[part].to_pydict(), self._features[part]

    def _singles(self, own: Part, features: pa.Table) -> Iterator[Message]:
        for place, values in enumerate(features.to_pylist()):
            body = {**self._head, "id": own["id"][place], "ts_ms": own["ts_ms"][place]}
            body["features"] = values
            if self.topic == "predictions":
                body["prediction"] = own["prediction"][place]
            yield Message(self.topic, orjson.dumps(body), 1)

    def _frames(self, own: Part, features: pa.Table) -> Iterator[Message]:
        body: dict[str, Any] = {**self._head, "ids": own["id"], "ts_ms": own["ts_ms"]}
        body["features"] = features.to_pydict()
        if self.topic == "predictions":
            body["predictions"] = own["prediction"]
        yield from _fitting(self.topic, body, len(own["id"]), self._dumps)

    def _due(
        self, pending: list[DueLabel], now_ms: int | None, frame_rows: int | None
    ) -> Iterator[Message]:
        """Take out of ``pending`` what is due up to ``now_ms``, or all; yield it."""
        due: list[DueLabel] = []
        while pending and (now_ms is None or pending[0][0] <= now_ms):
            due.append(heappop(pending))
        for start in range(0, len(due), frame_rows or 1):
            chosen = due[start : start + (frame_rows or 1)]
            yield from self._label_frames(chosen) if frame_rows else [self._label(chosen[0])]

    def _label(self, due: DueLabel) -> Message:
        due_ms, _, id, label = due
        body = {**self._head, "id": id, "ts_ms": due_ms, "label": label}
        return Message("labels", orjson.dumps(body), 1)

    def _label_frames(self, due: Sequence[DueLabel]) -> Iterator[Message]:
        times, _, ids, labels = map(list, zip(*due, strict=True))
        body = {**self._head, "ids": ids, "ts_ms": times, "labels": labels}
        yield from _fitting("labels", body, len(ids), self._dumps)

    def _drop_bad(self) -> None:
        """Leave out the rows and the labels that cannot be used."""
        rows = self._own["row"].to_numpy()
        if self.bad_labels.mask.any():
            known = pa.array(~self.bad_labels.mask[rows])
            due_ms = pc.if_else(known, self._own["due_ms"], pa.scalar(None, pa.int64()))
            place = self._own.column_names.index("due_ms")
            self._own = self._own.set_column(place, "due_ms", due_ms)
        if self.bad.mask[rows].any():
            self._take(np.flatnonzero(~self.bad.mask[rows]))

    def _take(self, places: NDArray[np.intp]) -> None:
        """Keep the rows at these places, in this order."""
        self._own = self._own.take(places)
        some = self._features.num_columns  # Arrow forgets the count of rows without a column
        self._features = self._features.take(places) if some else self._features[: len(places)]

    def _check(self) -> None:
        """Read all with the decoders of a worker; leave out what it would reject."""
        kinds = zip(self._features.column_names, self._features.schema.types, strict=True)
        shown = {n: "" if str(k).endswith("string") else 0.0 for n, k in kinds if str(k) != "null"}
        if str(self._own.schema.field("prediction").type).endswith("string"):
            shown[SCORE] = ""
        read = decoders(self.topic, infer([shown], {}))
        rejected: dict[int, str] = {}
        rejected_labels: dict[int, str] = {}
        for own, features in self._parts(PART_ROWS):
            if any(_refusal(read.frame, frame) for frame in self._frames(own, features)):
                rejected |= _refusals(read.row, own["row"], self._singles(own, features))
            labels = _labels(own, 0, len(own["row"]))
            labels = [label for label in labels if label[1] not in rejected]
            if labels and any(_refusal(LABEL_FRAME, frame) for frame in self._label_frames(labels)):
                rows = [row for _, row, _, _ in labels]
                rejected_labels |= _refusals(LABEL, rows, map(self._label, labels))
        self.bad.add_rejected(rejected)
        self.bad_labels.add_rejected(rejected_labels)


def _labels(own: Part, start: int, stop: int) -> list[DueLabel]:
    """Return the labels of some rows of a part."""
    columns = (own[name][start:stop] for name in ("due_ms", "row", "id", "label"))
    return [label for label in zip(*columns, strict=True) if label[0] is not None]


def read_traffic(
    file: Path,
    columns: Columns,
    spec: MonitorSpec,
    version: str,
    skip_bad: bool,
    rate: float = 0.0,
) -> Traffic:
    """Return a file's rows as traffic from now on, and tell on standard error what is left out.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or has rows or labels that a worker would reject and
        ``skip_bad`` is not set.
    """
    table = read_table(file, columns)
    now_ms = 1000 * time.time()
    traffic = Traffic(table, columns, spec.model, version, now_ms=now_ms, rate=rate)
    if traffic.left_out:
        note(f"left out, neither numbers nor text: {', '.join(traffic.left_out)}")
    if absent := sorted(columns.types.keys() - set(table.column_names)):
        note(f"declared in --monitors, and not in the file: {', '.join(absent)}")
    settle(traffic.bad, traffic.bad_labels, skip_bad)
    if beyond := traffic.labels_beyond(milliseconds(spec.labels.horizon)):
        note(
            f"{beyond:,} labels lie more than {spec.labels.horizon} from their rows: they are not "
            "paired, unless the model's spec has a longer labels.horizon"
        )
    if repeated := traffic.rows - traffic.distinct_ids:
        note(f"{repeated:,} rows repeat an id: a label is paired with one row of its id")
    return traffic


def _fitting(topic: Topic, body: dict[str, Any], rows: int, dumps: Dumps) -> Iterator[Message]:
    """Yield a frame, or its halves where it is larger than a topic takes."""
    value = dumps(body)
    if len(value) <= MESSAGE_BYTES or rows == 1:
        yield Message(topic, value, rows)
        return
    for half in (slice(rows // 2), slice(rows // 2, rows)):
        part = {name: _cut(values, half) for name, values in body.items()}
        yield from _fitting(topic, part, half.stop - (half.start or 0), dumps)


def _cut(values: Any, part: slice) -> Any:
    if isinstance(values, dict):
        return {name: column[part] for name, column in values.items()}
    return values[part] if isinstance(values, list) else values


def _refusals(
    decode: Callable[[bytes], Any], rows: Sequence[int], messages: Iterable[Message]
) -> dict[int, str]:
    """Return what a worker has against single messages, by row of the file."""
    told = ((row, _refusal(decode, message)) for row, message in zip(rows, messages, strict=True))
    return {row: refusal for row, refusal in told if refusal}


def _refusal(decode: Callable[[bytes], Any], message: Message) -> str:
    """Return what a worker, or Kafka, has against a message; empty if nothing."""
    if len(message.value) > MESSAGE_BYTES:
        return f"expected at most {MESSAGE_BYTES:,} bytes"
    try:
        decode(message.value)
    except FAULTS as fault:
        return str(fault)
    return ""
