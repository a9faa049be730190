"""Synthetic traffic: features without drift, a score, labels; the same bytes for the same seed."""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
import orjson
import pyarrow as pa

COUNTRIES: Final = ("DE", "FR", "US", "BR", "IN")
START_MS: Final = 1_700_000_000_000
STEP_MS: Final = 10  # of event time between two rows
FRAME_ROWS: Final = 500
PILOT: Final = 50
ARROW: Final = [("content-type", b"application/vnd.apache.arrow.stream")]
Headers = list[tuple[str, bytes]]


class Data(msgspec.Struct, frozen=True):
    """What lies in a topic before contenders read it.

    ``features`` counts the one category among them. Rows of several ``models`` come in random
    order, but for every fiftieth and the last hundredth of all, which are of the first model: by
    its windows is seen how far a worker is.
    """

    rows: int
    form: Literal["rows", "frames", "arrow"] = "rows"
    models: int = 1
    features: int = 10
    labels: bool = False
    codec: str = "none"
    related: bool = False  # whether every number follows from the first one, as far as 0.6 goes
    shifted_from: int | None = None  # row at which every number jumps by three sd

    @property
    def rows_a_message(self) -> int:
        """Return how many rows an offset stands for."""
        return 1 if self.form == "rows" else FRAME_ROWS


class Chunk(NamedTuple):
    """Some rows in columns."""

    models: list[str]
    ids: list[str]
    ts_ms: list[int]
    features: dict[str, list[Any]]
    scores: list[float]


def chunks(data: Data, seed: int) -> Iterator[Chunk]:
    """Yield the rows, as many at a time as a frame has."""
    rng = np.random.default_rng(seed)
    tail = data.rows - max(data.rows // 100, FRAME_ROWS)
    for start in range(0, data.rows, FRAME_ROWS):
        size = min(FRAME_ROWS, data.rows - start)
        shifted = data.shifted_from is not None and start >= data.shifted_from
        numbers = rng.normal(145.0 if shifted else 100.0, 15.0, (data.features - 1, size))
        if data.related:
            numbers[1:] = 0.6 * numbers[0] + 0.8 * numbers[1:]
        columns = numbers.round(4).tolist()
        features: dict[str, list[Any]] = {f"feature_{j}": x for j, x in enumerate(columns)}
        countries = rng.integers(len(COUNTRIES), size=size).tolist()
        features["country"] = [COUNTRIES[code] for code in countries]
        several = 1 if data.form != "rows" else size  # a frame is of one model
        whose = rng.integers(data.models if start < tail else 1, size=several).tolist()
        if data.form == "rows":
            whose[::PILOT] = [0] * len(whose[::PILOT])
        at = range(start, start + size)
        yield Chunk(
            [f"model-{model:04d}" for model in whose] * (size // several),
            [f"request-{row:09d}" for row in at],
            [START_MS + STEP_MS * row for row in at],
            features,
            rng.beta(2, 5, size).round(6).tolist(),
        )


def rows(chunk: Chunk) -> Iterator[bytes]:
    """Yield one message a row."""
    columns = zip(*chunk.features.values(), strict=True)
    names = list(chunk.features)
    for model, row_id, ts_ms, values, score in zip(
        chunk.models, chunk.ids, chunk.ts_ms, columns, chunk.scores, strict=True
    ):
        yield orjson.dumps({
            "model": model, "version": "1", "id": row_id, "ts_ms": ts_ms,
            "features": dict(zip(names, values, strict=True)), "prediction": score,
        })  # fmt: skip


def frame(chunk: Chunk) -> bytes:
    """Return the chunk, which is of one model, as one JSON message of columns."""
    return orjson.dumps({
        "model": chunk.models[0], "version": "1", "ids": chunk.ids, "ts_ms": chunk.ts_ms,
        "features": chunk.features, "predictions": chunk.scores,
    })  # fmt: skip


def arrow(chunk: Chunk) -> bytes:
    """Return the chunk, which is of one model, as one Arrow IPC stream."""
    columns = {"id": chunk.ids, "ts_ms": chunk.ts_ms, "prediction": chunk.scores}
    table = pa.table(columns | {f"features.{name}": v for name, v in chunk.features.items()})
    table = table.replace_schema_metadata({"model": chunk.models[0], "version": "1"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def predictions(data: Data, seed: int) -> Iterator[tuple[bytes, Headers]]:
    """Yield value and headers of every message of predictions."""
    for chunk in chunks(data, seed):
        if data.form == "rows":
            yield from ((value, []) for value in rows(chunk))
        elif data.form == "frames":
            yield frame(chunk), []
        else:
            yield arrow(chunk), ARROW


def labels(data: Data, seed: int) -> Iterator[tuple[bytes, Headers]]:
    """Yield the label of every row, in their order."""
    rng = np.random.default_rng(seed)
    for chunk in chunks(data, seed):
        came = rng.integers(2, size=len(chunk.ids)).tolist()
        for model, row_id, ts_ms, label in zip(
            chunk.models, chunk.ids, chunk.ts_ms, came, strict=True
        ):
            yield orjson.dumps({"model": model, "id": row_id, "ts_ms": ts_ms, "label": label}), []
