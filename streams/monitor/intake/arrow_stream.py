"""Arrow streams of one batch of plain columns, read by a kernel.

The schema of a producer is the same bytes in each of its streams, so what it means is found once.
pyarrow verifies the metadata of each message, and the kernel the memory that they describe.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

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
from tidegauge.streams.monitor.intake.plain_rows import PlainRows
from tidegauge.streams.monitor.intake.record_batch import NULL, Ints

MAX_KNOWN: Final = 2**23  # bytes of schemas that are known at a time
END: Final = BEGIN + bytes(4)
NO_VALUES: Final = np.empty((0, 2), np.int64)
# Places of fields in tables: Schema, Field, DictionaryEncoding; DictionaryBatch; RecordBatch.
_ENDIANNESS, _FIELDS, _DICTIONARY, _DICTIONARY_ID = 0, 1, 4, 0
_ID, _DATA, _IS_DELTA = range(3)
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


class Column(NamedTuple):
    """How a column lies in memory."""

    kind: int
    unit: int = 1  # how many of a time are a millisecond
    values: int = kernel.FAULT  # the dictionary of what its numbers stand for

    @property
    def buffers(self) -> int:
        """How many it has."""
        return BUFFERS.get(self.kind, 2)

    def fits(self, role: int) -> bool:
        """Return whether it can be this to a block."""
        is_text = self.kind in TEXTS or self.values != kernel.FAULT
        return self.kind == kernel.NOTHING or FITS.get(role, is_text) == is_text


class Plan(NamedTuple):
    """What becomes of a stream's columns."""

    columns: Ints  # as the kernel takes them
    strange: bool  # whether there are features that have no column and are not awaited


@dataclass(slots=True)
class Layout:
    """What a schema says of the streams that begin with it."""

    key: Key
    columns: dict[str, Column]
    dictionaries: list[tuple[int, Column]]  # id and values of each
    features: list[str]  # their names
    _last: tuple[object, Plan | None] = (None, None)

    def plan(self, read: watched.Decoders) -> Plan | None:
        """Return how rows are read as those of a model version; None where types do not fit."""
        wanted = read.columns, read.awaited, watched.SCORE in read.names
        if self._last[0] != wanted:
            self._last = wanted, self._plan(*wanted)
        return self._last[1]

    def _plan(
        self, columns: watched.Columns, awaited: tuple[str, ...], has_score: bool
    ) -> Plan | None:
        roles = {PREFIX + name: (kernel.AWAITED, kernel.FAULT) for name in awaited}
        roles |= {PREFIX + name: (kernel.NUMBER, at) for at, name in enumerate(columns.numeric)}
        roles |= {
            PREFIX + name: (kernel.CATEGORY, at) for at, name in enumerate(columns.categorical)
        }
        strange = any(PREFIX + name not in roles for name in self.features)
        roles |= {"id": (kernel.ID, 0), "ts_ms": (kernel.TIME, self.columns["ts_ms"].unit)}
        if has_score:
            roles["prediction"] = kernel.SCORE, len(columns.numeric)
            if "prediction" not in self.columns:
                return None
        found = []
        for name, column in self.columns.items():
            role, goes = roles.get(name, (kernel.OTHER, 0))
            if not column.fits(role):
                return None
            found.append((column.kind, role, goes, column.values))
        return Plan(np.array(found, np.int64), strange)


