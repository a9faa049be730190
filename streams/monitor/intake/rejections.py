"""What could not be read: as it came, with the reason, for the topic ``rejected``."""

import re
from dataclasses import dataclass

import msgspec

from tidegauge.schemas import rejected
from tidegauge.schemas.events import MAX_ROWS
from tidegauge.streams.monitor.intake.arrow_frames import declares_arrow, is_arrow
from tidegauge.streams.monitor.records import Output, Record

MAX_COPY = 900_000  # bytes; what is larger is named by its origin, with its first bytes
FIRST_BYTES = 1024
HEADER_BYTES = 2  # of an empty one: a record may have millions
MAX_REASON = 2000  # characters: it may quote what came

# What decoding raises on hostile input: deep nesting ends in RecursionError, a time that no
# calendar has in OverflowError.
FAULTS = (ValueError, RecursionError, OverflowError)
# What is in a value that a decoder of JSON does not know the name of, and what to send instead.
_HINTS = (
    (re.compile(rb"\s*\Z").match, "the value is empty"),
    (re.compile(rb"\xef\xbb\xbf").match, "it begins with a byte order mark: send UTF-8 without"),
    (re.compile(rb"ARROW1").match, "it is an Arrow file (Feather): send an Arrow stream"),
    # As Python's own json writes them.
    (
        re.compile(rb"[:,\[]\s*-?(NaN|Infinity)\b").search,
        "JSON has no NaN and no Infinity: send null",
    ),
    (
        re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])").search,
        "a text has half of a surrogate pair",
    ),
)
_NOT_JSON = ("JSON is malformed", "Input data was truncated")  # so a reason begins


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record, or some rows of a frame, that could not be read."""

    record: Record
    reason: str
    error: str = "ValidationError"
    rows: int = 1
    of: tuple[str, str] = ("", "")  # the model version, where the record says it
    where: str = ""  # in the record
    value: bytes | None = None  # a frame of the bad rows alone, so the good ones are not sent twice


def present(value: bytes | None) -> bytes:
    """Return a record's value; raises ValueError for a null record, which says nothing."""
    if value is None:
        raise ValueError("Expected `object`, got no value (a null record)")
    return value


def rejection(record: Record, fault: BaseException, of: tuple[str, str] = ("", "")) -> Rejection:
    """Return the rejection of a whole record for a decoding fault."""
    value = record.value or b""
    reason = _reason(record, value, fault)
    return Rejection(record, reason, type(fault).__name__, rows_in(value), of)


def _reason(record: Record, value: bytes, fault: BaseException) -> str:
    """Return what a fault says, and what the value is instead of JSON where that shows."""
    if isinstance(fault, RecursionError):
        return "nested too deeply"
    reason = str(fault)
    if isinstance(fault, UnicodeDecodeError) and not is_arrow(record):
        try:
            value.decode()
        except UnicodeDecodeError as odd:  # of the record, not of one text in it
            return f"expected UTF-8, got 0x{value[odd.start]:02x} (byte {odd.start})"
    if reason.startswith(_NOT_JSON):
        told = [told for finds, told in _HINTS if finds(value)]
        if not told and declares_arrow(record):
            told = ["nor is it an Arrow stream, as its content-type says"]
        reason = "; ".join([reason, *told[:1]])
    return reason


class _Ids(msgspec.Struct):
    ids: list[msgspec.Raw]


def rows_in(value: bytes) -> int:
    """Return how many rows a value holds that could not be read: at least one.

    >>> rows_in(b'{"id": "a"}'), rows_in(b'{"ids": ["a", "b"]}'), rows_in(b'{"ids": ["a"], NaN}')
    (1, 2, 1)
    """
    if b'"ids"' not in value:
        return 1
    try:
        rows = len(_FRAME.decode(value).ids)
    except FAULTS:  # as many as there are commas between the brackets: ids seldom have any
        listed = _LIST(value)
        rows = listed[1].count(b",") + 1 if listed else 1
    return min(max(rows, 1), MAX_ROWS)


_FRAME = msgspec.json.Decoder(_Ids)
_LIST = re.compile(rb'"ids"\s*:\s*\[([^\]]*)\]').search


def letter(rejected_rows: Rejection, topic: str, partition: int) -> Output:
    """Return the dead letter of a rejection."""
    record = rejected_rows.record
    added = rejected.headers(
        topic=topic,
        partition=partition,
        offset=record.offset,
        reason=(rejected_rows.reason + rejected_rows.where)[:MAX_REASON],
        error=rejected_rows.error,
    )
    value = record.value if rejected_rows.value is None else rejected_rows.value
    original = list(record.headers)
    size = len(value or b"") + len(record.key or b"")
    size += sum(len(name.encode()) + len(v or b"") + HEADER_BYTES for name, v in original)
    if size > MAX_COPY:
        added += [("tidegauge.truncated", str(size).encode())]
        key, original = (record.key or b"")[:FIRST_BYTES], []
        return Output("rejected", key, (value or b"")[:FIRST_BYTES], added)
    return Output("rejected", record.key, value, [*original, *added])
