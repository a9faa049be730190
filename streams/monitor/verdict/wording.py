"""Alerts in words: what moved, since when, from what to what, and what to do."""

import shlex
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from tidegauge.schemas.alerts import Alert, Figure, SeriesAlarm
from tidegauge.schemas.references import version_name
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.verdict.causes.base import Cause
from tidegauge.streams.monitor.words import LONGEST, TITLE, cut, listed, moment

VERSION = 20  # characters of a version in a name
HALF = 27  # of a name, of the feature and of the slice
CLEARLY = 1.5  # times as far off as the whole, or as another slice, a slice is what is told


def model_name(model: str, version: str) -> str:
    """Return what to call a model version in a title."""
    of = cut(version, VERSION)
    return version_name(cut(model, LONGEST - len(of) - bool(of)), of)


def title(
    name: str,
    alarms: Sequence[SeriesAlarm],
    context: Mapping[str, Figure],
    since_ms: int,
    told_ms: int | None = None,
    cause: Cause | None = None,
) -> str:
    """Return the sentence of an incident that began at ``since_ms``.

    Of one that goes on it says what is new, that is what was told at ``told_ms``; else that it
    lasts. A ``cause`` stands for what it explains; what a spec declares comes next.
    """
    told = news(alarms, told_ms)
    began_ms, others = _since(told), len(alarms) - len(told)
    rest = f", {others} other series" if others else ""
    tail = f" (incident of {moment(since_ms)}{rest})" if rest or began_ms != since_ms else ""
    is_new = told_ms is None or any(alarm.told_ms == told_ms for alarm in told)
    still = "" if is_new or told_ms is None else f", and still on {moment(told_ms)},"
    head = f"{name}: since {moment(began_ms)}{still} "
    explained = [] if cause is None else cause.series
    named = [] if cause is None else [cause.phrase]
    left = [alarm for alarm in told if alarm.series not in explained]
    said = [alarm for alarm in plain(alarms) if alarm in left] or plain(left)
    said = sorted(said, key=lambda alarm: not SERIES[alarm.statistic].is_declared)
    phrases = [_phrase(alarm, context) + _compared(alarm) for alarm in said]
    return head + listed(named + phrases, TITLE - len(head + tail), "; ") + tail


