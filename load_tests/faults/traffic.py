"""What a model server and a label service send, as arrays: what faults change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
import orjson
from numpy.typing import NDArray

MODEL: Final = "flights"
VERSION: Final = "1"

PARTS: Final = 4  # frames a window

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Column = NDArray[Any]  # float64 with NaN for missing; else object, with None


class Span(NamedTuple):
    """Windows ``first`` to ``last``, the last one not among them."""

    first: float
    last: float

    def windows(self) -> range:
        """Return the windows in it."""
        return range(int(self.first), int(self.last))

    def holds(self, places: Floats) -> Mask:
        """Return which of ``places`` lie in it."""
        return (self.first <= places) & (places < self.last)


@dataclass(frozen=True, eq=False)
class Rows:
    """Predictions, in the order in which they are sent; all arrays one a row.

    Parameters
    ----------
    place
        When it is sent, whatever ``ts_ms`` says: 3.5 is in the middle of window 3 of the traffic
        without a fault.
    scores
        What the model says.
    older
        What an older model would have said; not sent.
    """

    ids: Column
    ts_ms: Ints
    place: Floats
    features: Mapping[str, Column]
    scores: Floats
    older: Floats

    def take(self, rows: Mask | NDArray[np.intp]) -> Self:
        """Return the rows of a mask, or of row numbers in their order."""
        return type(self)(
            ids=self.ids[rows],
            ts_ms=self.ts_ms[rows],
            place=self.place[rows],
            features={name: column[rows] for name, column in self.features.items()},
            scores=self.scores[rows],
            older=self.older[rows],
        )

    def with_feature(self, name: str, column: Column) -> Self:
        """Return the same rows with one feature replaced, or a further one."""
        return replace(self, features={**self.features, name: column})


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels, in the order in which they are sent; all arrays one a label, ``place`` as of rows."""

    ids: Column
    ts_ms: Ints
    place: Floats
    values: Column

    def take(self, labels: Mask | NDArray[np.intp]) -> Self:
        """Return the labels of a mask, or of numbers in their order."""
        return type(self)(
            self.ids[labels], self.ts_ms[labels], self.place[labels], self.values[labels]
        )


class Clock(NamedTuple):
    """When rows were sent that nothing is wrong with."""

    ts_ms: Ints
    place: Floats

    def place_at(self, ms: Ints | Floats) -> Floats:
        """Return the place of each time."""
        return np.interp(ms, self.ts_ms, self.place)

    def ms_at(self, place: Floats) -> Ints:
        """Return the time of each place."""
        return np.rint(np.interp(place, self.place, self.ts_ms)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Traffic:
    """All that is sent."""

    rows: Rows
    labels: Labels
    clock: Clock


class Message(NamedTuple):
    """A frame, and when it is sent: the record's own time, whatever its rows say."""

    place: float
    sent_ms: int
    topic: Literal["predictions", "labels"]
    value: bytes


def messages(traffic: Traffic, since: float = 0.0, until: float = np.inf) -> Iterator[Message]:
    """Yield a frame of predictions and one of labels for each part of a window that has any."""
    span = Span(since, until)
    rows, labels = _by_part(traffic.rows.place, span), _by_part(traffic.labels.place, span)
    for part in sorted(rows.keys() | labels.keys()):
        place = (part + 1) / PARTS
        sent_ms = int(traffic.clock.ms_at(np.array([place]))[0])
        if part in rows:
            value = _predictions(traffic.rows.take(rows[part]))
            yield Message(place, sent_ms, "predictions", value)
        if part in labels:
            yield Message(place, sent_ms, "labels", _labels(traffic.labels.take(labels[part])))


def _by_part(place: Floats, span: Span) -> dict[int, NDArray[np.intp]]:
    inside = np.flatnonzero(span.holds(place))
    inside = inside[np.argsort(place[inside], kind="stable")]
    parts, begins = np.unique((place[inside] * PARTS).astype(np.int64), return_index=True)
    return dict(zip(parts.tolist(), np.split(inside, begins[1:]), strict=True))


def _predictions(rows: Rows) -> bytes:
    # A column without any value is left out, as by a server that does not know the feature.
    features = {name: c for name, c in rows.features.items() if not missing(c).all()}
    return _frame(rows.ids, rows.ts_ms, features=features, predictions=rows.scores)


def _labels(labels: Labels) -> bytes:
    return _frame(labels.ids, labels.ts_ms, labels=labels.values)


def _frame(ids: Column, ts_ms: Ints, **columns: object) -> bytes:
    frame = {"model": MODEL, "version": VERSION, "ids": ids, "ts_ms": ts_ms, **columns}
    # NaN is written as null.
    return orjson.dumps(frame, default=np.ndarray.tolist, option=orjson.OPT_SERIALIZE_NUMPY)


def missing(column: Column) -> Mask:
    """Return which rows have no value."""
    if column.dtype == np.object_:
        return np.array([value is None for value in column.tolist()], dtype=np.bool_)
    return np.isnan(column)
