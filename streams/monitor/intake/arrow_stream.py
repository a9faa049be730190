"""Arrow streams of one batch of plain columns, read by a kernel.

The schema of a producer is the same bytes in each of its streams, so what it means is found once.
pyarrow verifies the metadata of each batch, and the kernel the memory that they describe.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa

from tidegauge.schemas.events import MAX_ROWS
from tidegauge.streams.monitor.intake import arrow_kernel as kernel
from tidegauge.streams.monitor.intake import columns as watched
from tidegauge.streams.monitor.intake.arrow_frames import (
    BEGIN,
    CELL_BYTES,
    MAX_BYTES,
    PREFIX,
    UNREADABLE,
    check_schema,
    head_of,
    header,
    is_read,
)
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.intake.record_batch import NULL, Ints
from tidegauge.streams.monitor.intake.row_kernel import PlainRows

MAX_SCHEMA: Final = 32_768  # bytes; streams with a longer one are left to pyarrow
MOST_SCHEMAS: Final = 2_048  # known at a time
END: Final = BEGIN + bytes(4)
_ENDIANNESS = 0  # place of a field in Arrow's table Schema; in RecordBatch:
_LENGTH, _NODES, _BUFFERS = range(3)

KINDS: Final[dict[pa.DataType, int]] = {
    pa.float64(): kernel.DOUBLE,
    pa.float32(): kernel.SINGLE,
    pa.int64(): kernel.INT64,
    pa.int32(): kernel.INT32,
    pa.int16(): kernel.INT16,
    pa.int8(): kernel.INT8,
    pa.uint64(): kernel.UINT64,
    pa.uint32(): kernel.UINT32,
    pa.uint16(): kernel.UINT16,
    pa.uint8(): kernel.UINT8,
    pa.bool_(): kernel.BOOL,
    pa.string(): kernel.TEXT,
    pa.large_string(): kernel.LARGE_TEXT,
    pa.null(): kernel.NOTHING,
}
UNITS: Final = {"s": kernel.SECONDS, "ms": 1, "us": 1_000, "ns": 1_000_000}  # to a millisecond
TEXTS: Final = (kernel.TEXT, kernel.LARGE_TEXT)
FITS: Final = {kernel.SCORE: False, kernel.NUMBER: False, kernel.CATEGORY: True}  # text or none
BUFFERS: Final = {kernel.NOTHING: 0, kernel.TEXT: 3, kernel.LARGE_TEXT: 3}  # of others 2


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What a schema says of the streams that begin with it."""

    key: Key
    columns: dict[str, tuple[int, int]]  # kind, and of a time its unit
    features: list[str]  # their names
    cells: int  # of a row, which count for the size of a frame
    buffers: int


