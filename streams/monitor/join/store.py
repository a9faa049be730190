"""What of one model waits for its partner, and how long it may."""

from dataclasses import dataclass, field

import msgspec
import numpy as np

from tidegauge.streams.monitor.intake.classes import Classes
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.join.held import NOTHING, HashIndex
from tidegauge.streams.monitor.join.held_labels import HeldLabels
from tidegauge.streams.monitor.join.held_predictions import HeldPredictions
from tidegauge.streams.monitor.join.label_tally import LabelTally
from tidegauge.streams.monitor.join.prediction_tally import PredictionTally
from tidegauge.streams.monitor.join.watermark import Watermark

ROW_BYTES = 100  # of a prediction or a label that is held, at most
COLUMN_BYTES = 10  # more of a prediction for the probability of each class
MAX_HORIZONS = 64  # of a model, one after the other
GRACE_MS = 86_400_000  # at least, by which rows may come out of order
GRACE = 10  # part of the horizon, if that is more


class Horizon(msgspec.Struct, frozen=True, array_like=True):
    """How far apart two partners may lie of which the later comes at these offsets or after."""

    predictions: int
    labels: int
    ms: int


class StoreState(msgspec.Struct):
    """What of a store the logs alone do not say, for the snapshot."""

    predictions: Watermark
    labels: Watermark
    tally: LabelTally
    horizons: list[Horizon] = []
    sent: dict[str, PredictionTally] = {}  # by version


@dataclass(slots=True)
class Store:
    """Predictions without a label and the known labels of one model, in the order of their logs."""

    predictions: dict[str, HeldPredictions] = field(default_factory=dict)  # by version
    labels: HeldLabels = field(default_factory=HeldLabels)
    predictions_log: Watermark = field(default_factory=Watermark)
    labels_log: Watermark = field(default_factory=Watermark)
    tally: LabelTally = field(default_factory=LabelTally)
    horizons: list[Horizon] = field(default_factory=list)  # the last one holds
    sent: dict[str, PredictionTally] = field(default_factory=dict)  # by version
    classes: Classes = field(default_factory=Classes)  # of predictions and labels that are text
    texts: Classes = field(default_factory=Classes)  # by which predictions are sliced

    def __len__(self) -> int:
        """Return how many predictions and labels are held."""
        return sum(map(len, self.predictions.values())) + len(self.labels)

    @property
    def size(self) -> int:
        """Bytes of what is held."""
        held = self.predictions.values()
        further = sum(len(own) * (own.width - 1) for own in held if own.width > 1)
        return ROW_BYTES * len(self) + COLUMN_BYTES * further

    @property
    def has_predictions(self) -> bool:
        """Whether there ever was one."""
        return self.predictions_log.first is not None

    def hold_to(self, horizon_ms: int) -> None:
        """Let a horizon hold for partners that meet from now on."""
        if self.horizons and self.horizons[-1].ms == horizon_ms:
            return
        newest = (held.last_offset for held in self.predictions.values())
        after = max(newest, default=NOTHING) + 1, self.labels.last_offset + 1
        self.horizons.append(Horizon(*after, horizon_ms))
        if len(self.horizons) > MAX_HORIZONS:
            del self.horizons[0]

    def horizons_ms(self, predictions: Ints, labels: Ints) -> Ints:
        """Return the horizons that held when the later of two offsets came; -1 is before all."""
        found = np.full(len(labels), self.horizons[0].ms, np.int64)
        for horizon in self.horizons[1:]:
            found[(predictions >= horizon.predictions) | (labels >= horizon.labels)] = horizon.ms
        return found

    def forget(self, horizon_ms: int) -> bool:
        """Let go of what can have no partner to come in either log; tell whether ``drop`` is due.

        Either log may run far ahead of the other while a worker catches up.
        """
        times = self.predictions_log.ts_ms, self.labels_log.ts_ms
        before_ms = min(-1 if ts_ms is None else ts_ms for ts_ms in times) - kept_ms(horizon_ms)
        return self.predictions_log.forget(before_ms) | self.labels_log.forget(before_ms)

    def drop(self) -> None:
        """Drop what is forgotten."""
        for version, held in list(self.predictions.items()):
            held.drop_before(self.predictions_log.forgotten)
            if not len(held):
                del self.predictions[version]
        unmet = self.labels.drop_unmet_before(self.labels_log.forgotten)
        self.tally.counts.forgotten += unmet

    def shrink(self) -> None:
        """Give back memory that held more than there is now."""
        self.labels.shrink()
        for held in self.predictions.values():
            held.shrink()

    def forget_oldest(self, surplus: int) -> None:
        """Forget bytes of whichever there are most, with those in the same record."""
        fullest: HashIndex | HeldPredictions = max(
            self.predictions.values(), key=len, default=HeldPredictions()
        )
        log, row_bytes = self.predictions_log, ROW_BYTES
        if len(self.labels) > len(fullest):
            fullest, log = self.labels, self.labels_log
        elif isinstance(fullest, HeldPredictions):
            row_bytes += COLUMN_BYTES * (fullest.width - 1)
        rows = -(-surplus // row_bytes)
        log.forgotten = fullest.offset_of(min(len(fullest), rows) - 1) + 1
        self.drop()


def kept_ms(horizon_ms: int) -> int:
    """Return for how long a row may find its partner, in event time of either log."""
    return horizon_ms + max(GRACE_MS, horizon_ms // GRACE)
