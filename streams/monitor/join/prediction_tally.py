"""Counts a model version's predictions, in the order of their log."""

from collections.abc import Iterator

import msgspec
import numpy as np

from tidegauge.schemas.events import within_calendar
from tidegauge.schemas.outcomes import PredictionReport
from tidegauge.streams.monitor.intake.block import Flags, Ints

REPORTED = 500  # predictions, at least; a report ends with a record


class PredictionTally(msgspec.Struct):
    """Predictions of one model version so far, and since its last report.

    >>> tally = PredictionTally()
    >>> offsets = np.repeat(np.arange(12), 100)
    >>> [own.last_offset for own in tally.take("m", "", offsets, offsets, offsets > 10, False)]
    [4, 9]
    """

    predictions: int = 0
    resent: int = 0
    rows: int = 0  # since the last report
    first_ts_ms: int = 0  # of them
    last_ts_ms: int = 0

    @property
    def missing(self) -> int:
        """How many more there must be until the next report."""
        return REPORTED - self.rows

    def take(
        self, model: str, version: str, offsets: Ints, ts_ms: Ints, again: Flags, labels_read: bool
    ) -> Iterator[PredictionReport]:
        """Count predictions of whole records, ``again`` if their id came before; yield reports."""
        start = 0
        while start < len(offsets):
            full = min(start + self.missing, len(offsets))
            stop = int(np.searchsorted(offsets, offsets[full - 1], "right"))
            first, last = int(ts_ms[start:stop].min()), int(ts_ms[start:stop].max())
            self.first_ts_ms = min(self.first_ts_ms, first) if self.rows else first
            self.last_ts_ms = max(self.last_ts_ms, last) if self.rows else last
            self.rows += stop - start
            self.predictions += stop - start
            self.resent += int(np.count_nonzero(again[start:stop]))
            if self.rows >= REPORTED:
                yield PredictionReport(
                    epoch=0,
                    sequence=0,
                    model=model,
                    version=version,
                    last_offset=int(offsets[stop - 1]),
                    predictions=self.predictions,
                    resent=self.resent,
                    first_ts_ms=within_calendar(self.first_ts_ms),
                    last_ts_ms=within_calendar(self.last_ts_ms),
                    labels_read=labels_read,
                )
                self.rows = 0
            start = stop
