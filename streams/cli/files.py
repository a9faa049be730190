"""Reads the files that people have: CSV, each cell as it is written, and Parquet."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from tidegauge.streams.cli.cells import inferred
from tidegauge.streams.cli.options import Columns, note
from tidegauge.streams.runtime.errors import ConfigurationError

PARQUET = b"PAR1"
JSON = re.compile(rb'\s*\[?\s*\{\s*"').match
BLOCK_BYTES = 16 * 1_048_576  # more than any row that Kafka would take, as a row must fit in one
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# What pandas calls an index without a name: in CSV, in Parquet, and after reading CSV again.
NAMELESS = re.compile(r"|__index_level_\d+__|Unnamed: \d+(\.\d+)?")


def read_table(path: Path, columns: Columns) -> pa.Table:
    """Return the rows of a CSV or Parquet file, without a table's index.

    Columns of a CSV file that nobody said anything about become numbers or booleans if every
    cell is one. All others are text as it is written, and an empty cell is null.

    Raises
    ------
    ConfigurationError
        If it is neither, has no rows, or names a column twice.
    """
    try:
        with pa.input_stream(str(path)) as file:  # unpacks what a name such as rows.csv.gz promises
            head = file.read(65_536)
        if path.suffix.lower() in (".parquet", ".pq") or head.startswith(PARQUET):
            table = parquet.read_table(path)
            table.validate(full=True)
        else:
            table = _read_csv(path, head, columns.said)
    except (pa.ArrowException, OSError) as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(
            f"{path}: expected CSV in UTF-8, or Parquet as .parquet: {told}"
        ) from error
    table = _without_index(table, columns)
    names = table.column_names
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{path}: expected columns of different names, got {doubled}")
    if not table.num_rows:
        raise ConfigurationError(f"{path}: expected rows, got none")
    return table


def _read_csv(path: Path, head: bytes, said: Collection[str]) -> pa.Table:
    if b"\0" in head:
        kind = "UTF-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "a binary file"
        raise ConfigurationError(f"{path}: expected CSV in UTF-8, or Parquet; this is {kind}")
    if JSON(head):
        raise ConfigurationError(f"{path}: expected CSV in UTF-8, or Parquet; this is JSON")
    header = re.split(rb"[\r\n]", head, maxsplit=1)[0].decode(errors="replace")
    separator = next((mark for mark in SEPARATORS if mark in header), ",")
    if separator != ",":
        note(f"{path} has {SEPARATORS[separator]} between columns, and is read so")
    read = csv.ReadOptions(block_size=BLOCK_BYTES)
    parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    with csv.open_csv(path, read_options=read, parse_options=parse) as reader:
        written = reader.schema.names
    as_written = csv.ConvertOptions(
        column_types={name: pa.string() for name in written},
        null_values=[""],
        strings_can_be_null=True,
    )
    table = csv.read_csv(path, read_options=read, parse_options=parse, convert_options=as_written)
    _check_quotes(path, table)
    table = table.rename_columns([name.strip() for name in table.column_names])
    for place, name in enumerate(table.column_names):
        if name not in said:
            table = table.set_column(place, name, inferred(table.column(place), name))
    return table


def _check_quotes(path: Path, table: pa.Table) -> None:
    """Raise ConfigurationError if a quoted cell never ends: Arrow takes all that follows for it."""
    last = table[max(0, table.num_rows - 1) :].to_pylist()
    if any("\n" in (cell or "") for row in last for cell in row.values()):
        with pa.input_stream(str(path)) as file:
            quotes = sum(part.count(b'"') for part in iter(lambda: file.read(BLOCK_BYTES), b""))
        if quotes % 2:
            told = (
                f"expected each quoted cell to end, got one in row {table.num_rows:,} that does not"
            )
            raise ConfigurationError(f"{path}: {told}")


def _without_index(table: pa.Table, columns: Columns) -> pa.Table:
    """Leave out what a table was indexed by, unless an option names it: it is no feature."""
    index: Sequence[object] = (table.schema.pandas_metadata or {}).get("index_columns", ())
    wanted = {*columns.said, *(columns.features or ())}
    places = [
        place
        for place, name in enumerate(table.column_names)
        if name not in wanted and (name in index or NAMELESS.fullmatch(name))
    ]
    if places:
        told = ", ".join(
            table.column_names[place] or "the column without a name" for place in places
        )
        note(f"left out, an index and no feature: {told}")
    return table.select([p for p in range(table.num_columns) if p not in places])