@dataclass(frozen=True, slots=True)
class PlainStream:
    """A stream with a plain schema; the rest of it need not be so."""

    layout: Layout
    value: bytes
    start: int  # of what follows the schema

    @property
    def key(self) -> Key:
        """Whose it is."""
        return self.layout.key

    @property
    def features(self) -> list[str]:
        """Names of features that it has."""
        return self.layout.features

    def rows(self, read: watched.Decoders) -> PlainRows | None:
        """Return its rows as those of a model version are read; None where any is not plain.

        The owner of each is 0: a frame has only one.
        """
        plan = _plan(self.layout, read.columns, read.awaited, watched.SCORE in read.names)
        batch = None if plan is None else self._batch()
        if plan is None or batch is None:
            return None
        rows = batch.rows
        found = PlainRows(
            np.zeros(rows, np.int32),
            np.full(rows, plan.strange),
            np.empty(rows, np.int64),
            np.empty((rows, 2), np.int64),
            np.full((rows, len(read.names)), np.nan),
            np.full((rows, len(read.columns.categorical), 2), NULL),
        )
        data, is_plain = np.empty((len(plan.columns), 2), np.int64), np.zeros(1, np.int64)
        kernel.read_batch(
            np.frombuffer(self.value, np.uint8), batch.nodes, batch.buffers, batch.body, batch.size,
            plan.columns, found.ts_ms, found.ids, found.numbers, found.texts, data, is_plain,
        )  # fmt: skip
        return found if is_plain[0] and _is_utf8(self.value, data, batch.room) else None

    def _batch(self) -> "_Batch | None":
        """Return the batch that is all of the stream behind its schema; None if there is none."""
        layout, value, start = self.layout, self.value, self.start
        if value[start : start + len(BEGIN)] != BEGIN:
            return None
        try:
            message = pa.ipc.read_message(pa.py_buffer(value).slice(start))
            batch = header(message)
        except UNREADABLE:
            return None
        if message.type != "record batch" or batch is None:
            return None
        metadata, size = message.metadata.size, len(message.body or b"")
        start += len(END)
        (nodes, columns), (buffers, count) = batch.vector(_NODES), batch.vector(_BUFFERS)
        rows = batch.int64(_LENGTH)
        room = MAX_BYTES - CELL_BYTES * rows * layout.cells
        if (
            value[start + metadata + size :] != END
            or (columns, count) != (len(layout.columns), layout.buffers)
            or max(nodes + kernel.NODE * columns, buffers + kernel.BUFFER * count) > metadata
            or not 0 < rows <= min(MAX_ROWS, size)
            or room < 0
        ):
            return None
        return _Batch(rows, start + nodes, start + buffers, start + metadata, size, room)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Where the parts of a batch lie in its stream."""

    rows: int
    nodes: int
    buffers: int
    body: int
    size: int  # of the body
    room: int  # bytes of text that it may have


def _is_utf8(value: bytes, data: Ints, room: int) -> bool:
    """Return whether the texts of columns are UTF-8 and not more bytes than there is room for."""
    for start, stop in data.tolist():
        room -= stop - start
        if room < 0:
            return False
        try:
            value[start:stop].decode()
        except UnicodeDecodeError:
            return False
    return True


def plain_stream(value: bytes) -> PlainStream | None:
    """Return a stream whose schema is plain; None where only pyarrow can tell what is in it."""
    start = len(END) + int.from_bytes(value[len(BEGIN) : len(END)], "little")
    layout = None if start > MAX_SCHEMA else _layout(value[:start])
    return None if layout is None else PlainStream(layout, value, start)


@lru_cache(MOST_SCHEMAS)
def _layout(begin: bytes) -> Layout | None:
    """Return what a stream holds that begins so; None where it is not plain."""
    try:
        message = pa.ipc.read_message(begin)
        said = header(message)
        if message.type != "schema" or said is None or said.int16(_ENDIANNESS):
            return None
        schema = pa.ipc.read_schema(message)  # which reads a message of another type as one, too
        key = head_of(schema)
        check_schema(schema)
    except UNREADABLE:
        return None
    columns = {}
    for name, of in zip(schema.names, schema.types, strict=True):
        if isinstance(of, pa.TimestampType):
            columns[name] = kernel.INT64, UNITS[of.unit]
        elif of in KINDS:
            columns[name] = KINDS[of], 1
        else:
            return None
    features = [name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)]
    buffers = sum(BUFFERS.get(kind, 2) for kind, _ in columns.values())
    return Layout(key, columns, features, sum(map(is_read, columns)), buffers)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of a stream's columns, as the kernel takes it."""

    columns: Ints
    strange: bool  # whether there are features that have no column and are not awaited


@lru_cache(MOST_SCHEMAS)
def _plan(
    layout: Layout, columns: watched.Columns, awaited: tuple[str, ...], has_score: bool
) -> _Plan | None:
    """Return how streams are read as rows with these columns; None where types do not fit."""
    roles = {PREFIX + name: (kernel.AWAITED, kernel.FAULT) for name in awaited}
    roles |= {PREFIX + name: (kernel.NUMBER, at) for at, name in enumerate(columns.numeric)}
    roles |= {PREFIX + name: (kernel.CATEGORY, at) for at, name in enumerate(columns.categorical)}
    strange = any(PREFIX + name not in roles for name in layout.features)
    roles |= {"id": (kernel.ID, 0), "ts_ms": (kernel.TIME, 0)}
    if has_score:
        roles["prediction"] = kernel.SCORE, len(columns.numeric)
        if "prediction" not in layout.columns:
            return None
    table = np.empty((len(layout.columns), 3), np.int64)
    for at, (name, (kind, unit)) in enumerate(layout.columns.items()):
        role, goes = roles.get(name, (kernel.OTHER, 0))
        wanted = FITS.get(role)
        if wanted is not None and kind != kernel.NOTHING and (kind in TEXTS) != wanted:
            return None
        table[at] = kind, role, unit if role == kernel.TIME else goes
    return _Plan(table, strange)
