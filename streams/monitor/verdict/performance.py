"""Watches how well one model version's predictions match the labels that came."""

from dataclasses import dataclass

import msgspec
import numpy as np

from tidegauge.detectors.drift.adwin import ADWIN
from tidegauge.detectors.statistics.columns import ColumnStatistics
from tidegauge.schemas.outcomes import MAX_TALLY, LabelCounts, Outcomes
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.control.control import SHARES, Control
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.series import NOTHING, Reading
from tidegauge.streams.monitor.series.series import create as create_series
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.judge import Judge, JudgeState
from tidegauge.streams.monitor.windows.metrics import (
    ERROR,
    LABEL,
    LOSS,
    OUTCOME_COLUMNS,
    SCORE,
    Classification,
    evaluate,
    losses,
)
from tidegauge.streams.monitor.verdict.reports import column_reports, window_report
from tidegauge.streams.monitor.windows.window import Dated, Window, cut, dated

INTAKE_PAIRS = 100  # first pairs, from which the task is inferred


class Pairs(msgspec.Struct):
    """Pairs held until the task is known, or until it is certain when they were."""

    ts_ms: list[int] = []
    offsets: list[int] = []
    labels: list[float] = []
    scores: list[float] = []

    def behind(self, place: int) -> "Pairs":
        """Return the pairs from a place on."""
        return Pairs(
            self.ts_ms[place:], self.offsets[place:], self.labels[place:], self.scores[place:]
        )


class OutcomeWindow(msgspec.Struct, array_like=True):
    """What is kept of one closed window of the reference: means, then variances, of the columns."""

    rows: int
    means: list[float]
    variances: list[float]


class PerformanceState(msgspec.Struct):
    """Everything the monitor remembers, for the snapshot."""

    observed: int
    task: str
    pairs: Pairs
    window: Window
    statistics: bytes
    counts: bytes
    learned: list[OutcomeWindow]
    profiles: dict[str, SeriesProfile]
    judge: JudgeState | None
    adwin: bytes
    adwin_alarms: int
    labels: LabelCounts = msgspec.field(default_factory=LabelCounts)


@dataclass(frozen=True, slots=True)
class _Rows:
    dated: Dated
    offsets: Ints
    table: Floats


