"""Synthetic traffic of one model: ten features, a score; the same bytes for the same seed."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import orjson

MODEL: Final = "bench"
NUMBERS: Final = 9
COUNTRIES: Final = ("DE", "FR", "US", "BR", "IN")
START_MS: Final = 1_700_000_000_000
FRAME_ROWS: Final = 500
CHUNK: Final = 10_000


def rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield rows as they are sent, one object each; independent and without drift."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, CHUNK):
        numbers = rng.normal(100.0, 15.0, (CHUNK, NUMBERS)).round(4).tolist()
        scores = rng.beta(2, 5, CHUNK).round(6).tolist()
        countries = rng.integers(len(COUNTRIES), size=CHUNK).tolist()
        for at in range(min(CHUNK, count - start)):
            features: dict[str, Any] = {f"feature_{j}": x for j, x in enumerate(numbers[at])}
            features["country"] = COUNTRIES[countries[at]]
            yield {
                "model": MODEL,
                "version": "1",
                "id": f"request-{start + at:09d}",
                "ts_ms": START_MS + 10 * (start + at),
                "features": features,
                "prediction": scores[at],
            }


def single_rows(count: int, seed: int) -> Iterator[bytes]:
    """Yield one message a row."""
    return map(orjson.dumps, rows(count, seed))


def frames(count: int, seed: int) -> Iterator[bytes]:
    """Yield one message for each 500 rows, as columns."""
    held: list[dict[str, Any]] = []
    for row in rows(count, seed):
        held.append(row)
        if len(held) == FRAME_ROWS:
            yield orjson.dumps(_frame(held))
            held = []
    if held:
        yield orjson.dumps(_frame(held))


def _frame(held: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model": MODEL,
        "version": "1",
        "ids": [row["id"] for row in held],
        "ts_ms": [row["ts_ms"] for row in held],
        "features": {name: [row["features"][name] for row in held] for name in held[0]["features"]},
        "predictions": [row["prediction"] for row in held],
    }
