"""What the kernel reads of JSON, msgspec reads alike, to the last bit; what is plain, it reads.

``MUTANTS=5000000 pytest tests/streams/monitor/test_json_kernel.py -k mutated`` tries many more.
"""

import json
import os
import random
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.streams.monitor.intake.columns import SCORE, Columns, RowSource, decoders
from tidegauge.streams.monitor.intake.dictionary import Dictionary, as_text
from tidegauge.streams.monitor.intake.json_kernel import CAREFUL, PROBES
from tidegauge.streams.monitor.intake.plain_rows import NULL
from tidegauge.streams.monitor.intake.rejections import FAULTS
from tidegauge.streams.monitor.intake.row_kernel import RowKernel
from tidegauge.streams.monitor.intake.texts import Texts

MUTANTS = int(os.environ.get("MUTANTS", "20000"))
Key = tuple[str, str]
Layout = tuple[Columns, tuple[str, ...]]
LAYOUTS: Mapping[Key, Layout] = {
    ("fraud", ""): (Columns(("amount", "age"), ("country",)), ("late",)),
    ("fraud", "2"): (Columns(("amount",), ("country", "code"), ("code",)), ()),
    ("größe", "v1"): (Columns((), ()), ()),
    ("churn", ""): (Columns(tuple(f"f{n}" for n in range(30)), ("größe",)), ("x", "y")),
}


class Judged:
    """Reads values by the kernel, and holds what it accepts against msgspec."""

    def __init__(
        self, source: RowSource = "predictions", layouts: Mapping[Key, Layout] = LAYOUTS
    ) -> None:
        self.source, self.layouts, self.kernel = source, layouts, RowKernel(source)
        self.keys = {self.kernel.put(key, *own): key for key, own in layouts.items()}

    def accepted(self, values: Sequence[bytes | None]) -> list[bool]:
        """Return which values the kernel took as plain, once msgspec has said the same of them."""
        known = [value or b"" for value in values]
        lengths = np.array([NULL if v is None else len(v) for v in values], np.int64)
        starts = np.cumsum(np.maximum(lengths, 0)) - np.maximum(lengths, 0)
        buffer = np.frombuffer(b"".join(known), np.uint8)
        rows = self.kernel.layouts.read(buffer, np.stack([starts, lengths], axis=1))
        for at in np.flatnonzero(rows.owner != CAREFUL).tolist():
            key = self.keys[int(rows.owner[at])]
            columns, awaited = self.layouts[key]
            read = decoders(self.source, columns, awaited)
            try:
                row = read.row(known[at])
            except FAULTS as fault:
                raise AssertionError(f"{known[at]!r} was accepted: {fault}") from None
            numbers = [*read.numbers(row.features)]
            numbers += [row.prediction] if SCORE in read.names else []
            expected = np.array(numbers, np.float64)
            pairs = zip(read.columns.categorical, read.categories(row.features), strict=True)
            texts = [as_text([v])[0] if name in columns.coded else v for name, v in pairs]
            spans = rows.texts[at, : len(texts)]
            found = [
                None if n == NULL else Texts(buffer, spans)[k] for k, (_, n) in enumerate(spans)
            ]
            names = set(json.loads(known[at].decode(errors="replace")).get("features", {}))
            strange = names - {*columns.numeric, *columns.categorical, *awaited}
            assert (row.model, row.version) == key, known[at]
            assert Texts(buffer, rows.ids)[at] == row.id, known[at]
            assert rows.ts_ms[at] == row.ts_ms, known[at]
            assert rows.numbers[at, : len(numbers)].tobytes() == expected.tobytes(), known[at]
            assert found == texts, known[at]
            assert rows.strange[at] == bool(strange), known[at]
            assert read.shown(row.features) == read.nothing, known[at]
        return [owner != CAREFUL for owner in rows.owner.tolist()]


# --- what is plain -------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.floats(-1e100, 1e100).filter(lambda v: v == 0 or abs(v) > 1e-290),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none(),
)
WORDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=9
)
ANY = st.recursive(
    NUMBERS | WORDS, lambda own: st.lists(own, max_size=3) | st.dictionaries(WORDS, own, max_size=3)
)


@st.composite
def plain(draw: st.DrawFn, source: RowSource = "predictions") -> dict[str, Any]:
    """Return a row of one of the layouts, its fields in any order."""
    key = draw(st.sampled_from([*LAYOUTS]))
    columns, awaited = LAYOUTS[key]
    features: dict[str, Any] = draw(st.dictionaries(WORDS, ANY, max_size=2))
    for name in columns.numeric:
        features[name] = draw(NUMBERS)
    for name in columns.categorical:
        features[name] = draw(st.none() | WORDS)
    features |= {name: None for name in awaited}
    names = draw(st.permutations([name for name in features if draw(st.integers(0, 5))]))
    row: dict[str, Any] = {
        "model": key[0],
        "id": draw(WORDS.filter(bool)),
        "ts_ms": draw(st.integers(0, 253_402_300_799_999)),
        "features": {name: features[name] for name in names},
        "other": draw(ANY),
    }
    if source == "predictions":
        row["prediction"] = draw(NUMBERS.filter(lambda v: v is not None))
    if key[1] or draw(st.booleans()):
        row["version"] = key[1]
    return {name: row[name] for name in draw(st.permutations([*row]))}