def _phrase(alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
    """Return what a series did, and in which rows, if not in all."""
    if alarm.slice:
        where = f"where {cut(alarm.slice, HALF)}"
        if not SERIES[alarm.statistic].has_column:
            return f"{where} {SERIES[alarm.statistic].phrase(alarm, {})}"
        alarm = replace(alarm, feature=f"{cut(alarm.feature, HALF)} {where}")
    return SERIES[alarm.statistic].phrase(alarm, context)


def _compared(alarm: SeriesAlarm) -> str:
    """Return with what it is compared, if not with the reference."""
    if alarm.level_ms is None:
        return ""
    how = "back towards the reference from" if alarm.is_return else "compared with"
    return f", {how} the level since {moment(alarm.level_ms)}"


def plain(alarms: Sequence[SeriesAlarm]) -> Sequence[SeriesAlarm]:
    """Return alarms without those of bins or slices that say less than another one."""
    told = {alarm.feature for alarm in alarms if not SERIES[alarm.statistic].has_bins}
    return [
        alarm
        for alarm in telling(alarms)
        if alarm.feature not in told or not SERIES[alarm.statistic].has_bins
    ]


def telling(alarms: Sequence[SeriesAlarm]) -> Sequence[SeriesAlarm]:
    """Return alarms of all rows, or where slices are off clearly more, of the farthest of these."""
    farthest: dict[tuple[str, str, bool], float] = {}
    for alarm in alarms:
        key = alarm.statistic, alarm.feature, bool(alarm.slice)
        farthest[key] = max(farthest.get(key, 0.0), abs(alarm.effect))

    def tells(alarm: SeriesAlarm) -> bool:
        what = alarm.statistic, alarm.feature
        whole, slices = (farthest.get((*what, of), 0.0) for of in (False, True))
        if not slices or slices < CLEARLY * whole:
            return not alarm.slice
        return bool(alarm.slice) and abs(alarm.effect) * CLEARLY >= slices

    return [alarm for alarm in alarms if tells(alarm)]


def advice(alarms: Sequence[SeriesAlarm], told_ms: int, cause: Cause | None = None) -> str:
    """Return what to do about an incident's cause, or what is new in it, as a sentence."""
    if cause is not None:
        return cause.advice
    told = news(alarms, told_ms)
    first = next((alarm for alarm in plain(alarms) if alarm in told), told[0])
    found = SERIES[first.statistic].advice(replace(first, since_ms=_since(told)))
    return f"{found} Begin where {cut(first.slice)}." if first.slice else found


def resolution(
    name: str, alarms: Sequence[SeriesAlarm], context: Mapping[str, Figure], resolved_ms: int
) -> str:
    """Return the sentence that ends an incident."""
    settled = [alarm for alarm in alarms if alarm.settled_ms is not None]
    back = [alarm for alarm in alarms if alarm.settled_ms is None]
    subjects = [_subject(alarm) for alarm in telling(back)]
    tail = f" back within tolerance of {_usual(back)} on {moment(resolved_ms)}" if back else ""
    if not settled:
        return f"{name}: {listed(subjects, TITLE - len(f'{name}: {tail}'))}{tail}"
    since = moment(min(alarm.settled_ms or 0 for alarm in settled))
    head, end = f"{name}: a new normal since {since}: ", "; from here on it is compared with that"
    rest = f"; {listed(subjects, LONGEST)}{tail}" if back else ""
    phrases = [_phrase(alarm, context) for alarm in telling(settled)]
    return head + listed(phrases, TITLE - len(head + end + rest), "; ") + end + rest


def _subject(alarm: SeriesAlarm) -> str:
    found = SERIES[alarm.statistic].subject(alarm.feature)
    return f"{found} where {cut(alarm.slice, HALF)}" if alarm.slice else found


def _usual(alarms: Sequence[SeriesAlarm]) -> str:
    levels = all(alarm.level_ms is not None and not alarm.is_return for alarm in alarms)
    return "the level before" if levels else "the reference"


def adoption(model: str, version: str, alarms: Sequence[SeriesAlarm]) -> str:
    """Return the question whether new levels shall be the reference; empty where there are none.

    With the command to type: it names the series, or where they are too long stands for all.
    """
    settled = [alarm.series for alarm in alarms if alarm.settled_ms is not None]
    if not settled:
        return ""
    words = ["tidegauge", "reference", "adopt", model]
    words += ["--version", version] if version else []
    named = shlex.join([*words, *(word for one in settled for word in ("--series", one))])
    command = named if len(named) <= TITLE else shlex.join(words)
    return f"Shall that be the reference? Then type: {command}"


def news(alarms: Sequence[SeriesAlarm], told_ms: int | None) -> Sequence[SeriesAlarm]:
    """Return the alarms of an incident that are told for the first time; else those that last."""
    new = [alarm for alarm in alarms if alarm.told_ms == told_ms]
    return new or [alarm for alarm in alarms if alarm.resolved_ms is None] or alarms


def _since(alarms: Sequence[SeriesAlarm]) -> int:
    return min(alarm.since_ms for alarm in alarms)


def sentence(alert: Alert) -> str:
    """Return an alert as one line for people."""
    if alert.status == "resolved":
        settled = any(alarm.settled_ms is not None for alarm in alert.series)
        return f"{alert.title}. {alert.advice}" if settled else alert.title
    mark = " [provisional: short reference]" if alert.provisional else ""
    return f"{alert.title}.{mark} {alert.advice}"


def log_line(alert: Alert) -> str:
    """Return an alert as one line of a log, which holds no values of rows, ids or keys."""
    told, series = alert.title, [_without_rows(alarm) for alarm in alert.series]
    if alert.status != "resolved" and (alert.cause or series != alert.series):
        name = model_name(alert.model, alert.version)
        told = title(name, series, alert.context, alert.since_ms, alert.told_ms)
        told += f" ({alert.cause})" if alert.cause else ""
    return f"{alert.severity} {alert.status}: {told}"


def _without_rows(alarm: SeriesAlarm) -> SeriesAlarm:
    series = SERIES.get(alarm.statistic)
    return replace(alarm, examples=[]) if series is not None and series.names_rows else alarm
