"""What producers send, as it can be read before a model's columns are known."""

import re
from collections.abc import Sequence
from types import NoneType
from typing import Any

import msgspec

from tidegauge.schemas.events import (
    MAX_FEATURES,
    MAX_ROWS,
    Features,
    Name,
    Prediction,
    Version,
)
from tidegauge.streams.monitor.intake.arrow_frames import BEGIN, whose
from tidegauge.streams.monitor.intake.columns import SCORE, RowSource
from tidegauge.streams.monitor.intake.rejections import FAULTS, Rejection
from tidegauge.streams.monitor.records import Record

Key = tuple[str, str]  # model, version
NOBODY: Key = ("", "")  # of records that do not say whose they are


INTAKE_ROWS = 100  # first rows, from which types are inferred
INTAKE_BYTES = 262_144
AHEAD_MS = 86_400_000  # an event time this far after its record's own time is a clock gone wrong


class Head(msgspec.Struct, frozen=True):
    """What every row and frame says of itself."""

    model: Name
    version: Version = ""


class Shape(msgspec.Struct, frozen=True):
    """What tells a frame from a row. Of no other field even the name is read."""

    ids: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Kept(msgspec.Struct, frozen=True):
    """A record held until its model's types are known."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Intake(msgspec.Struct):
    """The first records of a model version; after ``INTAKE_ROWS`` rows they show its types."""

    records: list[Kept] = []
    rows: int = 0
    size: int = 0

    @property
    def full(self) -> bool:
        """Whether there are enough rows to tell types from."""
        return self.rows >= INTAKE_ROWS or self.size >= INTAKE_BYTES


HEAD = msgspec.json.Decoder(Head)
_MODEL = re.compile(rb'"model"\s*:\s*"([ !#-\[\]-~]{1,200})"').search  # plain ASCII, no escapes
_VERSION = re.compile(rb'"version"\s*:\s*"([ !#-\[\]-~]{0,100})"').search
_SHAPE = msgspec.json.Decoder(Shape)
_ROW: dict[str, msgspec.json.Decoder[Any]] = {
    "predictions": msgspec.json.Decoder(Prediction),
    "features": msgspec.json.Decoder(Features),
}


class LooseFrame(msgspec.Struct):
    """A frame of predictions, or of features, whose rows are still to be judged one by one."""

    ids: list[Any]
    ts_ms: list[Any]
    predictions: list[Any] | None = None
    features: dict[str, list[Any]] = {}


class LooseFeatureFrame(LooseFrame, kw_only=True):
    """A frame of features."""

    features: dict[str, list[Any]]  # without them it is a message of another kind


LOOSE: dict[str, msgspec.json.Decoder[Any]] = {
    "predictions": msgspec.json.Decoder(LooseFrame),
    "features": msgspec.json.Decoder(LooseFeatureFrame),
}


def has_ids(value: bytes) -> bool:
    """Return whether what is no row is meant as a frame."""
    return _SHAPE.decode(value).ids is not msgspec.UNSET


def check_lengths(rows: int, columns: dict[str, Sequence[Any] | None]) -> None:
    """Raise ValueError unless every column of a frame has ``rows`` values, 1 to ``MAX_ROWS``."""
    if not 0 < rows <= MAX_ROWS:
        raise ValueError(f"expected 1 to {MAX_ROWS} rows, got {rows} - at `$.ids`")
    for name, values in columns.items():
        if values is not None and len(values) != rows:
            raise ValueError(f"expected {rows} values as in ids, got {len(values)} - at `$.{name}`")


def generic(source: RowSource, record: Record | Kept) -> list[dict[str, Any]]:
    """Return the features of each row of a record whose columns are not known, and the score."""
    value = record.value or b""
    try:
        row = _ROW[source].decode(value)
    except FAULTS:
        if not has_ids(value):
            raise
    else:
        if len(row.features) > MAX_FEATURES:
            raise ValueError(f"expected at most {MAX_FEATURES} features - at `$.features`")
        check_ahead(row.ts_ms, record.timestamp)
        return [_shown(row.features, getattr(row, "prediction", None))]
    frame = LOOSE[source].decode(value)
    if len(frame.features) > MAX_FEATURES:
        raise ValueError(f"expected at most {MAX_FEATURES} features - at `$.features`")
    columns = {f"features.{name}": values for name, values in frame.features.items()}
    check_lengths(len(frame.ids), columns | {"ts_ms": frame.ts_ms})
    plain = (float, int, bool, str, NoneType)
    predicted = frame.predictions or [None] * len(frame.ids)
    return [
        _shown({k: v[i] for k, v in frame.features.items() if isinstance(v[i], plain)}, one)
        for i, one in enumerate(predicted[: min(len(frame.ids), INTAKE_ROWS)])
    ]


def _shown(features: dict[str, Any], predicted: Any) -> dict[str, Any]:
    """Return what a row shows; no feature is called as what was predicted is."""
    return features if predicted is None else features | {SCORE: predicted}


def named(value: bytes) -> Key:
    """Return the model version that a value names, even where it is no JSON that can be read.

    >>> named(b'{"model": "fraud", "version": "3", "features": {"amount": NaN}}')
    ('fraud', '3')
    """
    try:
        if value[:4] == BEGIN:
            return whose(value)
        head = HEAD.decode(value)
        return head.model, head.version
    except FAULTS:
        model, version = (search(value) for search in (_MODEL, _VERSION))
        return (model[1].decode(), version[1].decode() if version else "") if model else NOBODY


def check_ahead(ts_ms: int, record_ms: int) -> None:
    """Raise ValueError for an event time that only a wrong clock can have given."""
    if ts_ms > record_ms + AHEAD_MS and record_ms >= 0:  # -1: the record has no time of its own
        raise ValueError(
            "expected an event time at most a day after the record's own timestamp "
            f"{record_ms}, got {ts_ms} - at `$.ts_ms`"
        )


def bad_rows(key: Key, record: Record, frame: LooseFrame, bad: list[int], reason: str) -> Rejection:
    """Return the rejection of some rows of a frame, as a frame of their own."""
    kept: dict[str, Any] = {"model": key[0], "version": key[1]}
    kept |= {"ids": [frame.ids[i] for i in bad], "ts_ms": [frame.ts_ms[i] for i in bad]}
    if frame.predictions is not None:
        kept["predictions"] = [frame.predictions[i] for i in bad]
    kept["features"] = {k: [v[i] for i in bad] for k, v in frame.features.items()}
    value = msgspec.json.encode(kept)
    where = f" in row {bad[0]} of the frame"
    return Rejection(record, reason, rows=len(bad), of=key, where=where, value=value)
