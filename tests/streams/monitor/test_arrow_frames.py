"""An Arrow frame gives what the JSON frame with the same rows gives, to the last bit."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streams.monitor.arrow import frame, stream
from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.monitor.intake.arrow_frames import CONTENT_TYPE, MAX_BYTES
from tidegauge.streams.monitor.intake.columns import Columns
from tidegauge.streams.monitor.intake.decoding import Batch, BatchReader
from tidegauge.streams.monitor.intake.rejections import letter
from tidegauge.streams.monitor.join.labels import LabelReader
from tidegauge.streams.monitor.join.siphash import KEY_BYTES
from tidegauge.streams.monitor.offline import LoggedRecord

KEY = ("m", "")
COLUMNS = Columns(("x", "n"), ("c",))
ROWS: dict[str, Any] = {
    "id": ["a", "b", "größe"],
    "ts_ms": [1, 2, 3],
    "prediction": [0.5, 0.25, 1.0],
}
FEATURES: dict[str, Any] = {"features.x": [1.5, None, -0.0], "features.c": ["DE", None, "FR"]}


def reader(columns: Columns | None = COLUMNS) -> BatchReader:
    new = BatchReader("predictions")
    if columns is not None:
        new.columns = {KEY: columns}
        new.spread = {KEY: False}
    return new


def shown(batch: Batch) -> list[Any]:
    """Return all that a batch holds, to the last bit; codes as what they stand for."""
    found: list[Any] = [
        (
            block.offsets.tolist(),
            block.ts_ms.tolist(),
            list(block.ids),
            block.numbers.tobytes(),
            block.names,
            [
                [own.value(code) for code in column]
                for own, column in zip(block.dictionaries, block.codes.T.tolist(), strict=True)
            ],
        )
        for _, block in batch.blocks
    ]
    return [found, [(r.reason, r.rows, r.of, r.where, r.value) for r in batch.rejections]]


def as_json(columns: dict[str, list[Any]]) -> bytes:
    """Return the rows as a JSON frame; NaN is null, and what is infinite is beyond all numbers."""

    def value(of: Any) -> Any:
        if isinstance(of, float) and not math.isfinite(of):
            return None if math.isnan(of) else math.copysign(1.7976931348623157e308, of)
        return of

    plain = {name: [value(v) for v in values] for name, values in columns.items()}
    features = {k.removeprefix("features."): v for k, v in plain.items() if k[:9] == "features."}
    body: dict[str, Any] = {"model": "m", "version": "", "ids": plain["id"]}
    body |= {"ts_ms": plain["ts_ms"]}
    body |= {"predictions": plain["prediction"], "features": features}
    return json.dumps(body).encode()


TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=130))
NUMBERS = st.one_of(st.none(), st.floats(width=64), st.sampled_from([1e100, 1.1e100, -0.0]))
WHOLE = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
TIMES = st.one_of(st.integers(0, 2_000_000), st.sampled_from([None, -1, 2**62, 86_400_000 * 2]))
ODD_IDS = st.sampled_from(["", "é" * 512, "x" * 513, None])
ID = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9) | ODD_IDS
LARGE = pa.large_string()
KINDS: dict[str, list[Any]] = {
    "id": [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())],
    "ts_ms": [pa.int64()],
    "prediction": [pa.float64()],
    "features.x": [pa.float64()],
    "features.n": [pa.int64()],
    "features.c": [pa.string(), LARGE, pa.dictionary(pa.uint16(), LARGE)],
    "features.other": [pa.string()],
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    rows = draw(st.integers(1, 6))
    plain = draw(st.booleans())
    values = {
        "id": st.text("abc", min_size=1, max_size=5) if plain else ID,
        "ts_ms": st.integers(0, 1_000_000) if plain else TIMES,
        "prediction": st.floats(0, 1) if plain else NUMBERS,
        "features.x": st.floats(-9, 9) | st.none() if plain else NUMBERS,
        "features.n": WHOLE,
        "features.c": TEXTS,
        "features.other": TEXTS,
    }
    columns = {k: draw(st.lists(v, min_size=rows, max_size=rows)) for k, v in values.items()}
    typed = {k: _array(v, draw(st.sampled_from(KINDS[k]))) for k, v in columns.items()}
    return columns, typed


def _array(values: list[Any], kind: pa.DataType) -> Any:
    if isinstance(kind, pa.DictionaryType):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


@given(tables(), st.integers(1, 6), st.sampled_from([0, 101]))
def test_it_is_read_as_the_json_frame_with_the_same_rows(
    table: tuple[dict[str, list[Any]], dict[str, Any]], rows: int, offset: int
) -> None:
    columns, typed = table
    json_frame = LoggedRecord(offset, 1_000_000, b"m", as_json(columns), [])
    arrow = frame(offset, stream(typed, rows=rows))
    expected = shown(reader().read([json_frame], {KEY}))
    got = shown(reader().read([arrow], {KEY}))
    for rejected in (*expected[1], *got[1]):
        assert rejected[4] is not None
    bad = [[(*r[:4], json.loads(r[4])) for r in each[1]] for each in (expected, got)]
    assert (got[0], bad[1]) == (expected[0], bad[0])


INTAKE = "tidegauge.streams.monitor.intake"


def test_plain_rows_become_a_block_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{INTAKE}.decoding.read_frame", None)
    batch = reader().read([frame(7, stream({**ROWS, **FEATURES}))], {KEY})
    ((_, block),) = batch.blocks
    assert not batch.rejections
    assert list(block.ids) == ROWS["id"]
    np.testing.assert_array_equal(block.number("x"), [1.5, np.nan, 0.0])
    assert block.counts("c") == [("DE", 1), (None, 1), ("FR", 1)]


@pytest.mark.parametrize("rows", [1, 3])
def test_plain_rows_in_another_layout_become_a_block_without_json(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{INTAKE}.arrow_frames.ArrowFrame.as_json", None)
    columns = {**ROWS, **FEATURES, "features.x": pa.array([1.5, None, -0.0], pa.float16())}
    columns["features.c"] = pa.array(FEATURES["features.c"]).dictionary_encode()
    columns["id"] = pa.array(ROWS["id"]).dictionary_encode()
    columns |= {"ts_ms": pa.array([1, 2, 3], pa.timestamp("ms")), "features.n": pa.nulls(3)}
    plain = shown(reader().read([frame(7, stream({**ROWS, **FEATURES}))], {KEY}))
    assert shown(reader().read([frame(7, stream(columns, rows=rows))], {KEY})) == plain


def test_a_feature_that_is_ignored_costs_no_care(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{INTAKE}.decoding.read_frame", None)
    new, rows = reader(), 150
    new.declared = {KEY: {"card": FeatureSpec(type="ignore")}}
    columns: dict[str, Any] = {"id": ["a"] * rows, "ts_ms": [1] * rows, "prediction": [1] * rows}
    batch = new.read([frame(0, stream({**columns, "features.card": [1] * rows}))], {KEY})
    assert [len(block) for _, block in batch.blocks] == [rows]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_timestamps_are_milliseconds_whatever_their_unit(unit: Any, zone: str | None) -> None:
    times = pa.array([0, 3_000, None], pa.timestamp("ms")).cast(pa.timestamp(unit, zone))
    batch = reader().read([frame(0, stream({**ROWS, "ts_ms": times}))], {KEY})
    assert batch.blocks[0][1].ts_ms.tolist() == [0, 3_000]
    assert batch.rejections[0].reason == "Expected `int`, got `null` - at `$.ts_ms`"


def test_a_time_zone_that_nobody_knows_makes_no_difference() -> None:
    times = pa.array([1_000, 2_000, 3_000]).cast(pa.timestamp("us", "Nowhere/Else"))
    batch = reader().read([frame(0, stream({**ROWS, "ts_ms": times}, rows=2))], {KEY})
    assert batch.blocks[0][1].ts_ms.tolist() == [1, 2, 3]


def test_a_second_that_no_calendar_has_rejects_its_row_and_does_not_wrap() -> None:
    times = pa.array([1, 2**62, -(2**63)], pa.timestamp("s"))
    batch = reader().read([frame(0, stream({**ROWS, "ts_ms": times}))], {KEY})
    assert batch.blocks[0][1].ts_ms.tolist() == [1000]
    assert batch.rejections[0].rows == 2


def test_an_infinity_rejects_its_row_and_nan_is_missing() -> None:
    columns = ROWS | {"features.x": [math.inf, math.nan, 1.0]}
    batch = reader().read([frame(0, stream(columns))], {KEY})
    assert batch.rejections[0].reason == "Expected `float` <= 1e+100 - at `$.features.x`"
    assert batch.blocks[0][1].number("x").tolist()[1:] == [1.0]


def test_a_dead_letter_of_rows_is_json_and_says_so() -> None:
    columns = ROWS | {"id": ["a", "", "c"]}
    rejected = reader().read([frame(0, stream(columns))], {KEY}).rejections[0]
    out = letter(rejected, "tidegauge.predictions", 0)
    assert json.loads(out.value or b"")["ids"] == [""]
    assert [v for k, v in out.headers if k == "content-type"] == [b"application/json"]


def test_types_are_found_in_the_first_rows_of_arrow_frames() -> None:
    new = reader(None)
    rows = 60
    columns = {"id": [str(n) for n in range(rows)], "ts_ms": [1] * rows, "prediction": [0.5] * rows}
    columns |= {"features.x": [1.5] * rows, "features.c": ["DE"] * rows}
    batch = new.read([frame(n, stream(columns)) for n in range(2)], {KEY})
    assert new.columns[KEY] == Columns(("x",), ("c",))
    assert sum(len(block) for _, block in batch.blocks) == 120


def test_a_feature_that_comes_up_later_gets_a_column() -> None:
    new, rows = reader(), 150
    new.declared = {KEY: {"late": FeatureSpec(type="numeric")}}
    columns: dict[str, Any] = {"id": [str(n) for n in range(rows)], "ts_ms": [1] * rows}
    columns |= {"prediction": [0.5] * rows, "features.late": [2.5] * rows}
    new.read([frame(n, stream(columns)) for n in range(2)], {KEY})
    assert new.columns[KEY].numeric == ("x", "n", "late")


def test_labels_come_as_arrow_too() -> None:
    columns = {"id": ["a", "b", ""], "ts_ms": [1, 2, 3], "label": [True, False, True]}
    (found,), rejections = LabelReader(bytes(KEY_BYTES)).read([frame(5, stream(columns))])
    assert (list(found.ids), found.values.tolist()) == (["a", "b"], [1.0, 0.0])
    assert [(r.rows, r.of) for r in rejections] == [(1, ("m", ""))]


def test_a_stream_without_its_header_is_rejected() -> None:
    batch = reader().read([frame(0, stream(ROWS), declared=False)], {KEY})
    assert batch.rejections[0].reason.startswith("expected the header content-type: application/")
    assert batch.rejections[0].reason.endswith("apache.arrow.stream, got None")
    more = ("Content-Type", CONTENT_TYPE[1] + b"; charset=x")
    batch = reader().read([replace(frame(0, stream(ROWS), declared=False), headers=[more])], {KEY})
    assert batch.rejections[0].reason.endswith("apache.arrow.stream; charset=x'")


def test_what_is_neither_a_stream_nor_json_is_called_so_where_its_header_says_stream() -> None:
    batch = reader().read([frame(0, b"nonsense"), frame(1, as_json(ROWS)[:-1])], {KEY})
    (nonsense, cut) = (rejected.reason for rejected in batch.rejections)
    assert nonsense.endswith("(byte 4); nor is it an Arrow stream, as its content-type says")
    assert cut == "Input data was truncated; nor is it an Arrow stream, as its content-type says"


def test_json_with_the_header_is_read_as_json() -> None:
    batch = reader().read([frame(0, as_json(ROWS))], {KEY})
    assert len(batch.blocks[0][1]) == 3


DICTIONARY = pa.DictionaryArray.from_arrays(pa.array([0] * 1000), pa.array(["x" * 500_000]))
BAD: dict[str, tuple[bytes, str]] = {
    "lz4": (stream({"id": ["a" * 400] * 9}, compression="lz4"), "not compressed"),
    "zstd": (stream({"id": ["a" * 400] * 9}, compression="zstd"), "not compressed"),
    "old": (stream(ROWS, metadata_version=pa.ipc.MetadataVersion.V4), "version V5"),
    "no id": (stream({"ts_ms": [1]}), "expected a column `id`, got none"),
    "nested": (stream({**ROWS, "features.x": [[1], [2], [3]]}), "got list"),
    "other nested": (stream({**ROWS, "x": [{"a": 1}] * 3}), "not nested"),
    "date": (stream({**ROWS, "ts_ms": ["1", "2", "3"]}), "whole numbers or timestamps, got string"),
    "binary": (stream({**ROWS, "features.x": [b"a"] * 3}), "numbers, booleans or text, got binary"),
    "views": (stream({**ROWS, "id": pa.array(ROWS["id"], pa.string_view())}), "expected text"),
    "empty": (stream({k: pa.array(v)[:0] for k, v in ROWS.items()}), "1 to 100000 rows, got none"),
    "rows": (stream({"id": pa.nulls(100_001), "ts_ms": [1] * 100_001}), "100000 rows, got more"),
    "dictionary": (stream({"id": DICTIONARY, "ts_ms": [1] * 1000}), f"at most {MAX_BYTES} bytes"),
    "cells": (
        stream({"id": ["a"] * 9000, "ts_ms": [1] * 9000}
               | {f"features.{n}": pa.nulls(9000) for n in range(1000)}),
        f"at most {MAX_BYTES} bytes",
    ),
    "features": (
        stream({"id": ["a"], "ts_ms": [1]} | {f"features.{n}": [1] for n in range(2001)}),
        "at most 2000 features",
    ),
    "model": (stream(ROWS, {"model": ""}), "length >= 1"),
    "no model": (stream(ROWS).replace(b"model", b"about"), "`model` in the metadata of the schema"),
    "end": (stream(ROWS) + b"\0", "bytes behind its end"),
    "cut": (stream(ROWS)[:-60], "malformed"),
    "utf-8": (stream(ROWS).replace("größe".encode(), b"gr\xff\xff\xff\xffe"), "UTF8"),
    "batches": (stream({"id": ["a"] * 5000, "ts_ms": [1] * 5000}, rows=1), "4096 messages"),
}  # fmt: skip


@pytest.mark.parametrize("why", BAD)
def test_what_cannot_be_read_is_rejected_with_its_reason(why: str) -> None:
    value, reason = BAD[why]
    batch = reader().read([frame(0, value)], {KEY})
    assert reason in batch.rejections[0].reason
    assert not batch.blocks
    assert letter(batch.rejections[0], "t", 0).value == value or len(value) > 900_000
    assert batch.rejections[0].of == ("", "")


def test_the_rows_of_a_frame_that_is_rejected_whole_are_its_models() -> None:
    new = reader()
    new.declared = {KEY: {}}
    batch = new.read([frame(0, stream({**ROWS, "features.x": [[1]] * 3}))], {KEY})
    assert batch.rejections[0].of == KEY
