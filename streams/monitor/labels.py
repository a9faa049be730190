"""Reads batches of labels; a bad row of a frame is rejected, the others are kept."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import msgspec

from schemas import events
from streams.monitor.decoding import KEYS, check_ahead, check_lengths, named
from streams.monitor.join import Label
from streams.monitor.records import Record
from streams.monitor.rejections import FAULTS, Rejection, present, rejection


class _LooseFrame(msgspec.Struct):
    model: events.Name
    ids: list[Any]
    ts_ms: list[Any]
    labels: list[Any]


_TYPED = msgspec.json.Decoder(events.LabelFrame)
_ROW = msgspec.json.Decoder(events.Label)
_FRAME = msgspec.json.Decoder(_LooseFrame)

Labels = list[tuple[str, Label]]  # model, label


def read_labels(records: Sequence[Record]) -> tuple[Labels, list[Rejection]]:
    """Return the labels of a batch in the order of the log, and what could not be read."""
    found: Labels = []
    rejections: list[Rejection] = []
    for record in records:
        try:
            value = present(record.value)
            if "ids" in KEYS.decode(value):
                _read_frame(record, found, rejections)
            else:
                row = _ROW.decode(value)
                check_ahead(row.ts_ms, record.timestamp)
                row.model.encode()
                found.append((row.model, Label(row.id, row.ts_ms, float(row.label), record.offset)))
        except FAULTS as fault:
            rejections.append(rejection(record, fault, (named(record.value or b"")[0], "")))
    return found, rejections


def _read_frame(record: Record, found: Labels, rejections: list[Rejection]) -> None:
    try:
        typed = _TYPED.decode(record.value or b"")
        check_lengths(len(typed.ids), {"ts_ms": typed.ts_ms, "labels": typed.labels})
        check_ahead(max(typed.ts_ms), record.timestamp)
        typed.model.encode()
    except FAULTS:
        _salvage(record, found, rejections)
    else:
        values = map(float, typed.labels)
        columns = zip(typed.ids, typed.ts_ms, values, repeat(record.offset))
        found += zip(repeat(typed.model), map(Label._make, columns))


def _salvage(record: Record, found: Labels, rejections: list[Rejection]) -> None:
    """Keep the good rows of a frame, reject the others as a frame of their own."""
    frame = _FRAME.decode(record.value or b"")
    frame.model.encode()
    check_lengths(len(frame.ids), {"ts_ms": frame.ts_ms, "labels": frame.labels})
    bad, reason = [], ""
    for index, (id_, ts_ms, label) in enumerate(
        zip(frame.ids, frame.ts_ms, frame.labels, strict=True)
    ):
        loose = {"model": frame.model, "id": id_, "ts_ms": ts_ms, "label": label}
        try:
            row = msgspec.convert(loose, events.Label)
            check_ahead(row.ts_ms, record.timestamp)
            found.append((row.model, Label(row.id, row.ts_ms, float(row.label), record.offset)))
        except FAULTS as fault:
            bad.append(index)
            reason = reason or str(fault)
    if bad:
        kept = {
            "model": frame.model,
            "ids": [frame.ids[i] for i in bad],
            "ts_ms": [frame.ts_ms[i] for i in bad],
            "labels": [frame.labels[i] for i in bad],
        }
        value = msgspec.json.encode(kept)
        whose, where = (frame.model, ""), f" in row {bad[0]} of the frame"
        rejections.append(
            Rejection(record, reason, rows=len(bad), of=whose, where=where, value=value)
        )
