"""Rows as frames on the wire: checked, converted to what JSON has, written as columns."""

from math import isfinite
from typing import Any, SupportsFloat

import orjson

MAX_BYTES = 256_000  # of one frame; a quarter of what brokers take by default

# The limits of the wire: a frame beyond them would be rejected whole, so rows are checked here.
MAX_MODEL, MAX_VERSION, MAX_ID = 200, 100, 512  # characters
MAX_TS_MS = 253_402_300_799_999  # the year 9999
MAX_FEATURES = 2_000
MAX_ROWS = 100_000
MAX_INT = 2**63
MAX_NUMBER = 1e100  # its square, summed, is still a number

Scalar = float | int | bool | str | None
Row = tuple[str, Any, Any, dict[Any, Any], Any]  # topic, id, ts_ms, features, value; unchecked


def text(value: Any) -> str:
    """Return the same text as a plain str, if it is one that UTF-8 can carry."""
    if type(value) is str and value.isascii():
        return value
    if not isinstance(value, str):
        raise TypeError(f"a name must be a str, got {type(value).__name__}")
    value.encode()  # raises a ValueError for a lone surrogate
    return str.__str__(value)


def converted(value: Any) -> Scalar:
    """Return the number, bool or str that a foreign object stands for."""
    item = getattr(value, "item", None)  # NumPy's scalars, tensors of one element
    found = item() if callable(item) else value
    if isinstance(found, Scalar):
        return found
    if isinstance(found, SupportsFloat):  # Decimal, Fraction, NumPy's longdouble
        return float(found)
    raise TypeError(f"must be a number, bool, str or None, got {type(value).__name__}")


def plain(value: Any) -> Scalar:
    """Return a feature's value as JSON has it; None where it is NaN or infinite.

    >>> plain(12.5), plain(float("nan")), plain("DE")
    (12.5, None, 'DE')
    """
    if type(value) is float and -MAX_NUMBER <= value <= MAX_NUMBER:  # most values: the short way
        return value
    if not isinstance(value, Scalar):
        return plain(converted(value))
    if isinstance(value, float):
        if isfinite(value) and abs(value) > MAX_NUMBER:
            raise ValueError(f"a number must lie within -{MAX_NUMBER:g} and {MAX_NUMBER:g}")
        return float(value) if isfinite(value) else None
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return value
    if not -MAX_INT <= value < MAX_INT:
        raise ValueError(f"an integer must fit in 64 bits, got {value.bit_length()} bits")
    return int(value)


def clean(row: Row) -> Row:
    """Return the row in types that JSON has.

    Raises
    ------
    ValueError
        If a part is of a wrong type or out of range; the text names the part, never its value,
        since it is logged.
    """
    topic, key, ts, features, value = row
    if not (isinstance(key, str) and 0 < len(key) <= MAX_ID):
        raise ValueError(f"id must be a str of 1 to {MAX_ID} characters, got {type(key).__name__}")
    key = text(key)
    ts_ms = plain(ts)
    if type(ts_ms) is not int or not 0 <= ts_ms <= MAX_TS_MS:
        raise ValueError(f"ts_ms must be an int of 0 to {MAX_TS_MS}, got {type(ts).__name__}")
    if len(features) > MAX_FEATURES:
        raise ValueError(f"a row may have {MAX_FEATURES} features, got {len(features)}")
    ready = {}
    for name, raw in features.items():
        try:
            ready[text(name)] = plain(raw)
        except (TypeError, ValueError) as error:
            raise ValueError(f"feature {name!r:.100}: {error}") from error
    if topic != "features":
        number = plain(value)
        if number is None or isinstance(number, str):
            raise ValueError(f"{topic[:-1]} must be a finite number, got {type(value).__name__}")
        value = float(number)
    return topic, key, ts_ms, ready, value


def encode(model: str, version: str, topic: str, rows: list[Row]) -> list[tuple[bytes, int]]:
    """Write clean rows of one topic as frames, each with its number of rows.

    One frame, unless it would be too large; a feature that a row lacks is null there.
    """
    names = dict.fromkeys(name for row in rows for name in row[3])
    if len(names) <= MAX_FEATURES:
        frame: dict[str, Any] = {"model": model, "version": version}
        frame["ids"] = [row[1] for row in rows]
        frame["ts_ms"] = [row[2] for row in rows]
        if topic != "labels":
            frame["features"] = {name: [row[3].get(name) for row in rows] for name in names}
        if topic != "features":
            frame[topic] = [row[4] for row in rows]
        payload = orjson.dumps(frame)
        if len(payload) <= MAX_BYTES or len(rows) == 1:
            return [(payload, len(rows))]
    half = len(rows) // 2
    return [
        *encode(model, version, topic, rows[:half]),
        *encode(model, version, topic, rows[half:]),
    ]
