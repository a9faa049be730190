"""Features that come up which the reference does not have: told once, by name."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from tidegauge.schemas.alerts import Alert, Evidence, Figure, SeriesAlarm
from tidegauge.schemas.cloudevents import stable_id
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.watched import PROVISIONAL_WINDOWS
from tidegauge.streams.monitor.verdict.alerts import alert_output
from tidegauge.streams.monitor.verdict.incidents import LISTED, Origin
from tidegauge.streams.monitor.words import cut, listed, moment

SCHEMA: Final = "schema"
NAMES: Final = 80  # characters of names in a title


def schema_alerts(
    origin: Origin, come: Sequence[str], gone: Sequence[str], since_ms: int, offset: int
) -> list[Output]:
    """Return the incident of features that come up, its beginning and its end: it is told once.

    Parameters
    ----------
    origin
        Whose they are.
    come
        Their names, at least one.
    gone
        Features of the reference that no row of the open window has: they may be the same ones
        under other names.
    since_ms, offset
        Of the row with which they have a column.
    """
    several = len(come) > 1
    told = listed([cut(name) for name in come], NAMES)
    lost = listed([cut(name) for name in gone], NAMES)
    instead = f"; {lost} no longer {'do' if len(gone) > 1 else 'does'}" if gone else ""
    alarms = [
        SeriesAlarm(
            series=SCHEMA,
            feature=name,
            statistic=SCHEMA,
            detector="columns",
            direction="up",
            effect=1.0,
            gate=1.0,
            value=Figure(reference=0.0, current=None),
            since_ms=since_ms,
            told_ms=since_ms,
            resolved_ms=since_ms,
        )
        for name in come
    ]
    firing = Alert(
        incident=stable_id(
            origin.model, origin.version, origin.source, origin.partition, SCHEMA, offset, *come
        ),
        revision=1,
        status="firing",
        kind="quality",
        severity="warning",
        provisional=origin.reference_windows < PROVISIONAL_WINDOWS,
        model=origin.model,
        version=origin.version,
        title=f"{origin.name}: since {moment(since_ms)} {told} {'come' if several else 'comes'}, "
        f"which the reference does not have{instead}",
        advice=f"Check whether {lost} now comes as {told}; if so, mend what sends it."
        if gone
        else "If the model is to use it, train with it and publish a reference that has it.",
        since_ms=since_ms,
        told_ms=since_ms,
        series=alarms[:LISTED],
        more_series=max(len(alarms) - LISTED, 0),
        evidence=Evidence(
            topic=origin.topic,
            partition=origin.partition,
            first_offset=offset,
            last_offset=offset,
            windows=0,
            rows=1,
        ),
        reference_windows=origin.reference_windows,
    )
    over = replace(firing, revision=2, status="resolved", resolved_ms=since_ms)
    return [alert_output(alert, origin.uri) for alert in (firing, over)]
