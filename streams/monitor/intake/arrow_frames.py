"""Frames as Arrow IPC streams, read by pyarrow: checked before a buffer is touched.

Here is judged what can be read. A kernel reads plain streams (``arrow_stream.py``); a frame that is
not laid out so is written as one that is, and one with values that are not plain as the JSON frame
that it stands for. A stream comes from anyone, so what it unpacks to is bounded first.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa

from tidegauge.schemas.events import MAX_FEATURES, MAX_ROWS, Name, Version
from tidegauge.streams.monitor.intake.arrow_columns import (
    Column,
    is_flat,
    is_scalar,
    is_text,
    is_time,
    plain,
    text_bytes,
    times_in,
    values_in,
)
from tidegauge.streams.monitor.intake.flatbuffer import Table
from tidegauge.streams.monitor.intake.record_batch import RecordAt
from tidegauge.streams.monitor.records import Record

CONTENT_TYPE: Final = ("content-type", b"application/vnd.apache.arrow.stream")
JSON_TYPE: Final = ("content-type", b"application/json")
BEGIN: Final = b"\xff\xff\xff\xff"  # of every message of a stream; no JSON begins so
PREFIX: Final = "features."  # of a feature's column
CELL_BYTES = 8
MAX_BYTES = 16 * 2**20  # of a frame as columns: its cells, and what text they have
MAX_MESSAGES = 4096  # in a stream: its batches and dictionaries
# Numbers must lie where numbers may. (Any: the stubs lack it.)
_IPC: Any = pa.ipc
_ALIGNED = _IPC.IpcReadOptions(use_threads=False, ensure_alignment=_IPC.Alignment.DataTypeSpecific)
# What reading hostile bytes raises; ArrowInvalid and what `header` raises are ValueErrors.
UNREADABLE = (ValueError, pa.ArrowException, OSError, struct.error, EOFError)
# Places of fields in Arrow's tables Message, DictionaryBatch and RecordBatch.
_VERSION, _HEADER, _DATA, _COMPRESSION = 0, 2, 1, 3
_V5 = 4


class _Head(msgspec.Struct):
    model: Name
    version: Version = ""


@dataclass(frozen=True, slots=True)
class ArrowFrame:
    """Many rows of one model, as they came: columns that have been checked as memory."""

    key: tuple[str, str]
    ids: Column
    ts_ms: Column
    values: Mapping[str, Column]  # the columns prediction and label, those that are there
    features: Mapping[str, Column]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def as_json(self) -> bytes:
        """Return the JSON frame that stands for it: NaN is null, and no infinity is a number."""
        frame: dict[str, Any] = {"model": self.key[0], "version": self.key[1]}
        frame |= {"ids": self.ids.to_pylist(), "ts_ms": times_in(self.ts_ms).to_pylist()}
        frame |= {f"{name}s": values_in(column) for name, column in self.values.items()}
        frame["features"] = {name: values_in(column) for name, column in self.features.items()}
        return msgspec.json.encode(frame)

    def as_plain(self) -> bytes:
        """Return a stream of one batch with the same rows, and without dictionaries."""
        columns = {"id": plain(self.ids), "ts_ms": times_in(self.ts_ms)}
        columns |= {name: plain(column) for name, column in self.values.items()}
        columns |= {PREFIX + name: plain(column) for name, column in self.features.items()}
        whose = {"model": self.key[0], "version": self.key[1]}
        batch = pa.record_batch(columns).replace_schema_metadata(whose)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return sink.getvalue().to_pybytes()


def is_arrow(record: Record) -> bool:
    """Return whether a record looks like a stream; of JSON no header is read."""
    return record.value is not None and record.value[:4] == BEGIN


def in_json(record: Record, frame: ArrowFrame) -> RecordAt:
    """Return a record as if the frame in it had come as JSON."""
    headers = [header for header in record.headers if header[0].lower() != JSON_TYPE[0]]
    at = record.offset, record.timestamp, record.key
    return RecordAt(*at, frame.as_json(), [*headers, JSON_TYPE])


def whose(value: bytes) -> tuple[str, str]:
    """Return the model version that a stream names.

    Raises
    ------
    ValueError
        If its schema cannot be read or names none.
    """
    try:
        return head_of(pa.ipc.read_schema(pa.py_buffer(value)))
    except (pa.ArrowException, OSError) as fault:
        raise _unreadable(fault) from fault


def declares_arrow(record: Record) -> bool:
    """Return whether a header of a record says that it is a stream."""
    return CONTENT_TYPE[1] in _content_types(record)


def declared(record: Record) -> bytes:
    """Return the stream of a record; ValueError where no header declares it."""
    if not declares_arrow(record):
        wanted, got = CONTENT_TYPE[1].decode(), [*_content_types(record), None][0]
        raise ValueError(f"expected the header {CONTENT_TYPE[0]}: {wanted}, got {got!r:.100}")
    return record.value or b""


def _content_types(record: Record) -> list[bytes | None]:
    return [value for name, value in record.headers if name.lower() == CONTENT_TYPE[0]]


def read_frame(value: bytes) -> ArrowFrame:
    """Return a stream as a frame whose memory has been checked.

    Raises
    ------
    ValueError
        If it is no Arrow stream, is not laid out as a frame, or would unpack to more than
        ``MAX_BYTES``. The text says what was expected.
    """
    try:
        _check_messages(value)
        return _frame(value)
    except (pa.ArrowException, OSError, struct.error, EOFError) as fault:
        raise _unreadable(fault) from fault


def _check_messages(value: bytes) -> None:
    """Raise ValueError unless all messages of a stream can be read."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(value))
    for count, message in enumerate(reader):
        if count == MAX_MESSAGES:
            raise ValueError(f"expected at most {MAX_MESSAGES} messages in a stream, got more")
        header(message)


