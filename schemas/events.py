"""What producers send: predictions, features and labels, as single rows or as columnar frames.

A row is one JSON object; a frame is many rows of one model as columns, told apart by ``ids``.
Fields that are not named here are kept out, not an error.
"""

from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Version = Annotated[str, msgspec.Meta(max_length=100)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
LATEST_MS = 253_402_300_799_999  # the year 9999 ends
Millis = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]  # UTC epoch
Count = Annotated[int, msgspec.Meta(ge=0, le=9_223_372_036_854_775_807)]  # a 64-bit integer
# Finite, and so are the squares of as many as there may be. Nothing that is measured is larger.
Finite = Annotated[float, msgspec.Meta(ge=-1e100, le=1e100)]
Number = Finite | bool
Class = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]  # of a classification
# A probability in float32 may lie outside 0 to 1 by what rounding does.
Probability = Annotated[float, msgspec.Meta(ge=-1e-6, le=1 + 1e-6)]
Value = Finite | bool | str | None

MAX_CLASSES = 1000  # of one model
Probabilities = Annotated[
    dict[Class, Probability], msgspec.Meta(min_length=1, max_length=MAX_CLASSES)
]
Predicted = Number | Class | Probabilities  # of all rows of a model version one kind

MAX_FEATURES = 2000  # in one message; hostile input is stopped here
MAX_ROWS = 100_000  # in one frame


def within_calendar(timestamp: int) -> int:
    """Return a record's own time; producers may set it to what no calendar has.

    >>> within_calendar(-1), within_calendar(1 << 60) == LATEST_MS
    (0, True)
    """
    return min(max(timestamp, 0), LATEST_MS)


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One scored request. Topic ``predictions``, key: model.

    >>> row = b'{"model": "fraud", "id": "req-1", "ts_ms": 0, "prediction": 0.93}'
    >>> msgspec.json.decode(row, type=Prediction).prediction
    0.93
    """

    model: Name
    version: Version = ""
    id: Id  # what its label will name
    ts_ms: Millis  # event time
    prediction: Predicted
    features: dict[str, Value] = {}


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """Features published apart from the prediction. Topic ``features``, key: model."""

    model: Name
    version: Version = ""
    id: Id
    ts_ms: Millis
    features: dict[str, Value]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What turned out to be true for the prediction ``id``. Topic ``labels``, key: model."""

    model: Name
    version: Version = ""  # not used: the label belongs to the prediction with its id
    id: Id
    ts_ms: Millis  # when the label became known
    label: Number | Class


class PredictionFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Many predictions of one model as columns of equal length."""

    model: Name
    version: Version = ""
    ids: list[Id]
    ts_ms: list[Millis]
    predictions: list[Predicted]
    features: dict[str, list[Value]] = {}


class FeatureFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Many rows of features of one model as columns of equal length."""

    model: Name
    version: Version = ""
    ids: list[Id]
    ts_ms: list[Millis]
    features: dict[str, list[Value]]


class LabelFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Many labels of one model as columns of equal length."""

    model: Name
    version: Version = ""
    ids: list[Id]
    ts_ms: list[Millis]
    labels: list[Number | Class]
