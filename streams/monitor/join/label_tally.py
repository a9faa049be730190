"""Counts what became of a model's labels, in the order of their log."""

import msgspec
import numpy as np

from tidegauge.schemas.events import within_calendar
from tidegauge.schemas.outcomes import LabelCounts, LabelReport
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.join.held import NOTHING
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.join.watermark import BLOCK

REPORTED = BLOCK  # labels, at least; a report ends with a record
PATIENCE_MS = 60_000  # of record time, that a label may wait for its prediction
OVERTAKEN = 5  # batches of which some wait; for more it is not waited, however fast they come
MAX_KEY = 64  # bytes of a key that is shown

Times = tuple[int, int]  # of a label and its prediction
Met = tuple[str | None, ...]
NONE: Met = ()
BEYOND: Met = (None,)  # a prediction came, and the label lay beyond its horizon
MET_NONE, MET_BEYOND = 0, 1  # the numbers of these two
CORRECTED = -2  # in place of such a number: the id has a label already, which said another value


class Batch(msgspec.Struct, array_like=True):
    """Labels that are reported together."""

    labels: int = 0
    waiting: int = 0  # those without a prediction
    low_ms: int = 0  # earliest event time
    first_offset: int = 0
    last_offset: int = 0
    timestamp: int = 0  # latest of their records
    earliest: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it is to be reported."""
        return self.labels >= REPORTED

    def see(self, came: LabelArrivals) -> None:
        """Take the labels of whole records."""
        low_ms, earliest = int(came.ts_ms.min()), int(came.timestamps.min())
        if not self.labels:
            self.first_offset, self.low_ms, self.earliest = int(came.offsets[0]), low_ms, earliest
        self.low_ms, self.earliest = min(self.low_ms, low_ms), min(self.earliest, earliest)
        self.timestamp = max(self.timestamp, int(came.timestamps.max()))
        self.last_offset = int(came.offsets[-1])
        self.labels += len(came)


class LabelTally(msgspec.Struct):
    """What became of one model's labels so far."""

    counts: LabelCounts = msgspec.field(default_factory=LabelCounts)
    batch: Batch = msgspec.field(default_factory=Batch)  # the open one
    waiting: list[Batch] = []  # earlier ones, some of whose labels still wait
    key: str = ""  # the latest that was not the model's name
    id: str = ""  # of the latest label that came without a prediction
    beyond_ms: Times = (0, 0)  # of the latest beyond the horizon

    def arrived(
        self, batch: Batch, came: LabelArrivals, kinds: Ints, beyond_ms: Times | None
    ) -> None:
        """Count labels of a batch, the open one or one to be reported.

        Parameters
        ----------
        batch, came
            Which.
        kinds
            What they met when they came; NOTHING where the id had a label already, or CORRECTED.
        beyond_ms
            Times of the latest beyond the horizon and of its prediction, if there is one.
        """
        waiting = np.flatnonzero(kinds == MET_NONE)
        if len(waiting):
            batch.waiting += len(waiting)
            self.id = came.ids[int(waiting[-1])]
        duplicate, corrected, beyond = (
            int(np.count_nonzero(kinds == own)) for own in (NOTHING, CORRECTED, MET_BEYOND)
        )
        counts = self.counts
        counts.labels += len(came)
        counts.duplicate += duplicate
        counts.corrected += corrected
        counts.beyond_horizon += beyond
        counts.paired += len(came) - len(waiting) - duplicate - corrected - beyond
        self.beyond_ms = beyond_ms or self.beyond_ms
        if came.strays.any():
            strays = np.flatnonzero(came.strays)
            counts.other_key += len(strays)
            key = came.records[int(came.at[strays[-1]])].key or b""
            self.key = key[:MAX_KEY].decode(errors="replace")

    def reached(self, offsets: Ints, before: Ints, near: Flags) -> None:
        """Count labels that were known when predictions with their ids came.

        Parameters
        ----------
        offsets, before
            Of the labels, and what they had met before.
        near
            Whether the prediction lies within the horizon.
        """
        waited = before == MET_NONE
        for batch in (*self.waiting, self.batch) if waited.any() else ():
            inside = waited & (offsets >= batch.first_offset) & (offsets <= batch.last_offset)
            inside &= batch.labels > 0
            found, paired = int(np.count_nonzero(inside)), int(np.count_nonzero(inside & near))
            batch.waiting -= found
            self.counts.paired += paired
            self.counts.beyond_horizon += found - paired
            waited &= ~inside
        self.counts.late += int(np.count_nonzero(near & (waited | (before == MET_BEYOND))))

    def report(self, batch: Batch, model: str, predictions: bool) -> LabelReport:
        """Return what is told of all up to the end of a batch, by an owner yet to be named.

        Where the model never had ``predictions``, its labels need not wait for them.
        """
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
            first_ts_ms=within_calendar(batch.low_ms),
        )
