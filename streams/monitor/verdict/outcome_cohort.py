"""Pairs of label and score of a model version: what is learned of them, and what is watched."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from tidegauge.detectors.drift.adwin import ADWIN
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference, SeriesProfile
from tidegauge.schemas.windows import ColumnReport, Evaluation
from tidegauge.streams.monitor.intake.block import Block, Floats, Waiting
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.task import TaskTally
from tidegauge.streams.monitor.series.view import Pairs
from tidegauge.streams.monitor.series.watched import rows_of
from tidegauge.streams.monitor.verdict.aa_check import Inside, changes_inside
from tidegauge.streams.monitor.verdict.cohort import Begun, Cohort, Examples, Watching
from tidegauge.streams.monitor.verdict.input_cohort import column_reports
from tidegauge.streams.monitor.verdict.watch import Verdicts
from tidegauge.streams.monitor.verdict.weekly import by_week
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.kept_pairs import KeptPairs
from tidegauge.streams.monitor.windows.metrics import evaluate
from tidegauge.streams.monitor.windows.outcome_columns import (
    KNOWN,
    OutcomeColumns,
    further_series,
)
from tidegauge.streams.monitor.windows.outcome_counts import OutcomeCounts, OutcomeCountsState
from tidegauge.streams.monitor.windows.outcome_rows import DELAY, ClassPairs, class_pairs
from tidegauge.streams.monitor.windows.sample import Sample
from tidegauge.streams.monitor.windows.window import WindowPart

DELAYS: Final = 256  # of a window are kept, at most


class OutcomeWindow(msgspec.Struct, array_like=True):
    """What is kept of one closed window of the reference: a number a column of outcomes."""

    rows: list[float]
    means: list[float]
    variances: list[float]
    start: Start  # of published outcomes: when their first row was


class OutcomesState(msgspec.Struct, tag="outcomes"):
    """Everything the cohort remembers, for the snapshot."""

    task: str
    tally: TaskTally
    windows: list[OutcomeWindow]
    learned: dict[str, SeriesProfile]
    watching: Watching | None
    adwin: bytes
    adwin_alarms: int
    further: list[str] = []  # series that have columns of their own
    deployed: OutcomeCountsState | None = None  # all pairs of the windows that have closed


class OutcomeCohort(Cohort):
    """Whether a model has become worse: loss and label - score.

    Parameters
    ----------
    spec, effect, budget
        As of every cohort.
    reference
        Published outcomes. With fewer windows than the spec asks for it goes on learning.

    Notes
    -----
    The task is the spec's or the reference's; else it is decided when the reference is complete, by
    all its pairs. Until then both losses are kept, and reports go by the pairs so far. ADWIN on the
    windows' loss is a second opinion in the reports, never an alert of its own unless the spec
    makes it the loss's detector.
    """

    def __init__(
        self, spec: MonitorSpec, effect: float, budget: float, reference: Reference | None
    ) -> None:
        super().__init__(spec, effect, budget, {Pairs: ("",)})
        published = reference.outcomes if reference is not None else {}
        outcomes = {n: p for n, p in published.items() if n not in SERIES or not SERIES[n].is_live}
        if outcomes and not outcomes.keys() >= {*KNOWN}:
            raise ValueError(f"outcomes: expected {', '.join(KNOWN)}, got {', '.join(outcomes)}")
        self._outcomes = OutcomeColumns(further_series())
        self.task = spec.task or (reference.task if reference is not None and outcomes else "")
        self.tally = TaskTally()
        self.learned: dict[str, SeriesProfile] = {}  # once it is complete
        self.windows: list[OutcomeWindow] = []
        if reference is not None and self.task:
            begun = Start(0, reference.first_ts_ms, 0)
            self.windows = _windows(outcomes, begun, self._outcomes, self.task)
        self.deployed = self.counts()
        self._adwin = ADWIN(1, clock=1)
        self._adwin_alarms = 0
        is_weekly = any(own.week for own in outcomes.values())  # and so long enough
        if outcomes and (is_weekly or len(self.windows) >= spec.reference.windows):
            self.windows = []
            self.compare(outcomes)

    @property
    def seems(self) -> str:
        """The task, or what the pairs so far make of it."""
        return self.task or self.tally.task

    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""
        return WindowPart(
            self._outcomes.width,
            sample=Sample(rows=[], most=DELAYS),
            figures=self.figures(),
            outcomes=self.counts(),
            kept=None if self.spec.labels.corrections is None else KeptPairs(),
        )

    def counts(self, state: OutcomeCountsState | None = None) -> OutcomeCounts:
        """Return what pairs are counted into, with what was counted so far."""
        found = OutcomeCounts(self.spec.threshold, self.spec.quantile)
        if state is not None:
            found.load(state)
        return found

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window."""
        classes = self._count(part, block)
        labels, scores, delays = (block.number(name) for name in ("label", "score", DELAY))
        if part.kept is not None:
            part.kept.add(block, part.rows)
        if part.sample is not None:
            part.sample.add(len(delays), lambda at: delays[at, np.newaxis])
        if self.watch is not None:
            self.see(part, {Pairs: self._pairs(block, classes)})
        elif not self.task:
            numbers = ~np.isnan(labels) if classes is None else ~(np.isnan(labels) | classes.among)
            count = 0 if classes is None else len(classes.right)
            self.tally.add(labels[numbers], scores[numbers], count)

    def _count(self, part: WindowPart, block: Block) -> ClassPairs | None:
        """Count rows of a window; return those of classes."""
        labels, scores, delays = (block.number(name) for name in ("label", "score", DELAY))
        classes = class_pairs(block)
        part.rows += len(block)
        part.moments.update(self._outcomes.table(labels, scores, delays, classes))
        if part.outcomes is not None:
            part.outcomes.update(labels, scores, delays, classes)
        return classes

    def recount(self, rows: Waiting) -> WindowPart:
        """Return what a window accumulates of these rows, but for what its verdict needs."""
        part = WindowPart(self._outcomes.width, outcomes=self.counts())
        self._count(part, rows.block())
        return part

    def _pairs(self, block: Block, classes: ClassPairs | None) -> Pairs:
        """Return the pairs as the task has them; those of another kind have no numbers."""
        labels, scores, delays = (block.number(name) for name in ("label", "score", DELAY))
        if classes is None and self.task != "multiclass":
            return Pairs(labels, scores, self.task, delays)
        among = np.zeros(len(labels), np.bool_) if classes is None else classes.among
        own = among == (self.task == "multiclass")
        labels, scores = np.where(own, labels, np.nan), np.where(own, scores, np.nan)
        return Pairs(labels, scores, self.task, delays, block.number("probability"))

    def delays(self, part: WindowPart) -> Floats:
        """Return by how much labels of a window came after their predictions, ms, ascending."""
        kept = np.empty(0) if part.sample is None else part.sample.table(1)[:, 0]
        return np.sort(kept[~np.isnan(kept)])  # NaN: of rows of an earlier version

    @property
    def learning(self) -> Sequence[Begun]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""
        return self.windows

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete."""
        if self.watch is not None or not part.rows:
            return []
        m = part.moments
        moments = (m.count.tolist(), m.mean.tolist(), (m.sd**2).tolist())
        self.windows.append(OutcomeWindow(*moments, bounds.start))
        if self.gathered < self.spec.reference.windows:
            return []
        learned, task = self.profiles(), self.seems
        if self.compare(learned):  # else nothing can be decided yet
            self.learned, self.task, self.windows = learned, task, []
        return changes_inside(self.watch.series, learned) if self.watch is not None else []

    def judge(self, part: WindowPart, bounds: Bounds, examples: Examples) -> Verdicts:
        """Judge a window that closed; what is said of it goes by the task."""
        return of_task(super().judge(part, bounds, examples), self.task)

    def profiles(self) -> dict[str, SeriesProfile]:
        """Return what the windows so far say, while it is learned."""
        if not self.windows:
            raise ValueError("expected at least one closed window of a monitor that is learning")
        rows, means, variances = (
            np.array([getattr(window, name) for window in self.windows])
            for name in ("rows", "means", "variances")
        )
        columns = self._outcomes.places(self.seems)
        found = {
            name: series_profile(SERIES[name], rows[:, at], means[:, at], variances[:, at])
            for name, at in columns.items()
        }
        return by_week(found, [window.start for window in self.windows], self.spec)

    def columns_of(self, part: WindowPart) -> dict[str, ColumnReport]:
        """Return the figures of loss, error, label and score in a window."""
        columns = column_reports(part)
        return {name: columns[at] for name, at in self._outcomes.places(self.seems).items()}

    def evaluate(
        self, part: WindowPart, kept: Sequence[OutcomeCounts] = ()
    ) -> tuple[Evaluation, Evaluation]:
        """Return the metrics of a window, and of all pairs so far: deployed ones, and kept ones."""
        assert part.outcomes is not None  # as every part begins with some
        deployed = self.deployed
        if kept:
            deployed = self.counts()
            for counts in (self.deployed, *kept):
                deployed.merge(counts)
        return (
            evaluate(self.seems, self.spec.metrics, part.outcomes),
            evaluate(self.seems, self.spec.metrics, deployed),
        )

    def go_on(self, old: "OutcomeCohort") -> None:
        """Count on from an earlier spec, if pairs are counted as they were."""
        if same(self.spec, old.spec, "task", "positive", "threshold", "quantile"):
            self.deployed = old.deployed

    def second_opinion(self, part: WindowPart, bounds: Bounds) -> dict[str, float]:
        """Let ADWIN see a window's loss in units of the reference; return what it makes of it."""
        loss = (
            next((s for s in self.watch.series if s.name == "loss"), None) if self.watch else None
        )
        if self.watch is None or loss is None or loss.reference is None:
            return {}
        usual = self.watch.usual.at(bounds.slot)[self.watch.names.index("loss")]
        at = self._outcomes.places(self.task)["loss"]
        rows, mean = part.moments.count[at : at + 1], part.moments.mean[at : at + 1]
        z = loss.reference.standardise(mean - usual, rows)
        self._adwin_alarms += int(self._adwin.update(z.reshape(1, 1))[0, 0])
        return {
            "windows": float(self._adwin.window_length[0]),
            "mean": float(self._adwin.estimation[0]),
            "alarms": float(self._adwin_alarms),
        }

    def state(self) -> OutcomesState:
        """Return what a snapshot needs."""
        return OutcomesState(
            self.task,
            self.tally,
            self.windows,
            self.learned,
            self.watching(),
            self._adwin.snapshot(),
            self._adwin_alarms,
            self._outcomes.further,
            self.deployed.state(),
        )

    def load(self, state: OutcomesState) -> None:
        """Take back the state of a cohort with the same spec and reference."""
        self.task, self.tally, self.windows = state.task, state.tally, state.windows
        self._outcomes = OutcomeColumns(state.further)  # as the windows so far have them
        self.follow(state.learned)
        if state.watching is not None:
            self.load_watching(state.watching)
        if state.deployed is not None:
            self.deployed.load(state.deployed)
        self._adwin.restore(state.adwin)
        self._adwin_alarms = state.adwin_alarms

    def follow(self, learned: dict[str, SeriesProfile]) -> None:
        """Watch by what was learned before, if it was."""
        if learned:
            self.learned = learned
            self.compare(learned)


