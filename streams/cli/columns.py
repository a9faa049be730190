"""Columns of a file, turned into what a row on the wire may hold; what will not do is counted."""

import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from tidegauge.streams.cli import cells
from tidegauge.streams.cli.bad_rows import BadRows, Bools
from tidegauge.streams.cli.cells import Column, Floats
from tidegauge.streams.cli.options import Columns, note
from tidegauge.streams.runtime.errors import ConfigurationError

DECLARED = "a number, true or false, as declared in --monitors"
UUID = pa.binary(16)
EXACT = 2.0**53  # below it a float holds every whole number
EARLIEST_MS = 315_532_800_000  # 1980: what is older is a mistaken unit or an empty date
UNITS = {"seconds": 1e3, "microseconds": 1e-3, "nanoseconds": 1e-6}


def ids(table: pa.Table, name: str | None, first_ms: int, bad: BadRows) -> Column:
    """Return the rows' ids as text: a column of them, or the first row's time and a number."""
    if name is None:
        return pa.array([f"{first_ms}-{row}" for row in range(table.num_rows)])
    column = _column(table, name)
    kind = column.type
    if types.is_floating(kind):  # whole numbers with a gap, as pandas keeps them
        found = _text(pc.if_else(_is_whole(column), column, pa.scalar(None, kind)), name)
    else:
        found = _text(column, name)
        if pc.all(pc.match_substring_regex(found, r"^[0-9]+\.0$")).as_py():
            note(
                f"column {name!r}: ids are sent as written, with the .0 that pandas adds to numbers"
            )
    bad.add(is_null(found), name, "an id, as text or as a whole number below 2^53", column)
    return found


def times(table: pa.Table, name: str, bad: BadRows, where: Column = True) -> Floats:
    """Return a column as milliseconds since 1970; NaN in gaps, and where ``where`` is false."""
    column = _column(table, name)
    column = pc.if_else(where, column, pa.scalar(None, column.type))
    if _is_text(column.type):
        read, odd = cells.times(column, name)
        bad.add(odd, name, "ISO 8601 or milliseconds since 1970", column)
        return read
    try:
        if types.is_temporal(column.type):
            zone = getattr(column.type, "tz", None)
            column = column.cast(pa.timestamp("ms", zone), safe=False).cast(pa.int64())
        ms: Floats = np.floor(column.cast(pa.float64(), safe=False).to_numpy())
        return ms
    except pa.ArrowException as error:
        raise ConfigurationError(
            f"column {name!r}: expected ISO 8601 or milliseconds since 1970, got {column.type}"
        ) from error


def check_times(ms: Floats, latest_ms: Floats, table: pa.Table, name: str, bad: BadRows) -> None:
    """Count times that cannot be right: before 1980, or later than a worker takes."""
    column = _column(table, name)
    early, late = ms < EARLIEST_MS, ms > latest_ms
    for unit, factor in UNITS.items():
        right = (ms * factor >= EARLIEST_MS) & (ms * factor <= latest_ms)
        told = f"milliseconds since 1970 (this looks like {unit})"
        bad.add((early | late) & right, name, told, column)
    bad.add(early, name, "a time after 1979, in ISO 8601 or milliseconds since 1970", column)
    bad.add(late, name, "a time at most a day ahead, as a worker rejects later ones", column)


def numbers(table: pa.Table, name: str, what: str, bad: BadRows) -> Column:
    """Return a column of numbers or booleans; gaps, NaN and infinities are null."""
    column = _column(table, name)
    if _is_text(column.type):
        found, odd = cells.numbers(column)
        bad.add(odd, name, what, column)
        column = found
    elif not _is_number(column.type):
        raise ConfigurationError(f"column {name!r}: expected {what}, got {column.type}")
    elif types.is_decimal(column.type) or types.is_null(column.type):
        column = column.cast(pa.float64())
    if types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    return column


def predicted(table: pa.Table, name: str, what: str, bad: BadRows) -> Column:
    """Return a column of predictions or labels: numbers, or text where they are classes."""
    column = _column(table, name)
    if _is_text(column.type) and cells.are_classes(column):
        return _text(column, name)
    return numbers(table, name, what, bad)


def features(table: pa.Table, columns: Columns, bad: BadRows) -> tuple[pa.Table, list[str]]:
    """Return the features as JSON can hold them, and the names of columns that it cannot hold."""
    names = columns.features
    if names is None:
        names = [name for name in table.column_names if name not in columns.roles]
    found, left_out = table.select([]), []  # keeps the count of rows even without a feature
    for name in names:
        declared = columns.types[name].type if name in columns.types else None
        if declared == "ignore":
            continue
        column = _column(table, name)
        if name in columns.roles and _is_text(column.type):  # named as a feature as well
            column = cells.inferred(column, name)
        kind = column.type
        if declared == "categorical" or (declared is None and _is_text(kind)):
            found = found.append_column(name, _text(column, name))
        elif declared is not None or _is_number(kind):
            exact = not types.is_integer(kind) or pc.all(_is_exact(column), min_count=0).as_py()
            if declared is None and not exact:
                note(
                    f"column {name!r} has whole numbers beyond 2^53, whose last digits are lost. "
                    "--monitors can declare it categorical"
                )
            found = found.append_column(name, numbers(table, name, DECLARED, bad))
        elif columns.features is None:
            left_out.append(f"{name} ({kind})")
        else:
            raise ConfigurationError(
                f"column {name!r}: expected numbers, booleans or text, got {kind}; "
                "--monitors can declare it categorical"
            )
    return found, left_out


def is_null(column: Column) -> Bools:
    """Return where a column has no value."""
    return np.asarray(column.is_null())


def _column(table: pa.Table, name: str) -> Column:
    """Return a column without the ways in which Arrow packs values."""
    if name not in table.column_names:
        known = ", ".join(table.column_names)
        raise ConfigurationError(f"expected a column {name!r}; the file has {known}")
    column: Column = table.column(name)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if isinstance(column.type, pa.BaseExtensionType):  # such as UUID
        column = column.cast(column.type.storage_type)
    if types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    return column.cast(pa.float32()) if types.is_float16(column.type) else column


def _text(column: Column, name: str) -> Column:
    """Return a column as text, empty text as null."""
    kind = column.type
    if _is_text(kind):
        return pc.if_else(pc.equal(column, pa.scalar("", kind)), pa.scalar(None, kind), column)
    if kind == UUID:
        values = (v and str(uuid.UUID(bytes=v)) for v in column.to_pylist())
        return pa.chunked_array([pa.array(values, pa.string())])
    try:
        if types.is_floating(kind):  # 1.0 is "1"
            whole = column.cast(pa.int64(), safe=False).cast(pa.string())
            return pc.if_else(_is_whole(column), whole, column.cast(pa.string()))
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise ConfigurationError(f"column {name!r}: expected text, got {kind}") from error


def _is_whole(column: Column) -> Column:
    """Return which numbers are whole, and small enough to have kept every digit."""
    return pc.and_(pc.equal(pc.floor(column), column), _is_exact(column))


def _is_exact(column: Column) -> Column:
    """Return which numbers are so small that a float keeps every digit of a whole one."""
    return pc.less(pc.abs(column.cast(pa.float64(), safe=False)), pa.scalar(EXACT))


def _is_text(kind: Any) -> bool:
    return types.is_string(kind) or types.is_large_string(kind)


def _is_number(kind: Any) -> bool:
    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(is_it(kind) for is_it in plain)
