"""Records that were accepted and cannot be folded: a fault of ours, told once and left out.

A fold that fails leaves a state that nobody may publish. So what failed is written to the journal,
and the state is restored: the records of the batch are then folded one at a time, until one fails
by itself. That one is poison, for every owner to come; the rest goes on.
"""

from collections.abc import Iterable, Mapping, Sequence

from tidegauge.schemas.outcomes import Poison
from tidegauge.streams.monitor.intake.record_batch import until
from tidegauge.streams.monitor.intake.rejections import Rejection
from tidegauge.streams.monitor.records import Output, Record, Source
from tidegauge.streams.monitor.verdict.alerts import alert_output, log_alert
from tidegauge.streams.monitor.words import cut

MAX_ALONE = 3  # poisonous records of one batch that are looked for; then all the rest of it is
ERROR_CHARS = 500
ADVICE = (
    "This is a fault of Tidegauge, not of the record: please report it with the worker's log and "
    "the record from the rejected topic. The rest goes on; what the record said is in no figure."
)


class FoldError(Exception):
    """A fold failed; the state it was to change is of no use any more."""

    def __init__(self, source: Source, first: int, last: int, cause: Exception) -> None:
        self.source, self.first, self.last = source, first, last
        self.told = f"{type(cause).__name__}: {cause}"[:ERROR_CHARS]
        super().__init__(f"{source} offsets {first} to {last} cannot be folded: {self.told}")


class Poisons:
    """What the journal says of records that could not be folded."""

    def __init__(self, entries: Iterable[Poison] = ()) -> None:
        self.entries = list(entries)

    def take(self, entry: Poison) -> None:
        """Take an entry of the journal."""
        if entry not in self.entries:
            self.entries.append(entry)

    def piece(
        self, source: Source, records: Sequence[Record]
    ) -> tuple[Sequence[Record], Poison | None]:
        """Return how far the first records go alike, and the entry by which they are poison."""
        own = [entry for entry in self.entries if entry.source == source]
        if not own:
            return records, None
        first = records[0].offset
        for entry in own:
            if entry.alone and entry.first_offset <= first <= entry.last_offset:
                return until(records, entry.last_offset + 1), entry
        if any(entry.first_offset <= first <= entry.last_offset for entry in own):
            return records[:1], None  # one of a batch that failed
        begins = min((e.first_offset for e in own if e.first_offset > first), default=None)
        return records if begins is None else until(records, begins), None

    def extent(self, fault: FoldError) -> tuple[int, bool]:
        """Return up to which offset a fault reaches, and whether it is what failed by itself."""
        if fault.first != fault.last:
            return fault.last, False
        for entry in self.entries:
            around = entry.first_offset <= fault.first <= entry.last_offset and not entry.alone
            if around and entry.source == fault.source:
                inside = [e for e in self.entries if e.alone and _lies_in(e, entry)]
                return entry.last_offset if len(inside) >= MAX_ALONE else fault.last, True
        return fault.last, True

    def without(self, source: Source, records: Sequence[Record]) -> Sequence[Record]:
        """Return records of which none is poison."""
        own = [entry for entry in self.entries if entry.source == source and entry.alone]
        if not own:
            return records
        spans = [range(entry.first_offset, entry.last_offset + 1) for entry in own]
        return [r for r in records if not any(r.offset in span for span in spans)]

    def forget(self, before: Mapping[Source, int]) -> None:
        """Forget what lies before these offsets, which nobody will read again."""
        self.entries = [e for e in self.entries if e.last_offset >= before[e.source]]


def _lies_in(inner: Poison, outer: Poison) -> bool:
    inside = outer.first_offset <= inner.first_offset <= inner.last_offset <= outer.last_offset
    return inside and inner.source == outer.source


def refused(records: Iterable[Record], entry: Poison) -> list[Rejection]:
    """Return the rejections of poisonous records."""
    reason = f"cannot be folded, by a fault of Tidegauge: {entry.error}"
    return [Rejection(record, reason, "PoisonError") for record in records]


def poison_alert(entry: Poison, topic: str, partition: int, journaled_ms: int) -> Output:
    """Return the alert of a poisonous record; it stays open, as somebody must mend the fault."""
    first, last = entry.first_offset, entry.last_offset
    span = f"offset {first}" if first == last else f"offsets {first} to {last}"
    alert = log_alert(
        statistic="poison",
        detector="fold",
        title=f"{cut(topic)}[{partition}]: {span} cannot be folded: {cut(entry.error)}",
        advice=ADVICE,
        topic=topic,
        partition=partition,
        offsets=(first, last),
        journaled_ms=journaled_ms,
    )
    return alert_output(alert, f"/tidegauge/{topic}/{partition}")
