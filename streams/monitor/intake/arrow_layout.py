"""What the schema of an Arrow stream says of the memory of its batches.

The schema of a producer is the same bytes in each of its streams, so it is read once.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from tidegauge.streams.monitor.intake import arrow_kernel as kernel
from tidegauge.streams.monitor.intake import columns as watched
from tidegauge.streams.monitor.intake.arrow_frames import (
    PREFIX,
    UNREADABLE,
    check_schema,
    head_of,
    header,
    is_read,
)
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.intake.record_batch import Ints

MAX_KNOWN: Final = 2**23  # bytes of schemas that are known at a time
ENTRY_BYTES: Final = 128  # of one, besides its own
# Places of fields in Arrow's tables Schema, Field, DictionaryEncoding.
_ENDIANNESS, _FIELDS, _DICTIONARY, _DICTIONARY_ID = 0, 1, 4, 0

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
    dictionaries: list[tuple[int, int]]  # id, and kind of the values, in their order
    features: list[str]  # their names
    buffers: int  # of a batch
    cells: int  # of a row, which count for the size of a frame
    _last: tuple[object, Plan | None] = (None, None)

    def plan(self, read: watched.Decoders) -> Plan | None:
        """Return how rows are read as those of a model version; None where types do not fit."""
        if read.columns.has_classes:
            return None
        wanted, last = (read.columns, read.awaited, watched.SCORE in read.names), self._last
        if last[0] != wanted:
            self._last = last = wanted, self._plan(*wanted)
        return last[1]

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


class Known(dict[bytes, Layout | None]):
    """What schemas say; when they have too many bytes all is forgotten."""

    size = 0

    def __missing__(self, schema: bytes) -> Layout | None:
        """Read a schema that is not known."""
        taken = len(schema) + ENTRY_BYTES
        self.size += taken
        if self.size > MAX_KNOWN:
            self.clear()
            self.size = taken
        self[schema] = layout = _layout(schema)
        return layout


_known = Known()


def layout_of(schema: bytes) -> Layout | None:
    """Return what the message with a schema says; None where only pyarrow can read what follows."""
    return _known[schema]


def _layout(said: bytes) -> Layout | None:
    try:
        message = pa.ipc.read_message(said)
        head = header(message)
        if message.type != "schema" or head is None or head.int16(_ENDIANNESS):
            return None
        schema = pa.ipc.read_schema(message)  # which reads a message of another type as one, too
        key = head_of(schema)
        check_schema(schema)
    except UNREADABLE:
        return None
    columns, dictionaries = dict[str, Column](), list[tuple[int, int]]()
    for name, of, field in zip(schema.names, schema.types, head.tables(_FIELDS), strict=True):
        coded = field.table(_DICTIONARY)
        if isinstance(of, pa.TimestampType):
            columns[name] = Column(kernel.INT64, UNITS[of.unit])
        elif of in KINDS:
            columns[name] = Column(KINDS[of])
        elif coded and isinstance(of, pa.DictionaryType) and KINDS.get(of.value_type) in TEXTS:
            columns[name] = Column(KINDS[of.index_type], values=len(dictionaries))
            dictionaries.append((coded.int64(_DICTIONARY_ID), KINDS[of.value_type]))
        else:
            return None
    if len(dict(dictionaries)) < len(dictionaries):  # columns that share one
        return None
    features = [name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)]
    buffers = sum(BUFFERS.get(column.kind, 2) for column in columns.values())
    return Layout(key, columns, dictionaries, features, buffers, sum(map(is_read, columns)))
