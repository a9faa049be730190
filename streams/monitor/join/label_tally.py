"""Counts what became of a model's labels, in the order of their log."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from tidegauge.schemas.events import within_calendar
from tidegauge.schemas.outcomes import LabelCounts, LabelReport
from tidegauge.streams.monitor.join.watermark import BLOCK

REPORTED = BLOCK  # labels, at least; a report ends with a record
PATIENCE_MS = 60_000  # of record time, that a label may wait for its prediction
OVERTAKEN = 5  # batches of which some wait; for more it is not waited, however fast they come
MAX_KEY = 64  # bytes of a key that is shown

Met = tuple[str | None, ...]
NONE: Met = ()
BEYOND: Met = (None,)  # a prediction came, and the label lay beyond its horizon


class Label(msgspec.Struct, gc=False):
    """A label as it came, and which versions' predictions it has met."""

    id: str
    ts_ms: int
    value: float
    offset: int
    met: Met = NONE


class LabelRecord(NamedTuple):
    """The labels of one record."""

    model: str
    offset: int
    timestamp: int  # the record's own
    key: bytes | None
    labels: list[Label]


class Batch(msgspec.Struct, array_like=True):
    """Labels that are reported together."""

    labels: int = 0
    waiting: int = 0  # those without a prediction
    low_ms: int = 0  # earliest event time
    first_offset: int = 0
    last_offset: int = 0
    timestamp: int = 0  # latest of their records
    earliest: int = 0


class LabelTally(msgspec.Struct):
    """What became of one model's labels so far."""

    counts: LabelCounts = msgspec.field(default_factory=LabelCounts)
    batch: Batch = msgspec.field(default_factory=Batch)  # the open one
    waiting: list[Batch] = []  # earlier ones, some of whose labels still wait
    key: str = ""  # the latest that was not the model's name
    id: str = ""  # of the latest label that came without a prediction
    beyond_ms: tuple[int, int] = (0, 0)  # times of the latest beyond the horizon: label, prediction

    def see(self, record: LabelRecord) -> None:
        """Count the labels of a record before they are looked at."""
        batch, labels = self.batch, len(record.labels)
        low_ms = record.labels[0].ts_ms if labels == 1 else min(lb.ts_ms for lb in record.labels)
        if not batch.labels:
            batch.first_offset, batch.low_ms = record.offset, low_ms
            batch.earliest = record.timestamp
        batch.earliest = min(batch.earliest, record.timestamp)
        batch.low_ms = min(batch.low_ms, low_ms)
        batch.timestamp = max(batch.timestamp, record.timestamp)
        batch.last_offset = record.offset
        batch.labels += labels
        self.counts.labels += labels
        if record.key != record.model.encode():
            self.counts.other_key += labels
            self.key = (record.key or b"")[:MAX_KEY].decode(errors="replace")

    def arrived(self, label: Label) -> None:
        """Count a label by what it met when it came."""
        if not label.met:
            self.batch.waiting += 1
            self.id = label.id
        elif label.met is BEYOND:
            self.counts.beyond_horizon += 1
        else:
            self.counts.paired += 1

    def reached(self, label: Label, was: Met) -> None:
        """Count a label that was known when a prediction with its id came."""
        if label.met == was or was not in (NONE, BEYOND):
            return
        batches = [*self.waiting, self.batch] if was == NONE else []
        for batch in batches:
            if batch.labels and batch.first_offset <= label.offset <= batch.last_offset:
                batch.waiting -= 1
                self.arrived(label)
                return
        self.counts.late += label.met is not BEYOND

    def report(self, model: str, predictions: bool) -> LabelReport:
        """Close the batch; return what is told of all up to here, by an owner yet to be named.

        Where the model never had ``predictions``, its labels need not wait for them.
        """
        batch, self.batch = self.batch, Batch()
        self.waiting += [batch] if batch.waiting else []
        while self.waiting and (
            not predictions
            or len(self.waiting) > OVERTAKEN
            # No single clock ends it: all of this batch came so much later.
            or batch.earliest - self.waiting[0].timestamp >= PATIENCE_MS
        ):
            self.counts.unpaired += self.waiting.pop(0).waiting
        return LabelReport(
            epoch=0,
            sequence=0,
            model=model,
            last_offset=batch.last_offset,
            timestamp_ms=within_calendar(batch.timestamp),
            counts=msgspec.structs.replace(self.counts),
            predictions=predictions,
            id=self.id,
            key=self.key,
            label_ts_ms=self.beyond_ms[0],
            prediction_ts_ms=self.beyond_ms[1],
        )


def labels_by_model(labels: Iterable[LabelRecord]) -> dict[str, list[LabelRecord]]:
    """Return records of labels by model, in the order of the log."""
    found: dict[str, list[LabelRecord]] = {}
    for record in labels:
        found.setdefault(record.model, []).append(record)
    return found
