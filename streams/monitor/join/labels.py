"""Reads batches of labels; a bad row of a frame is rejected, the others are kept."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np

from tidegauge.schemas import events
from tidegauge.streams.monitor.intake.arrow_frames import declared, in_json, is_arrow, read_frame
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.classes import Names, coded
from tidegauge.streams.monitor.intake.columns import Columns
from tidegauge.streams.monitor.intake.json_kernel import CAREFUL
from tidegauge.streams.monitor.intake.messages import (
    AHEAD_MS,
    Key,
    check_ahead,
    check_lengths,
    has_ids,
    named,
)
from tidegauge.streams.monitor.intake.plain_rows import PlainRows
from tidegauge.streams.monitor.intake.record_batch import Ints, RecordBatch
from tidegauge.streams.monitor.intake.rejections import FAULTS, Rejection, present, rejection
from tidegauge.streams.monitor.intake.row_kernel import RowKernel
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.records import Record

MOST_KNOWN: Final = 2000  # model versions that the kernel knows; with more it begins anew


class _LooseFrame(msgspec.Struct):
    model: events.Name
    ids: list[Any]
    ts_ms: list[Any]
    labels: list[Any]


_TYPED = msgspec.json.Decoder(events.LabelFrame)
_ROW = msgspec.json.Decoder(events.Label)
_FRAME = msgspec.json.Decoder(_LooseFrame)

Part = tuple[Ints, Ints, Ints, Floats]  # places of records, spans of ids, times, labels


class LabelReader:
    """Reads batches of labels: plain ones by a kernel, the others with care.

    Parameters
    ----------
    key
        Of the hashes that stand for ids.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._forget()

    def _forget(self) -> None:
        self._kernel = RowKernel("labels")
        self._known: set[Key] = set()
        self._models: list[str] = []  # by their places in the kernel
        self._last = 0  # the place of the last frame

    def read(self, records: Sequence[Record]) -> tuple[list[LabelArrivals], list[Rejection]]:
        """Return a batch's labels, the models by their first ones, and what could not be read."""
        given = records if isinstance(records, RecordBatch) else RecordBatch.of(records)
        rows, models = self._kernel.layouts.read(given.buffer, given.values), self._models
        rows.owner[rows.ts_ms > given.timestamps + AHEAD_MS] = CAREFUL
        batch, seen = _Batch(given), dict[Key, None]()
        for at in np.flatnonzero(rows.owner == CAREFUL).tolist():
            try:
                if (key := self._read(records[at], at, batch)) is not None:
                    seen[key] = None
            except FAULTS as fault:
                whose = named(records[at].value or b"")[0], ""
                batch.rejections.append(rejection(records[at], fault, whose))
        for place, own in _groups(rows.owner):
            part = own, rows.ids[own], rows.ts_ms[own], rows.numbers[own, 0]
            batch.parts.setdefault(models[place], []).append(part)
        self._know(seen)
        return batch.arrivals(self._key), batch.rejections

    def _read(self, record: Record, at: int, batch: "_Batch") -> Key | None:
        """Read a record with care; return whose it is, None where the kernel knows it."""
        value = present(record.value)
        if is_arrow(record):
            record = in_json(record, read_frame(declared(record)))
            value = present(record.value)
        elif self._plain_frame(record, value, at, batch):
            return None
        try:
            row = _ROW.decode(value)
        except FAULTS:
            if not has_ids(value):
                raise
            return self._read_frame(record, value, at, batch)
        check_ahead(row.ts_ms, record.timestamp)
        batch.add(row.model, at, [row.id], [row.ts_ms], [row.label])
        return row.model, row.version

    def _know(self, keys: Iterable[Key]) -> None:
        """Let the kernel read what says the same models and versions, from the next batch on."""
        for key in keys:
            if key in self._known:
                continue
            if len(self._known) == MOST_KNOWN:
                self._forget()
            self._kernel.put(key, Columns((), ()), ())
            self._known.add(key)
            self._models.append(key[0])

    def _plain_frame(self, record: Record, value: bytes, at: int, batch: "_Batch") -> bool:
        """Read a frame that the kernel can read."""
        if not self._known or b'"ids"' not in value:
            return False
        frame = self._kernel.layouts.frame(value, self._last)
        if frame is None or frame.ts_ms.max() > record.timestamp + AHEAD_MS:
            return False
        self._last = int(frame.owner[0])
        batch.add_frame(self._models[self._last], at, frame)
        return True

    def _read_frame(self, record: Record, value: bytes, at: int, batch: "_Batch") -> Key:
        try:
            typed = _TYPED.decode(value)
            check_lengths(len(typed.ids), {"ts_ms": typed.ts_ms, "labels": typed.labels})
            check_ahead(max(typed.ts_ms), record.timestamp)
        except FAULTS:
            return _salvage(record, value, at, batch), ""
        batch.add(typed.model, at, typed.ids, typed.ts_ms, typed.labels)
        return typed.model, typed.version