class _Batch(NamedTuple):
    """Where the parts of a batch lie in its stream."""

    rows: int
    nodes: int
    buffers: int
    body: int
    size: int  # of the body

    @property
    def stop(self) -> int:
        """Where the next message begins."""
        return self.body + self.size


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
        layout, plan, start = self.layout, self.layout.plan(read), self.start
        if plan is None:
            return None
        values = list[Ints]()
        for key, column in layout.dictionaries:
            batch = self._batch(start, [column], key)
            part = None if batch is None else self._values(batch, column)
            if batch is None or part is None:
                return None
            start = batch.stop
            values.append(part)
        batch = self._batch(start, layout.columns.values())
        if batch is None or self.value[batch.stop :] != END:
            return None
        room = MAX_BYTES - CELL_BYTES * batch.rows * sum(map(is_read, layout.columns))
        found = _empty(batch.rows, len(read.names), len(read.columns.categorical), plan.strange)
        return found if self._fill(found, batch, plan.columns, values, room) else None

    def _values(self, batch: _Batch, column: Column) -> Ints | None:
        """Return where the values of a dictionary lie; None if they are not plain."""
        columns = np.array([(column.kind, kernel.CATEGORY, 0, kernel.FAULT)], np.int64)
        found = _empty(batch.rows, 0, 1)
        return found.texts[:, 0] if self._fill(found, batch, columns, [], MAX_BYTES) else None

    def _fill(
        self, rows: PlainRows, batch: _Batch, columns: Ints, values: list[Ints], room: int
    ) -> bool:
        """Read a batch into rows; return whether it is plain, and its texts have room."""
        data, found = np.empty((len(columns), 2), np.int64), np.empty(1, np.int64)
        kernel.read_batch(
            np.frombuffer(self.value, np.uint8), *batch[1:], columns,
            np.cumsum([0, *map(len, values)]), np.concatenate(values) if values else NO_VALUES,
            rows.ts_ms, rows.ids, rows.numbers, rows.texts, data, found,
        )  # fmt: skip
        if not 0 <= found[0] <= room:
            return False
        try:
            for start, stop in data.tolist():
                self.value[start:stop].decode()
        except UnicodeDecodeError:
            return False
        return True

    def _batch(
        self, start: int, columns: Collection[Column], key: int | None = None
    ) -> _Batch | None:
        """Return the batch in a message, as verified by pyarrow; None where it is not plain.

        With a key it is that of the dictionary that it has the values of.
        """
        value, metadata = self.value, start + len(END)
        if value[start : start + len(BEGIN)] != BEGIN:
            return None
        try:
            message = pa.ipc.read_message(pa.py_buffer(value).slice(start))
            head = header(message)
        except UNREADABLE:
            return None
        wanted = "record batch" if key is None else "dictionary"
        if head is None or message.type != wanted:
            return None
        if key is not None:
            is_other = head.int64(_ID) != key or head.has(_IS_DELTA)
            head = None if is_other else head.table(_DATA)
            if head is None:
                return None
        rows, size = head.int64(_LENGTH), len(message.body or b"")
        (nodes, own), (buffers, count) = head.vector(_NODES), head.vector(_BUFFERS)
        behind = max(nodes + kernel.NODE * own, buffers + kernel.BUFFER * count)
        if (
            (own, count) != (len(columns), sum(column.buffers for column in columns))
            or behind > message.metadata.size
            or not 0 < rows <= min(MAX_ROWS, size)
        ):
            return None
        body = metadata + message.metadata.size
        return _Batch(rows, metadata + nodes, metadata + buffers, body, size)


def _empty(rows: int, numbers: int, texts: int, strange: bool = False) -> PlainRows:
    return PlainRows(
        np.zeros(rows, np.int32),
        np.full(rows, strange),
        np.empty(rows, np.int64),
        np.empty((rows, 2), np.int64),
        np.full((rows, numbers), np.nan),
        np.full((rows, texts, 2), NULL),
    )


def plain_stream(value: bytes) -> PlainStream | None:
    """Return a stream whose schema is plain; None where only pyarrow can tell what is in it."""
    start = len(END) + int.from_bytes(value[len(BEGIN) : len(END)], "little")
    begin = value[:start]
    if begin in _KNOWN:
        layout = _KNOWN[begin]
    else:
        layout = _layout(begin)
        if sum(map(len, _KNOWN)) + len(begin) > MAX_KNOWN:
            _KNOWN.clear()
        _KNOWN[begin] = layout
    return None if layout is None else PlainStream(layout, value, start)


_KNOWN: dict[bytes, Layout | None] = {}


def _layout(begin: bytes) -> Layout | None:
    """Return what a stream holds that begins so; None where it is not plain."""
    try:
        message = pa.ipc.read_message(begin)
        head = header(message)
        if message.type != "schema" or head is None or head.int16(_ENDIANNESS):
            return None
        schema = pa.ipc.read_schema(message)  # which reads a message of another type as one, too
        key = head_of(schema)
        check_schema(schema)
    except UNREADABLE:
        return None
    columns, dictionaries = dict[str, Column](), list[tuple[int, Column]]()
    for name, of, field in zip(schema.names, schema.types, head.tables(_FIELDS), strict=True):
        coded = field.table(_DICTIONARY)
        if isinstance(of, pa.TimestampType):
            columns[name] = Column(kernel.INT64, UNITS[of.unit])
        elif of in KINDS:
            columns[name] = Column(KINDS[of])
        elif isinstance(of, pa.DictionaryType) and coded is not None and of.value_type in KINDS:
            columns[name] = Column(KINDS[of.index_type], values=len(dictionaries))
            dictionaries.append((coded.int64(_DICTIONARY_ID), Column(KINDS[of.value_type])))
        else:
            return None
    keys = {key for key, _ in dictionaries}
    if len(keys) < len(dictionaries) or any(own.kind not in TEXTS for _, own in dictionaries):
        return None
    features = [name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)]
    return Layout(key, columns, dictionaries, features)
