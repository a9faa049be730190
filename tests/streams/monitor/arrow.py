"""Arrow frames as other programs write them, for tests."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tidegauge.streams.monitor.offline import LoggedRecord

TYPE = ("content-type", b"application/vnd.apache.arrow.stream")


def stream(
    columns: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
    rows: int | None = None,
    **options: Any,
) -> bytes:
    """Return a table as a stream, with so many rows in a batch at most."""
    table = pa.table(dict(columns))
    table = table.replace_schema_metadata({"model": "m", "version": "", **(metadata or {})})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, rows)
    return sink.getvalue().to_pybytes()


def frame(offset: int, value: bytes, declared: bool = True) -> LoggedRecord:
    """Return a record with a stream."""
    headers = [TYPE] if declared else []
    return LoggedRecord(offset, 1_000_000, b"m", value, headers)
