"""What the kernel reads of Arrow streams, pyarrow and msgspec read alike.

``python -m tests.streams.monitor.fuzz_arrow 1000000 7`` tries many more mutated ones.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.arrow import stream
from tidegauge.streams.monitor.intake.arrow_frames import MAX_BYTES, header, read_frame
from tidegauge.streams.monitor.intake.arrow_layout import Known
from tidegauge.streams.monitor.intake.arrow_stream import plain_stream
from tidegauge.streams.monitor.intake.awaited import values_in
from tidegauge.streams.monitor.intake.block import from_frame
from tidegauge.streams.monitor.intake.columns import Columns, RowSource, decoders
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.intake.plain import PlainPart
from tidegauge.streams.monitor.intake.rejections import FAULTS
from tidegauge.streams.monitor.offline import LoggedRecord

COLUMNS, AWAITED = Columns(("x", "n"), ("c",)), ("late",)


def accepts(value: bytes, source: RowSource = "predictions") -> bool:
    """Return whether the kernel took a stream as plain, once its judges have said the same."""
    read, found = decoders(source, COLUMNS, AWAITED), plain_stream(value)
    rows = None if found is None else found.rows(read)
    if found is None or rows is None:
        return False
    try:
        judged = read_frame(value)
        expected = read.frame(judged.as_json())
    except FAULTS as fault:
        raise AssertionError(f"{value!r} was accepted: {fault}") from None
    dictionaries = (Dictionary(),)
    block = from_frame(expected, LoggedRecord(7, 9, None, value), read, dictionaries)
    own = PlainPart(np.frombuffer(value, np.uint8), block.offsets, rows).block(read, dictionaries)
    assert found.layout.key == (expected.model, expected.version), value
    assert [*own.ids] == expected.ids, value
    assert own.ts_ms.tolist() == block.ts_ms.tolist(), value
    assert own.numbers.tobytes() == block.numbers.tobytes(), value
    assert own.codes.tolist() == block.codes.tolist(), value
    assert (own.names, own.categorical) == (block.names, block.categorical)
    late = [v for raw in read.shown(expected.features) for v in values_in(raw, as_frame=True)]
    assert set(late) <= {None}, value
    strange = bool(set(judged.features) - {"x", "n", "c", "late"})
    assert rows.strange.tolist() == [strange] * len(expected.ids), value
    return True


CODED: list[Any] = [
    pa.dictionary(index, text) for index in (pa.int8(), pa.uint16(), pa.int64())
    for text in (pa.string(), pa.large_string())
]  # fmt: skip
WHOLE: dict[Any, int] = {pa.int64(): 2**63, pa.int32(): 2**31, pa.int16(): 2**15, pa.int8(): 2**7}
NATURAL: dict[Any, int] = {
    pa.uint64(): 2**64,
    pa.uint32(): 2**32,
    pa.uint16(): 2**16,
    pa.uint8(): 2**8,
}
TEXT: list[Any] = [pa.string(), pa.large_string()]
TIMES: list[Any] = [
    *WHOLE,
    *NATURAL,
    *(pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns")),
]
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
ODD = [1e100, -1e100, np.nextafter(1e100, np.inf), np.inf, -np.inf, np.nan]


def numbers(kind: Any, wild: bool, missing: bool = True) -> st.SearchStrategy[Any]:
    """Return values of a type; wild ones may be out of range."""
    none = st.none() if missing else st.nothing()
    if kind in (pa.float64(), pa.float32()):
        sane = st.floats(-(2.0**99), 2.0**99, width=64 if kind == pa.float64() else 32)
        nan = st.just(np.nan) if missing else st.nothing()
        return none | sane | nan | (st.sampled_from(ODD) if wild else sane)
    if kind in WHOLE:
        return none | st.integers(-WHOLE[kind], WHOLE[kind] - 1)
    return none | (st.integers(0, NATURAL[kind] - 1) if kind in NATURAL else st.booleans())


NUMERIC: list[Any] = [pa.float64(), pa.float32(), *WHOLE, *NATURAL, pa.bool_()]


@st.composite
def tables(draw: st.DrawFn, wild: bool) -> dict[str, Any]:
    """Return columns of a frame; all of them plain, if they are not wild."""
    rows, skipped = draw(st.integers(1, 20)), draw(st.integers(0, 9))

    def column(kind: Any, values: st.SearchStrategy[Any]) -> Any:
        more = rows + skipped
        drawn = draw(st.lists(values, min_size=more, max_size=more))
        if isinstance(kind, pa.DictionaryType):
            return pa.array(drawn, kind.value_type).dictionary_encode().cast(kind)[skipped:]
        return pa.array(drawn, kind, from_pandas=draw(st.booleans()))[skipped:]

    def some(name: str, kinds: list[Any], values: st.SearchStrategy[Any]) -> None:
        if draw(st.booleans()):
            columns[name] = column(draw(st.sampled_from(kinds)), values)

    maybe = st.none() if wild else st.nothing()
    when = draw(st.sampled_from(TIMES))
    latest = min({**WHOLE, **NATURAL}.get(when, 2**63), 2**62 if wild else 2**37) - 1
    times = st.integers(-1 if wild and when not in NATURAL else 0, latest)
    ids = ANY_TEXT if wild else ANY_TEXT.filter(bool)
    columns = {
        "id": column(draw(st.sampled_from([*TEXT, *CODED])), ids | maybe),
        "ts_ms": column(when, times | maybe),
    }
    kind = draw(st.sampled_from(NUMERIC))
    columns["prediction"] = column(kind, numbers(kind, wild, missing=wild))
    for name in ("x", "n", "label"):
        kind = draw(st.sampled_from(NUMERIC))
        some(f"features.{name}", [kind], numbers(kind, wild))
    if draw(st.booleans()):  # a dictionary has one value at least, or only pyarrow reads it
        kind = draw(st.sampled_from([*TEXT, *CODED]))
        some("features.c", [kind], ANY_TEXT | (st.none() if kind in TEXT or wild else st.nothing()))
    kind = draw(st.sampled_from([*TEXT, *NUMERIC, pa.null()]))
    value = numbers(kind, wild) if kind in NUMERIC else ANY_TEXT
    some("features.late", [kind], st.none() | (value if wild and kind != pa.null() else maybe))
    some("features.other", TEXT, ANY_TEXT)
    some("remark", TEXT, ANY_TEXT)
    some("features.n", [pa.null()], st.none())
    return columns


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tables(wild=False), st.sampled_from(["predictions", "features"]))
def test_plain_columns_are_read_whatever_their_types(table: Any, source: RowSource) -> None:
    assert accepts(stream(table), source)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tables(wild=True), st.sampled_from(["predictions", "features"]), st.integers(1, 20))
def test_of_any_columns_no_more_is_accepted_than_pyarrow_and_msgspec_accept(
    table: Any, source: RowSource, rows: int
) -> None:
    value = stream(table, rows=rows)
    plain = accepts(value, source)
    assert plain <= (rows >= len(table["id"]))
    assert accepts(read_frame(value).as_plain(), source) >= plain


PLAIN: dict[str, Any] = {
    "id": ["a", "bc", "ä"],
    "ts_ms": [1, 2, 3],
    "prediction": [0.5, 0.25, 1.0],
    "features.x": [1.5, None, 2.5],
    "features.c": ["DE", None, "FR"],
}
STREAM = stream(PLAIN)
ID, TS_MS, SCORE, X, C = range(5)
ID_AT, X_BITS, C_AT = 1, 7, 10  # buffers


class Places:
    """Where the numbers of a message stand, of the last one if not said otherwise."""

    def __init__(self, value: bytes, message: int = -1) -> None:
        starts = starts_in(value)
        self.start = starts[message]
        read = pa.ipc.read_message(pa.py_buffer(value).slice(self.start))
        batch, metadata = header(read), self.start + 8
        if batch is not None and read.type == "dictionary":
            batch = batch.table(1)
        assert batch is not None
        self.body = metadata + read.metadata.size
        self.nodes, self.buffers = (metadata + batch.vector(field)[0] for field in (1, 2))

    def buffer(self, value: bytes, which: int) -> int:
        """Return where a buffer begins in the stream."""
        entry = self.buffers + 16 * which
        return self.body + int.from_bytes(value[entry : entry + 8], "little")


def starts_in(value: bytes) -> list[int]:
    """Return where the messages of a stream begin."""
    starts, at = list[int](), 0
    while at < len(value) - 8:
        starts.append(at)
        message = pa.ipc.read_message(pa.py_buffer(value).slice(at))
        at += 8 + message.metadata.size + len(message.body or b"")
    return starts


def poked(at: int, number: int, size: int = 8, value: bytes = STREAM) -> bytes:
    """Return a stream with a number that is another."""
    return value[:at] + number.to_bytes(size, "little", signed=True) + value[at + size :]


AT = Places(STREAM)
NODE, BUFFER = AT.nodes, AT.buffers
OFFSETS, TEXTS = AT.buffer(STREAM, ID_AT), AT.buffer(STREAM, ID_AT + 1)
COUNTRIES = pa.array(["DE", None, "FR"]).dictionary_encode()
CODED_STREAM = stream({**PLAIN, "features.c": COUNTRIES, "features.late": pa.nulls(3)})
VALUES, CODES = Places(CODED_STREAM, 1), Places(CODED_STREAM)
FIRST_CODE = CODES.buffer(CODED_STREAM, C_AT)
DICTIONARY = CODED_STREAM[VALUES.start : CODES.start]
WITHOUT = stream({**PLAIN, "features.n": pa.nulls(3)})
TWO = stream(
    {**PLAIN, "id": pa.array(["a", "b", "a"]).dictionary_encode(), "features.c": COUNTRIES}
)
FIRST, SECOND, LAST = starts_in(TWO)[1:]
ONE = (1).to_bytes(8, "little")  # the key of the second dictionary, in schema and message
FLAGS = stream({**PLAIN, "features.n": [True, False, True]})
NO_ENDIANNESS = b"\x0a\0\x0c\0\0\0\x04\0\x08\0"  # of a schema: where its fields are, 0 nowhere
BROKEN = {
    "a column of fewer rows": poked(NODE + 16 * X, 2),
    "a column of more rows": poked(NODE + 16 * X, 4),
    "nulls below zero": poked(NODE + 16 * X + 8, -1),
    "more nulls than rows": poked(NODE + 16 * X + 8, 4),
    "more nulls than bits": poked(NODE + 16 * X + 8, 2),
    "nulls without bits": poked(NODE + 16 * TS_MS + 8, 1),
    "a buffer before the body": poked(BUFFER + 16 * (X_BITS + 1), -24),
    "a buffer behind the body": poked(BUFFER + 16 * ID_AT, 2**20),
    "a buffer between words": poked(
        BUFFER + 16 * (C_AT + 1), AT.buffer(STREAM, C_AT + 1) - AT.body + 1
    ),
    "a buffer that is too short": poked(BUFFER + 16 * ID_AT + 8, 12),
    "a buffer beyond the body": poked(BUFFER + 16 * ID_AT + 8, 2**20),
    "a buffer without end": poked(BUFFER + 16 * ID_AT + 8, 2**63 - 1),
    "a buffer of less than nothing": poked(BUFFER + 16 * ID_AT + 8, -16),
    "a bitmap that is too short": poked(BUFFER + 16 * X_BITS + 8, 0),
    "texts that are too short": poked(BUFFER + 16 * (ID_AT + 1) + 8, 4),
    "texts from before the first": poked(OFFSETS, -1, 4),
    "texts that go back": poked(AT.buffer(STREAM, C_AT) + 4, 4, 4),
    "codes beyond the dictionary": poked(FIRST_CODE, 2, 4, CODED_STREAM),
    "codes below zero": poked(FIRST_CODE, -1, 4, CODED_STREAM),
    "no dictionary": CODED_STREAM[: VALUES.start] + CODED_STREAM[CODES.start :],
    "two dictionaries": CODED_STREAM[: CODES.start] + DICTIONARY + CODED_STREAM[CODES.start :],
    "dictionaries in another order": TWO[:FIRST]
    + TWO[SECOND:LAST]
    + TWO[FIRST:SECOND]
    + TWO[LAST:],
    "a dictionary that another replaces": TWO[:FIRST].replace(ONE, bytes(8))
    + TWO[FIRST:SECOND]
    + TWO[SECOND:LAST].replace(ONE, bytes(8))
    + TWO[LAST:],
    "a dictionary of numbers": stream(
        {**PLAIN, "other": pa.array([1.5, 2, 2]).dictionary_encode()}
    ),
    "a dictionary that unpacks to too much": stream(
        {
            **{name: [values[0]] * 1000 for name, values in PLAIN.items()},
            "features.c": pa.DictionaryArray.from_arrays(
                pa.array([0] * 1000), pa.array(["x" * 20_000])
            ),
        }
    ),
    "a dictionary too late": CODED_STREAM[:-8] + DICTIONARY + CODED_STREAM[-8:],
    "a dictionary that is no UTF-8": poked(VALUES.buffer(CODED_STREAM, 2), -1, 1, CODED_STREAM),
    "a code for an id that is null": stream({**PLAIN, "id": COUNTRIES}),
    "a code where none was before": stream({**PLAIN, "features.late": COUNTRIES}),
    "fewer rows of no type": poked(Places(WITHOUT).nodes + 16 * 5 + 8, 2, 8, WITHOUT),
    "texts that end early": poked(OFFSETS + 12, 2, 4),
    "a text of no characters": poked(OFFSETS + 4, 0, 4),
    "a character in two texts": poked(OFFSETS + 8, 4, 4),
    "no UTF-8": poked(TEXTS, -1, 1),
    "another batch": stream(PLAIN, rows=2),
    "no end": STREAM[:-8],
    "something behind the end": STREAM + STREAM,
    "half a body": STREAM[: AT.body + 8],
    "half a schema": STREAM[:100],
    "a compressed body": stream({**PLAIN, "features.c": ["DE" * 99] * 3}, compression="zstd"),
    "an old version": stream(PLAIN, metadata_version=pa.ipc.MetadataVersion.V4),
    "numbers of 16 bits": stream({**PLAIN, "features.x": pa.array([1, 2, 3], pa.float16())}),
    "a date": stream({**PLAIN, "day": pa.array([1, 2, 3], pa.date32())}),
    "text in place of numbers": stream({**PLAIN, "features.x": ["1", "2", "3"]}),
    "numbers in place of text": stream({**PLAIN, "features.c": [1, 2, 3]}),
    "no score": stream({name: values for name, values in PLAIN.items() if name != "prediction"}),
    "a score that is null": stream({**PLAIN, "prediction": [None, 1.0, 1.0]}),
    "a score that is NaN": stream({**PLAIN, "prediction": [np.nan, 1.0, 1.0]}),
    "scores of no type": stream({**PLAIN, "prediction": pa.nulls(3)}),
    "flags that are too short": poked(Places(FLAGS).buffers + 16 * 13 + 8, 0, 8, FLAGS),
    "fewer columns": poked(NODE - 4, 4, 4),
    "fewer buffers": poked(BUFFER - 4, 11, 4),
    "another order of bytes": STREAM.replace(NO_ENDIANNESS, b"\x0a\0\x0c\0\4\0\x04\0\x08\0", 1),
    "too many rows": stream({name: [values[0]] * 100_001 for name, values in PLAIN.items()}),
    "a number beyond all": stream({**PLAIN, "features.x": [1.1e100, 1.0, 1.0]}),
    "an infinity": stream({**PLAIN, "features.x": [np.inf, 1.0, 1.0]}),
    "a value where none was before": stream({**PLAIN, "features.late": [None, None, 1]}),
    "a text where none was before": stream({**PLAIN, "features.late": [None, None, ""]}),
    "an id that is null": stream({**PLAIN, "id": ["a", None, "c"]}),
    "a long id": stream({**PLAIN, "id": ["a", "b", "c" * 513]}),
    "a time that is null": stream({**PLAIN, "ts_ms": [None, 2, 3]}),
    "a time before 1970": stream({**PLAIN, "ts_ms": [-1, 2, 3]}),
    "a time beyond the calendar": stream({**PLAIN, "ts_ms": [2**48, 2, 3]}),
    "seconds that would wrap": stream({**PLAIN, "ts_ms": pa.array([2**62] * 3, pa.timestamp("s"))}),
    "no rows": stream({name: pa.array(values)[:0] for name, values in PLAIN.items()}),
    "no model": stream(PLAIN, {"model": ""}),
    "a nested column": stream({**PLAIN, "other": [[1]] * 3}),
}


@pytest.mark.parametrize("value", [STREAM, CODED_STREAM, TWO, WITHOUT, FLAGS])
def test_a_plain_stream_is_read(value: bytes) -> None:
    assert accepts(value)


@pytest.mark.parametrize("why", BROKEN)
def test_a_stream_that_is_not_plain_is_left_to_others(why: str) -> None:
    assert not accepts(BROKEN[why])


def test_a_torn_stream_is_left_to_others_wherever_it_is_torn() -> None:
    assert not any(accepts(STREAM[:at]) for at in range(len(STREAM)))


def test_texts_of_columns_that_lie_in_the_same_memory_count_for_each() -> None:
    text, names = "x" * (MAX_BYTES // 64), [f"remark{n}" for n in range(64)]
    columns = {"id": ["a"], "ts_ms": [1], "prediction": [1.0], "features.c": [text]}
    value = stream({**columns, **{name: [""] for name in names}})
    at = Places(value)
    texts = value[at.buffers + 16 * 8 : at.buffers + 16 * 10]  # where those of features.c lie
    for column in range(len(names)):
        assert accepts(value) or column > 60
        entry = at.buffers + 16 * (11 + 3 * column)
        value = value[:entry] + texts + value[entry + 32 :]
    assert not accepts(value)


def test_schemas_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegauge.streams.monitor.intake.arrow_layout.MAX_KNOWN", 2_000)
    known = Known()
    for n in range(100, 200):
        value = stream(PLAIN, {"version": str(n)})
        layout = known[value[: starts_in(value)[1]]]
        assert layout is not None
        assert layout.key == ("m", str(n))
        assert sum(map(len, known)) <= 2_000
