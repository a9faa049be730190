"""Rows that were deleted before they were read: told once, as what nobody can mend any more."""

from msgspec.structs import replace

from schemas.alerts import Alert, Evidence, Figure, SeriesAlarm
from schemas.cloudevents import stable_id
from schemas.outcomes import Gap
from streams.monitor.incidents import alert_output
from streams.monitor.quality import LATEST_MS
from streams.monitor.records import Output

ADVICE = (
    "These records are in no window and in no figure. Keep inputs for longer than workers may be "
    "away (retention.ms), or start more workers; send the rows again if they are needed."
)


def gap_alerts(gap: Gap, topic: str, partition: int, journaled_ms: int) -> list[Output]:
    """Return the incident of a gap, its beginning and its end: it is over as soon as it is told.

    Parameters
    ----------
    gap
        From the journal.
    topic, partition
        Where the records were.
    journaled_ms
        The time of the journal's record, UTC milliseconds: there is no other.
    """
    told_ms = min(max(journaled_ms, 0), LATEST_MS)
    records = gap.last_offset - gap.first_offset + 1
    title = (
        f"{topic}[{partition}]: up to {records:,} records, offsets {gap.first_offset} to "
        f"{gap.last_offset}, were deleted before they were read"
    )
    alarm = SeriesAlarm(
        series="gap",
        feature=topic,
        statistic="gap",
        detector="offsets",
        direction="up",
        effect=float(records),
        gate=1.0,
        value=Figure(reference=0.0, current=float(records)),
        since_ms=told_ms,
        told_ms=told_ms,
        resolved_ms=told_ms,
    )
    firing = Alert(
        incident=stable_id("gap", topic, partition, gap.first_offset, gap.last_offset),
        revision=1,
        status="firing",
        kind="quality",
        severity="critical",
        provisional=False,
        model="",
        version="",
        title=title,
        advice=ADVICE,
        since_ms=told_ms,
        told_ms=told_ms,
        series=[alarm],
        evidence=Evidence(
            topic=topic,
            partition=partition,
            first_offset=gap.first_offset,
            last_offset=gap.last_offset,
            windows=0,
            rows=records,
        ),
        reference_windows=0,
    )
    over = replace(firing, revision=2, status="resolved", resolved_ms=told_ms)
    source = f"/tidegauge/{topic}/{partition}"
    return [alert_output(alert, source) for alert in (firing, over)]
