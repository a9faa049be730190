"""Arrow's columns: of what types they are, and the JSON values that they stand for."""

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidegauge.schemas.events import LATEST_MS
from tidegauge.streams.monitor.intake.record_batch import Ints

Column: TypeAlias = "pa.Array[Any]"

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


def text_bytes(column: Column) -> int:
    """Return how many bytes the texts of a checked column have, one after the other."""
    if not is_text(column.type):
        return 0
    if isinstance(column, pa.DictionaryArray):
        column.dictionary.validate(full=True)
        lengths = _lengths(column.dictionary).take(column.indices)
    else:
        lengths = _lengths(column)
    return pc.sum(lengths).as_py() or 0


def _lengths(column: Column) -> Any:
    texts: Any = column.cast(pa.large_string())  # Any: the stubs want to know its size
    return pc.binary_length(texts)


def plain(column: Column) -> Column:
    """Return a column that a kernel can read: no dictionary, no number of 16 bits."""
    if is_text(column.type) and not pa.types.is_null(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_float16(column.type):
        return column.cast(pa.float64())
    return column


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


def values_in(column: Column) -> list[Any]:
    """Return what JSON has for a column; NaN is written as null."""
    values: list[Any]
    if pa.types.is_floating(column.type):
        floats = np.nan_to_num(
            column.cast(pa.float64()).to_numpy(zero_copy_only=False),
            nan=np.nan,
            posinf=BEYOND,
            neginf=-BEYOND,
        )
        values = floats.tolist()
    else:
        values = column.to_pylist()
    return values