class PerformanceMonitor:
    """Tells whether a model version has become worse than it was in its reference.

    Watches the loss (log loss, or absolute error) and label - score; tells River's metrics of each
    window; ADWIN on the windows' loss is a second opinion in the report, never an alert of its own
    unless the spec makes it the loss's detector.
    """

    def __init__(self, origin: Origin, control: Control, share: float) -> None:
        self.origin, self.control, self.share = origin, control, share
        reference = control.reference
        self.task = control.spec.task or (reference.task if reference else "")
        self.observed = 0
        self.pairs = Pairs([], [], [], [])
        self.window = Window()
        self.learned: list[OutcomeWindow] = []
        self.profiles: dict[str, SeriesProfile] = dict(reference.outcomes) if reference else {}
        self.judge: Judge | None = None
        self._statistics = ColumnStatistics(len(OUTCOME_COLUMNS))
        self._counts = Classification(control.spec.threshold)
        self._adwin = ADWIN(1, clock=1)
        self._adwin_alarms = 0
        self.labels = LabelCounts()  # since the last window
        if self.profiles:
            self._watch()

    def fold(self, pairs: Outcomes) -> list[Output]:
        """Fold pairs of prediction and label; return what the windows they closed give rise to."""
        held = self.pairs
        held.ts_ms += pairs.ts_ms
        held.offsets += pairs.label_offsets
        held.labels += pairs.labels
        held.scores += pairs.predictions
        outputs: list[Output] = []
        if not self.task:
            if len(held.labels) < INTAKE_PAIRS:
                return outputs
            self.task = infer_task(held.labels[:INTAKE_PAIRS], held.scores[:INTAKE_PAIRS])
        labels, scores = np.array(held.labels), np.array(held.scores)
        table = losses(labels, scores, self.task)
        spec = self.control.spec.windows
        found = dated(self.window, spec, np.array(held.ts_ms))
        rows = _Rows(found, np.array(held.offsets), table)
        self.pairs = held.behind(len(found))
        for start, stop, closes in cut(self.window, spec, found.ts_ms):
            if stop > start:
                self._add(rows, start, stop)
            if closes:
                outputs += self._close()
        return outputs

    def count(self, labels: LabelCounts) -> None:
        """Take what became of further labels of the model, for the report of the open window."""
        for name in LabelCounts.__struct_fields__:
            total = getattr(self.labels, name) + getattr(labels, name)
            setattr(self.labels, name, min(total, MAX_TALLY))  # the journal may hold anything

    def _add(self, rows: _Rows, start: int, stop: int) -> None:
        spec = self.control.spec.windows
        early = int(np.count_nonzero(rows.dated.early[start:stop]))
        self.window.add(spec, rows.dated.ts_ms[start:stop], rows.offsets[start:stop], early)
        self.observed += stop - start
        table = rows.table[start:stop]
        self._statistics.update(table)
        if self.task == "classification":
            self._counts.update(table[:, LABEL], table[:, SCORE])
        if self.judge is not None:
            self.judge.see_rows(table)

    def _close(self) -> list[Output]:
        outputs: list[Output] = []
        s = self._statistics
        if self.judge is not None:
            columns = np.stack([s.count, s.mean, s.low, s.high]).T.tolist()
            readings = {
                name: Reading.of_mean(*columns[column])
                for name, column in (("loss", LOSS), ("error", ERROR))
            }
            readings |= {
                name: NOTHING._replace(shown=columns[column][1])
                for name, column in (("label", LABEL), ("score", SCORE))
            }
            outputs = self.judge.close(readings, self.window, {})
        outputs.append(self._report())
        if self.judge is None:
            variances = (s.sd**2).tolist()
            self.learned.append(OutcomeWindow(self.window.rows, s.mean.tolist(), variances))
            if len(self.learned) >= self.control.spec.reference.windows:
                self.profiles = self.learn()
                self._watch()
        self.labels = LabelCounts()
        self._statistics.reset()
        self._counts.reset()
        self.window = self.window.following()
        return outputs

    def learn(self) -> dict[str, SeriesProfile]:
        """Return the profiles of the windows closed so far, while the monitor still learns."""
        if not self.learned:
            raise ValueError("expected at least one closed window of a monitor that is learning")
        rows = np.array([window.rows for window in self.learned], np.float64)
        means = np.array([window.means for window in self.learned])
        variances = np.array([window.variances for window in self.learned])
        return {
            name: _profile(rows, means[:, column], variances[:, column])
            for column, name in enumerate(OUTCOME_COLUMNS)
        }

    def _watch(self) -> None:
        """Go from learning to watching; label and score are context, not watched."""
        self.learned = []
        spec = self.control.spec
        series = [
            create_series(name, self.profiles[name], spec.effect.outcomes)
            for name in OUTCOME_COLUMNS
        ]
        budget = spec.false_alarms.count * SHARES["outcomes"] * self.share
        if any(one.reference is not None for one in series):  # else it is to be learned
            self.judge = Judge(self.origin, spec, series, OUTCOME_COLUMNS, budget)

    def _report(self) -> Output:
        chosen = self.control.spec.metrics
        return window_report(
            self.origin,
            self.window,
            self.observed,
            column_reports(OUTCOME_COLUMNS, self._statistics),
            self.judge,
            evaluate(self.task, chosen, self._statistics, self._counts),
            self._second_opinion(),
            self.labels,
        )

    def _second_opinion(self) -> dict[str, float]:
        """Let ADWIN see the window's loss in units of the reference; return what it makes of it."""
        if self.judge is None:
            return {}
        loss = next(s for s in self.judge.watch.series if s.name == "loss")
        if loss.reference is None:
            return {}
        z = loss.reference.standardise(self._statistics.mean[LOSS : LOSS + 1], 1.0)
        self._adwin_alarms += int(self._adwin.update(z.reshape(1, 1))[0, 0])
        return {
            "windows": float(self._adwin.window_length[0]),
            "mean": float(self._adwin.estimation[0]),
            "alarms": float(self._adwin_alarms),
        }

    def inherit(self, old: "PerformanceMonitor") -> None:
        """Go on with what was learned under an earlier spec, where that still holds."""
        self.pairs, self.labels = old.pairs, old.labels
        published = old.control.reference is not None and old.control.reference.outcomes
        was, spec = old.control.spec, self.control.spec
        same = (was.windows, was.task) == (spec.windows, spec.task)
        if same and old.judge is not None and not published and self.judge is None:
            self.profiles, self.task = old.profiles, old.task
            self._watch()

    def supersede(self) -> list[Output]:
        """Return the alerts that close what is open, as the model is watched anew from here."""
        return self.judge.supersede(self.window) if self.judge is not None else []

    def state(self) -> PerformanceState:
        """Return what a snapshot needs."""
        return PerformanceState(
            self.observed,
            self.task,
            self.pairs,
            self.window,
            self._statistics.snapshot(),
            self._counts.counts.tobytes(),
            self.learned,
            self.profiles,
            self.judge.state() if self.judge else None,
            self._adwin.snapshot(),
            self._adwin_alarms,
            self.labels,
        )

    def load(self, state: PerformanceState) -> None:
        """Take back the state of a monitor with the same control."""
        self.profiles = state.profiles
        if state.judge is not None:
            self._watch()
            assert self.judge is not None
            self.judge.load(state.judge)
        self.observed, self.task, self.pairs = state.observed, state.task, state.pairs
        self.window, self.learned = state.window, state.learned
        self._statistics.restore(state.statistics)
        self._counts.counts = np.frombuffer(state.counts).reshape(-1, 2).copy()
        self._adwin.restore(state.adwin)
        self._adwin_alarms, self.labels = state.adwin_alarms, state.labels


def infer_task(labels: list[float], scores: list[float]) -> str:
    """Return ``classification`` for labels 0 and 1 with scores from 0 to 1, else ``regression``.

    >>> infer_task([0.0, 1.0], [0.2, 0.7]), infer_task([0.0, 3.5], [0.2, 0.7])
    ('classification', 'regression')
    """
    binary = all(label in (0, 1) for label in labels) and all(0 <= p <= 1 for p in scores)
    return "classification" if binary else "regression"


def _profile(rows: Floats, means: Floats, variances: Floats) -> SeriesProfile:
    known = ~np.isnan(means)
    if not known.any():
        return SeriesProfile(values=[None] * len(means), sd=0.0, shown=0.0)
    weights = rows[known] / rows[known].sum()
    overall = float((weights * means[known]).sum())
    variance = (weights * (variances[known] + (means[known] - overall) ** 2)).sum()
    values = [None if np.isnan(mean) else float(mean) for mean in means]
    return SeriesProfile(values=values, sd=float(np.sqrt(variance)), shown=overall)
