"""Labels that a kernel reads are those that msgspec reads, and so is what is rejected.

``MUTANTS=1000000 pytest tests/streams/monitor/test_labels.py -k mutated`` tries many more.
"""

import json
import os
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.logs import NOON_MS
from tests.streams.monitor.test_json_kernel import ANY, NUMBERS, WORDS, mutated, written
from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join import labels as module
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.join.labels import LabelReader
from tidegauge.streams.monitor.join.siphash import KEY_BYTES
from tidegauge.streams.monitor.offline import LoggedRecord

MUTANTS = int(os.environ.get("MUTANTS", "20000"))
BATCH = 500
KEYS = [("fraud", ""), ("fraud", "2"), ("größe", "v1"), ("churn", "")]
Read = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


def records(values: Sequence[bytes | None], key: bytes = b"fraud") -> RecordBatch:
    """Return a record each."""
    return RecordBatch.of([LoggedRecord(2 * n, NOON_MS, key, v) for n, v in enumerate(values)])


def columns(came: LabelArrivals) -> tuple[Any, ...]:
    """Return what was read of a model, each value as its bits."""
    names = ("at", "ts_ms", "values", "offsets", "timestamps", "strays")
    return (came.model, list(came.ids), *(getattr(came, name).tobytes() for name in names))


def read(reader: LabelReader, values: Sequence[bytes | None]) -> Read:
    found, rejections = reader.read(records(values))
    refused = [
        (r.record.offset, r.reason, r.error, r.rows, r.of, r.where, r.value) for r in rejections
    ]
    return [columns(came) for came in found], refused


def knowing() -> LabelReader:
    """Return a reader whose kernel knows the models."""
    reader = LabelReader(bytes(KEY_BYTES))
    row = {"id": "a", "ts_ms": 0, "label": 1}
    for model, version in KEYS:
        reader.read(records([json.dumps(row | {"model": model, "version": version}).encode()]))
    return reader


def by_msgspec(values: Sequence[bytes | None]) -> Read:
    """Return what is read with care: a reader that knows nobody takes nothing as plain."""
    return read(LabelReader(bytes(KEY_BYTES)), values)


@st.composite
def told(draw: st.DrawFn) -> dict[str, Any]:
    """Return a row or a frame of labels, its fields in any order; most are right."""
    model, version = draw(st.sampled_from(KEYS))
    label, time = NUMBERS.filter(lambda v: v is not None), st.integers(0, NOON_MS)
    wrong = draw(st.integers(0, 9)) == 0
    if draw(st.booleans()):
        row: dict[str, Any] = {
            "id": draw(WORDS.filter(bool)),
            "ts_ms": draw(time),
            "label": draw(label),
        }
    else:
        size = draw(st.integers(1, 4))
        own = {"ids": WORDS.filter(bool), "ts_ms": time, "labels": label}
        row = {name: [draw(one) for _ in range(size)] for name, one in own.items()}
        if wrong:
            row[draw(st.sampled_from([*row]))][0] = draw(ANY)
    if wrong:
        row[draw(st.sampled_from([*row]))] = draw(ANY)
    row |= {"model": model, "other": draw(ANY)}
    row |= draw(st.dictionaries(st.sampled_from(["features", "", "prediction"]), ANY, max_size=1))
    if version or draw(st.booleans()):
        row["version"] = version
    return {name: row[name] for name in draw(st.permutations([*row]))}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(told(), st.integers(0, 3)), max_size=8))
def test_the_kernel_and_msgspec_read_the_same_labels(rows: list[tuple[Any, int]]) -> None:
    values = [written(*row) for row in rows]
    assert read(knowing(), values) == by_msgspec(values)


def test_of_mutated_labels_the_same_is_accepted_and_rejected() -> None:
    chance, texts = random.Random(7), list[bytes]()
    for n in range(60):
        model, version = KEYS[n % 4]
        head = {"model": model, "version": version} if version else {"model": model}
        label = [0, 1, True, 0.25, -1e-7, 123456789012345678][n % 6]
        texts.append(
            json.dumps(head | {"id": f"é{n}", "ts_ms": NOON_MS - n, "label": label}).encode()
        )
        frame = {"ids": ["a", f"b{n}"], "ts_ms": [n, NOON_MS], "labels": [label, 1]}
        texts.append(json.dumps(head | frame, ensure_ascii=False).encode())
    reader = knowing()
    for _ in range(MUTANTS // BATCH):
        values = [mutated(chance, texts) for _ in range(BATCH)]
        assert read(reader, values) == by_msgspec(values)


def test_plain_labels_take_no_care(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"model": m, "version": v, "id": "é", "ts_ms": n, "label": n % 2 == 0}
        for n, (m, v) in enumerate(KEYS)
    ]
    frame = {"model": "churn", "ids": ["a", "b"], "ts_ms": [1, 2], "labels": [True, 0.5]}
    values = [json.dumps(row, ensure_ascii=False).encode() for row in [*rows, frame]]
    expected, reader = by_msgspec(values), knowing()
    for name in ("_ROW", "_TYPED"):
        monkeypatch.setattr(module, name, None)
    assert read(reader, values) == expected


def test_labels_of_ever_new_versions_are_read_by_a_kernel_that_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 3)
    reader = LabelReader(bytes(KEY_BYTES))
    for n in range(20):
        row = {"model": f"m{n % 7}", "version": str(n), "id": "a", "ts_ms": n, "label": 1}
        values = [json.dumps(row).encode()] * 2
        for _ in range(2):
            assert read(reader, values) == by_msgspec(values)


def test_records_with_another_key_than_the_model_are_strays() -> None:
    row = b'{"model": "fraud", "id": "a", "ts_ms": 0, "label": 1}'
    for key, expected in ((b"fraud", False), (b"freud", True), (b"frau", True), (b"", True)):
        (came,), _ = LabelReader(bytes(KEY_BYTES)).read(records([row], key))
        assert came.strays.tolist() == [expected]
    (came,), _ = LabelReader(bytes(KEY_BYTES)).read([LoggedRecord(0, NOON_MS, None, row)])
    assert came.strays.tolist() == [True]


def test_pieces_end_with_records() -> None:
    at, none = np.array([0, 0, 0, 1, 2, 2]), np.zeros(6, np.int64)
    columns = at, Texts.of("abcdef"), none, np.zeros(6)
    came = LabelArrivals.of("fraud", records([b""] * 3), columns, bytes(KEY_BYTES))
    assert [*came.pieces(1, 1)] == [(0, 3), (3, 4), (4, 6)]
    assert [*came.pieces(4, 1)] == [(0, 4), (4, 6)]
    assert [*came.pieces(5, 9)] == [(0, 6)]
