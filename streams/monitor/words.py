"""Times, numbers, shares and names as people read them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import floor, isfinite, log10

DAY_MS = 86_400_000
UNITS_MS = {
    "years": 365.25 * DAY_MS,
    "days": DAY_MS,
    "hours": DAY_MS / 24,
    "minutes": DAY_MS / 1440,
    "seconds": 1000,
}
TINY, HUGE = -5, 9  # powers of ten between which a number is written out
ANY = 400  # no number is so large that this power of ten has to be told
UNKNOWN = "unknown"
LONGEST = 60  # characters of a name in a sentence
TITLE = 300  # characters of a title
SEVERAL = 5  # things that a sentence names at most


def moment(ms: int) -> str:
    """Return an event time for people, without the hour where it says nothing.

    >>> moment(1_366_243_200_000), moment(1_366_275_600_000)
    ('18 Apr 2013', '18 Apr 2013 09:00 UTC')
    """
    at = datetime.fromtimestamp(ms / 1000, UTC)
    day = f"{at.day} {at:%b %Y}"
    return day if ms % DAY_MS == 0 else f"{day} {at:%H:%M} UTC"


def span(from_ms: int, to_ms: int) -> str:
    """Return what lies between two event times, so that neither date can be misread.

    >>> span(1_365_503_640_000, 1_366_675_200_000)
    '9 Apr 2013 10:34 to 23 Apr 2013 00:00 UTC'
    """
    ends = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (from_ms, to_ms))
    return f"{' to '.join(f'{at.day} {at:%b %Y %H:%M}' for at in ends)} UTC"


def rows_between(from_ms: int, to_ms: int, excluded: Sequence[tuple[int, int]]) -> str:
    """Return which rows a request to retrain names.

    >>> rows_between(0, 10 * DAY_MS, [(DAY_MS, 2 * DAY_MS)])
    '1 Jan 1970 00:00 to 11 Jan 1970 00:00 UTC, without 2 Jan 1970 00:00 to 3 Jan 1970 00:00 UTC'
    """
    gone = listed([span(*one) for one in excluded], TITLE, "; ")
    return span(from_ms, to_ms) + (f", without {gone}" if gone else "")


def number(value: float | None) -> str:
    """Return a number with the digits that people read.

    >>> number(37.8312), number(1016.63), number(0.0043), number(1.24e90), number(None)
    ('37.8', '1017', '0.0043', '1.24e90', 'unknown')
    """
    return _without_noughts(_rounded(value, 3, ANY))


def numbers(before: float | None, now: float | None, *others: float | None) -> tuple[str, ...]:
    """Return two numbers with digits enough to tell one from the other, and others like them.

    >>> numbers(1017.0, 1017.3), numbers(52.52, 52.5208), numbers(37.8312, 50.2)
    (('1017.0', '1017.3'), ('52.5200', '52.5208'), ('37.8', '50.2'))
    """
    finest = _finest(before, now)
    return tuple(_rounded(value, 3, finest) for value in (before, now, *others))


def exact(value: float) -> str:
    """Return a number with as many digits as tell values of rows apart.

    >>> exact(1_700_000_000_123.0), exact(1e6), exact(0.1)
    ('1700000000123', '1000000', '0.1')
    """
    return f"{value:.15g}"


def percent(value: float | None) -> str:
    """Return a share as a percentage.

    >>> percent(0.4412), percent(0.0004)
    ('44%', '0.04%')
    """
    return percents(None, value)[1]


def percents(before: float | None, now: float | None, *others: float | None) -> tuple[str, ...]:
    """Return two shares as percentages that are alike only if they are, and others like them.

    >>> percents(0.003, 0.004), percents(0.9996, 1.0), percents(0.23, 0.4512)
    (('0.3%', '0.4%'), ('99.96%', '100%'), ('23%', '45%'))
    """
    parts = [None if value is None else 100 * value for value in (before, now, *others)]
    finest = _finest(*parts[:2])
    told = (_without_noughts(_rounded(part, 2, finest)) for part in parts)
    return tuple(text if text == UNKNOWN else f"{text}%" for text in told)


def _finest(before: float | None, now: float | None) -> int:
    """Return the power of ten down to which two numbers must be told to be told apart."""
    if before is None or now is None or before == now or not isfinite(now - before):
        return ANY
    return floor(log10(abs(now - before)) - log10(2))  # two steps apart, no rounding hides it


def _rounded(value: float | None, digits: int, finest: int) -> str:
    """Return a number with so many digits at least, and down to a power of ten at least."""
    if value is None or not isfinite(value):
        return UNKNOWN
    if not value:
        return "0"
    size = floor(log10(abs(value)))
    last = min(finest, size - digits + 1)
    if TINY <= size < HUGE:
        return f"{value:.{max(-last, 0)}f}"
    mantissa, power = f"{value:.{size - last}e}".split("e")
    return f"{mantissa}e{int(power)}"


def _without_noughts(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def duration(ms: int) -> str:
    """Return a length of time for people.

    >>> duration(55 * 366 * DAY_MS), duration(120_000), duration(1)
    ('55 years', '2 minutes', '1 ms')
    """
    unit = _unit(ms, "minutes")
    return f"{ms / UNITS_MS[unit]:.0f} {unit}" if unit else f"{ms:,} ms"


def durations(before_ms: float, now_ms: float) -> tuple[str, str]:
    """Return two lengths of time in one unit, with digits enough to tell one from the other.

    >>> durations(86_400_000, 259_200_000), durations(0, 1500)
    (('24 hours', '72 hours'), ('0 seconds', '1.5 seconds'))
    """
    unit = _unit(min(before_ms, now_ms), "seconds") or "seconds"
    told = numbers(before_ms / UNITS_MS[unit], now_ms / UNITS_MS[unit])
    before, now = (f"{_without_noughts(text)} {unit}" for text in told)
    return before, now


def _unit(ms: float, least: str) -> str:
    """Return the largest unit, down to the least, of which a time has two; empty if none."""
    units = list(UNITS_MS)[: list(UNITS_MS).index(least) + 1]
    return next((unit for unit in units if ms >= 2 * UNITS_MS[unit]), "")


def cut(text: str, most: int = LONGEST) -> str:
    """Return a name as a sentence can hold it.

    >>> cut("amount"), len(cut("a" * 200))
    ('amount', 60)
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(items: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first items, as many as so many characters hold, and how many more there are.

    >>> listed(["Rome", "Oslo", "Bern"], 16), listed(["Rome", "Oslo", "Bern"], 15)
    ('Rome, Oslo, Bern', 'Rome and 2 more')
    """
    for named in range(min(len(items), SEVERAL), 0, -1):
        more = len(items) - named
        rest = f"{separator.strip(', ')} and {more} more" if more else ""
        room = most - len(rest)
        text = separator.join(items[:named])
        if len(text) <= room or named == 1:
            return cut(text, room) + rest
    return ""
