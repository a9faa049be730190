"""Reads plain JSON rows and frames into arrays; what is not plain is left to msgspec, the judge.

Whatever is accepted here, msgspec's typed decoders accept with the same values, to the last bit.
Everything else is no fault, but ``CAREFUL``: an escape in a text that is used, a name twice, a
value of another type, a number whose rounding needs more than 64 bits of digits.

References
----------
Clinger (1990), How to read floating point numbers accurately: digits below 2^53 and a power of ten
that is exact need one rounding. Lemire (2021), Number parsing at a gigabyte per second: other
numbers of up to 19 digits by a product of 128 bits, here without subnormal results.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from tidegauge.detectors._jit import BYTES, INTS, PAIRS, kernel, part, routine
from tidegauge.schemas.events import LATEST_MS
from tidegauge.streams.monitor.intake.plain_rows import NULL

CAREFUL: Final = -1  # the owner of a row that is not plain
EACH: Final = -1  # row of a frame, in place of one row
FAULT: Final = -1  # in place of where to read on
NOTHING: Final = -1
UNKNOWN: Final = -2  # the code of a text that is not entered
PROBES: Final = 16  # places of a hash table that are looked at: hostile names must not cost more

# What stands at the top of a row; a frame has "ids" there.
TOP: Final = (
    "model", "version", "id", "ts_ms", "features", "prediction", "ids", "predictions"
)  # fmt: skip
MODEL, VERSION, ID, TS_MS, FEATURES, PREDICTION, IDS, PREDICTIONS = range(len(TOP))
MOST_ID: Final = 512  # characters

# Of a layout: its first field and their number, its model and version among the names, how many
# numbers it has without the score, and how many texts.
FIRST, FIELDS, MODEL_AT, MODEL_LENGTH, VERSION_AT, VERSION_LENGTH, NUMBERS, TEXTS = range(8)
# Of a field: its name, and where its value goes: a number's column, or after these two what is none
AT, LENGTH, GOES = range(3)
AWAITED: Final = -1  # nowhere: only null is plain
TEXT: Final = -2  # minus the column

QUOTE, BACKSLASH, COMMA, COLON, POINT, MINUS, PLUS, ZERO, NINE = b'"\\,:.-+09'
OPEN, CLOSE, OPEN_LIST, CLOSE_LIST, SMALL_E, LARGE_E, N, T, F, SPACE = b"{}[]eEntf "
BLANK: Final = 1 << 32 | 1 << 13 | 1 << 10 | 1 << 9  # a bit for each byte that is white space
WORDS: Final = np.frombuffer(b"nulltruefalse", np.uint8)

LIMIT: Final = 1e100
EXACT: Final = 1 << 53
SIGNIFICANT: Final = 19  # digits that 64 bits hold
LOWEST, HIGHEST = -342, 308  # powers of ten
POWERS_OF_TEN: Final = np.array([10.0**k for k in range(23)])
POWERS_OF_TWO: Final = np.array([2.0**k for k in range(-1074, 972)])


def _powers_of_five() -> NDArray[np.uint64]:
    """Return the first 128 bits of each power of five, as two words: Lemire (2021), appendix B."""
    found = []
    for k in range(LOWEST, HIGHEST + 1):
        power = 5 ** abs(k)
        if k < 0:
            z = (power - 1).bit_length()
            power = (1 << (z + 127 if k >= -27 else 2 * z + 128)) // power + 1
        bits = power.bit_length()
        power = power << (128 - bits) if bits <= 128 else power >> (bits - 128)
        found.append((power >> 64, power & ((1 << 64) - 1)))
    return np.array(found, np.uint64)


POWERS_OF_FIVE: Final = _powers_of_five()
ONE, WORD_HALF, LOW_HALF = np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFF)


# --- numbers -------------------------------------------------------------------------------------


def _byte(typing: Any, array: Any, at: Any) -> Any:
    """Return array[at] for an ``at`` that is not negative: numba asks each time, at a price."""

    def load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        own = cast(Any, make_array)(signature.args[0])(context, builder, arguments[0])
        return builder.load(builder.gep(own.data, [arguments[1]]))

    return types.uint8(array, at), load


byte = cast(Callable[[Any, Any], Any], intrinsic(_byte))


@routine
def product(a: Any, b: Any) -> Any:
    """Return the high and the low word of a product of two words."""
    a1, a0, b1, b0 = a >> WORD_HALF, a & LOW_HALF, b >> WORD_HALF, b & LOW_HALF
    low, middle, other = a0 * b0, a1 * b0, a0 * b1
    carry = (low >> WORD_HALF) + (middle & LOW_HALF) + (other & LOW_HALF)
    high = a1 * b1 + (middle >> WORD_HALF) + (other >> WORD_HALF) + (carry >> WORD_HALF)
    return high, (carry << WORD_HALF) | (low & LOW_HALF)


@routine
def rounded(digits: Any, ten: int) -> Any:
    """Return digits x 10^ten as the nearest float; NaN where it takes more care."""
    if digits < np.uint64(EXACT) and -23 < ten < 23:
        whole = np.float64(digits)
        return whole / POWERS_OF_TEN[-ten] if ten < 0 else whole * POWERS_OF_TEN[ten]
    if ten < LOWEST or ten > HIGHEST:
        return np.nan
    shift = 0
    while not digits >> np.uint64(63):
        digits, shift = digits << ONE, shift + 1
    high, low = product(digits, POWERS_OF_FIVE[ten - LOWEST, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = product(digits, POWERS_OF_FIVE[ten - LOWEST, 1])
        low = low + more
        if low < more:
            high = high + ONE
    if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (ten < -27 or ten > 55):
        return np.nan  # more bits would decide
    upper = np.int64(high >> np.uint64(63))
    spare = np.uint64(upper + 9)
    mantissa = high >> spare
    two = (((152170 + 65536) * ten) >> 16) + 63 + upper - shift + 1023
    if two <= 0 or two >= 2047:
        return np.nan
    if low <= ONE and -4 <= ten <= 23 and mantissa & np.uint64(3) == ONE:
        if mantissa << spare == high:  # half way between two floats: to the even one
            mantissa = mantissa & ~ONE
    mantissa = (mantissa + (mantissa & ONE)) >> ONE
    return np.float64(mantissa) * POWERS_OF_TWO[two - 1023 - 52 + 1074]


@routine
def number(buffer: Any, at: int, end: int) -> Any:
    """Return the number that begins at ``at``, and where it ends; FAULT where it is not plain."""
    negative = byte(buffer, at) == MINUS
    if negative:
        at += 1
    digits, significant, ten, first = np.uint64(0), 0, 0, at
    while at < end and ZERO <= byte(buffer, at) <= NINE:
        digits = digits * np.uint64(10) + np.uint64(byte(buffer, at) - ZERO)
        significant += significant > 0 or byte(buffer, at) != ZERO
        at += 1
    if at == first or (byte(buffer, first) == ZERO and at - first > 1):
        return 0.0, FAULT
    is_whole = True
    if at < end and byte(buffer, at) == POINT:
        at, is_whole, point = at + 1, False, at + 1
        while at < end and ZERO <= byte(buffer, at) <= NINE:
            digits = digits * np.uint64(10) + np.uint64(byte(buffer, at) - ZERO)
            significant += significant > 0 or byte(buffer, at) != ZERO
            at += 1
        if at == point:
            return 0.0, FAULT
        ten = point - at
    if at < end and (byte(buffer, at) == SMALL_E or byte(buffer, at) == LARGE_E):
        at, is_whole, said, sign = at + 1, False, 0, 1
        if at < end and (byte(buffer, at) == MINUS or byte(buffer, at) == PLUS):
            sign = COMMA - int(byte(buffer, at))
            at += 1
        first = at
        while at < end and ZERO <= byte(buffer, at) <= NINE and said < 10_000:
            said = said * 10 + int(byte(buffer, at)) - ZERO
            at += 1
        if at == first or said >= 10_000:
            return 0.0, FAULT
        ten += -said if sign < 0 else said
    if significant > SIGNIFICANT:
        return 0.0, FAULT
    value = 0.0
    if digits:
        value = rounded(digits, ten)
        if not value <= LIMIT:
            return 0.0, FAULT
    if negative and not (is_whole and value == 0.0):  # "-0" is a whole number, and those have one 0
        value = -value
    return value, at


# --- texts and what is skipped -------------------------------------------------------------------


@routine
def blank(buffer: Any, at: int, end: int) -> Any:
    """Return where something other than white space stands."""
    while at < end and byte(buffer, at) <= SPACE:
        if not BLANK >> np.int64(byte(buffer, at)) & 1:
            break
        at += 1
    return at


@routine
def ends(buffer: Any, at: int, end: int) -> Any:
    """Return where a text without escapes ends that begins at ``at``; FAULT where there is none."""
    while at < end and byte(buffer, at) != QUOTE:
        if byte(buffer, at) == BACKSLASH or byte(buffer, at) < SPACE:
            return FAULT
        at += 1
    return at if at < end else FAULT


@routine
def characters(buffer: Any, at: int, end: int) -> Any:
    """Return how many characters a text has; FAULT where it is not UTF-8: Unicode, table 3-7."""
    count = 0
    while at < end:
        first, more, low, high = byte(buffer, at), 0, 0x80, 0xBF
        if first >= 0x80:
            if first < 0xC2 or first > 0xF4:
                return FAULT
            more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
            low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
            high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if at + more >= end:
            return FAULT
        for k in range(1, more + 1):
            if byte(buffer, at + k) < low or byte(buffer, at + k) > high:
                return FAULT
            low, high = 0x80, 0xBF
        at, count = at + 1 + more, count + 1
    return count


@routine
def same(buffer: Any, at: int, names: Any, start: int, length: int) -> Any:
    """Return whether these bytes are that name."""
    for k in range(length):
        if byte(buffer, at + k) != byte(names, start + k):
            return False
    return True


@routine
def spelt(buffer: Any, at: int, end: int, start: int, length: int) -> Any:
    """Return where one of the WORDS ends, if it stands at ``at``; FAULT if not."""
    if at + length > end:
        return FAULT
    for k in range(length):
        if byte(buffer, at + k) != WORDS[start + k]:
            return FAULT
    return at + length


@routine
def word(buffer: Any, at: int, end: int) -> Any:
    """Return where null, true or false ends that begins at ``at``; FAULT where none does."""
    if byte(buffer, at) == N:
        return spelt(buffer, at, end, 0, 4)
    if byte(buffer, at) == T:
        return spelt(buffer, at, end, 4, 4)
    return spelt(buffer, at, end, 8, 5)


@routine
def skipped(buffer: Any, at: int, end: int) -> Any:
    """Return where a value ends that begins at ``at``; FAULT where it is not plain.

    In a nested one there are no objects in arrays, or the other way round, deeper than 60.
    """
    depth, objects, is_name = 0, np.uint64(0), False  # a bit a level: whether it is an object
    while True:
        at = blank(buffer, at, end)
        if at >= end:
            return FAULT
        sign = byte(buffer, at)
        if sign == QUOTE:
            at = ends(buffer, at + 1, end) + 1
            if at == FAULT + 1:
                return FAULT
            if is_name:
                at = blank(buffer, at, end)
                if at >= end or byte(buffer, at) != COLON:
                    return FAULT
                at, is_name = at + 1, False
                continue
        elif is_name:
            return FAULT
        elif sign == OPEN or sign == OPEN_LIST:
            if depth == 60:
                return FAULT
            depth += 1
            objects = (objects << ONE) | (ONE if sign == OPEN else np.uint64(0))
            at = blank(buffer, at + 1, end)
            if at >= end:
                return FAULT
            if byte(buffer, at) != sign + (CLOSE - OPEN):
                is_name = sign == OPEN
                continue
            at, depth, objects = at + 1, depth - 1, objects >> ONE
        elif sign == MINUS or ZERO <= sign <= NINE:
            _, at = number(buffer, at, end)
            if at == FAULT:
                return FAULT
        else:
            at = word(buffer, at, end)
            if at == FAULT:
                return FAULT
        while True:  # behind a value
            if depth == 0:
                return at
            at = blank(buffer, at, end)
            if at >= end:
                return FAULT
            sign, in_object = byte(buffer, at), (objects & ONE) == ONE
            at += 1
            if sign == COMMA:
                is_name = in_object
                break
            if sign != (CLOSE if in_object else CLOSE_LIST):
                return FAULT
            depth, objects = depth - 1, objects >> ONE


# --- whose a row is ------------------------------------------------------------------------------


@routine
def hashed(buffer: Any, at: int, length: int, seed: Any) -> Any:
    """Return a hash of some bytes: FNV-1a, and its high half mixed in."""
    found = np.uint64(0xCBF29CE484222325) ^ (np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15))
    for k in range(length):
        found = (found ^ np.uint64(byte(buffer, at + k))) * np.uint64(0x100000001B3)
    return found ^ (found >> WORD_HALF)


@routine
def belongs(buffer: Any, said: Any, place: int, layouts: Any, names: Any) -> Any:
    """Return whether a row says the model and the version of the layout at ``place``."""
    model, version = layouts[place, MODEL_LENGTH], layouts[place, VERSION_LENGTH]
    return (
        said[MODEL, 1] == model
        and max(said[VERSION, 1], 0) == version
        and same(buffer, said[MODEL, 0], names, layouts[place, MODEL_AT], model)
        and same(buffer, said[VERSION, 0], names, layouts[place, VERSION_AT], version)
    )


@routine
def whose(buffer: Any, said: Any, guess: int, layouts: Any, names: Any, owners: Any) -> Any:
    """Return the place of the model version that a row names; NOTHING where it has none."""
    if guess >= 0 and belongs(buffer, said, guess, layouts, names):
        return guess
    seed = hashed(buffer, said[VERSION, 0], said[VERSION, 1], 0)
    found = np.int64(
        hashed(buffer, said[MODEL, 0], said[MODEL, 1], seed) & np.uint64(len(owners) - 1)
    )
    for probe in range(PROBES):
        place = owners[(found + probe) & (len(owners) - 1)]
        if place == NOTHING or belongs(buffer, said, place, layouts, names):
            return place
    return NOTHING


@routine
def which(buffer: Any, at: int, length: int, place: int, known: Any, names: Any, index: Any) -> Any:
    """Return the field of this name in the layout at ``place``; NOTHING where it has none.

    And PROBES less where it cannot be told.
    """
    found = np.int64(hashed(buffer, at, length, place + 1) & np.uint64(len(index) - 1))
    for probe in range(PROBES):
        slot = (found + probe) & (len(index) - 1)
        own = index[slot, 0]
        if own == NOTHING:
            return NOTHING
        if (
            index[slot, 1] == place
            and known[own, LENGTH] == length
            and same(buffer, at, names, known[own, AT], length)
        ):
            return own
    return NOTHING - PROBES


# --- rows ----------------------------------------------------------------------------------------


@part
def flag_or_number(buffer: Any, at: int, end: int) -> Any:
    """Return a number, or 1 for true and 0 for false, and where it ends."""
    if byte(buffer, at) == T or byte(buffer, at) == F:
        return 1.0 if byte(buffer, at) == T else 0.0, word(buffer, at, end)
    return number(buffer, at, end)


@routine
def identifier(buffer: Any, at: int, end: int) -> Any:
    """Return where an id ends whose quote stands at ``at``; FAULT where it is not plain."""
    if byte(buffer, at) != QUOTE:
        return FAULT
    stop = ends(buffer, at + 1, end)
    if stop == FAULT:
        return FAULT
    return stop if characters(buffer, at + 1, stop) in range(1, MOST_ID + 1) else FAULT


@routine
def moment(buffer: Any, at: int, end: int) -> Any:
    """Return the UTC milliseconds that begin at ``at``, and where they end."""
    first, value = at, 0
    while at < end and ZERO <= byte(buffer, at) <= NINE and value <= LATEST_MS:
        value = value * 10 + int(byte(buffer, at)) - ZERO
        at += 1
    if at == first or value > LATEST_MS or (byte(buffer, first) == ZERO and at > first + 1):
        return 0, FAULT
    return value, at


@routine
def cell(buffer: Any, at: int, end: int, goes: int, k: int, numbers: Any, texts: Any) -> Any:
    """Read a value of the k-th row to where it goes, null nowhere; return where it ends."""
    if byte(buffer, at) == N:
        return word(buffer, at, end)
    if goes >= 0:
        numbers[k, goes], at = flag_or_number(buffer, at, end)
        return at
    if goes > TEXT or byte(buffer, at) != QUOTE:
        return FAULT
    stop = ends(buffer, at + 1, end)
    if stop == FAULT or characters(buffer, at + 1, stop) == FAULT:
        return FAULT
    texts[k, TEXT - goes, 0], texts[k, TEXT - goes, 1] = at + 1, stop - at - 1
    return stop + 1


@routine
def item(buffer: Any, at: int, end: int, is_first: bool) -> Any:
    """Return where the next value of a list begins; FAULT where there is none."""
    if at == FAULT:
        return FAULT
    at = blank(buffer, at, end)
    if at >= end or byte(buffer, at) != (OPEN_LIST if is_first else COMMA):
        return FAULT
    at = blank(buffer, at + 1, end)
    return at if at < end else FAULT


@routine
def closed(buffer: Any, at: int, end: int) -> Any:
    """Return where a list ends whose last value ends at ``at``; FAULT where it goes on."""
    if at == FAULT:
        return FAULT
    at = blank(buffer, at, end)
    return at + 1 if at < end and byte(buffer, at) == CLOSE_LIST else FAULT


@routine
def column(buffer: Any, at: int, end: int, goes: int, numbers: Any, texts: Any) -> Any:
    """Read a list, a value a row, to where it goes; return where it ends."""
    for k in range(len(numbers)):
        at = item(buffer, at, end, k == 0)
        if at == FAULT:
            return FAULT
        at = cell(buffer, at, end, goes, k, numbers, texts)
    return closed(buffer, at, end)


@routine
def identifiers(buffer: Any, at: int, end: int, ids: Any) -> Any:
    """Read a list of ids, one a row; return where it ends."""
    for k in range(len(ids)):
        at = item(buffer, at, end, k == 0)
        if at == FAULT:
            return FAULT
        stop = identifier(buffer, at, end)
        if stop == FAULT:
            return FAULT
        ids[k, 0], ids[k, 1] = at + 1, stop - at - 1
        at = stop + 1
    return closed(buffer, at, end)


@routine
def moments(buffer: Any, at: int, end: int, ts_ms: Any) -> Any:
    """Read a list of times, one a row; return where it ends."""
    for k in range(len(ts_ms)):
        at = item(buffer, at, end, k == 0)
        if at == FAULT:
            return FAULT
        ts_ms[k], at = moment(buffer, at, end)
    return closed(buffer, at, end)


@routine
def clear(place: int, layouts: Any, k: int, numbers: Any, texts: Any) -> None:
    """Let the k-th row have no value."""
    for column in range(layouts[place, NUMBERS]):
        numbers[k, column] = np.nan
    for column in range(layouts[place, TEXTS]):
        texts[k, column, 1] = NULL


@routine
def features(
    buffer: Any, at: int, end: int, place: int, layouts: Any, known: Any, names: Any, index: Any,
    follows: Any, seen: Any, turn: int, k: int, numbers: Any, texts: Any,
) -> Any:  # fmt: skip
    """Read an object of features, known and unknown, into the k-th row of numbers and of texts.

    Or into EACH row, of lists. Return where it ends, FAULT where it is not plain, and whether there
    were unknown ones.
    """
    strange = False
    if k != EACH:
        clear(place, layouts, k, numbers, texts)
    at = blank(buffer, at + 1, end)
    if at < end and byte(buffer, at) == CLOSE:
        return at + 1, strange
    before = len(known) + place
    while True:
        if at >= end or byte(buffer, at) != QUOTE:
            return FAULT, strange
        at += 1
        own = follows[before]
        length = known[own, LENGTH] if own >= 0 else 0
        if (
            own >= 0
            and at + length < end
            and byte(buffer, at + length) == QUOTE
            and same(buffer, at, names, known[own, AT], length)
        ):
            stop = at + length
        else:
            stop = ends(buffer, at, end)
            if stop == FAULT:
                return FAULT, strange
            own = which(buffer, at, stop - at, place, known, names, index)
            if own < NOTHING:
                return FAULT, strange
        at = blank(buffer, stop + 1, end)
        if at >= end or byte(buffer, at) != COLON:
            return FAULT, strange
        at = blank(buffer, at + 1, end)
        if at >= end:
            return FAULT, strange
        if own == NOTHING:
            strange = True
            at = skipped(buffer, at, end)
        else:
            follows[before], before = own, own
            if seen[own] == turn:
                return FAULT, strange
            seen[own] = turn
            goes = known[own, GOES]
            if k == EACH and byte(buffer, at) != N:
                at = column(buffer, at, end, goes, numbers, texts)
            else:
                at = cell(buffer, at, end, goes, k, numbers, texts)
        if at == FAULT:
            return FAULT, strange
        at = blank(buffer, at, end)
        if at >= end or (byte(buffer, at) != COMMA and byte(buffer, at) != CLOSE):
            return FAULT, strange
        at += 1
        if byte(buffer, at - 1) == CLOSE:
            return at, strange
        at = blank(buffer, at, end)


@routine
def top(buffer: Any, at: int, length: int, guess: int, names: Any, tops: Any) -> Any:
    """Return which of TOP a name is; NOTHING if none."""
    for k in range(len(tops)):
        own = (guess + k) % len(tops)
        if tops[own, LENGTH] == length and same(buffer, at, names, tops[own, AT], length):
            return own
    return NOTHING


@routine
def entry(buffer: Any, at: int, end: int, guess: int, names: Any, tops: Any) -> Any:
    """Return which of TOP the next field is, and where its value begins; FAULT if it does not."""
    at = blank(buffer, at + 1, end)
    if at >= end or byte(buffer, at) != QUOTE:
        return NOTHING, FAULT
    stop = ends(buffer, at + 1, end)
    if stop == FAULT:
        return NOTHING, FAULT
    own = top(buffer, at + 1, stop - at - 1, guess, names, tops)
    at = blank(buffer, stop + 1, end)
    if at >= end or byte(buffer, at) != COLON:
        return NOTHING, FAULT
    at = blank(buffer, at + 1, end)
    return own, at if at < end else FAULT


@part
def row(
    buffer: Any, at: int, end: int, has_score: bool, last: int,
    tops: Any, layouts: Any, known: Any, names: Any, index: Any, owners: Any,
    follows: Any, seen: Any, turns: Any, said: Any, k: int, numbers: Any, texts: Any,
) -> Any:  # fmt: skip
    """Read the k-th row; return whose it is, its time, and whether it has unknown features.

    CAREFUL where it is not plain. Features are read by the layout of the row before, until the row
    says whose it is; where it was another's, they are read once more.
    """
    used, features_at, ts_ms, score, strange = NOTHING, NOTHING, 0, 0.0, False
    for own in range(len(said)):
        said[own, 1] = NULL
    at = blank(buffer, at, end)
    if at >= end or byte(buffer, at) != OPEN:
        return CAREFUL, ts_ms, strange
    following = 0
    while byte(buffer, at) != CLOSE:
        own, at = entry(buffer, at, end, following, names, tops)
        if at == FAULT or own == IDS or (own >= 0 and said[own, 1] != NULL):
            return CAREFUL, ts_ms, strange
        begin = at
        if own == MODEL or own == VERSION:
            at = ends(buffer, at + 1, end) + 1 if byte(buffer, at) == QUOTE else FAULT
        elif own == ID:
            at = identifier(buffer, at, end) + 1
        elif own == TS_MS:
            ts_ms, at = moment(buffer, at, end)
        elif own == PREDICTION and has_score:
            score, at = flag_or_number(buffer, at, end)
        elif own == FEATURES:
            if byte(buffer, at) != OPEN:
                return CAREFUL, ts_ms, strange
            features_at, used, at = at, last, FAULT
            if said[MODEL, 1] != NULL:
                used = whose(buffer, said, last, layouts, names, owners)
            if used >= 0:
                turns[0] += 1
                at, strange = features(
                    buffer, features_at, end, used, layouts, known, names, index, follows, seen,
                    turns[0], k, numbers, texts,
                )  # fmt: skip
            if at == FAULT:  # maybe under another's layout
                used, at = NOTHING, skipped(buffer, features_at, end)
        else:
            at = skipped(buffer, at, end)
        if at <= 0:
            return CAREFUL, ts_ms, strange
        if own >= 0:
            is_text = own == MODEL or own == VERSION or own == ID
            said[own, 0], said[own, 1] = begin + is_text, at - begin - 2 * is_text
            following = own + 1
        at = blank(buffer, at, end)
        if at >= end or (byte(buffer, at) != COMMA and byte(buffer, at) != CLOSE):
            return CAREFUL, ts_ms, strange
    least = PREDICTION if has_score else FEATURES
    is_row = said[MODEL, 1] != NULL and said[ID, 1] != NULL and said[TS_MS, 1] != NULL
    if not is_row or said[least, 1] == NULL or blank(buffer, at + 1, end) != end:
        return CAREFUL, ts_ms, strange
    place = whose(buffer, said, used if used >= 0 else last, layouts, names, owners)
    if place < 0:
        return CAREFUL, ts_ms, strange
    if features_at == NOTHING:
        clear(place, layouts, k, numbers, texts)
    elif place != used:
        turns[0] += 1
        at, strange = features(
            buffer, features_at, end, place, layouts, known, names, index, follows, seen,
            turns[0], k, numbers, texts,
        )  # fmt: skip
        if at == FAULT:
            return CAREFUL, ts_ms, strange
    if has_score:
        numbers[k, layouts[place, NUMBERS]] = score
    return place, ts_ms, strange


CODES = types.Array(types.int32, 1, "C")


@kernel(PAIRS, PAIRS, BYTES, PAIRS, INTS, allocates=False)
def enter(layouts: Any, known: Any, names: Any, index: Any, owners: Any) -> None:
    """Enter layouts into the table of owners, and their fields into the index.

    What finds no room within PROBES is not entered, and whoever looks for it cannot tell.
    """
    for place in range(len(layouts)):
        layout = layouts[place]
        if layout[MODEL_LENGTH] == NULL:
            continue
        seed = hashed(names, layout[VERSION_AT], layout[VERSION_LENGTH], 0)
        found = hashed(names, layout[MODEL_AT], layout[MODEL_LENGTH], seed)
        for probe in range(PROBES):
            slot = (np.int64(found & np.uint64(len(owners) - 1)) + probe) & (len(owners) - 1)
            if owners[slot] == NOTHING:
                owners[slot] = place
                break
        for own in range(layout[FIRST], layout[FIRST] + layout[FIELDS]):
            found = hashed(names, known[own, AT], known[own, LENGTH], place + 1)
            for probe in range(PROBES):
                slot = (np.int64(found & np.uint64(len(index) - 1)) + probe) & (len(index) - 1)
                if index[slot, 0] == NOTHING:
                    index[slot, 0], index[slot, 1] = own, place
                    break


@kernel(
    BYTES, types.Array(types.int64, 2, "C", readonly=True), types.boolean,
    PAIRS, PAIRS, PAIRS, BYTES, PAIRS, INTS, INTS, INTS, INTS, PAIRS,
    CODES, types.Array(types.boolean, 1, "C"), INTS, PAIRS,
    types.Array(types.float64, 2, "C"), types.Array(types.int64, 3, "C"),
    allocates=False,
)  # fmt: skip
def read_rows(
    buffer: Any, values: Any, has_score: Any,
    tops: Any, layouts: Any, known: Any, names: Any, index: Any, owners: Any,
    follows: Any, seen: Any, turns: Any, said: Any,
    owner: Any, strange: Any, ts_ms: Any, ids: Any, numbers: Any, texts: Any,
) -> None:  # fmt: skip
    """Read values[k] = start and length of a row into the k-th place of the last six arrays."""
    last = 0 if len(layouts) else NOTHING
    for k in range(len(values)):
        owner[k] = CAREFUL
        if values[k, 1] > 0:
            at, end = values[k, 0], values[k, 0] + values[k, 1]
            owner[k], ts_ms[k], strange[k] = row(
                buffer, at, end, has_score, last, tops, layouts, known, names, index, owners,
                follows, seen, turns, said, k, numbers, texts,
            )  # fmt: skip
        if owner[k] >= 0:
            last = owner[k]
            ids[k, 0], ids[k, 1] = said[ID, 0], said[ID, 1]


@kernel(
    BYTES, types.boolean, types.int64,
    PAIRS, PAIRS, PAIRS, BYTES, PAIRS, INTS, INTS, INTS, INTS, PAIRS,
    INTS, INTS, PAIRS, types.Array(types.float64, 2, "C"), types.Array(types.int64, 3, "C"),
    allocates=False,
)  # fmt: skip
def read_frame(
    buffer: Any, has_score: Any, place: Any,
    tops: Any, layouts: Any, known: Any, names: Any, index: Any, owners: Any,
    follows: Any, seen: Any, turns: Any, said: Any,
    found: Any, ts_ms: Any, ids: Any, numbers: Any, texts: Any,
) -> None:  # fmt: skip
    """Read a frame by the layout at ``place`` into the last four arrays, which hold no value yet.

    found = whose it is, and whether it has unknown features. If it is not that layout's, nothing
    else counts.
    """
    found[0], found[1], following, end = CAREFUL, 0, 0, len(buffer)
    for own in range(len(said)):
        said[own, 1] = NULL
    at = blank(buffer, 0, end)
    if at >= end or byte(buffer, at) != OPEN:
        return
    while byte(buffer, at) != CLOSE:
        own, at = entry(buffer, at, end, following, names, tops)
        if at == FAULT or (own >= 0 and said[own, 1] != NULL):
            return
        begin, is_text = at, own == MODEL or own == VERSION
        if is_text:
            at = ends(buffer, at + 1, end) + 1 if byte(buffer, at) == QUOTE else FAULT
        elif own == IDS:
            at = identifiers(buffer, at, end, ids)
        elif own == TS_MS:
            at = moments(buffer, at, end, ts_ms)
        elif own == PREDICTIONS and has_score:
            at = column(buffer, at, end, layouts[place, NUMBERS], numbers, texts)
        elif own == FEATURES:
            if byte(buffer, at) != OPEN:
                return
            if said[MODEL, 1] != NULL:
                other = whose(buffer, said, place, layouts, names, owners)
                if other != place:
                    found[0] = other
                    return
            turns[0] += 1
            at, found[1] = features(
                buffer, at, end, place, layouts, known, names, index, follows, seen, turns[0], EACH,
                numbers, texts,
            )  # fmt: skip
        else:
            at = skipped(buffer, at, end)
        if at <= 0:
            return
        if own >= 0:
            said[own, 0], said[own, 1] = begin + is_text, at - begin - 2 * is_text
            following = own + 1
        at = blank(buffer, at, end)
        if at >= end or (byte(buffer, at) != COMMA and byte(buffer, at) != CLOSE):
            return
    least = PREDICTIONS if has_score else FEATURES
    is_frame = said[MODEL, 1] != NULL and said[IDS, 1] != NULL and said[TS_MS, 1] != NULL
    if not is_frame or said[least, 1] == NULL or blank(buffer, at + 1, end) != end:
        return
    for k in range(len(numbers) if has_score else 0):
        if np.isnan(numbers[k, layouts[place, NUMBERS]]):
            return
    found[0] = whose(buffer, said, place, layouts, names, owners)


SPANS = types.Array(types.int64, 2, "A", readonly=True)  # also a column of a row's texts


@kernel(BYTES, SPANS, BYTES, PAIRS, INTS, CODES, allocates=False)
def look_up(buffer: Any, spans: Any, names: Any, values: Any, table: Any, codes: Any) -> None:
    """Find the code of each text: NOTHING where it has none, UNKNOWN where it was not entered.

    Parameters
    ----------
    buffer, spans
        The texts, spans[k] = start and length; NULL or 0 for one that is missing.
    names, values
        What is entered, in the same form.
    table
        The place of each in ``values``, by hash; NOTHING where there is none.
    codes
        Where the places of the texts go.
    """
    for k in range(len(spans)):
        start, length = spans[k, 0], spans[k, 1]
        codes[k] = NOTHING if length <= 0 else UNKNOWN
        found = np.int64(hashed(buffer, start, length, 0) & np.uint64(len(table) - 1))
        for probe in range(PROBES if length > 0 else 0):
            own = table[(found + probe) & (len(table) - 1)]
            if own == NOTHING:
                break
            if values[own, 1] == length and same(buffer, start, names, values[own, 0], length):
                codes[k] = own
                break


@kernel(BYTES, PAIRS, INTS, allocates=False)
def enter_values(names: Any, values: Any, table: Any) -> None:
    """Enter values into a table that is empty; what finds no room within PROBES is left out."""
    for own in range(len(values)):
        if values[own, 1] <= 0:
            continue
        found = hashed(names, values[own, 0], values[own, 1], 0)
        for probe in range(PROBES):
            slot = (np.int64(found & np.uint64(len(table) - 1)) + probe) & (len(table) - 1)
            if table[slot] == NOTHING:
                table[slot] = own
                break


def room(entries: int) -> int:
    """Return the size of a hash table: a power of two, at most a quarter full."""
    return 1 << max(4, (4 * entries).bit_length())
