"""Frames as Arrow IPC streams; only for those who ask for them, with ``tidegauge[arrow]``."""

from typing import Any

import orjson
import pyarrow as pa


def dumps(frame: dict[str, Any]) -> bytes:
    """Write a frame as a stream of one batch; as JSON where Arrow has no type for a column.

    That is where values of one column differ in type, as a number in one row and text in another,
    and where predictions are probabilities of classes.

    >>> frame = {"model": "fraud", "ids": ["req-1"], "ts_ms": [0], "predictions": [0.93]}
    >>> table = pa.ipc.open_stream(dumps(frame)).read_all()
    >>> table.to_pylist(), table.schema.metadata
    ([{'id': 'req-1', 'ts_ms': 0, 'prediction': 0.93}], {b'model': b'fraud', b'version': b''})
    """
    if any(isinstance(value, dict) for value in frame.get("predictions", ())):
        return orjson.dumps(frame)
    try:
        columns: dict[str, Any] = {"id": pa.array(frame["ids"], pa.string())}
        columns["ts_ms"] = pa.array(frame["ts_ms"], pa.int64())
        values = {k: frame[f"{k}s"] for k in ("prediction", "label") if f"{k}s" in frame}
        values |= {f"features.{name}": column for name, column in frame.get("features", {}).items()}
        columns |= {name: pa.array(column) for name, column in values.items()}
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return orjson.dumps(frame)
    whose = {"model": frame["model"], "version": frame.get("version", "")}
    batch = pa.record_batch(columns).replace_schema_metadata(whose)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