def written(row: Any, how: int) -> bytes:
    """Return a row as one of the usual libraries writes it."""
    if how == 0:
        return orjson.dumps(row)
    if how == 1:
        return msgspec.json.encode(row)
    is_wide = how > 2
    return json.dumps(row, ensure_ascii=False, indent=is_wide or None, sort_keys=is_wide).encode()


@pytest.mark.parametrize("source", ["predictions", "features"])
@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_is_plain_is_read_whoever_wrote_it(source: RowSource, data: st.DataObject) -> None:
    rows = data.draw(st.lists(plain(source), min_size=1, max_size=8))
    values = [written(row, data.draw(st.integers(0, 3))) for row in rows]
    assert all(Judged(source).accepted(values))


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    digits=st.integers(0, 10**19 - 1),
    point=st.integers(0, 25),
    ten=st.integers(-330, 130),
    form=st.sampled_from(["", "e", "E", "e+"]),
    negative=st.booleans(),
)
def test_numbers_are_rounded_as_msgspec_rounds_them(
    digits: int, point: int, ten: int, form: str, negative: bool
) -> None:
    said = f"{digits:0{point + 1}d}"
    said = said[: len(said) - point] + "." * (point > 0) + said[len(said) - point :]
    said = "-" * negative + said + (f"{form}{abs(ten) if '+' in form else ten}" if form else "")
    value = b'{"model":"fraud","id":"1","ts_ms":0,"prediction":%s}' % said.encode()
    Judged().accepted([value])


@pytest.mark.parametrize("bits", range(3))
def test_numbers_half_way_between_two_floats_are_rounded_to_the_even_one(bits: int) -> None:
    chance = random.Random(bits)
    values = []
    for _ in range(300):
        half = (chance.getrandbits(53) | 1 << 52) * 2 + 1
        said = half << chance.randint(0, 9) if bits else half / 2 ** chance.randint(0, 6)
        values.append(b'{"model":"fraud","id":"1","ts_ms":0,"prediction":%r}' % said)
    assert all(Judged().accepted(values))


def test_every_float_as_python_prints_it_is_plain() -> None:
    chance, values = random.Random(4), list[bytes]()
    while len(values) < 2000:
        value = struct.unpack("d", chance.randbytes(8))[0]
        if 1e-290 < abs(value) <= 1e100:
            values.append(b'{"model":"fraud","id":"1","ts_ms":0,"prediction":%r}' % value)
    assert all(Judged().accepted(values))


# --- what is not ---------------------------------------------------------------------------------

ROW = (
    b'{"model":"fraud","id":"a","ts_ms":5,"prediction":0.5,"features":{"amount":1,"country":"DE"}}'
)
CHANGES = [
    (b'"a"', b'"\\u0061"'),
    (b'"a"', b'""'),
    (b'"a"', b'"' + b"x" * 513 + b'"'),
    (b'"a"', b'"\xff"'),
    (b'"a"', b'"\xed\xa0\x80"'),
    (b'"a"', b'"\xc0\x80"'),
    (b'"a"', b'"\xe2\x82"'),
    (b'"a"', b'"\n"'),
    (b'"a"', b"7"),
    (b'"fraud"', b'"other"'),
    (b'"fraud"', b'"fraud","version":"9"'),
    (b'"fraud"', b'"fraud","model":"fraud"'),
    (b'"fraud"', b'"fraud","ids":["a"]'),
    (b'"fraud"', b'"fraud","\\u0069ds":["a"]'),
    (b":5,", b":5.0,"),
    (b":5,", b":-5,"),
    (b":5,", b":05,"),
    (b":5,", b":253402300800000,"),
    (b"0.5", b"null"),
    (b"0.5", b'"1"'),
    (b"0.5", b"NaN"),
    (b"0.5", b"1e101"),
    (b"0.5", b"-1e101"),
    (b"0.5", b"0.5.5"),
    (b"0.5", b"00.5"),
    (b"0.5", b"1."),
    (b"0.5", b".5"),
    (b"0.5", b"1e"),
    (b"0.5", b"-"),
    (b"0.5", b"tru"),
    (b'"amount":1', b'"amount":"1"'),
    (b'"amount":1', b'"amount":1,"amount":2'),
    (b'"amount":1', b'"amount":[1]'),
    (b'"amount":1', b'"late":1'),
    (b'"amount":1', b'"amount":1,'),
    (b'"amount":1', b'"other":[1,]'),
    (b'"amount":1', b'"other":[1}'),
    (b'"amount":1', b'"other":{"a" 1}'),
    (b'"amount":1', b'"other":{1:1}'),
    (b'"amount":1', b'"other":' + b"[" * 61 + b"]" * 61),
    (b'"DE"', b'"\\u00e4"'),
    (b'"DE"', b"7"),
    (b'"DE"', b'"\xf5\x80\x80\x80"'),
    (b"}}", b"}} x"),
    (b"}}", b"}"),
    (b"}}", b"},}"),
    (b'{"amount":1,"country":"DE"}', b"null"),
    (b'{"amount":1,"country":"DE"}', b"[]"),
    (b'"id":"a",', b""),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_what_is_not_plain_is_left_to_others(before: bytes, after: bytes) -> None:
    judged = Judged()
    assert ROW.count(before) == 1
    assert judged.accepted([ROW, ROW.replace(before, after), ROW]) == [True, False, True]


def test_nothing_is_read_of_a_null_or_an_empty_value() -> None:
    assert Judged().accepted([None, b"", b"{}", b"[]", b" ", ROW]) == [False] * 5 + [True]


def test_a_torn_row_is_left_to_others_wherever_it_is_torn() -> None:
    assert Judged().accepted([ROW[:at] for at in range(len(ROW))]) == [False] * len(ROW)


TOKENS = [b'"', b",", b":", b"{", b"}", b"[", b"]", b"0", b"-", b"e", b".", b"null", b"\\", b" "]
TOKENS += [b'"id":"2",', b'"version":"2",', b"\xc3", b"\x00", b"1e5", b"true", b'"features":{},']


def mutated(chance: random.Random, texts: Sequence[bytes]) -> bytes:
    """Return one of the texts with some bytes left out, put in or changed."""
    value = chance.choice(texts)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(value))
        to = min(len(value), at + chance.choice((0, 0, 1, 1, 1, 2, 9)))
        more = chance.choice((b"", chance.choice(TOKENS), bytes([chance.randrange(256)])))
        value = value[:at] + more + value[to:]
    return value


