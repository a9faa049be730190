"""Alerts as events, and those about a log, which no monitor tells."""

from math import sqrt
from typing import Literal

import msgspec

from tidegauge.schemas.alerts import ALERT_TYPE, Alert, Evidence, Figure, SeriesAlarm
from tidegauge.schemas.cloudevents import headers, stable_id
from tidegauge.schemas.events import within_calendar
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.registry import SERIES


def log_alert(
    *,
    statistic: Literal["gap", "poison"],
    detector: str,
    title: str,
    advice: str,
    topic: str,
    partition: int,
    offsets: tuple[int, int],
    journaled_ms: int,
) -> Alert:
    """Return the alert that records of a log, first to last offset, are in no figure.

    It is dated by the journal's record, UTC milliseconds: there is no other time.
    """
    told_ms, (first, last) = within_calendar(journaled_ms), offsets
    records = last - first + 1
    alarm = SeriesAlarm(
        series=statistic,
        feature=topic,
        statistic=statistic,
        detector=detector,
        direction="up",
        effect=float(records),
        gate=1.0,
        value=Figure(reference=0.0, current=float(records)),
        since_ms=told_ms,
        told_ms=told_ms,
    )
    return Alert(
        incident=stable_id(statistic, topic, partition, first, last),
        revision=1,
        status="firing",
        kind="quality",
        severity="critical",
        provisional=False,
        model="",
        version="",
        title=title,
        advice=advice,
        since_ms=told_ms,
        told_ms=told_ms,
        series=[alarm],
        evidence=Evidence(
            topic=topic,
            partition=partition,
            first_offset=first,
            last_offset=last,
            windows=0,
            rows=records,
        ),
        reference_windows=0,
    )


def alert_output(alert: Alert, source: str) -> Output:
    """Return an alert as a CloudEvent, its id following from incident and revision."""
    head = headers(
        id=stable_id(alert.incident, alert.revision),
        type=ALERT_TYPE,
        source=source,
        subject=alert.model or source,
        time_ms=alert.told_ms,
    )
    return Output("alerts", alert.model.encode(), msgspec.json.encode(alert), head, alert)


def by_size(alarms: list[SeriesAlarm]) -> list[SeriesAlarm]:
    """Return the alarms, the largest shift first."""
    return sorted(alarms, key=lambda alarm: (-_gates(alarm), alarm.series))


def _gates(alarm: SeriesAlarm) -> float:
    """Return how many gates a shift is, as other series count it."""
    series, gates = SERIES.get(alarm.statistic), abs(alarm.effect) / (alarm.gate or 1.0)
    return sqrt(gates) if series is not None and series.has_bins else gates
