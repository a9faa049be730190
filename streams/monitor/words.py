"""Times, numbers, shares and names as people read them."""

from datetime import UTC, datetime
from math import isnan

DAY_MS = 86_400_000
WHOLE = 1000  # from here on a number is told without decimals
SMALL = 0.1  # below, a share is told with two digits
LONGEST = 60  # characters of a name in a sentence


def moment(ms: int) -> str:
    """Return an event time for people, without the hour where it says nothing.

    >>> moment(1_366_243_200_000), moment(1_366_275_600_000)
    ('18 Apr 2013', '18 Apr 2013 09:00 UTC')
    """
    at = datetime.fromtimestamp(ms / 1000, UTC)
    day = f"{at.day} {at:%b %Y}"
    return day if ms % DAY_MS == 0 else f"{day} {at:%H:%M} UTC"


def span(from_ms: int, to_ms: int) -> str:
    """Return the days from one event time to another, with what they share told once.

    >>> span(1_365_503_640_000, 1_366_675_200_000), span(1_365_503_640_000, 1_371_686_400_000)
    ('9 to 23 Apr 2013', '9 Apr to 20 Jun 2013')
    >>> span(1_356_912_000_000, 1_357_084_800_000), span(1_365_503_640_000, 1_365_503_650_000)
    ('31 Dec 2012 to 2 Jan 2013', '9 Apr 2013')
    """
    begin, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (from_ms, to_ms))
    last = f"{end.day} {end:%b %Y}"
    if begin.date() == end.date():
        return last
    if (begin.year, begin.month) == (end.year, end.month):
        return f"{begin.day} to {last}"
    return f"{begin.day} {begin:%b}{'' if begin.year == end.year else f' {begin.year}'} to {last}"


def number(value: float | None) -> str:
    """Return a number with the digits that people read.

    >>> number(37.8312), number(1016.63), number(0.0043), number(None)
    ('37.8', '1017', '0.0043', 'unknown')
    """
    if value is None or isnan(value):
        return "unknown"
    return f"{value:.0f}" if abs(value) >= WHOLE else f"{value:.3g}"


def numbers(before: float | None, now: float | None) -> tuple[str, str]:
    """Return two numbers with digits enough to tell one from the other.

    >>> numbers(1017.0, 1017.3), numbers(52.52, 52.5208), numbers(37.8312, 50.2)
    (('1017.0', '1017.3'), ('52.5200', '52.5208'), ('37.8', '50.2'))
    """
    return number(before), number(now)


def percents(before: float | None, now: float | None) -> tuple[str, str]:
    """Return two shares as percentages."""
    return percent(before), percent(now)


def percent(value: float | None) -> str:
    """Return a share as a percentage.

    >>> percent(0.4412), percent(0.0004)
    ('44%', '0.04%')
    """
    if value is None or isnan(value):
        return "unknown"
    return f"{100 * value:.2g}%" if 0 < value < SMALL else f"{100 * value:.0f}%"


def duration(ms: int) -> str:
    """Return a length of time for people.

    >>> duration(55 * 366 * DAY_MS), duration(120_000), duration(1)
    ('55 years', '2 minutes', '1 ms')
    """
    units = {
        "years": 365.25 * DAY_MS,
        "days": DAY_MS,
        "hours": DAY_MS / 24,
        "minutes": DAY_MS / 1440,
    }
    told = next((unit for unit, length in units.items() if ms >= 2 * length), None)
    return f"{ms / units[told]:.0f} {told}" if told else f"{ms:,} ms"


def cut(text: str) -> str:
    """Return a name as a sentence can hold it.

    >>> cut("amount"), len(cut("a" * 200))
    ('amount', 60)
    """
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