def of_task(found: Verdicts, task: str) -> Verdicts:
    """Return verdicts of which is said by what task they are put into words."""
    fired, worse = (
        [msgspec.structs.replace(alarm, task=task) for alarm in alarms]
        for alarms in (found.fired, found.worse)
    )
    return replace(found, fired=fired, worse=worse)


def same(spec: MonitorSpec, other: MonitorSpec, *names: str) -> bool:
    """Return whether two specs say the same of what is named."""
    return all(getattr(spec, name) == getattr(other, name) for name in names)


def _windows(
    outcomes: Mapping[str, SeriesProfile], start: Start, table: OutcomeColumns, task: str
) -> list[OutcomeWindow]:
    """Return the windows of published outcomes that have pairs, to go on from."""
    columns = {at: outcomes[name] for name, at in table.places(task).items() if name in outcomes}
    found, width = [], table.width
    for window in range(min((len(own.values) for own in columns.values()), default=0)):
        rows, means, variances = [0.0] * width, [np.nan] * width, [np.nan] * width
        for at, own in columns.items():
            value = own.values[window]
            if value is None:
                continue
            if not np.isfinite(value):
                raise ValueError(f"outcomes: expected finite values, got {value}")
            rows[at], means[at] = float(rows_of(own)[window]), value
            variances[at] = own.sd**2 if own.variance is None else own.variance
        if any(rows):
            found.append(OutcomeWindow(rows, means, variances, start))
    return found
