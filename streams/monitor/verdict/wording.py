"""Alerts in words: what moved, since when, from what to what, and what to do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isnan

from msgspec.structs import replace

from tidegauge.schemas.alerts import Alert, Figure, SeriesAlarm
from tidegauge.schemas.references import version_name

DAY_MS = 86_400_000
WHOLE = 1000  # from here on a number is told without decimals
SMALL = 0.1  # below, a share is told with two digits
SEVERAL = 3  # series named in a sentence
OF_ROWS = ("unseen", "unpaired")  # statistics whose examples are values of rows
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


def series_phrase(alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
    """Return what one series did, as part of a sentence."""
    name, before, now = cut(alarm.feature), alarm.value.reference, alarm.value.current
    shares = {
        "missing": f"{name} is missing in {percent(now)} of rows (reference {percent(before)})",
        "unseen": f"{percent(now)} of {name} are values the reference does not have"
        + (f" ({', '.join(map(cut, alarm.examples))})" if alarm.examples else ""),
        "range": f"{percent(now)} of {name} lies far outside the range of the reference",
        "rejected": f"{percent(now)} of rows in {name} could not be read"
        + (f", mostly: {alarm.examples[0]}" if alarm.examples else ""),
        "unpaired": f"{percent(now)} of the labels find no prediction"
        + (f": {alarm.examples[0]}" if alarm.examples else ""),
        "duplicate": f"{percent(now)} of the labels name an id that has a label already",
    }
    if alarm.statistic in shares:
        return shares[alarm.statistic]
    figures = f"from {number(before)} to {number(now)}"
    if alarm.statistic == "loss":
        return f"the model's {name} went {figures}"
    if alarm.statistic == "error":
        return _calibration(context) or f"label - score went {figures}"
    return f"{name} moved {alarm.direction}, {figures} on average"


def _calibration(context: Mapping[str, Figure]) -> str:
    """Return labels against scores as shares, where they are shares."""
    label, score = context.get("label"), context.get("score")
    if label is None or score is None or not (_is_share(label) and _is_share(score)):
        return ""
    return (
        f"{percent(label.current)} of labels are positive where the model says "
        f"{percent(score.current)} (reference {percent(label.reference)} and "
        f"{percent(score.reference)})"
    )


def _is_share(figure: Figure) -> bool:
    return figure.current is not None and 0 <= figure.current <= 1


def title(
    model: str, alarms: list[SeriesAlarm], context: Mapping[str, Figure], since_ms: int
) -> str:
    """Return the sentence of an incident."""
    phrases = "; ".join(series_phrase(alarm, context) for alarm in alarms[:SEVERAL])
    tail = f";{more}" if (more := _and_more(alarms)) else ""
    return f"{model}: since {moment(since_ms)} {phrases}{tail}"


def resolution(model: str, alarms: list[SeriesAlarm], resolved_ms: int) -> str:
    """Return the sentence that ends an incident."""
    names = ", ".join(_figure(alarm) for alarm in alarms[:SEVERAL])
    back = f"back within tolerance of the reference on {moment(resolved_ms)}"
    return f"{model}: {names}{_and_more(alarms)} {back}"


def _figure(alarm: SeriesAlarm) -> str:
    """Return what a series is a figure of."""
    shares = {
        "missing": f"share of rows without {alarm.feature}",
        "unseen": f"share of {alarm.feature} not in the reference",
        "range": f"share of {alarm.feature} out of range",
        "rejected": "share of rows that could not be read",
        "unpaired": "share of labels without a prediction",
        "duplicate": "share of labels for an id that has one",
        "error": "label - score",
    }
    return shares.get(alarm.statistic, alarm.feature)


def _and_more(alarms: list[SeriesAlarm]) -> str:
    more = len(alarms) - SEVERAL
    return f" and {more} more" if more > 0 else ""


def advice(kind: str, alarms: list[SeriesAlarm], since_ms: int) -> str:
    """Return what to do about an incident."""
    first, since = alarms[0], moment(since_ms)
    feature = cut(first.feature)
    by_statistic = {
        "missing": f"Look at the pipeline that fills {feature}: it has been absent since "
        f"{since}. Scores made without it are suspect.",
        "unseen": f"Check whether the new values of {feature} are real; if so, train with "
        "them, as the model has never seen any.",
        "range": f"Check the source and the unit of {feature}: such values were never seen "
        "in the reference, and scores made with them are suspect.",
        "unpaired": first.examples[-1]
        if first.examples
        else "Compare the ids, keys and times of labels and predictions.",
        "duplicate": "Send one label for each id: of several the first counts, and no other.",
        "rejected": "Read the reasons in the rejected topic, mend the producer, and send them "
        "again.",
    }
    if first.statistic in by_statistic:
        return by_statistic[first.statistic]
    if kind == "performance":
        return (
            f"Compare labels and scores since {since}; if the labels are right, recalibrate or "
            "retrain on data from then on."
        )
    if first.feature == "score":
        return (
            "Look for what moved the inputs, and compare labels and scores as soon as labels come; "
            "if the model is wrong now, retrain on data from then on."
        )
    return (
        f"Check the source and the unit of {feature}; if the change is real, watch the "
        "model's performance and retrain on data from then on."
    )


def news(alert: Alert) -> str:
    """Return what an alert says that those before it of its incident did not."""
    new = [alarm for alarm in alert.series if alarm.told_ms == alert.told_ms]
    if alert.status != "ongoing" or not new:
        return alert.title
    model = alert.title.partition(": since ")[0]  # of it may be no more than a topic
    told = title(model, new, {}, min(alarm.since_ms for alarm in new))
    return f"{told} (incident of {moment(alert.since_ms)})"


def sentence(alert: Alert) -> str:
    """Return an alert as one line for people."""
    if alert.status == "resolved":
        return alert.title
    mark = " [provisional: short reference]" if alert.provisional else ""
    return f"{news(alert)}.{mark} {alert.advice}"


def log_line(alert: Alert) -> str:
    """Return an alert as one line of a log, which holds no values of rows, ids or keys."""
    told = alert.title
    if alert.status != "resolved" and any(a.statistic in OF_ROWS for a in alert.series):
        series = [replace(a, examples=[]) if a.statistic in OF_ROWS else a for a in alert.series]
        name = version_name(alert.model, alert.version)
        told = title(name, series, alert.context, alert.since_ms)
    return f"{alert.severity} {alert.status}: {told}"
