"""Reads batches of labels; a bad row of a frame is rejected, the others are kept."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import msgspec

from tidegauge.schemas import events
from tidegauge.streams.monitor.intake.arrow_frames import declared, in_json, is_arrow, read_frame
from tidegauge.streams.monitor.intake.messages import check_ahead, check_lengths, has_ids, named
from tidegauge.streams.monitor.intake.rejections import FAULTS, Rejection, present, rejection
from tidegauge.streams.monitor.join.label_tally import Label, LabelRecord
from tidegauge.streams.monitor.records import Record


class _LooseFrame(msgspec.Struct):
    model: events.Name
    ids: list[Any]
    ts_ms: list[Any]
    labels: list[Any]


_TYPED = msgspec.json.Decoder(events.LabelFrame)
_ROW = msgspec.json.Decoder(events.Label)
_FRAME = msgspec.json.Decoder(_LooseFrame)


def read_labels(records: Sequence[Record]) -> tuple[list[LabelRecord], list[Rejection]]:
    """Return the labels of a batch in the order of the log, and what could not be read."""
    found: list[LabelRecord] = []
    rejections: list[Rejection] = []
    for record in records:
        try:
            model, labels = _read(record, rejections)
        except FAULTS as fault:
            rejections.append(rejection(record, fault, (named(record.value or b"")[0], "")))
        else:
            if labels:
                at = record.offset, record.timestamp, record.key
                found.append(LabelRecord(model, *at, labels))
    return found, rejections


def _read(record: Record, rejections: list[Rejection]) -> tuple[str, list[Label]]:
    value = present(record.value)
    if is_arrow(record):
        record = in_json(record, read_frame(declared(record)))
        value = present(record.value)
    try:
        row = _ROW.decode(value)
    except FAULTS:
        if not has_ids(value):
            raise
        return _read_frame(record, value, rejections)
    check_ahead(row.ts_ms, record.timestamp)
    return row.model, [Label(row.id, row.ts_ms, float(row.label), record.offset)]


def _read_frame(
    record: Record, value: bytes, rejections: list[Rejection]
) -> tuple[str, list[Label]]:
    try:
        typed = _TYPED.decode(value)
        check_lengths(len(typed.ids), {"ts_ms": typed.ts_ms, "labels": typed.labels})
        check_ahead(max(typed.ts_ms), record.timestamp)
    except FAULTS:
        return _salvage(record, value, rejections)
    values, offsets = map(float, typed.labels), repeat(record.offset)
    return typed.model, list(map(Label, typed.ids, typed.ts_ms, values, offsets))


def _salvage(record: Record, value: bytes, rejections: list[Rejection]) -> tuple[str, list[Label]]:
    """Keep the good rows of a frame, reject the others as a frame of their own."""
    frame = _FRAME.decode(value)
    check_lengths(len(frame.ids), {"ts_ms": frame.ts_ms, "labels": frame.labels})
    found: list[Label] = []
    bad, reason = list[int](), ""
    for index, (id_, ts_ms, label) in enumerate(
        zip(frame.ids, frame.ts_ms, frame.labels, strict=True)
    ):
        loose = {"model": frame.model, "id": id_, "ts_ms": ts_ms, "label": label}
        try:
            row = msgspec.convert(loose, events.Label)
            check_ahead(row.ts_ms, record.timestamp)
            found.append(Label(row.id, row.ts_ms, float(row.label), record.offset))
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
        mended = msgspec.json.encode(kept)
        whose, where = (frame.model, ""), f" in row {bad[0]} of the frame"
        rejections.append(
            Rejection(record, reason, rows=len(bad), of=whose, where=where, value=mended)
        )
    return frame.model, found
