"""Tells when predictions come twice, or have no label though it is time."""

from bisect import bisect_left

import msgspec
import numpy as np

from tidegauge.schemas.monitors import RetrainingSpec, WindowSpec
from tidegauge.schemas.outcomes import LabelReport, Outcomes, PredictionReport
from tidegauge.streams.monitor.intake.block import Ints
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.view import Due, Sent
from tidegauge.streams.monitor.verdict.counted_cohort import CountedCohort
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState
from tidegauge.streams.monitor.windows.bounds import Bounds

ENOUGH = 500  # pairs by which it is learned when a label is due
QUICK = 0.9  # part of their labels that came as soon as half of that
LEAST_MS = 60_000  # after its prediction, that a label is due
FINE = 4  # steps of doubling in which delays are counted
PIECES = 64  # in which the predictions are counted whose labels are to come
MAX_PIECES = 1000
WINDOWS = WindowSpec(rows=500)  # or more: what a report tells of


class Piece(msgspec.Struct, array_like=True):
    """Predictions one after the other whose labels are to come."""

    last_offset: int
    first_offset: int
    rows: int
    labelled: int
    first_ts_ms: int
    last_ts_ms: int


class PredictionWatchState(msgspec.Struct):
    """What is remembered of one model version's predictions, for the snapshot."""

    last_offset: int
    predictions: int
    resent: int
    clock_ms: int
    delays: dict[int, int]
    due_ms: int
    pieces: list[Piece]
    early: list[int]
    sent: MonitorState
    due: MonitorState


