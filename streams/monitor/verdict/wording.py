"""Alerts in words: what moved, since when, from what to what, and what to do."""

from collections.abc import Mapping

from msgspec.structs import replace

from tidegauge.schemas.alerts import Alert, Figure, SeriesAlarm
from tidegauge.schemas.references import version_name
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.words import moment

SEVERAL = 3  # series named in a sentence
OF_ROWS = ("unseen", "unpaired")  # statistics whose examples are values of rows


def title(
    model: str, alarms: list[SeriesAlarm], context: Mapping[str, Figure], since_ms: int
) -> str:
    """Return the sentence of an incident."""
    phrases = "; ".join(
        SERIES[alarm.statistic].phrase(alarm, context) for alarm in alarms[:SEVERAL]
    )
    tail = f";{more}" if (more := _and_more(alarms)) else ""
    return f"{model}: since {moment(since_ms)} {phrases}{tail}"


def resolution(model: str, alarms: list[SeriesAlarm], resolved_ms: int) -> str:
    """Return the sentence that ends an incident."""
    names = ", ".join(SERIES[a.statistic].subject(a.feature) for a in alarms[:SEVERAL])
    back = f"back within tolerance of the reference on {moment(resolved_ms)}"
    return f"{model}: {names}{_and_more(alarms)} {back}"


def _and_more(alarms: list[SeriesAlarm]) -> str:
    more = len(alarms) - SEVERAL
    return f" and {more} more" if more > 0 else ""


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
