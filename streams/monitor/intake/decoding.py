"""Bytes of one fetched batch into blocks by model version; what cannot be read is rejected.

A hot loop reads single rows with the typed decoder of the model last seen; everything else (a
frame, another model, a fault) takes the careful path, which also finds the reason.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.monitor.intake.awaited import (
    LOOK_EVERY,
    NULL,
    Kind,
    Shown,
    names_in,
    values_in,
)
from tidegauge.streams.monitor.intake.block import Block, from_frame, from_rows
from tidegauge.streams.monitor.intake.columns import (
    MAX_WATCHED,
    Columns,
    Decoders,
    RowSource,
    decoders,
    eligible,
    infer,
)
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.intake.rejections import FAULTS, Rejection, present, rejection
from tidegauge.streams.monitor.records import Record

Key = tuple[str, str]  # model, version
NOBODY: Key = ("", "")  # of records that do not say whose they are

INTAKE_ROWS = 100  # first rows, from which types are inferred
INTAKE_BYTES = 262_144
FRAME_HINT = 256  # a shorter value is tried as a row first
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


class _LooseFrame(msgspec.Struct):
    ids: list[Any]
    ts_ms: list[Any]
    predictions: list[Any] | None = None
    features: dict[str, list[Any]] = {}


class _LooseFeatureFrame(_LooseFrame, kw_only=True):
    features: dict[str, list[Any]]  # without them it is a message of another kind


_LOOSE: dict[str, msgspec.json.Decoder[Any]] = {
    "predictions": msgspec.json.Decoder(_LooseFrame),
    "features": msgspec.json.Decoder(_LooseFeatureFrame),
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


@dataclass(slots=True)
class _Group:
    """Rows of one model version, read but not yet a block."""

    read: Decoders
    dictionaries: tuple[Dictionary, ...]
    rows: list[Any] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    awaits: bool = False  # whether there are features without a column
    looks: bool = False  # for features that were not there when the types were found
    attended: int = -1  # the last record whose features without a column were looked at

    def shows(self, row: Any) -> bool:
        """Return whether a row has values of features without a column."""
        return self.read.shown(row.features) != self.read.nothing


@dataclass(frozen=True, slots=True)
class Grown:
    """Columns that held up to a record, from which on there are more."""

    key: Key
    offset: int
    columns: Columns


@dataclass(slots=True)
class Batch:
    """What one batch held."""

    blocks: list[tuple[Key, Block]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    released: dict[Key, int] = field(default_factory=dict)  # offset that ended a version's intake
    touched: set[Key] = field(default_factory=set)  # versions of which more than blocks may change
    grown: list[Grown] = field(default_factory=list)
    unknown: Key | None = None  # the version before whose record reading stopped
    stop: int = 0  # how many records were read


class BatchReader:
    """Reads batches of one source; knows each model version's columns or gathers its first rows."""

    def __init__(self, source: RowSource) -> None:
        self.source = source
        self.columns: dict[Key, Columns] = {}
        self.intakes: dict[Key, Intake] = {}
        self.declared: dict[Key, dict[str, FeatureSpec]] = {}
        self.spread: dict[Key, bool] = {}  # whether a version's first record had another key
        self.awaited: dict[Key, dict[str, Shown]] = {}  # features without a column
        self.fixed: set[Key] = set()  # versions of which no others are looked for
        self._dictionaries: dict[Key, dict[str, Dictionary]] = {}
        self._groups: dict[Key, _Group] = {}
        self._batch = Batch()
        self._gathers = True

    def again(self) -> "BatchReader":
        """Return a reader of the same columns for rows that were read before."""
        other = BatchReader(self.source)
        other.columns = {k: v for k, v in self.columns.items() if k not in self.intakes}
        other.spread = dict(self.spread)
        other._gathers = False  # what is held in the intake is read when its types are known
        return other

    def read(self, records: Sequence[Record], known: Collection[Key]) -> Batch:
        """Read records in order; stop before the first of a model version that is not known."""
        batch = self._batch = Batch(stop=len(records))
        model, version, group = "", "", None
        for index, record in enumerate(records):
            value, offset = record.value, record.offset
            if group is not None and value is not None:
                try:
                    if len(value) >= FRAME_HINT and b'"ids"' in value:
                        if self._add_frame((model, version), group, record):
                            continue
                    else:
                        row = group.read.row(value)
                        if row.model != model or row.version != version:
                            other = self._group((row.model, row.version))
                            row = row if other is None else other.read.row(value)
                            group, model, version = other, row.model, row.version
                        if (
                            group is not None
                            and row.ts_ms <= record.timestamp + AHEAD_MS
                            and (offset % LOOK_EVERY or not group.looks)
                            and not (group.awaits and group.shows(row))
                        ):
                            group.rows.append(row)
                            group.offsets.append(offset)
                            continue
                except FAULTS:
                    pass  # the careful path finds the reason
            try:
                key = self._careful(record, known)
            except FAULTS as fault:
                batch.rejections.append(rejection(record, fault, self._whose(record)))
                continue
            if batch.unknown is not None:
                batch.stop = index
                break
            if key in self.columns:
                (model, version), group = key, self._group(key)
        for key in self._groups:
            self._flush(key)
        self._groups = {}
        return batch

    def _whose(self, record: Record) -> Key:
        """Return the model version that a record names, if it is one that is watched."""
        key = named(record.value or b"")
        return key if key in self.declared else NOBODY

    def _group(self, key: Key) -> _Group | None:
        if key in self.intakes:  # rows that came before wait to be read
            return None
        if key not in self._groups and key in self.columns and key in self.spread:
            self._groups[key] = self._open(key)
        return self._groups.get(key)

    def _open(self, key: Key) -> _Group:
        columns, awaited = self.columns[key], tuple(self.awaited.get(key, ()))
        held = self._dictionaries.get(key, {})
        own = {name: _with_room(held.get(name)) for name in columns.categorical}
        self._dictionaries[key] = own
        read = decoders(self.source, columns, awaited)
        looks = self._gathers and key not in self.fixed and self._room(key) > 0
        return _Group(read, tuple(own.values()), awaits=bool(awaited), looks=looks)

    def _room(self, key: Key) -> int:
        columns, awaited = self.columns[key], self.awaited.get(key, {})
        return MAX_WATCHED - len(columns.numeric) - len(columns.categorical) - len(awaited)

    def wait_for(self, key: Key, names: Iterable[str]) -> bool:
        """Let features without a column have one when they show values, while there is room.

        Return whether there are any that were not known before.
        """
        columns, awaited = self.columns[key], self.awaited.setdefault(key, {})
        known = {*columns.numeric, *columns.categorical, *awaited}
        further = eligible([n for n in names if n not in known], self.declared.get(key, {}))
        further = further[: max(self._room(key), 0)]
        awaited |= {name: Shown() for name in further}
        return bool(further)

    def _flush(self, key: Key) -> None:
        group = self._groups[key]
        if group.rows:
            block = from_rows(group.rows, group.offsets, group.read, group.dictionaries)
            self._batch.blocks.append((key, block))
            group.rows, group.offsets = [], []

    def _add_frame(self, key: Key, group: _Group, record: Record | Kept) -> bool:
        """Take a frame whole, or return False if it is another model version's."""
        frame = self._frame(key, group, record)
        if frame is None:
            return False
        shown = zip(group.read.awaited, group.read.shown(frame.features), strict=True)
        values = {name: values_in(raw, as_frame=True) for name, raw in shown if raw != NULL}
        if self._attend(key, group, record, values, len(frame.ids)):
            frame = self._frame(key, group, record)
        block = from_frame(frame, record.offset, group.read, group.dictionaries)
        self._flush(key)
        self._batch.blocks.append((key, block))
        return True

    def _frame(self, key: Key, group: _Group, record: Record | Kept) -> Any:
        """Return a frame that can be read as a whole; None if it is another model version's."""
        frame = group.read.frame(record.value or b"")
        if (frame.model, frame.version) != key:
            return None
        columns: dict[str, Any] = {"ts_ms": frame.ts_ms}
        columns["predictions"] = getattr(frame, "predictions", None)
        own = self.columns[key]
        numbers, texts = group.read.numbers(frame.features), group.read.categories(frame.features)
        columns |= {f"features.{k}": v for k, v in zip(own.numeric, numbers, strict=True)}
        columns |= {f"features.{k}": v for k, v in zip(own.categorical, texts, strict=True)}
        check_lengths(len(frame.ids), columns)
        check_ahead(max(frame.ts_ms), record.timestamp)
        return frame

    def _attend(
        self,
        key: Key,
        group: _Group,
        record: Record | Kept,
        shown: Mapping[str, Sequence[Any]],
        rows: int = 1,
    ) -> bool:
        """Take note of what features without a column show in a record's ``rows``, once a record.

        Return whether the record is to be read anew: with it, some of them have one.
        """
        if group.attended == record.offset:
            return False
        group.attended = record.offset
        awaited, declared = self.awaited.get(key, {}), self.declared.get(key, {})
        found: dict[str, Kind] = {}
        for name, values in shown.items():
            awaited[name].add(values)
            kind = awaited[name].kind(declared.get(name))
            if kind is not None:
                found[name] = kind
                del awaited[name]
        if found:
            self._batch.grown.append(Grown(key, record.offset, self.columns[key]))
            self.columns[key] = self.columns[key].plus(found, declared)
        looks = group.looks and (rows >= LOOK_EVERY or record.offset % LOOK_EVERY == 0)
        further = looks and self.wait_for(key, names_in(record.value or b""))
        if not found and not further:
            return False
        self._flush(key)
        fresh = self._open(key)
        group.read, group.dictionaries = fresh.read, fresh.dictionaries
        group.awaits, group.looks = fresh.awaits, fresh.looks
        return True

    def _careful(self, record: Record, known: Collection[Key]) -> Key:
        head = HEAD.decode(present(record.value))
        key = (head.model, head.version)
        if key not in known:
            self._batch.unknown = key
            return key
        self._batch.touched.add(key)
        first = key not in self.spread
        self.spread.setdefault(key, record.key != head.model.encode())
        try:
            if key in self.columns:
                self._release(key, record)
                self._typed(key, record)
            else:
                self._gather(key, record)
        except FAULTS:
            if first:
                del self.spread[key]
            raise
        return key

    def _release(self, key: Key, record: Record) -> None:
        """Read the records that were held until the types were known, as they are by ``record``."""
        intake = self.intakes.pop(key, None)
        if intake is None:
            return
        self._batch.released[key] = record.offset
        for kept in intake.records:
            try:
                self._typed(key, kept)
            except FAULTS as fault:
                self._batch.rejections.append(rejection(kept, fault, key))

    def _typed(self, key: Key, record: Record) -> None:
        value = record.value or b""
        group = self._group(key)
        assert group is not None
        try:
            row = group.read.row(value)
        except FAULTS:
            if not has_ids(value):
                raise
        else:
            check_ahead(row.ts_ms, record.timestamp)
            shown = zip(group.read.awaited, group.read.shown(row.features), strict=True)
            values = {name: values_in(raw, as_frame=False) for name, raw in shown if raw != NULL}
            if self._attend(key, group, record, values):
                row = group.read.row(value)
            group.rows.append(row)
            group.offsets.append(record.offset)
            return
        try:
            self._add_frame(key, group, record)
        except FAULTS:
            self._flush(key)
            self._salvage(key, record, group)

    def _salvage(self, key: Key, record: Record, group: _Group) -> None:
        """Keep the good rows of a frame, reject the others as a frame of their own."""
        frame = _LOOSE[self.source].decode(record.value or b"")
        columns = {"ts_ms": frame.ts_ms, "predictions": frame.predictions}
        check_lengths(
            len(frame.ids), columns | {f"features.{k}": v for k, v in frame.features.items()}
        )
        awaited = {k: v for k, v in frame.features.items() if k in group.read.awaited}
        self._attend(key, group, record, awaited, len(frame.ids))
        features = {k: v for k, v in frame.features.items() if k not in group.read.awaited}
        good, bad, reason = [], [], ""
        for index in range(len(frame.ids)):
            loose = {"model": key[0], "version": key[1], "id": frame.ids[index]}
            loose |= {"ts_ms": frame.ts_ms[index]}
            loose |= {"features": {k: v[index] for k, v in features.items()}}
            if frame.predictions is not None:
                loose["prediction"] = frame.predictions[index]
            try:
                row = msgspec.convert(loose, group.read.row_type)
                check_ahead(row.ts_ms, record.timestamp)
                good.append(row)
            except FAULTS as fault:
                bad.append(index)
                reason = reason or str(fault)
        if bad:
            self._batch.rejections.append(_bad_rows(key, record, frame, bad, reason))
        if good:
            offsets = [record.offset] * len(good)
            block = from_rows(good, offsets, group.read, group.dictionaries)
            self._batch.blocks.append((key, block))

    def _gather(self, key: Key, record: Record) -> None:
        """Hold a model's first rows; once there are enough, infer its columns and read them."""
        rows = self._generic(record)
        if not self._gathers:
            return
        intake = self.intakes.setdefault(key, Intake(records=[]))
        held = Kept(record.offset, record.timestamp, record.key, record.value, list(record.headers))
        intake.records.append(held)
        intake.rows += len(rows)
        intake.size += len(record.value or b"") + len(record.key or b"")
        intake.size += sum(len(name) + len(value or b"") for name, value in held.headers)
        if not intake.full:
            return
        rows = [row for kept in intake.records for row in self._generic(kept)]
        declared = self.declared.get(key, {})
        self.columns[key] = infer(rows, declared)
        self.wait_for(key, [*declared, *(name for row in rows for name in row)])
        self._release(key, record)

    def _generic(self, record: Record | Kept) -> list[dict[str, Any]]:
        """Return the features of each row of a record whose columns are not known."""
        value = record.value or b""
        try:
            row = _ROW[self.source].decode(value)
        except FAULTS:
            if not has_ids(value):
                raise
        else:
            if len(row.features) > MAX_FEATURES:
                raise ValueError(f"expected at most {MAX_FEATURES} features - at `$.features`")
            check_ahead(row.ts_ms, record.timestamp)
            return [row.features]
        frame = _LOOSE[self.source].decode(value)
        if len(frame.features) > MAX_FEATURES:
            raise ValueError(f"expected at most {MAX_FEATURES} features - at `$.features`")
        columns = {f"features.{name}": values for name, values in frame.features.items()}
        check_lengths(len(frame.ids), columns | {"ts_ms": frame.ts_ms})
        plain = (float, int, bool, str, NoneType)
        return [
            {k: v[i] for k, v in frame.features.items() if isinstance(v[i], plain)}
            for i in range(min(len(frame.ids), INTAKE_ROWS))
        ]


def _with_room(held: Dictionary | None) -> Dictionary:
    return Dictionary() if held is None or held.is_full else held


def named(value: bytes) -> Key:
    """Return the model version that a value names, even where it is no JSON that can be read.

    >>> named(b'{"model": "fraud", "version": "3", "features": {"amount": NaN}}')
    ('fraud', '3')
    """
    try:
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


def _bad_rows(
    key: Key, record: Record, frame: _LooseFrame, bad: list[int], reason: str
) -> Rejection:
    kept: dict[str, Any] = {"model": key[0], "version": key[1]}
    kept |= {"ids": [frame.ids[i] for i in bad], "ts_ms": [frame.ts_ms[i] for i in bad]}
    if frame.predictions is not None:
        kept["predictions"] = [frame.predictions[i] for i in bad]
    kept["features"] = {k: [v[i] for i in bad] for k, v in frame.features.items()}
    value = msgspec.json.encode(kept)
    where = f" in row {bad[0]} of the frame"
    return Rejection(record, reason, rows=len(bad), of=key, where=where, value=value)
