"""Rows as frames on the wire: checked, converted to what JSON has, written as columns."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import isfinite, isinf
from typing import Any

import orjson

MAX_BYTES = 256_000  # of one frame; a quarter of what brokers take by default

# The limits of the wire: a frame beyond them would be rejected whole, so rows are checked here.
MAX_MODEL, MAX_VERSION, MAX_ID = 200, 100, 512  # characters
MAX_TS_MS = 253_402_300_799_999  # the year 9999
MAX_FEATURES = 2_000
MAX_ROWS = 100_000
MAX_CLASSES = 1_000
ROUNDING = 1e-6  # by which a probability in float32 may lie outside 0 to 1
MAX_INT = 2**63
MAX_NUMBER = 1e100  # its square, summed, is still a number

Scalar = float | int | bool | str | None
Row = tuple[str, Any, Any, dict[Any, Any], Any]  # topic, id, ts_ms, features, value; unchecked

# Of pandas and NumPy, known by name, since neither is imported here.
MISSING = ("NAType", "NaTType", "MaskedConstant")
TIMES = ("m", "M")  # kinds of NumPy's durations and dates


def text(value: Any) -> str:
    """Return the same text as a plain str, if it is one that UTF-8 can carry."""
    if type(value) is str and value.isascii():
        return value
    if not isinstance(value, str):
        raise TypeError(f"a name must be a str, got {type(value).__name__}: send str(...) of it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "text must be without lone surrogates, which UTF-8 cannot carry: "
            "send text.encode(errors='replace').decode()"
        ) from error
    return str.__str__(value)


def converted(value: Any) -> Scalar:
    """Return the number, bool, str or None that a foreign object stands for, if it is just one."""
    kind = type(value).__name__
    item = getattr(value, "item", None)  # NumPy's scalars and arrays, tensors, pandas' Series
    try:
        found = item() if callable(item) and kind not in MISSING else value
        if isinstance(found, Scalar):
            if type(found) is int and getattr(getattr(value, "dtype", None), "kind", "") in TIMES:
                raise TypeError("NumPy counts a date or duration in whatever unit it has")
            return found
        if type(found).__name__ in MISSING:
            return None
        if type(found) is not type(value):
            return converted(found)
        number = float(found.__float__())  # Decimal, Fraction, NumPy's longdouble
        if isinf(number) and number != found:
            raise OverflowError("a float does not reach as far")
        return number
    except Exception as error:  # more than one element, or whatever else a foreign object raises
        raise TypeError(
            f"must be a number, bool, str or None, got {kind}: send what you mean by it, "
            "such as float(...), str(...), .timestamp(), or a feature for each element"
        ) from error


def plain(value: Any) -> Scalar:
    """Return a feature's value as JSON has it; None where it is missing, NaN or infinite.

    >>> plain(12.5), plain(float("nan")), plain("DE")
    (12.5, None, 'DE')
    """
    if type(value) is float and -MAX_NUMBER <= value <= MAX_NUMBER:  # most values: the short way
        return value
    if not isinstance(value, Scalar):
        return plain(converted(value))
    if isinstance(value, float):
        if isfinite(value) and abs(value) > MAX_NUMBER:
            raise ValueError(
                f"a number must lie within -{MAX_NUMBER:g} and {MAX_NUMBER:g}, got one beyond: "
                "scale it, or send None where it stands for nothing"
            )
        return float(value) if isfinite(value) else None
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return value
    if not -MAX_INT <= value < MAX_INT:
        raise ValueError(
            f"an integer must fit in 64 bits with its sign, got {value.bit_length()} without: "
            "send float(...) of a quantity, str(...) of a code"
        )
    return int(value)


def clean(row: Row) -> Row:
    """Return the row in types that JSON has.

    Raises
    ------
    ValueError
        If a part is of a wrong type or out of range; the text names the part and says what to
        send instead. It never holds the value of an id, a feature or a label, since it is logged.
    """
    topic, key, ts_ms, features, value = row
    if len(features) > MAX_FEATURES:
        raise ValueError(f"a row may have {MAX_FEATURES} features, got {len(features)}")
    ready = {}
    for name, raw in features.items():
        try:
            ready[text(name)] = plain(raw)
        except (TypeError, ValueError) as error:
            raise ValueError(f"feature {name!r:.100}: {error}") from error
    said = None if topic == "features" else predicted(topic[:-1], value)
    return topic, named(key), timed(ts_ms), ready, said


def predicted(part: str, value: Any) -> float | str | dict[str, float]:
    """Return a prediction or a label: a number, a class, or of a prediction each class's share.

    >>> predicted("label", "cat"), predicted("prediction", {"cat": 0.75, "dog": 0.25})
    ('cat', {'cat': 0.75, 'dog': 0.25})
    """
    if isinstance(value, str):
        return class_name(part, value)
    if part == "prediction" and isinstance(value, Mapping):
        if not 0 < len(value) <= MAX_CLASSES:
            raise ValueError(f"{part}: expected 1 to {MAX_CLASSES} classes, got {len(value)}")
        shares = {class_name(part, name): finite(part, share) for name, share in value.items()}
        if not all(-ROUNDING <= share <= 1 + ROUNDING for share in shares.values()):
            raise ValueError(f"{part}: a class's probability must be 0 to 1: send no logits")
        return shares
    return finite(part, value)


def class_name(part: str, value: Any) -> str:
    """Return the name of a class as a plain str."""
    try:
        name = text(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{part}: {error}") from error
    if not 0 < len(name) <= MAX_ID:
        raise ValueError(f"{part}: a class must have 1 to {MAX_ID} characters, got {len(name)}")
    return name


def named(key: Any) -> str:
    """Return an id as a plain str."""
    if not isinstance(key, str):
        got = f"{type(key).__name__}: send str(id), here and with the label"
    elif not 0 < len(key) <= MAX_ID:
        got = f"{len(key)} characters"
    else:
        try:
            return text(key)
        except ValueError as error:
            raise ValueError(f"id: {error}") from error
    raise ValueError(f"id must be a str of 1 to {MAX_ID} characters, got {got}")


def timed(ts_ms: Any) -> int:
    """Return a time as an int."""
    with suppress(TypeError, ValueError):  # told below
        found = plain(ts_ms)
        if type(found) is int and 0 <= found <= MAX_TS_MS:
            return found
    got = str(ts_ms) if type(ts_ms) is int else type(ts_ms).__name__
    raise ValueError(
        f"ts_ms must be an int of 0 to {MAX_TS_MS}, milliseconds since 1970, got {got:.40}: "
        "send int(seconds * 1000), or leave it out to mean now"
    )


def finite(part: str, value: Any) -> float:
    """Return a prediction or a label as a float."""
    got = type(value).__name__
    try:
        number = plain(value)
    except TypeError:
        number = None
    except ValueError as error:
        raise ValueError(f"{part}: {error}") from error
    else:
        if isinstance(number, float | int):
            return float(number)
        got += " that is NaN or infinite" if number is None and value is not None else ""
    raise ValueError(
        f"{part} must be a finite number or bool, got {got}: "
        "send one number; of a classifier the probability of the positive class, 0 to 1, or a class"
    )


def encode(
    model: str,
    version: str,
    topic: str,
    rows: list[Row],
    dumps: Callable[[dict[str, Any]], bytes] = orjson.dumps,
) -> list[tuple[bytes, int]]:
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
        payload = dumps(frame)
        if len(payload) <= MAX_BYTES or len(rows) == 1:
            return [(payload, len(rows))]
    half = len(rows) // 2
    return [
        *encode(model, version, topic, rows[:half], dumps),
        *encode(model, version, topic, rows[half:], dumps),
    ]
