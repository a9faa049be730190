"""What the kernel reads of JSON frames, msgspec reads alike; what is plain, it reads.

``MUTANTS=1000000 pytest tests/streams/monitor/test_frame_kernel.py -k mutated`` tries many more.
"""

import json
import os
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.test_json_kernel import (
    LAYOUTS,
    NUMBERS,
    WORDS,
    Key,
    Layout,
    mutated,
    written,
)
from tidegauge.schemas.events import MAX_ROWS
from tidegauge.streams.monitor.intake.block import from_frame
from tidegauge.streams.monitor.intake.columns import Columns, RowSource, decoders
from tidegauge.streams.monitor.intake.decoding import BatchReader
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.intake.messages import check_lengths
from tidegauge.streams.monitor.intake.plain import PlainPart
from tidegauge.streams.monitor.intake.rejections import FAULTS
from tidegauge.streams.monitor.intake.row_kernel import RowKernel
from tidegauge.streams.monitor.offline import LoggedRecord

MUTANTS = int(os.environ.get("MUTANTS", "10000"))


class Judged:
    """Reads frames by the kernel, and holds what it accepts against msgspec."""

    def __init__(
        self, source: RowSource = "predictions", layouts: Mapping[Key, Layout] = LAYOUTS
    ) -> None:
        self.source, self.layouts, self.kernel = source, layouts, RowKernel(source)
        self.keys = {self.kernel.put(key, *own): key for key, own in layouts.items()}
        self.last = min(self.keys)

    def accepts(self, value: bytes) -> bool:
        """Return whether the kernel took a frame as plain, once msgspec has said the same of it."""
        rows = self.kernel.layouts.frame(value, self.last)
        if rows is None:
            return False
        self.last = int(rows.owner[0])
        key = self.keys[self.last]
        columns, awaited = self.layouts[key]
        read = decoders(self.source, columns, awaited)
        try:
            frame = read.frame(value)
            numbers, texts = read.numbers(frame.features), read.categories(frame.features)
            named = dict(enumerate([frame.ts_ms, *numbers, *texts]))
            named[-1] = getattr(frame, "predictions", None)
            check_lengths(len(frame.ids), {str(name): values for name, values in named.items()})
        except FAULTS as fault:
            raise AssertionError(f"{value!r} was accepted: {fault}") from None
        dictionaries = tuple(Dictionary() for _ in columns.categorical)
        expected = from_frame(frame, LoggedRecord(7, 9, None, value), read, dictionaries)
        part = PlainPart(np.frombuffer(value, np.uint8), expected.offsets, rows)
        found = part.block(read, dictionaries)
        names = set(json.loads(value.decode(errors="replace")).get("features", {}))
        assert (frame.model, frame.version) == key, value
        assert set(rows.owner.tolist()) == {self.last}, value
        assert [*found.ids] == frame.ids, value
        assert found.ts_ms.tolist() == expected.ts_ms.tolist(), value
        assert found.numbers.tobytes() == expected.numbers.tobytes(), value
        assert found.codes.tolist() == expected.codes.tolist(), value
        strange = bool(names - {*columns.numeric, *columns.categorical, *awaited})
        assert rows.strange.tolist() == [strange] * len(frame.ids), value
        assert read.shown(frame.features) == read.nothing, value
        return True