def header(message: pa.Message) -> Table | None:
    """Return what a message says of its schema, dictionary or record batch; None if nothing.

    Raises
    ------
    ValueError
        If it is compressed, which says nothing of what it unpacks to.
    """
    table = Table.root(message.metadata.to_pybytes())
    if table.int16(_VERSION) != _V5:  # an earlier one keeps a compression elsewhere
        raise ValueError("expected Arrow's metadata version V5: write with Arrow 1.0 or later")
    found = table.table(_HEADER)
    batch = None if message.type == "schema" else found
    if batch is not None and message.type == "dictionary":
        batch = batch.table(_DATA)
    if batch is not None and batch.has(_COMPRESSION):
        raise ValueError("expected buffers that are not compressed: let Kafka compress")
    return found


def _unreadable(fault: BaseException) -> ValueError:
    return ValueError(f"Arrow stream is malformed: {str(fault).splitlines()[0]:.500}")


def _frame(value: bytes) -> ArrowFrame:
    source = pa.BufferReader(value)
    with pa.ipc.open_stream(source, options=_ALIGNED) as reader:
        schema = reader.schema
        key = head_of(schema)
        check_schema(schema)
        batches, rows = [], 0
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            if rows > MAX_ROWS:
                break
    if not 0 < rows <= MAX_ROWS:
        got = "more" if rows else "none"
        raise ValueError(f"expected 1 to {MAX_ROWS} rows, got {got} - at `$.id`")
    if source.tell() != len(value):
        raise ValueError("expected one Arrow stream in a message, got bytes behind its end")
    names = list(filter(is_read, schema.names))
    room = MAX_BYTES - CELL_BYTES * rows * len(names)
    columns = {}
    for batch in batches:
        batch.validate(full=True)
    for name in names:
        parts = [batch.column(name) for batch in batches]
        room -= sum(map(text_bytes, parts))
        if room < 0:
            raise ValueError(f"expected at most {MAX_BYTES} bytes of columns: send fewer rows")
        columns[name] = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
    features = {n.removeprefix(PREFIX): c for n, c in columns.items() if n.startswith(PREFIX)}
    values = {name: columns[name] for name in _VALUES if name in columns}
    return ArrowFrame(key, columns["id"], columns["ts_ms"], values, features)


def head_of(schema: pa.Schema) -> tuple[str, str]:
    """Return the model version that a schema names; ValueError if it names none."""
    said = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items() if k in _NAMED}
    if "model" not in said:
        raise msgspec.ValidationError("expected `model` in the metadata of the schema, got none")
    head = msgspec.convert(said, _Head)
    return head.model, head.version


_NAMED = (b"model", b"version")
_VALUES = ["prediction", "label"]
_OWN = {
    "id": ("text", is_text),
    "ts_ms": ("whole numbers or timestamps", is_time),
    "prediction": ("numbers, booleans or text", is_scalar),
    "label": ("numbers, booleans or text", is_scalar),
}
_FEATURE = ("numbers, booleans or text", is_scalar)
_OTHER = ("a column that is not nested", is_flat)  # of it nothing is read


def is_read(name: str) -> bool:
    """Return whether a column of this name is part of a frame."""
    return name in _OWN or name.startswith(PREFIX)


def check_schema(schema: pa.Schema) -> None:
    """Raise ValueError unless the columns are those of a frame."""
    names = schema.names
    if len(set(names)) < len(names):
        raise ValueError("expected columns of different names, got one twice")
    for name in ("id", "ts_ms"):
        if name not in names:
            raise ValueError(f"expected a column `{name}`, got none")
    if sum(name.startswith(PREFIX) for name in names) > MAX_FEATURES:
        raise ValueError(f"expected at most {MAX_FEATURES} features - at `$.features`")
    for name, kind in zip(names, schema.types, strict=True):
        wanted, fits = _FEATURE if name.startswith(PREFIX) else _OWN.get(name, _OTHER)
        if not fits(kind):
            raise ValueError(f"expected {wanted}, got {kind!s:.100} - at `$.{name:.200}`")
