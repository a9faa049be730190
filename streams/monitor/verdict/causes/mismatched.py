"""A number, or the score, no longer belongs to the rest of its row."""

from math import sqrt
from typing import Final

from tidegauge.schemas.alerts import SeriesAlarm
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.verdict.causes.base import Cause, Evidence
from tidegauge.streams.monitor.words import TITLE, cut, listed, moment, percents

RESIDUAL: Final = "residual"
CLEAR: Final = 4.0  # gates: what goes with what changes with the seasons, too, but by less


def other_model(seen: Evidence) -> Cause | None:
    """Return a score that no longer follows from features of which none has moved."""
    alarms = [alarm for alarm in seen.alarms if alarm.statistic == RESIDUAL]
    if not alarms or any(alarm.feature != SCORE for alarm in seen.alarms):
        return None
    return Cause(
        "other model",
        f"score no longer follows from the features, of which none has moved: it {_off(alarms[0])}",
        f"Look at which model has answered under this version since {seen.since(SCORE)}, and "
        "whether scores and features are of the same request. Do not train on such rows.",
        seen.series(SCORE),
    )


def mismatched(seen: Evidence) -> Cause | None:
    """Return numbers that are distributed as ever, and no longer go with each other."""
    alarms = [alarm for alarm in seen.alarms if alarm.feature != SCORE]
    if not alarms or any(alarm.statistic != RESIDUAL for alarm in alarms):
        return None
    largest = max(alarms, key=lambda alarm: alarm.effect / alarm.gate)
    if largest.effect < CLEAR * largest.gate:
        return None
    name = cut(largest.feature)
    features = sorted({alarm.feature for alarm in alarms})
    names, several = listed(features, TITLE // 2), len(features) > 1
    look = "look like those of different rows or times" if several else "looks like another row's"
    return Cause(
        "mismatched",
        f"{names} {look}: values are those of the reference, and {name} {_off(largest)}",
        f"Look at the join, the cache or the lag of what fills {names} since "
        f"{moment(largest.since_ms)}. Do not train on such rows.",
        [alarm.series for alarm in seen.alarms],
    )


def _off(alarm: SeriesAlarm) -> str:
    """Return how far it lies from what the others say."""
    before, now = percents(
        *(sqrt(max(of or 0.0, 0.0)) for of in (alarm.value.reference, alarm.value.current))
    )
    return f"lies {now} of all ranks from what the others say of it (reference {before})"
