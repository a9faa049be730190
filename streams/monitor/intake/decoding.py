"""Bytes of one fetched batch into blocks by model version; what cannot be read is rejected.

A hot loop reads single rows with the typed decoder of the model last seen; everything else (a
frame, another model, a fault) takes the careful path, which also finds the reason.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.monitor.intake.arrow_frames import declared, in_json, is_arrow, read_frame
from tidegauge.streams.monitor.intake.arrow_stream import plain_stream
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
from tidegauge.streams.monitor.intake.json_kernel import CAREFUL
from tidegauge.streams.monitor.intake.messages import (
    AHEAD_MS,
    HEAD,
    LOOSE,
    NOBODY,
    Intake,
    Kept,
    Key,
    bad_rows,
    check_ahead,
    check_lengths,
    generic,
    has_ids,
    named,
)
from tidegauge.streams.monitor.intake.plain import PlainPart, PlainTable
from tidegauge.streams.monitor.intake.plain_rows import Ahead, PlainRows
from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.monitor.intake.rejections import FAULTS, Rejection, present, rejection
from tidegauge.streams.monitor.intake.row_kernel import RowKernel
from tidegauge.streams.monitor.intake.waiting_rows import Patience, WaitingRows
from tidegauge.streams.monitor.records import Record

FEW = 16  # records of a batch; fewer are read one by one
FRAME_HINT = 256  # a shorter value is tried as a row first


@dataclass(slots=True)
class _Group:
    """How the rows of one model version are read; those that were, and are not yet a block."""

    key: Key
    read: Decoders
    dictionaries: tuple[Dictionary, ...]
    looks: bool  # for features that were not there when the types were found
    place: int | None = None  # in the kernel's table of this batch; None: read row by row
    rows: list[Any] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    logged_ms: list[int] = field(default_factory=list)
    attended: int = -1  # the last record whose features without a column were looked at

    def with_room(self) -> tuple[Dictionary, ...]:
        """Return its dictionaries; of those that are full the next block has new ones."""
        if any(own.is_full for own in self.dictionaries):
            self.dictionaries = tuple(
                Dictionary() if own.is_full else own for own in self.dictionaries
            )
        return self.dictionaries

    def shows(self, row: Any) -> bool:
        """Return whether a row has values of features without a column."""
        return bool(self.read.awaited) and self.read.shown(row.features) != self.read.nothing


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
        self._groups: dict[Key, _Group] = {}
        self._kernel = RowKernel(source)
        self._placed: dict[int, _Group] = {}  # by their places in the kernel
        self._opened: list[_Group] = []  # not yet in the kernel
        self._listed: dict[Key, None] = {}  # versions with rows that are not in the table
        self._table: PlainTable | None = None
        self._ahead: Ahead | None = None
        self._batch = Batch()
        self._gathers = True
        self.waiting = WaitingRows()

    def again(self) -> "BatchReader":
        """Return a reader of the same columns for rows that were read before."""
        other = BatchReader(self.source)
        other.columns = {k: v for k, v in self.columns.items() if k not in self.intakes}
        other.spread = dict(self.spread)
        other._gathers = False  # what is held in the intake is read when its types are known
        return other

    def read(self, records: Sequence[Record], known: Collection[Key]) -> Batch:
        """Read records in order, if they are not too many at once.

        Stop before the first of a model version that is not known.
        """
        for key in () if self._gathers else self.columns:
            self._group(key)  # it was read before, so the kernel may begin with its first row
        for opened in self._opened:
            opened.place = self._kernel.put(opened.key, opened.read.columns, opened.read.awaited)
            self._placed[opened.place] = opened
        self._opened = []
        self._ahead = None
        if isinstance(records, RecordBatch):
            records = self._kernel.piece(records)
            self._ahead = records.ahead
        batch = self._batch = Batch(stop=len(records))
        table = self._table = self._plain(records)
        group: _Group | None = None
        for at in range(len(records)) if table is None else table.careful():
            record = records[at]
            arrow = is_arrow(record)
            if not arrow and (like := self._like(group, record, at)) is not None:
                group = like
                continue
            try:
                key = (self._arrow if arrow else self._careful)(record, at, known)
            except FAULTS as fault:
                batch.rejections.append(rejection(record, fault, self._whose(record)))
                continue
            if batch.unknown is not None:
                batch.stop = at
                break
            group = self._group(key)
        for key in {rejected.of for rejected in batch.rejections} & self._groups.keys():
            self._flush(self._groups[key], batch.stop)  # as something is told of it
        self._flush_all()
        return batch

    def read_ahead(self, records: RecordBatch) -> RecordBatch:
        """Return records with what a kernel makes of them now: to be read in less time later.

        It changes nothing, and may be asked in another thread while this one reads other records.
        """
        layouts = self._kernel.made
        if layouts is None or (place := layouts.first) is None or len(records) > layouts.most:
            return records
        rows, frames = layouts.read(records.buffer, records.values), dict[int, PlainRows | None]()
        long = (rows.owner == CAREFUL) & (records.values[:, 1] >= FRAME_HINT)
        for at in np.flatnonzero(long).tolist():
            offset, value = int(records.offsets[at]), records[at].value or b""
            if b'"ids"' in value:
                frames[offset] = found = layouts.frame(value, place)
                place = place if found is None else int(found.owner[0])
        return replace(records, ahead=Ahead(layouts, rows, frames))

    def allow(self, key: Key, patience: Patience) -> None:
        """Let further rows of a model version wait for more of them, from the next batch on."""
        group = self._groups.get(key)
        if group is not None and group.place is not None:
            self.waiting.allow(group.place, patience)

    def release(self) -> list[tuple[Key, Block]]:
        """Return all rows that wait for more of their versions; they wait no longer."""
        self.waiting.begin()
        batch = self._batch = Batch()
        for place, part in self.waiting.give_all():
            self._give(self._placed[place], part)
        return batch.blocks

    def _plain(self, records: Sequence[Record]) -> PlainTable | None:
        """Return what a kernel can read; nothing of records that are objects already, or few."""
        if not isinstance(records, RecordBatch) or len(records) < FEW:
            return None
        layouts, ahead = self._kernel.layouts, self._ahead
        if ahead is not None and ahead.layouts is layouts:
            rows = replace(ahead.rows, owner=ahead.rows.owner.copy())  # it may be asked for again
        else:
            rows = layouts.read(records.buffer, records.values)
        rows = replace(rows, logged_ms=records.timestamps)
        owner, looked_at = rows.owner, rows.strange & (records.offsets % LOOK_EVERY == 0)
        for at in np.flatnonzero((owner >= 0) & looked_at).tolist():
            if self._placed[int(owner[at])].looks:
                owner[at] = CAREFUL
        owner[rows.ts_ms > records.timestamps + AHEAD_MS] = CAREFUL
        return PlainTable(records, rows)

    def _like(self, group: _Group | None, record: Record, at: int) -> _Group | None:
        """Read a record as the one before, or as one of another version that is open.

        Return whose it is; None where it takes more care.
        """
        value = record.value
        if group is None or value is None:
            return None
        try:
            if len(value) >= FRAME_HINT and b'"ids"' in value:
                return self._add_frame(group, record, at)
            row = group.read.row(value)
            if (row.model, row.version) != group.key:
                other = self._group((row.model, row.version))
                if other is None:
                    return None
                group, row = other, other.read.row(value)
        except FAULTS:
            return None  # the careful path finds the reason
        looks = group.looks and record.offset % LOOK_EVERY == 0
        if looks or row.ts_ms > record.timestamp + AHEAD_MS or group.shows(row):
            return None
        self._add(group, row, record, at)
        return group

    def _add(self, group: _Group, row: Any, record: Record | Kept, at: int) -> None:
        if self._table is not None and group.place is not None:
            self._table.put(at, group.place, row, group.read)
        else:
            self._listed[group.key] = None
            group.rows.append(row)
            group.offsets.append(record.offset)
            group.logged_ms.append(record.timestamp)

    def _whose(self, record: Record) -> Key:
        """Return the model version that a record names, if it is one that is watched."""
        key = named(record.value or b"")
        return key if key in self.declared else NOBODY

    def _group(self, key: Key) -> _Group | None:
        """Return how a version is read; None where its types are not known or not yet in use."""
        group = self._groups.get(key)
        if group is None and key in self.columns and key in self.spread:
            if key not in self.intakes:  # rows that came before wait to be read
                group = self._open(key)
        return group

    def _open(self, key: Key) -> _Group:
        columns, awaited = self.columns[key], tuple(self.awaited.get(key, ()))
        own = tuple(Dictionary() for _ in columns.categorical)
        looks = self._gathers and key not in self.fixed and self._room(key) > 0
        group = _Group(key, decoders(self.source, columns, awaited), own, looks)
        self._groups[key] = group
        if not columns.has_classes:  # no kernel reads these
            self._opened.append(group)
        return group

    def reopen(self, key: Key) -> None:
        """Read a version anew from here on, as its columns or its spec have changed."""
        group = self._groups.pop(key, None)
        if group is None:
            return
        if group in self._opened:
            self._opened.remove(group)
        elif group.place is not None:
            self._kernel.drop(key)
            del self._placed[group.place]

    def _room(self, key: Key) -> int:
        columns, awaited = self.columns[key], self.awaited.get(key, {})
        return MAX_WATCHED - len(columns.numeric) - len(columns.categorical) - len(awaited)

    def wait_for(self, key: Key, names: Iterable[str]) -> bool:
        """Let features without a column have one when they show values, while there is room.

        Return whether there are any that were not known before.
        """
        further = self._further(key, names)
        self.awaited.setdefault(key, {}).update((name, Shown()) for name in further)
        return bool(further)

    def _further(self, key: Key, names: Iterable[str]) -> list[str]:
        columns, awaited = self.columns[key], self.awaited.get(key, {})
        known = {*columns.numeric, *columns.categorical, *awaited}
        further = eligible([n for n in names if n not in known], self.declared.get(key, {}))
        return further[: max(self._room(key), 0)]

    def _flush(self, group: _Group, before: int) -> None:
        """Make blocks of a version's rows that wait or were read before a place of the batch."""
        if group.place is not None and (waited := self.waiting.take(group.place)) is not None:
            self._give(group, waited)
        if self._table is not None and group.place is not None:
            if (part := self._table.take(group.place, before)) is not None:
                self._give(group, part)
        if group.rows:
            places = group.offsets, group.logged_ms
            block = from_rows(group.rows, *places, group.read, group.with_room())
            self._batch.blocks.append((group.key, block))
            group.rows, group.offsets, group.logged_ms = [], [], []

    def _give(self, group: _Group, part: PlainPart) -> None:
        """Give rows that a kernel read as a block."""
        self._batch.blocks.append((group.key, part.block(group.read, group.with_room())))

    def _flush_all(self) -> None:
        if self._table is not None:
            for place, part in self.waiting.offer(self._table.rest(self._batch.stop)):
                self._give(self._placed[place], part)
        for key in self._listed:
            self._flush(self._groups[key], 0)
        self._listed = {}

    def _add_frame(self, group: _Group, record: Record | Kept, at: int) -> _Group | None:
        """Take a frame whole; return whose it is, None where it takes more care to tell."""
        if (own := self._add_plain_frame(group, record, at)) is not None:
            return own
        frame = self._frame(group, record)
        if frame is None:
            return None
        shown = zip(group.read.awaited, group.read.shown(frame.features), strict=True)
        values = {name: values_in(raw, as_frame=True) for name, raw in shown if raw != NULL}
        now = self._attend(group, record, at, values, len(frame.ids))
        if now is not group:
            frame = self._frame(now, record)
        block = from_frame(frame, record, now.read, now.with_room())
        self._flush(now, at)
        self._batch.blocks.append((now.key, block))
        return now

    def _add_plain_frame(self, group: _Group, record: Record | Kept, at: int) -> _Group | None:
        """Take a frame that the kernel can read; return whose it is, None if msgspec must."""
        value = record.value or b""
        rows = None if group.place is None else self._plain_frame(record.offset, value, group.place)
        if rows is None:
            return None
        return self._take(self._placed[int(rows.owner[0])], rows, value, record, at)

    def _take(
        self, group: _Group, rows: PlainRows, value: bytes, record: Record | Kept, at: int
    ) -> _Group | None:
        """Take a frame as a kernel read it, unless it takes more care."""
        if rows.ts_ms.max() > record.timestamp + AHEAD_MS or (rows.strange[0] and group.looks):
            return None
        self._flush(group, at)
        offsets = np.full(len(rows.ids), record.offset, np.int64)
        rows = replace(rows, logged_ms=np.full(len(rows.ids), record.timestamp, np.int64))
        self._give(group, PlainPart(np.frombuffer(value, np.uint8), offsets, rows))
        return group

    def _plain_frame(self, offset: int, value: bytes, place: int) -> PlainRows | None:
        layouts, ahead = self._kernel.layouts, self._ahead
        if ahead is not None and ahead.layouts is layouts and offset in ahead.frames:
            return ahead.frames[offset]
        return layouts.frame(value, place)

    def _arrow(self, record: Record, at: int, known: Collection[Key]) -> Key:
        """Read an Arrow frame by its arrays, or as the JSON frame that it stands for."""
        value = declared(record)
        group = self._add_stream(value, record, at)
        if group is None:
            frame = read_frame(value)
            group = self._add_stream(frame.as_plain(), record, at)
            if group is None:
                return self._careful(in_json(record, frame), at, known)
        return group.key

    def _add_stream(self, value: bytes, record: Record, at: int) -> _Group | None:
        """Take an Arrow frame that the kernel can read; return whose it is."""
        stream = plain_stream(value)
        group = None if stream is None else self._group(stream.layout.key)
        rows = None if stream is None or group is None else stream.rows(group.read)
        if stream is None or group is None or rows is None:
            return None
        if group.looks and rows.strange[0]:
            rows.strange[:] = bool(self._further(group.key, stream.layout.features))
        return self._take(group, rows, value, record, at)

    def _frame(self, group: _Group, record: Record | Kept) -> Any:
        """Return a frame that can be read as a whole; None if it is another model version's."""
        frame = group.read.frame(record.value or b"")
        if (frame.model, frame.version) != group.key:
            return None
        columns: dict[str, Any] = {"ts_ms": frame.ts_ms}
        columns["predictions"] = getattr(frame, "predictions", None)
        own = group.read.columns
        numbers, texts = group.read.numbers(frame.features), group.read.categories(frame.features)
        columns |= {f"features.{k}": v for k, v in zip(own.numeric, numbers, strict=True)}
        columns |= {f"features.{k}": v for k, v in zip(own.texts, texts, strict=True)}
        check_lengths(len(frame.ids), columns)
        check_ahead(max(frame.ts_ms), record.timestamp)
        return frame

    def _attend(
        self,
        group: _Group,
        record: Record | Kept,
        at: int,
        shown: Mapping[str, Sequence[Any]],
        rows: int = 1,
    ) -> _Group:
        """Take note of what features without a column show in a record's ``rows``, once a record.

        Return how the record is to be read: anew, where with it some of them have one.
        """
        if group.attended == record.offset:
            return group
        group.attended, key = record.offset, group.key
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
            return group
        self._flush(group, at)
        if self._table is not None and group.place is not None:
            self._table.hand_back(group.place, at)
        self.reopen(key)
        fresh = self._open(key)
        fresh.attended = record.offset
        return fresh

    def _careful(self, record: Record, at: int, known: Collection[Key]) -> Key:
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
                self._typed(key, record, at)
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
                self._typed(key, kept, 0)
            except FAULTS as fault:
                self._batch.rejections.append(rejection(kept, fault, key))

    def _typed(self, key: Key, record: Record | Kept, at: int) -> None:
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
            now = self._attend(group, record, at, values)
            if now is not group:
                row = now.read.row(value)
            self._add(now, row, record, at)
            return
        try:
            self._add_frame(group, record, at)
        except FAULTS:
            self._salvage(key, record, at)

    def _salvage(self, key: Key, record: Record | Kept, at: int) -> None:
        """Keep the good rows of a frame, reject the others as a frame of their own."""
        group = self._groups[key]
        self._flush(group, at)
        frame = LOOSE[self.source].decode(record.value or b"")
        columns = {"ts_ms": frame.ts_ms, "predictions": frame.predictions}
        check_lengths(
            len(frame.ids), columns | {f"features.{k}": v for k, v in frame.features.items()}
        )
        awaited = {k: v for k, v in frame.features.items() if k in group.read.awaited}
        group = self._attend(group, record, at, awaited, len(frame.ids))
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
            self._batch.rejections.append(bad_rows(key, record, frame, bad, reason))
        if good:
            places = [record.offset] * len(good), [record.timestamp] * len(good)
            block = from_rows(good, *places, group.read, group.with_room())
            self._batch.blocks.append((key, block))

    def _gather(self, key: Key, record: Record) -> None:
        """Hold a model's first rows; once there are enough, infer its columns and read them."""
        rows = generic(self.source, record)
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
        rows = [row for kept in intake.records for row in generic(self.source, kept)]
        declared = self.declared.get(key, {})
        self.columns[key] = infer(rows, declared)
        self.wait_for(key, [*declared, *(name for row in rows for name in row)])
        self._release(key, record)
