"""Reads a record batch of an Arrow stream into arrays; what is not plain is left to pyarrow.

Whatever is accepted here, pyarrow's full validation accepts, and the JSON frame that stands for it
has the same values. Everything else is no fault: values that are out of range, buffers that do not
hold what they should.

The format: https://arrow.apache.org/docs/format/Columnar.html
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from tidegauge.detectors._jit import BYTES, INTS, PAIRS, kernel, routine
from tidegauge.schemas.events import LATEST_MS

# Kinds of a column, by how its values lie in memory.
(
    DOUBLE, SINGLE, INT64, INT32, INT16, INT8, UINT64, UINT32, UINT16, UINT8, BOOL, TEXT,
    LARGE_TEXT, NOTHING,
) = range(14)  # fmt: skip
WIDTHS: Final = np.array([8, 4, 8, 4, 2, 1, 8, 4, 2, 1, 0, 4, 8, 0])  # bytes; of text, its places
# What a column is to a block.
OTHER, ID, TIME, SCORE, NUMBER, CATEGORY, AWAITED = range(7)
# Of a column; GOES is its place, of TIME how many of it are a ms. VALUES is its dictionary, if any.
KIND, ROLE, GOES, VALUES = range(4)
SECONDS: Final = 0  # in place of how many are a ms
NODE, BUFFER = 16, 16  # bytes: a length and a number of nulls; a place and a length
FAULT: Final = -1
LIMIT: Final = 1e100  # as ``schemas.events.Finite``
MOST_ID: Final = 512  # bytes; a longer id may still be short enough in characters


def _load(typing: Any, array: Any, at: Any, kind: Any) -> Any:
    """Return the number of this type that begins at array[at], wherever that lies in memory."""
    given = kind.instance_type

    def load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        own = cast(Any, make_array)(signature.args[0])(context, builder, arguments[0])
        pointer = context.get_value_type(given).as_pointer()
        place = builder.bitcast(builder.gep(own.data, [arguments[1]]), pointer)
        return builder.load(place, align=1)

    return given(array, at, kind), load


load = cast(Callable[[Any, Any, Any], Any], intrinsic(_load))


@routine
def whole(stream: Any, at: int, k: int, kind: int) -> Any:
    """Return the k-th whole number of a column; one beyond 63 bits is negative."""
    if kind == INT64:
        return load(stream, at + 8 * k, np.int64)
    if kind == INT32:
        return np.int64(load(stream, at + 4 * k, np.int32))
    if kind == INT16:
        return np.int64(load(stream, at + 2 * k, np.int16))
    if kind == INT8:
        return np.int64(load(stream, at + k, np.int8))
    if kind == UINT64:
        return np.int64(load(stream, at + 8 * k, np.uint64))
    if kind == UINT32:
        return np.int64(load(stream, at + 4 * k, np.uint32))
    if kind == UINT16:
        return np.int64(load(stream, at + 2 * k, np.uint16))
    return np.int64(load(stream, at + k, np.uint8))


@routine
def bit(stream: Any, at: int, k: int) -> Any:
    """Return the k-th bit of a bitmap."""
    return np.int64(load(stream, at + (k >> 3), np.uint8)) >> (k & 7) & 1


@routine
def number(stream: Any, at: int, k: int, kind: int) -> Any:
    """Return the k-th number of a column as a float, to the nearest one."""
    if kind == DOUBLE:
        return load(stream, at + 8 * k, np.float64)
    if kind == SINGLE:
        return np.float64(load(stream, at + 4 * k, np.float32))
    if kind == BOOL:
        return np.float64(bit(stream, at, k))
    if kind == UINT64:
        return np.float64(load(stream, at + 8 * k, np.uint64))
    return np.float64(whole(stream, at, k, kind))


@routine
def place(stream: Any, at: int, k: int, kind: int) -> Any:
    """Return where the k-th text of a column begins."""
    if kind == TEXT:
        return np.int64(load(stream, at + 4 * k, np.int32))
    return load(stream, at + 8 * k, np.int64)


@routine
def buffer(stream: Any, entry: int, body: int, size: int, least: int) -> Any:
    """Return where a buffer begins, if it lies in the body and has ``least`` bytes; else FAULT."""
    start, length = load(stream, entry, np.int64), load(stream, entry + 8, np.int64)
    if start < 0 or start & 7 or length < least or length > size - start:
        return FAULT
    return body + start


@routine
def has_nulls(stream: Any, validity: int, rows: int, nulls: int) -> Any:
    """Return whether a bitmap has so many nulls."""
    for k in range(rows):
        nulls -= 1 - bit(stream, validity, k)
    return nulls == 0


@routine
def ascending(stream: Any, at: int, rows: int, kind: int, data: int) -> Any:
    """Return whether each text of a column ends where the next begins, and none within a character.

    That the first begins in the data, and the last ends there, is known.
    """
    start, end = place(stream, at, 0, kind), place(stream, at, rows, kind)
    for k in range(rows):
        stop = place(stream, at, k + 1, kind)
        if stop < start:
            return False
        if start < end and load(stream, data + start, np.uint8) & 0xC0 == 0x80:
            return False
        start = stop
    return True


@routine
def fill_texts(stream: Any, at: int, kind: int, validity: int, data: int, spans: Any) -> None:
    """Write where texts lie in the stream."""
    for k in range(len(spans)):
        if validity == FAULT or bit(stream, validity, k):
            start = place(stream, at, k, kind)
            spans[k, 0], spans[k, 1] = data + start, place(stream, at, k + 1, kind) - start


@routine
def fill_coded(
    stream: Any, at: int, kind: int, validity: int, rows: int, values: Any, spans: Any
) -> Any:
    """Write where texts lie of which places among values are given, if spans are of any rows.

    Return how many bytes they have; FAULT if a place is none.
    """
    total = 0
    for k in range(rows):
        if validity != FAULT and not bit(stream, validity, k):
            continue
        code = whole(stream, at, k, kind)
        if code < 0 or code >= len(values):
            return FAULT
        total += max(values[code, 1], 0)
        if len(spans):
            spans[k, 0], spans[k, 1] = values[code, 0], values[code, 1]
    return total


@routine
def are_ids(ids: Any) -> Any:
    """Return whether each id has as many bytes as one may have."""
    for k in range(len(ids)):
        if ids[k, 1] < 1 or ids[k, 1] > MOST_ID:
            return False
    return True


@routine
def fill_times(stream: Any, at: int, kind: int, per_ms: int, ts_ms: Any) -> Any:
    """Write times in UTC milliseconds; return False if any is none that a row can have."""
    for k in range(len(ts_ms)):
        raw = whole(stream, at, k, kind)
        if raw < 0 or (per_ms == SECONDS and raw > LATEST_MS):
            return False
        ts_ms[k] = raw * 1000 if per_ms == SECONDS else raw // per_ms
        if ts_ms[k] > LATEST_MS:
            return False
    return True


@routine
def fill_numbers(stream: Any, at: int, kind: int, validity: int, goes: int, numbers: Any) -> Any:
    """Write a column's numbers, if it has a place; return how many, FAULT if any is too large."""
    count = 0
    for k in range(len(numbers)):
        if validity != FAULT and not bit(stream, validity, k):
            continue
        value = number(stream, at, k, kind)
        if abs(value) <= LIMIT:
            count += 1
            if goes != FAULT:
                numbers[k, goes] = value
        elif value == value:  # not NaN
            return FAULT
    return count