@st.composite
def plain(draw: st.DrawFn, source: RowSource) -> dict[str, Any]:
    """Return a frame of one of the layouts, its fields in any order."""
    key = draw(st.sampled_from([*LAYOUTS]))
    columns, awaited = LAYOUTS[key]
    rows = draw(st.integers(1, 5))

    def some(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    others = WORDS.filter(lambda name: name != "ids")
    features: dict[str, Any] = draw(st.dictionaries(others, NUMBERS | st.lists(others), max_size=2))
    for name in columns.numeric[:4]:
        features[name] = draw(st.sampled_from([None, some(NUMBERS)]))
    for name in columns.categorical:
        features[name] = draw(st.sampled_from([None, some(st.none() | others)]))
    features |= {name: None for name in awaited}
    frame: dict[str, Any] = {
        "model": key[0],
        "ids": some(WORDS.filter(lambda said: bool(said) and "]" not in said)),
        "ts_ms": some(st.integers(0, 253_402_300_799_999)),
        "features": {name: features[name] for name in draw(st.permutations([*features]))},
        "id": draw(NUMBERS | others),  # of no meaning in a frame
    }
    if source == "predictions":
        frame["predictions"] = some(NUMBERS.filter(lambda v: v is not None))
    if key[1] or draw(st.booleans()):
        frame["version"] = key[1]
    order = draw(st.permutations([*frame]))
    if draw(st.booleans()):
        order = sorted(order, key=lambda name: name not in ("model", "version"))
    return {name: frame[name] for name in order}


@pytest.mark.parametrize("source", ["predictions", "features"])
@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_plain_frame_is_read_whoever_wrote_it(source: RowSource, data: st.DataObject) -> None:
    frame = data.draw(plain(source))
    value, judged = written(frame, data.draw(st.integers(0, 3))), Judged(source)
    key = (frame["model"], frame.get("version", ""))
    judged.last = next(place for place, own in judged.keys.items() if own == key)
    order = [name for name in frame if name in ("model", "features", "version")]
    # In this order the features are read as those of the model without a version.
    assert judged.accepts(value) or order == ["model", "features", "version"]


def test_frames_of_a_hundred_models_take_turns() -> None:
    layouts = {(f"m{n}", str(n % 3)): (Columns((f"a{n}", "b"), ()), ()) for n in range(100)}
    judged = Judged(layouts=layouts)
    for (model, version), (own, _) in layouts.items():
        frame = {"model": model, "version": version, "ids": ["1", "2"], "ts_ms": [1, 2],
                 "predictions": [0.5, 1], "features": {own.numeric[0]: [1, None]}}  # fmt: skip
        assert judged.accepts(written(frame, 0))


def test_a_frame_that_says_whose_it_is_at_its_end_is_read_where_its_layout_is_that_of_another() -> (
    None
):
    judged = Judged()
    frame = {"features": {"amount": [1, 2]}, "ids": ["a", "b"], "ts_ms": [1, 2],
             "predictions": [1, 2], "model": "fraud", "version": "2"}  # fmt: skip
    assert judged.accepts(written(frame, 0))
    assert judged.keys[judged.last] == ("fraud", "2")


FRAME = (
    b'{"model":"fraud","ids":["a","b"],"ts_ms":[5,6],"predictions":[0.5,1],'
    b'"features":{"amount":[1,null],"country":["DE","FR"]}}'
)
CHANGES = [
    (b'["a","b"]', b'["a","b","c"]'),
    (b'["a","b"]', b'["a"]'),
    (b'["a","b"]', b"[]"),
    (b'["a","b"]', b'["a",null]'),
    (b'["a","b"]', b'["a",""]'),
    (b'["a","b"]', b'["a","\\u0062"]'),
    (b'["a","b"]', b'["a" "b"]'),
    (b'["a","b"]', b'["a","b",]'),
    (b'["a","b"]', b'["a","' + b"x" * 513 + b'"]'),
    (b'["a","b"]', b'{"a","b"]'),
    (b'["a","b"]', b'"a","b"'),
    (b"[5,6]", b"[5,6,7]"),
    (b"[5,6]", b"[5]"),
    (b"[5,6]", b"[5,null]"),
    (b"[5,6]", b"[5,6.0]"),
    (b"[5,6]", b"[5,-6]"),
    (b"[5,6]", b"5"),
    (b"[5,6]", b"null"),
    (b"[0.5,1]", b"[0.5]"),
    (b"[0.5,1]", b"[0.5,1,2]"),
    (b"[0.5,1]", b"[0.5,null]"),
    (b"[0.5,1]", b'[0.5,"1"]'),
    (b"[0.5,1]", b"[0.5,1e101]"),
    (b"[0.5,1]", b"null"),
    (b'"predictions":[0.5,1],', b""),
    (b"[1,null]", b"[1]"),
    (b"[1,null]", b"[1,null,3]"),
    (b"[1,null]", b'[1,"2"]'),
    (b"[1,null]", b"1"),
    (b"[1,null]", b"[]"),
    (b'["DE","FR"]', b'["DE",1]'),
    (b'["DE","FR"]', b'["DE"]'),
    (b'["DE","FR"]', b'["DE","FR"'),
    (b'"amount":[1,null]', b'"amount":[1,null],"amount":[1,2]'),
    (b'"amount":[1,null]', b'"late":[1,2]'),
    (b'"amount":[1,null]', b'"late":[null,2]'),
    (b'"amount":[1,null]', b'"other":[1,2'),
    (b'"fraud"', b'"other"'),
    (b'"fraud"', b'"fraud","version":"9"'),
    (b'"fraud"', b'"fraud","model":"fraud"'),
    (b'"fraud"', b"7"),
    (b'"model":"fraud",', b""),
    (b"]}}", b"]}} x"),
    (b"]}}", b"]}"),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_frame_that_is_not_plain_is_left_to_others(before: bytes, after: bytes) -> None:
    judged = Judged()
    assert FRAME.count(before) == 1
    assert judged.accepts(FRAME)
    assert not judged.accepts(FRAME.replace(before, after))
    assert judged.accepts(FRAME)


def test_a_torn_frame_is_left_to_others_wherever_it_is_torn() -> None:
    judged = Judged()
    assert not any(judged.accepts(FRAME[:at]) for at in range(len(FRAME)))


def test_a_frame_has_as_many_rows_as_one_may_have() -> None:
    judged = Judged(layouts={("m", ""): (Columns((), ()), ())})
    for rows, expected in ((MAX_ROWS, True), (MAX_ROWS + 1, False)):
        frame = {"model": "m", "ids": ["a"] * rows, "ts_ms": [0] * rows, "predictions": [1] * rows}
        assert judged.accepts(written(frame, 0)) is expected


@pytest.mark.parametrize("source", ["predictions", "features"])
def test_of_mutated_frames_no_more_is_accepted_than_msgspec_accepts(source: RowSource) -> None:
    chance, judged = random.Random(source), Judged(source)
    good = [
        {"model": "fraud", "ids": ["r-1", "r-2"], "ts_ms": [1732406400123, 7],
         "predictions": [0.1 + 0.2, 1], "features": {"amount": [-12.5e-7, None], "age": None,
         "country": ["größe", None], "late": None, "z": [1]}},
        {"features": {"code": ["7", "8", "7"], "amount": [True, 1.5, 2]}, "ids": ["ä", "b", "c"],
         "model": "fraud", "predictions": [17, False, 2], "ts_ms": [0, 1, 2], "version": "2"},
        {"model": "größe", "version": "v1", "ids": ["1"], "ts_ms": [7], "predictions": [0],
         "features": {}},
        {"model": "churn", "ids": ["b"], "ts_ms": [9], "predictions": [1e-9],
         "features": {"größe": ["x"], **{f"f{n}": [n / 7] for n in range(12)}}},
    ]  # fmt: skip
    texts = [written(frame, how) for frame in good for how in range(4)]
    accepted = sum(judged.accepts(mutated(chance, texts)) for _ in range(MUTANTS))
    assert MUTANTS / 20 < accepted < MUTANTS


def test_frames_of_versions_that_take_turns_stay_in_the_bytes_they_came_in() -> None:
    keys = [("m", ""), ("m", "2")]
    reader = BatchReader("predictions")
    for key in keys:
        reader.columns[key], reader.spread[key] = Columns(("a",), ("b",)), False
    values = [
        written({"model": model, "version": version, "ids": ["x", "y"] * 20, "ts_ms": [1, 2] * 20,
                 "predictions": [0.5, 1] * 20, "features": {"a": [1, None] * 20}}, 0)
        for model, version in keys * 2
    ]  # fmt: skip
    records = [LoggedRecord(n, 9, b"m", value) for n, value in enumerate(values)]
    reader.read(records, keys)  # opens them
    blocks = reader.read(records, keys).blocks
    assert [key for key, _ in blocks] == keys * 2
    for value, (_, block) in zip(values, blocks, strict=True):
        assert np.shares_memory(block.ids.buffer, np.frombuffer(value, np.uint8))
