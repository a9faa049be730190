"""What the text of cells says: numbers, booleans, times."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tidegauge.streams.cli.bad_rows import Bools, shown
from tidegauge.streams.cli.options import note
from tidegauge.streams.runtime.errors import ConfigurationError

Column = Any  # a pyarrow.ChunkedArray, whose stubs fix one element type
Floats = NDArray[np.float64]

HALF = 0.5
SAMPLE = 1000  # cells that tell most columns of text without a look at the others
# No value, where numbers or times are wanted.
MISSING = r"(?i)^(n/?a|na[nt]|null|none|<na>|[+-]?inf(inity)?)?$"
EXPONENT = "([eE][+-]?[0-9]+)?"
NUMBER = rf"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+){EXPONENT}$"
# What a number gives back as it was written: unlike 00501, +49170 or 4929123412341234.
PLAIN = rf"^-?((0|[1-9][0-9]{{0,14}})(\.[0-9]*)?|[1-9][0-9]*\.[0-9]+|\.[0-9]+){EXPONENT}$"
# Not plain, and meant as a number perhaps: codes as above, 12,5 and 1,250.00 and 93%.
ALIKE = rf"^[+-]?([0-9]+|[0-9]{{1,3}}([.,' ][0-9]{{3}})+)?([.,][0-9]*)?({EXPONENT}|%)$"
BOOLEAN = "(?i)^(true|false)$"
ZONE = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
CLOCK = rf"[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]+)?)?( ?UTC$| ?{ZONE})?"
ISO = f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}({CLOCK})?$"


def inferred(text: Column, name: str) -> Column:
    """Return a column as numbers or booleans if every cell is one, else as it is.

    One of times comes back as a column of that type without a value: a time is no feature.
    """
    cells = _present(text.drop_null()[:SAMPLE])
    kinds = [pattern for pattern in (PLAIN, BOOLEAN, ISO) if _all(cells, pattern)]
    if not kinds and not _alike(cells):
        return text
    cells = text if _all(text, PLAIN) else _present(text)  # the first is many times cheaper
    if cells.null_count == len(cells):
        return pa.chunked_array([pa.nulls(len(cells))])
    if _all(cells, PLAIN) or _all(cells, BOOLEAN):
        return numbers(cells)[0]
    if _all(cells, ISO):
        return pa.chunked_array([pa.nulls(len(cells), pa.timestamp("ms"))])
    if _alike(cells):
        row = int(np.argmax(_is(pc.invert(_matches(cells, PLAIN)))))
        told = f"{shown(text[row])} in row {row + 1:,} is no plain number"
        note(f"column {name!r} is read as text: {told}. --monitors can declare it numeric")
    return text


def are_classes(text: Column) -> bool:
    """Return whether cells say neither numbers nor booleans, for the most part."""
    cells = _present(text.drop_null())
    known = cells.null_count < len(cells)
    return known and not _alike(cells.drop_null()) and not _all(cells, BOOLEAN)


def numbers(text: Column) -> tuple[Column, Bools]:
    """Return the numbers or booleans that cells say, null for none, and where there is neither."""
    fits = _matches(text, NUMBER)
    if not pc.all(fits, min_count=0).as_py():
        text = _present(text)
        if text.null_count < len(text) and _all(text, BOOLEAN):
            return pc.utf8_lower(text).cast(pa.bool_()), np.zeros(len(text), np.bool_)
        for word, number in (("true", "1"), ("false", "0")):
            text = pc.replace_substring_regex(text, f"(?i)^{word}$", number)
        fits = _matches(text, NUMBER)
        text = pc.if_else(fits, text, None)
    try:
        return text.cast(pa.int64()), _is(pc.invert(fits))
    except pa.ArrowInvalid:
        found = text.cast(pa.float64())
        return found, _is(
            pc.or_kleene(pc.invert(fits), pc.is_inf(found))
        )  # 1e400 is more than a float


def times(text: Column, name: str) -> tuple[Floats, Bools]:
    """Return milliseconds since 1970, NaN for none, and where there is something else.

    Raises
    ------
    ConfigurationError
        If some cells have a zone and others have none: nobody knows how far these are apart.
    """
    cells = _present(text)
    ms = pc.if_else(_matches(cells, NUMBER), cells, None).cast(pa.float64()).to_numpy()
    clock = pc.if_else(_matches(cells, ISO), cells, None)
    for written, replaced in ((" ?UTC$", "Z"), (f" {ZONE}", r"\1"), (r"(\.[0-9]{6})[0-9]+", r"\1")):
        clock = pc.replace_substring_regex(clock, written, replaced)
    zoned = _matches(clock, f":.*{ZONE}")
    if pc.all(zoned).as_py() != pc.any(zoned).as_py():
        with_zone, without = np.argmax(_is(zoned)), np.argmax(_is(pc.invert(zoned)))
        raise ConfigurationError(
            f"column {name!r}: expected times with a zone or without one, got "
            f"{shown(text[int(with_zone)])} in row {with_zone + 1:,} and "
            f"{shown(text[int(without)])} in row {without + 1:,}"
        )
    kind = pa.timestamp("us", "UTC") if pc.any(zoned).as_py() else pa.timestamp("us")
    try:
        moments = clock.cast(kind)
    except pa.ArrowInvalid:  # such as the 30th of February
        moments = pa.chunked_array([[_moment(cell, kind) for cell in clock]])
    clock_ms = moments.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy() / 1000
    ms = np.floor(np.where(np.isnan(ms), clock_ms, ms))
    return ms, np.isnan(ms) & _is(cells.is_valid())


def _moment(cell: Any, kind: Any) -> Any:
    try:
        return cell.cast(kind)
    except pa.ArrowInvalid:
        return pa.scalar(None, kind)


def _present(text: Column) -> Column:
    """Return cells without blanks around, and null where they say that there is no value."""
    cells = pc.utf8_trim_whitespace(text)
    return pc.if_else(_matches(cells, MISSING), None, cells)


def _matches(cells: Column, pattern: str) -> Column:
    return pc.match_substring_regex(cells, pattern)


def _all(cells: Column, pattern: str) -> bool:
    return bool(pc.all(_matches(cells, pattern), min_count=0).as_py())


def _alike(cells: Column) -> bool:
    """Return whether most cells look like numbers."""
    return (pc.mean(_matches(cells, ALIKE)).as_py() or 0) > HALF


def _is(mask: Column) -> Bools:
    return np.asarray(pc.fill_null(mask, False))