@kernel(
    BYTES, types.int64, types.int64, types.int64, types.int64,
    types.Array(types.int64, 2, "C", readonly=True), INTS, PAIRS,
    INTS, PAIRS, types.Array(types.float64, 2, "C"), types.Array(types.int64, 3, "C"), PAIRS, INTS,
    allocates=False,
)  # fmt: skip
def read_batch(
    stream: Any, nodes: Any, buffers: Any, body: Any, size: Any,
    columns: Any, firsts: Any, values: Any,
    ts_ms: Any, ids: Any, numbers: Any, texts: Any, data: Any, found: Any,
) -> None:  # fmt: skip
    """Read a batch, of whose memory nothing is known yet.

    Parameters
    ----------
    stream
        The bytes of the whole stream.
    nodes, buffers
        Where the list of columns and the list of their buffers begin in it.
    body, size
        Where the buffers lie: all of it is in the stream.
    columns
        columns x (KIND, ROLE, GOES, VALUES).
    firsts, values
        The values of all dictionaries, where they lie in the stream; NULL for one that is null.
        Those of the k-th are values[firsts[k] : firsts[k + 1]].
    ts_ms, ids, numbers, texts
        What to fill, a row a row; numbers are NaN and texts NULL before.
    data
        Where to write columns x (start, stop) of texts, which must be UTF-8 as a whole.
    found
        found[0] becomes how many bytes its texts have, and stays FAULT if it is not plain; then
        nothing else counts.
    """
    rows, total, found[0] = len(ts_ms), 0, FAULT
    for column in range(len(columns)):
        kind, role, goes = columns[column, KIND], columns[column, ROLE], columns[column, GOES]
        coded = columns[column, VALUES]
        node, validity, count = nodes + NODE * column, FAULT, 0
        nulls = load(stream, node + 8, np.int64)
        if load(stream, node, np.int64) != rows:
            return
        is_text = kind == TEXT or kind == LARGE_TEXT
        if nulls and (role == ID or role == TIME or role == SCORE):
            return
        if role == AWAITED and nulls != rows and (is_text or coded != FAULT):
            return
        data[column, 0], data[column, 1] = 0, 0
        if kind == NOTHING:
            if nulls != rows:
                return
            continue
        if nulls:
            validity = buffer(stream, buffers, body, size, (rows + 7) >> 3)
            if validity == FAULT or not has_nulls(stream, validity, rows, nulls):
                return
        least = (rows + 7) >> 3 if kind == BOOL else (rows + is_text) * WIDTHS[kind]
        at = buffer(stream, buffers + BUFFER, body, size, least)
        if at == FAULT:
            return
        buffers += 2 * BUFFER
        if is_text:
            start, end = place(stream, at, 0, kind), place(stream, at, rows, kind)
            begin = buffer(stream, buffers, body, size, end)
            if start < 0 or begin == FAULT:
                return
            if not ascending(stream, at, rows, kind, begin):
                return
            buffers += BUFFER
            data[column, 0], data[column, 1] = begin + start, begin + end
            total += end - start
            if role == CATEGORY:
                fill_texts(stream, at, kind, validity, begin, texts[:, goes])
            elif role == ID:
                fill_texts(stream, at, kind, validity, begin, ids)
        elif coded != FAULT:
            own = values[firsts[coded] : firsts[coded + 1]]
            if role == CATEGORY:
                count = fill_coded(stream, at, kind, validity, rows, own, texts[:, goes])
            else:
                into = ids if role == ID else ids[:0]
                count = fill_coded(stream, at, kind, validity, rows, own, into)
            if count == FAULT:
                return
            total += count
        elif role == TIME:
            if not fill_times(stream, at, kind, goes, ts_ms):
                return
        elif role != OTHER:
            count = fill_numbers(stream, at, kind, validity, goes, numbers)
            if count == FAULT or (role == SCORE and count < rows) or (role == AWAITED and count):
                return
        if role == ID and not are_ids(ids):
            return
    found[0] = total
