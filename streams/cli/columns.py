"""Columns of a CSV or Parquet file, turned into what a row on the wire may hold."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv, parquet, types

from streams.cli.options import Columns
from streams.runtime.errors import ConfigurationError

Column = Any  # a pyarrow.ChunkedArray, whose stubs fix one element type


def read_table(path: Path) -> pa.Table:
    """Return the rows of a CSV or Parquet file.

    Raises
    ------
    ConfigurationError
        If it is neither, has no rows, or names a column twice.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = parquet.read_table(path)
        else:
            table = csv.read_csv(path)
    except (pa.ArrowException, OSError) as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: expected CSV, or Parquet as .parquet: {told}") from error
    names = table.column_names
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{path}: expected columns of different names, got {doubled}")
    if not table.num_rows:
        raise ConfigurationError(f"{path}: expected rows, got none")
    return table


def ids(table: pa.Table, name: str | None, first_ms: int) -> Column:
    """Return the rows' ids as text: a column of them, or the first row's time and a number."""
    if name is None:
        return pa.chunked_array([[f"{first_ms}-{row}" for row in range(table.num_rows)]])
    column = _column(table, name).cast(pa.string())
    if column.null_count:
        raise ConfigurationError(f"column {name!r}: expected ids, got {column.null_count} gaps")
    return column


def times(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a column as milliseconds since 1970, NaN in gaps; a float holds them exactly."""
    column = _column(table, name)
    try:
        if types.is_string(column.type) or types.is_large_string(column.type):
            column = _parsed(column)
        if types.is_temporal(column.type):
            zone = getattr(column.type, "tz", None)
            column = column.cast(pa.timestamp("ms", zone), safe=False).cast(pa.int64())
        found: NDArray[np.float64] = _numbers(column, name).cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise ConfigurationError(
            f"column {name!r}: expected ISO 8601 or milliseconds since 1970: {error}"
        ) from error
    return np.floor(found)


def _parsed(column: Column) -> Column:
    """Return text as times; Arrow wants a zone in every row or in none."""
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return column.cast(pa.timestamp("us", "UTC"))


def predictions(table: pa.Table, name: str) -> list[Any]:
    """Return a column of predictions, which has no gaps."""
    values: list[Any] = _numbers(_column(table, name), name).to_pylist()
    if gaps := sum(not _is_finite(value) for value in values):
        raise ConfigurationError(f"column {name!r}: expected predictions, got {gaps} gaps")
    return values


def labels(
    table: pa.Table, columns: Columns, ts_ms: NDArray[np.int64]
) -> tuple[list[Any], NDArray[np.float64]]:
    """Return the labels, and when each is known: NaN where there is none."""
    if columns.label is None:
        return [], np.full(len(ts_ms), np.nan)
    values = _numbers(_column(table, columns.label), columns.label).to_pylist()
    if columns.label_time is None:
        due_ms = ts_ms.astype(np.float64) + columns.label_delay_ms
    else:
        due_ms = times(table, columns.label_time)
    due_ms = np.where([_is_finite(value) for value in values], due_ms, np.nan)
    return values, due_ms


def features(table: pa.Table, columns: Columns) -> tuple[pa.Table, list[str]]:
    """Return the features as JSON can hold them, and the names of columns that it cannot hold."""
    taken = {columns.id, columns.time, columns.prediction, columns.label, columns.label_time}
    named = columns.features
    names = [n for n in table.column_names if n not in taken] if named is None else named
    usable = {name: _feature(_column(table, name)) for name in names}
    left_out = [name for name, column in usable.items() if column is None]
    if named is not None and left_out:
        kind = table.schema.field(left_out[0]).type
        raise ConfigurationError(
            f"column {left_out[0]!r}: expected numbers, booleans or text, got {kind}"
        )
    found = table.select([])  # keeps the count of rows even where there is no feature
    for name, column in usable.items():
        if column is not None:
            found = found.append_column(name, column)
    return found, left_out


def _column(table: pa.Table, name: str) -> Column:
    if name not in table.column_names:
        known = ", ".join(table.column_names)
        raise ConfigurationError(f"expected a column {name!r}; the file has {known}")
    column: Column = table.column(name)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def _numbers(column: Column, name: str) -> Column:
    kind = column.type
    if types.is_decimal(kind) or types.is_null(kind):
        return column.cast(pa.float64())
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise ConfigurationError(f"column {name!r}: expected numbers or booleans, got {kind}")
    return column


def _feature(column: Column) -> Column | None:
    """Return a column as JSON can hold it, None if it cannot; gaps are null."""
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind):
        return pc.if_else(pc.equal(column, pa.scalar("", kind)), None, column)
    if types.is_decimal(kind):
        return column.cast(pa.float64())
    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return column if any(is_it(kind) for is_it in plain) else None


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
