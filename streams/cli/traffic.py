"""A table as a model's traffic: rows in order of time, each label when it is due."""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import orjson
import pyarrow as pa

from schemas.events import (
    FeatureFrame,
    Features,
    Label,
    LabelFrame,
    Prediction,
    PredictionFrame,
)
from streams.cli import columns as read
from streams.cli.options import Columns
from streams.runtime.errors import ConfigurationError

PART_ROWS = 1000  # turned from Arrow into Python at once
Topic = Literal["predictions", "features", "labels"]
ROWS = {"predictions": Prediction, "features": Features, "labels": Label}
FRAMES = {"predictions": PredictionFrame, "features": FeatureFrame, "labels": LabelFrame}


class Message(NamedTuple):
    """One message to send, with this many rows or labels."""

    topic: Topic
    value: bytes
    rows: int


class DueLabel(NamedTuple):
    """A label, and when it is known; they sort by that, then by row."""

    due_ms: int
    row: int
    id: str
    label: float | int | bool


class Traffic:
    """Rows of a table in order of time.

    Parameters
    ----------
    table
        The rows, at least one.
    columns
        What each column is. Without one of predictions, the rows go to the topic ``features``.
    model, version
        Whose rows these are.
    last_ms, step_ms
        Where there is no column of times: the time of the last row, and from row to row.

    Raises
    ------
    ConfigurationError
        If a column is not there, or holds what it must not.
    """

    def __init__(
        self,
        table: pa.Table,
        columns: Columns,
        model: str,
        version: str = "",
        last_ms: float = 0.0,
        step_ms: float = 1000.0,
    ) -> None:
        if columns.label and not columns.prediction:
            raise ConfigurationError("a label column needs a prediction column beside it")
        if columns.time is None:
            back = np.arange(table.num_rows - 1, -1, -1)
            ts_ms = np.floor(last_ms - back * step_ms)
        else:
            ts_ms = read.times(table, columns.time)
            if gaps := int(np.isnan(ts_ms).sum()):
                raise ConfigurationError(f"column {columns.time!r}: got {gaps} rows without a time")
            order = np.argsort(ts_ms, kind="stable")
            table, ts_ms = table.take(order), ts_ms[order]
        self.rows = table.num_rows
        self.ts_ms = ts_ms.astype(np.int64)
        self.features, self.left_out = read.features(table, columns)
        self._head = {"model": model, "version": version}
        self._ids = read.ids(table, columns.id, int(self.ts_ms[0]))
        self._predictions = columns.prediction and read.predictions(table, columns.prediction)
        self._labels, self._due_ms = read.labels(table, columns, self.ts_ms)

    @property
    def topic(self) -> Topic:
        """Where the rows go."""
        return "features" if self._predictions is None else "predictions"

    def messages(self, frame_rows: int | None = None) -> Iterator[Message]:
        """Yield messages of one row each, or of up to ``frame_rows`` as columns.

        A label comes when it is due, and never before its row.
        """
        pending: list[DueLabel] = []
        part_rows = frame_rows or PART_ROWS
        for start in range(0, self.rows, part_rows):
            stop = min(start + part_rows, self.rows)
            ids = self._ids[start:stop].to_pylist()
            first = start
            for message in (self._frame if frame_rows else self._single)(start, stop, ids):
                end = first + message.rows
                yield from self._labels_due(pending, int(self.ts_ms[end - 1]), frame_rows)
                yield message
                for row in range(first, end):
                    if not np.isnan(self._due_ms[row]):
                        due_ms, id = int(self._due_ms[row]), ids[row - start]
                        heappush(pending, DueLabel(due_ms, row, id, self._labels[row]))
                first = end
        yield from self._labels_due(pending, None, frame_rows)

    def _single(self, start: int, stop: int, ids: list[str]) -> Iterator[Message]:
        features = self.features[start:stop].to_pylist()
        for row, id, values in zip(range(start, stop), ids, features, strict=True):
            body = {**self._head, "id": id, "ts_ms": int(self.ts_ms[row]), "features": values}
            if self._predictions is not None:
                body["prediction"] = self._predictions[row]
            yield Message(self.topic, orjson.dumps(body), 1)

    def _frame(self, start: int, stop: int, ids: list[str]) -> Iterator[Message]:
        features = self.features[start:stop].to_pydict()
        times = self.ts_ms[start:stop].tolist()
        body = {**self._head, "ids": ids, "ts_ms": times, "features": features}
        if self._predictions is not None:
            body["predictions"] = self._predictions[start:stop]
        yield Message(self.topic, orjson.dumps(body), stop - start)

    def _labels_due(
        self, pending: list[DueLabel], now_ms: int | None, frame_rows: int | None
    ) -> Iterator[Message]:
        """Take out of ``pending`` what is due up to ``now_ms``, or all; yield it."""
        due: list[DueLabel] = []
        while pending and (now_ms is None or pending[0].due_ms <= now_ms):
            due.append(heappop(pending))
        for start in range(0, len(due), frame_rows or 1):
            chosen = due[start : start + (frame_rows or 1)]
            body = self._label_frame(chosen) if frame_rows else self._label(chosen[0])
            yield Message("labels", orjson.dumps(body), len(chosen))

    def _label(self, due: DueLabel) -> dict[str, Any]:
        return {**self._head, "id": due.id, "ts_ms": due.due_ms, "label": due.label}

    def _label_frame(self, due: Sequence[DueLabel]) -> dict[str, Any]:
        times, _, ids, labels = zip(*due, strict=True)
        return {**self._head, "ids": ids, "ts_ms": times, "labels": labels}


def check(message: Message, as_frame: bool) -> None:
    """Raise ConfigurationError if a worker would reject this message."""
    kind: Any = (FRAMES if as_frame else ROWS)[message.topic]
    try:
        msgspec.json.decode(message.value, type=kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"a worker would reject these {message.topic}: {error}") from error
