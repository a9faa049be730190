"""Arrow's columns as what a block is made of, or as the JSON values that they stand for."""

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from tidegauge.schemas.events import LATEST_MS
from tidegauge.streams.monitor.intake.block import Codes, Floats
from tidegauge.streams.monitor.intake.dictionary import MISSING, Dictionary
from tidegauge.streams.monitor.intake.record_batch import NULL, Ints
from tidegauge.streams.monitor.intake.texts import Texts

Column: TypeAlias = "pa.Array[Any]"

LARGEST = 1e100  # as ``schemas.events.Finite``
BEYOND = 1.7976931348623157e308  # stands for an infinity in JSON: a number that no column takes
LATEST_S = LATEST_MS  # as many seconds are far beyond it, and their milliseconds still a number
IN_A_MS = {"us": 1_000, "ns": 1_000_000}


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column holds numbers, booleans or nothing at all."""
    types = pa.types
    return any(
        test(kind)
        for test in (types.is_floating, types.is_integer, types.is_boolean, types.is_null)
    )


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column holds text, as it is or by a dictionary, or nothing at all.

    Not by views: Arrow follows those of null rows as well, which it has not checked.
    """
    if isinstance(kind, pa.DictionaryType):
        kind = kind.value_type
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)


def is_scalar(kind: pa.DataType) -> bool:
    """Return whether a column can be a feature."""
    return is_number(kind) or is_text(kind)


def is_time(kind: pa.DataType) -> bool:
    """Return whether a column can say when."""
    return pa.types.is_integer(kind) or pa.types.is_timestamp(kind)


def is_flat(kind: pa.DataType) -> bool:
    """Return whether a type stands for itself, without others in it or on it."""
    return kind.num_fields == 0 and not isinstance(kind, pa.BaseExtensionType)


def missing(column: Column) -> bool:
    """Return whether no row has a value."""
    empty = column.null_count == len(column)
    return empty or (pa.types.is_floating(column.type) and bool(np.isnan(_floats(column)).all()))


def text_bytes(column: Column) -> int:
    """Return how many bytes the texts of a checked column have, one after the other."""
    if isinstance(column, pa.DictionaryArray):
        column.dictionary.validate(full=True)
        lengths, places = _lengths(column.dictionary), _places(column)
        return int(lengths[places[places != NULL]].sum())
    return int(_lengths(column).sum())


def _lengths(column: Column) -> Ints:
    if is_number(column.type):
        return np.zeros(len(column), np.int64)
    return np.maximum(texts_in(column).spans[:, 1], 0)


def _memory(buffer: "pa.Buffer | None") -> memoryview:
    return memoryview(b"" if buffer is None else buffer)


def texts_in(column: Column) -> Texts:
    """Return a column of text as places in its own memory; what is null has the length NULL."""
    plain = column.cast(pa.large_string())
    _, places, buffer = plain.buffers()
    ends = np.frombuffer(_memory(places), np.int64)[plain.offset : plain.offset + len(plain) + 1]
    spans = np.stack([ends[:-1], np.diff(ends)], axis=1)
    if plain.null_count:
        spans[plain.is_null().to_numpy(zero_copy_only=False), 1] = NULL
    return Texts(np.frombuffer(_memory(buffer), np.uint8), spans)


def times_in(column: Column) -> Column:
    """Return whole numbers or timestamps as milliseconds; one beyond the calendar stays so."""
    if not isinstance(column.type, pa.TimestampType):
        return column
    unit = column.type.unit
    raw: Ints = column.cast(pa.int64()).fill_null(0).to_numpy()
    if unit == "s":
        raw = np.clip(raw, -LATEST_S, LATEST_S) * 1_000
    nothing = column.is_null().to_numpy(zero_copy_only=False)
    times: Column = pa.array(raw // IN_A_MS.get(unit, 1), mask=nothing)
    return times


def fill(out: Floats, column: Column) -> bool:
    """Write a column's numbers, NaN where there is none; return False if any is out of range."""
    if not is_number(column.type):
        return False
    if not pa.types.is_null(column.type):
        out[:] = _floats(column)
    empty = np.isnan(out)
    out[empty] = np.nan  # whatever bits a producer's NaN has
    return bool((empty | (np.abs(out) <= LARGEST)).all())


def _floats(column: Column) -> Floats:
    found: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def codes_of(column: Column, dictionary: Dictionary) -> Codes:
    """Return a column of text as codes; each value of Arrow's dictionary is looked up once."""
    if pa.types.is_null(column.type):
        return np.full(len(column), MISSING, np.int32)
    if not isinstance(column, pa.DictionaryArray):
        texts = texts_in(column)
        return dictionary.encode_spans(texts.buffer, texts.spans)
    places = _places(column)
    used = np.unique(places[places != NULL])  # of others nobody has heard
    codes = np.full(len(column.dictionary) + 1, MISSING, np.int32)  # the last is for NULL
    codes[used] = dictionary.encode(column.dictionary.take(pa.array(used)).to_pylist())
    return codes[places]


def _places(column: "pa.DictionaryArray[Any, Any]") -> Ints:
    places: Ints = column.indices.cast(pa.int64(), safe=False).fill_null(NULL).to_numpy()
    return places


def values_in(column: Column) -> list[Any]:
    """Return what JSON has for a column; NaN is written as null."""
    values: list[Any]
    if pa.types.is_floating(column.type):
        floats = np.nan_to_num(_floats(column), nan=np.nan, posinf=BEYOND, neginf=-BEYOND)
        values = floats.tolist()
    else:
        values = column.to_pylist()
    return values
