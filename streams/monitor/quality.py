"""Is a topic mostly bad? Counts records that could not be read, in blocks of the log."""

from collections.abc import Sequence

import msgspec

from schemas.alerts import Alert, Evidence, Figure, SeriesAlarm
from schemas.cloudevents import stable_id
from streams.monitor import wording
from streams.monitor.incidents import alert_output
from streams.monitor.records import Output, Record

BLOCK = 100  # records
MOSTLY = 0.5  # share of bad records in a block that is told
BETTER = 0.25  # and below which it is over
LATEST_MS = 253_402_300_799_999  # the year 9999 ends


class QualityState(msgspec.Struct):
    """The open block and the incident, if there is one."""

    records: int = 0
    bad: int = 0
    first_offset: int = 0
    incident: str = ""
    revision: int = 0
    since_ms: int = 0


class Quality:
    """Tells when most records of one topic's partition cannot be read, and when that is over."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.state = QualityState()

    def fold(self, records: Sequence[Record], bad: set[int]) -> list[Output]:
        """Count records; ``bad`` are the offsets of those that were rejected."""
        outputs: list[Output] = []
        start = 0
        while start < len(records):
            piece = records[start : start + BLOCK - self.state.records]
            if self.state.records == 0:
                self.state.first_offset = piece[0].offset
            self.state.records += len(piece)
            self.state.bad += sum(record.offset in bad for record in piece) if bad else 0
            if self.state.records == BLOCK:
                outputs += self._close(piece[-1])
            start += len(piece)
        return outputs

    def _close(self, last: Record) -> list[Output]:
        state = self.state
        share = state.bad / BLOCK
        outputs: list[Output] = []
        if share > MOSTLY and not state.incident:
            state.incident = stable_id("rejected", self.topic, self.partition, last.offset)
            state.since_ms = _dated(last)
            outputs.append(self._tell(share, last))
        elif share < BETTER and state.incident:
            outputs.append(self._tell(share, last, over=True))
            state.incident, state.revision = "", 0
        state.records = state.bad = 0
        return outputs

    def _tell(self, share: float, last: Record, over: bool = False) -> Output:
        state = self.state
        state.revision += 1
        told_ms = _dated(last)
        alarm = SeriesAlarm(
            series="rejected",
            feature=self.topic,
            statistic="rejected",
            detector="share",
            direction="up",
            effect=share,
            gate=MOSTLY,
            value=Figure(reference=0.0, current=share),
            since_ms=state.since_ms,
            told_ms=told_ms,
            resolved_ms=told_ms if over else None,
        )
        where = f"{self.topic}[{self.partition}]"
        return alert_output(
            Alert(
                incident=state.incident,
                revision=state.revision,
                status="resolved" if over else "firing",
                kind="quality",
                severity="critical",
                provisional=False,
                model="",
                version="",
                title=wording.resolution(where, [alarm], told_ms)
                if over
                else wording.title(where, [alarm], {}, state.since_ms),
                advice="Nothing: the incident is over."
                if over
                else wording.advice("quality", [alarm], state.since_ms),
                since_ms=state.since_ms,
                told_ms=told_ms,
                resolved_ms=told_ms if over else None,
                series=[alarm],
                evidence=Evidence(
                    topic=self.topic,
                    partition=self.partition,
                    first_offset=state.first_offset,
                    last_offset=last.offset,
                    windows=1,
                    rows=BLOCK,
                ),
                reference_windows=0,
            ),
            f"/tidegauge/{self.topic}/{self.partition}",
        )


def _dated(record: Record) -> int:
    """Return a record's own time; producers may set it to what no calendar has."""
    return min(max(record.timestamp, 0), LATEST_MS)