@pytest.mark.parametrize("source", ["predictions", "features"])
def test_of_mutated_rows_no_more_is_accepted_than_msgspec_accepts(source: RowSource) -> None:
    chance, judged = random.Random(source), Judged(source)
    good = [
        {"model": "fraud", "id": "req-1", "ts_ms": 1732406400123, "prediction": 0.1 + 0.2,
         "features": {"amount": -12.5e-7, "age": None, "country": "größe", "late": None, "z": [1]}},
        {"features": {"code": "7", "amount": True, "country": "DE"}, "id": "ä", "model": "fraud",
         "prediction": 17, "ts_ms": 0, "version": "2", "note": {"a": [], "b": {"c": None}}},
        {"model": "größe", "version": "v1", "id": "1", "ts_ms": 7, "prediction": False,
         "features": {}},
        {"model": "churn", "id": "b", "ts_ms": 9, "prediction": 1e-9,
         "features": {"größe": "x", **{f"f{n}": n / 7 for n in range(30)}}},
    ]  # fmt: skip
    texts = [written(row, how) for row in good for how in range(4)]
    accepted = 0
    for _ in range(MUTANTS // 100):
        values = [mutated(chance, texts) for _ in range(100)]
        accepted += sum(judged.accepted(values))
    assert MUTANTS / 10 < accepted < MUTANTS


# --- layouts -------------------------------------------------------------------------------------


def test_a_thousand_models_take_turns() -> None:
    layouts = {(f"m{n}", str(n % 3)): (Columns((f"a{n}", "b"), ()), ()) for n in range(1000)}
    judged = Judged(layouts=layouts)
    rows = [
        {"model": m, "version": v, "id": "1", "ts_ms": 1, "prediction": 0.5,
         "features": {own.numeric[0]: n, "b": 2}}
        for n, ((m, v), (own, _)) in enumerate(layouts.items())
    ]  # fmt: skip
    random.Random(1).shuffle(rows)
    for how in (0, 3):  # the other way features come first
        assert sum(judged.accepted([written(row, how) for row in rows])) >= 998


def test_a_version_that_is_dropped_is_left_to_others_until_it_is_put_again() -> None:
    judged = Judged()
    judged.kernel.drop(("fraud", ""))
    assert judged.accepted([ROW]) == [False]
    assert judged.keys[judged.kernel.put(("fraud", ""), *LAYOUTS["fraud", ""])] == ("fraud", "")
    assert judged.accepted([ROW]) == [True]


def test_without_layouts_nothing_is_read() -> None:
    assert Judged(layouts={}).accepted([ROW]) == [False]


# --- categories ----------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.none() | st.text(max_size=3) | st.text(min_size=99, max_size=102))))
def test_texts_in_a_buffer_have_the_codes_of_texts(batches: list[list[str | None]]) -> None:
    expected, found = Dictionary(), Dictionary()
    for said in batches:
        texts = Texts.of([text or "" for text in said])
        spans = texts.spans.copy()
        spans[[text is None for text in said], 1] = NULL
        codes = found.encode_spans(texts.buffer, spans)
        assert codes.tolist() == expected.encode(said).tolist()
        assert found.values == expected.values


def test_more_values_than_there_is_room_for_have_codes_all_the_same() -> None:
    dictionary, texts = Dictionary(), Texts.of([str(n) for n in range(3000)])
    for _ in range(2):
        assert dictionary.encode_spans(texts.buffer, texts.spans).tolist() == [*range(3000)]
    assert len(dictionary.values) > PROBES