class PredictionWatch:
    """Judges the shares of predictions that came before, and of those that have no label.

    All follows from the journal: its pairs, and its reports of predictions and of labels. A label
    is due after twice the time within which nine in ten of the first came. Predictions that are as
    old are counted by the time of labels; by their own, where all labels were read that there are.

    Parameters
    ----------
    model, version
        Whose predictions these are.
    topic, partition
        Where they lie.
    """

    def __init__(self, model: str, version: str, topic: str, partition: int) -> None:
        origin = Origin(model, version, "predictions", topic, partition, RetrainingSpec(), 0)
        self._cohorts = [CountedCohort(model, reads) for reads in (Sent, Due)]
        self.sent, self.due = (
            Monitor(origin, cohort.spec, WINDOWS, [cohort]) for cohort in self._cohorts
        )
        self.last_offset = -1
        self._predictions = self._resent = 0  # by the latest report
        self._clock_ms = 0
        self._delays: dict[int, int] = {}  # pairs, by the logarithm of their delays
        self._due_ms = 0  # after a prediction; 0: it is not known yet
        self._pieces: list[Piece] = []
        self._early: list[int] = []  # offsets of labelled predictions that no report has told of

    def take_pairs(self, pairs: Outcomes) -> None:
        """Take pairs of the model version."""
        offsets = np.array(pairs.prediction_offsets, np.int64)
        delays_ms = np.array(pairs.ts_ms, np.int64) - np.array(pairs.prediction_ts_ms, np.int64)
        if not self._due_ms:
            seconds = np.maximum(delays_ms, 1) / 1000
            places, counts = np.unique(np.ceil(FINE * np.log2(seconds)), return_counts=True)
            for place, count in zip(places.astype(int).tolist(), counts.tolist(), strict=True):
                self._delays[place] = self._delays.get(place, 0) + count
            return
        offsets = offsets[delays_ms <= self._due_ms]
        self._early += offsets[offsets > self.last_offset].tolist()
        self._label(offsets[offsets <= self.last_offset])

    def _label(self, offsets: Ints) -> None:
        """Count labels of predictions that are known."""
        if not self._pieces:
            return
        ends = np.array([piece.last_offset for piece in self._pieces])
        offsets = offsets[offsets >= self._pieces[0].first_offset]
        for at, count in enumerate(np.bincount(np.searchsorted(ends, offsets)).tolist()):
            self._pieces[at].labelled += count

    def take_labels(self, report: LabelReport) -> list[Output]:
        """Take a report of the model's labels; return the alerts that it gives rise to."""
        if not self._due_ms and sum(self._delays.values()) >= ENOUGH:
            self._due_ms = max(LEAST_MS, self._usual_ms())
            self._delays = {}
        self._clock_ms = max(self._clock_ms, report.first_ts_ms)
        return self._judge()

    def _usual_ms(self) -> int:
        """Return twice the time within which nine in ten labels came."""
        places = sorted(self._delays)
        reached = np.cumsum([self._delays[place] for place in places])
        place = places[bisect_left(reached.tolist(), QUICK * int(reached[-1]))]
        return int(2000 * 2 ** (place / FINE))

    def take(self, report: PredictionReport) -> list[Output]:
        """Take a report of predictions; return the alerts that it gives rise to."""
        if report.last_offset <= self.last_offset:
            return []
        if report.predictions < self._predictions:  # by an owner that had forgotten the others
            self._predictions = self._resent = 0
        rows, resent = report.predictions - self._predictions, report.resent - self._resent
        piece = Piece(
            report.last_offset, self.last_offset + 1, rows - resent, 0,
            report.first_ts_ms, report.last_ts_ms,
        )  # fmt: skip
        self.last_offset = report.last_offset
        self._predictions, self._resent = report.predictions, report.resent
        outputs = self._close(self.sent, piece, rows, resent)
        if self._due_ms:
            self._append(piece)
            if report.labels_read:
                self._clock_ms = max(self._clock_ms, report.first_ts_ms)
        return outputs + self._judge()

    def _append(self, piece: Piece) -> None:
        """Keep predictions until their labels are due, in pieces of some length."""
        newest = self._pieces[-1] if self._pieces else None
        if newest is not None and (
            max(newest.last_ts_ms, piece.last_ts_ms) - newest.first_ts_ms < self._due_ms // PIECES
        ):
            newest.last_offset, newest.rows = piece.last_offset, newest.rows + piece.rows
            newest.last_ts_ms = max(newest.last_ts_ms, piece.last_ts_ms)
        else:
            self._pieces.append(piece)
            del self._pieces[:-MAX_PIECES]
        known = np.array(self._early, np.int64)
        self._label(known[known <= piece.last_offset])
        self._early = known[known > piece.last_offset].tolist()

    def _judge(self) -> list[Output]:
        """Judge the predictions whose labels are due."""
        outputs, kept = list[Output](), list[Piece]()
        for piece in self._pieces:
            if piece.last_ts_ms + self._due_ms < self._clock_ms and piece is not self._pieces[-1]:
                missing = max(piece.rows - piece.labelled, 0)
                outputs += self._close(self.due, piece, piece.rows, missing)
            else:
                kept.append(piece)
        self._pieces = kept
        return outputs

    def _close(self, monitor: Monitor, piece: Piece, rows: int, hits: int) -> list[Output]:
        """Let a monitor judge a window of so many rows, of which so many have it."""
        cohort = self._cohorts[monitor is self.due]
        monitor.begin(
            Bounds(
                index=monitor.bounds.index,
                rows=rows,
                first_ts_ms=piece.first_ts_ms,
                last_ts_ms=piece.last_ts_ms,
                first_offset=piece.first_offset,
                last_offset=piece.last_offset,
            )
        )
        cohort.count(
            monitor.window.parts[0], np.array([True, False]), np.array([hits, rows - hits])
        )
        return monitor.close()

    def state(self) -> PredictionWatchState:
        """Return what a snapshot needs."""
        return PredictionWatchState(
            self.last_offset,
            self._predictions,
            self._resent,
            self._clock_ms,
            dict(sorted(self._delays.items())),
            self._due_ms,
            self._pieces,
            self._early,
            self.sent.state(),
            self.due.state(),
        )

    def load(self, state: PredictionWatchState) -> None:
        """Take back the state of the same model version."""
        self.last_offset, self._clock_ms = state.last_offset, state.clock_ms
        self._predictions, self._resent = state.predictions, state.resent
        self._delays, self._due_ms = state.delays, state.due_ms
        self._pieces, self._early = state.pieces, state.early
        self.sent.load(state.sent)
        self.due.load(state.due)