class _Batch:
    """What is found in a batch; of each model in parts, until it becomes columns."""

    def __init__(self, given: RecordBatch) -> None:
        self.rejections: list[Rejection] = []
        self.parts: dict[str, list[Part]] = {}
        self._given, self._more = given, bytearray()  # ids that the buffer does not have
        self._classes: dict[str, Names] = {}  # by model

    def add(
        self, model: str, at: int, ids: Sequence[str], ts_ms: Sequence[int], labels: Sequence[Any]
    ) -> None:
        """Take labels of one record."""
        own, start = Texts.of(ids), len(self._given.buffer) + len(self._more)
        self._more += own.buffer.tobytes()
        spans = own.spans + (start, 0)  # noqa: RUF005 (a sum)
        times, values = np.array(ts_ms, np.int64), self._values(model, labels)
        self.parts.setdefault(model, []).append((np.full(len(ids), at), spans, times, values))

    def _values(self, model: str, labels: Sequence[Any]) -> Floats:
        """Return labels as numbers; text as a number that stands for it."""
        texts = [label for label in labels if isinstance(label, str)]
        if not texts:
            return np.array(labels, np.float64)
        numbers = np.array([np.nan if isinstance(own, str) else own for own in labels], np.float64)
        numbers[np.isnan(numbers)] = coded(self._classes.setdefault(model, Names()).enter(texts))
        return numbers

    def add_frame(self, model: str, at: int, frame: PlainRows) -> None:
        """Take a frame that a kernel read."""
        spans = frame.ids + (self._given.values[at, 0], 0)  # noqa: RUF005 (a sum)
        part = np.full(len(spans), at), spans, frame.ts_ms, frame.numbers[:, 0]
        self.parts.setdefault(model, []).append(part)

    def arrivals(self, key: bytes) -> list[LabelArrivals]:
        """Return each model's labels in the order of the log, the models by their first ones."""
        buffer = self._given.buffer
        if self._more:
            buffer = np.concatenate([buffer, np.frombuffer(bytes(self._more), np.uint8)])
        found = []
        for model, parts in self.parts.items():
            at, spans, ts_ms, values = parts[0] if len(parts) == 1 else _in_order(parts)
            columns = at, Texts(buffer, spans), ts_ms, values
            classes = tuple(self._classes.get(model, ()))
            found.append(LabelArrivals.of(model, self._given, columns, key, classes))
        return sorted(found, key=lambda own: int(own.at[0]))


def _in_order(parts: list[Part]) -> Any:
    """Return parts as one, its records in the order of the log."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return [column[order] for column in columns]


def _groups(owner: Any) -> Iterator[tuple[int, Ints]]:
    """Yield each place that owns rows, and which."""
    order = np.argsort(owner, kind="stable")
    ranked = owner[order]
    edges = np.flatnonzero(np.diff(ranked, prepend=CAREFUL - 1)).tolist()
    for start, stop in pairwise([*edges, len(order)]):
        if (place := int(ranked[start])) >= 0:
            yield place, order[start:stop]


def _salvage(record: Record, value: bytes, at: int, batch: _Batch) -> str:
    """Keep the good rows of a frame, reject the others as a frame of their own."""
    frame = _FRAME.decode(value)
    check_lengths(len(frame.ids), {"ts_ms": frame.ts_ms, "labels": frame.labels})
    good = list[events.Label]()
    bad, reason = list[int](), ""
    for index, (id_, ts_ms, label) in enumerate(
        zip(frame.ids, frame.ts_ms, frame.labels, strict=True)
    ):
        loose = {"model": frame.model, "id": id_, "ts_ms": ts_ms, "label": label}
        try:
            row = msgspec.convert(loose, events.Label)
            check_ahead(row.ts_ms, record.timestamp)
            good.append(row)
        except FAULTS as fault:
            bad.append(index)
            reason = reason or str(fault)
    if good:
        ids, times, labels = zip(*((r.id, r.ts_ms, r.label) for r in good), strict=True)
        batch.add(frame.model, at, ids, times, labels)
    if bad:
        kept = {
            "model": frame.model,
            "ids": [frame.ids[i] for i in bad],
            "ts_ms": [frame.ts_ms[i] for i in bad],
            "labels": [frame.labels[i] for i in bad],
        }
        mended = msgspec.json.encode(kept)
        whose, where = (frame.model, ""), f" in row {bad[0]} of the frame"
        batch.rejections.append(
            Rejection(record, reason, rows=len(bad), of=whose, where=where, value=mended)
        )
    return frame.model
