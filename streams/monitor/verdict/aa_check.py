"""Is what was learned one thing? An A/A check: its windows are compared with one another."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tidegauge.detectors.statistics.change import Change, change_inside, p_values
from tidegauge.schemas.alerts import Alert, Evidence, Figure, SeriesAlarm
from tidegauge.schemas.cloudevents import stable_id
from tidegauge.schemas.monitors import EffectSpec
from tidegauge.schemas.references import Reference, SeriesProfile
from tidegauge.streams.monitor.series.gates import least_effect
from tidegauge.streams.monitor.series.registry import SERIES, parse
from tidegauge.streams.monitor.series.watched import PROVISIONAL_WINDOWS, Watched, rows_of, watch
from tidegauge.streams.monitor.verdict.alerts import by_size
from tidegauge.streams.monitor.verdict.incidents import LISTED, Origin
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.words import moment, span

FALSE_FINDINGS = 0.01  # of models whose reference is one thing, all their series together
DETECTOR = "self_normalised"


class Inside(NamedTuple):
    """A series whose level changed while it was learned."""

    watched: Watched
    change: Change


def changes_inside(
    series: Sequence[Watched], profiles: Mapping[str, SeriesProfile]
) -> list[Inside]:
    """Return the series that are not one thing in their own reference, by more than their gates."""
    judged = [(one, one.reference) for one in series if one.reference is not None]
    if not judged:
        return []
    shape = len(judged), max(len(profiles[one.name].values) for one, _ in judged)
    values, rows = np.full(shape, np.nan), np.zeros(shape)
    for at, (one, _) in enumerate(judged):
        profile = profiles[one.name]
        values[at, : len(profile.values)] = np.array(profile.values, np.float64)  # None is NaN
        rows[at, : len(profile.values)] = rows_of(profile)
    sure = p_values(values, rows, [reference for _, reference in judged])
    found = []
    for at in np.flatnonzero(sure <= FALSE_FINDINGS / len(judged)).tolist():
        one, reference = judged[at]
        change = change_inside(values[at], rows[at], reference)
        if change is not None and abs(change.shift) >= one.gate:
            found.append(Inside(one, change))
    return found


def told_inside(reference: Reference, effect: EffectSpec) -> list[str]:
    """Return what of a reference is not one thing, a phrase a series, by the gates of a spec."""
    found = []
    for profiles, gate in (
        (reference.series, effect.features),
        (reference.outcomes, effect.outcomes),
    ):
        named = {name: parse(name) for name in profiles}
        series = []
        for name, read in named.items():
            if read:
                own = profiles[name], reference.numeric.get(read[1])
                series.append(watch(*read, own[0], least_effect(effect, *read, *own, gate)))
        for inside in changes_inside(series, profiles):
            moved = "up" if inside.change.shift > 0 else "down"
            what = inside.watched.series.subject(inside.watched.feature)
            windows = len(profiles[inside.watched.name].values)
            found.append(f"{what} moved {moved} at window {inside.change.index + 1} of {windows}")
    return found


def reference_alert(
    origin: Origin, found: Sequence[Inside], starts: Sequence[Start], bounds: Bounds
) -> Alert:
    """Return the alert that a reference is not one thing.

    Parameters
    ----------
    origin
        Whose reference it is.
    found
        The series that say so, at least one.
    starts
        Where each window of the reference began.
    bounds
        The last of them.
    """
    alarms = by_size([_alarm(inside, starts, bounds) for inside in found])
    first, since_ms = alarms[0], min(alarm.since_ms for alarm in alarms)
    what = SERIES[first.statistic].subject(first.feature)
    more = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
    learned = span(starts[0].first_ts_ms, bounds.last_ts_ms)
    return Alert(
        incident=stable_id(
            origin.model, origin.version, origin.source, origin.partition, "reference", bounds.index
        ),
        revision=1,
        status="firing",
        kind=SERIES[first.statistic].kind,
        severity="warning",
        provisional=len(starts) < PROVISIONAL_WINDOWS,
        model=origin.model,
        version=origin.version,
        title=f"{origin.name}: the rows from {learned}, taken for normal, are not one thing: "
        f"{what} moved {first.direction} on {moment(first.since_ms)}{more}",
        advice="What comes is compared with both parts. Publish a reference of rows from when all "
        "was well; or, if the change is the new normal, apply the spec with other windows or "
        "features, and it is learned anew.",
        since_ms=since_ms,
        told_ms=bounds.last_ts_ms,
        series=alarms[:LISTED],
        more_series=max(len(alarms) - LISTED, 0),
        evidence=Evidence(
            topic=origin.topic,
            partition=origin.partition,
            first_offset=starts[0].first_offset,
            last_offset=bounds.last_offset,
            windows=len(starts),
            rows=bounds.rows,
        ),
        reference_windows=len(starts),
    )


def _alarm(inside: Inside, starts: Sequence[Start], bounds: Bounds) -> SeriesAlarm:
    watched, change = inside
    return SeriesAlarm(
        series=watched.name,
        feature=watched.feature,
        statistic=watched.series.statistic,
        detector=DETECTOR,
        direction="up" if change.shift > 0 else "down",
        effect=change.shift / watched.sd if watched.sd else 0.0,
        gate=watched.gate / watched.sd if watched.sd else 0.0,
        value=Figure(reference=change.before, current=change.before + change.shift),
        since_ms=starts[change.index].first_ts_ms,
        told_ms=bounds.last_ts_ms,
    )
