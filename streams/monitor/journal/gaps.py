"""Rows that were deleted before they were read: told once, as what nobody can mend any more."""

from msgspec.structs import replace

from tidegauge.schemas.outcomes import Gap
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.verdict.alerts import alert_output, log_alert
from tidegauge.streams.monitor.words import cut

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
    records = gap.last_offset - gap.first_offset + 1
    firing = log_alert(
        statistic="gap",
        detector="offsets",
        title=f"{cut(topic)}[{partition}]: up to {records:,} records, offsets "
        f"{gap.first_offset} to {gap.last_offset}, were deleted before they were read",
        advice=ADVICE,
        topic=topic,
        partition=partition,
        offsets=(gap.first_offset, gap.last_offset),
        journaled_ms=journaled_ms,
    )
    ended = [replace(alarm, resolved_ms=firing.told_ms) for alarm in firing.series]
    firing = replace(firing, series=ended)
    over = replace(firing, revision=2, status="resolved", resolved_ms=firing.told_ms)
    return [alert_output(alert, f"/tidegauge/{topic}/{partition}") for alert in (firing, over)]
