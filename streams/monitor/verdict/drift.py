"""Watches the inputs and the score of one model version, window by window."""

import msgspec
import numpy as np

from tidegauge.detectors.statistics.columns import ColumnStatistics
from tidegauge.schemas.references import NumericProfile, Reference
from tidegauge.schemas.windows import ColumnReport
from tidegauge.streams.monitor.control.control import SHARES, Control
from tidegauge.streams.monitor.intake.block import Block, Floats, Waiting, waiting
from tidegauge.streams.monitor.intake.columns import Columns
from tidegauge.streams.monitor.intake.dictionary import category
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.series import RANGE_MARGIN, Reading
from tidegauge.streams.monitor.series.series import create as create_series
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.judge import Judge, JudgeState
from tidegauge.streams.monitor.verdict.learning import Learner, LearnerState
from tidegauge.streams.monitor.verdict.reports import column_reports, window_report
from tidegauge.streams.monitor.windows.window import Dated, Window, cut, dated

EXAMPLES = 5  # unseen categories named in an alert


class Categories(msgspec.Struct):
    """What one categorical column held in the open window."""

    missing: int = 0
    unseen: int = 0
    examples: list[str] = []


class DriftState(msgspec.Struct):
    """Everything the monitor remembers, for the snapshot."""

    observed: int
    window: Window
    statistics: bytes
    categories: list[Categories]
    learner: LearnerState | None
    reference: Reference | None  # where it was learned here; a published one is the control's
    judge: JudgeState | None
    waiting: Waiting = Waiting()


class DriftMonitor:
    """Tells whether inputs or scores of a model version have moved away from its reference.

    Parameters
    ----------
    origin
        Whose alerts these are and where the evidence lies.
    control
        Spec and published reference.
    columns
        The watched features.
    share
        Part of the false-alarm budget that is this partition's, above 0, at most 1.
    """

    def __init__(self, origin: Origin, control: Control, columns: Columns, share: float) -> None:
        self.origin, self.control, self.columns, self.share = origin, control, columns, share
        self.names = list(columns.numeric)
        if origin.source == "predictions":
            self.names.append("score")
        self.observed = 0
        self.window = Window()
        self.waiting = Waiting()
        self.categories = [Categories(examples=[]) for _ in columns.categorical]
        self.learner: Learner | None = Learner(self.names, columns.categorical)
        self.reference: Reference | None = None
        self.judge: Judge | None = None
        self._statistics = ColumnStatistics(len(self.names))
        self._known: list[set[str | None]] = [set() for _ in columns.categorical]
        if control.reference is not None:
            self._watch(control.reference)

    def fold(self, block: Block) -> list[Output]:
        """Fold a block of rows; return what the windows it closed give rise to."""
        outputs: list[Output] = []
        spec = self.control.spec.windows
        block = self.waiting.before(block)
        found = dated(self.window, spec, block.ts_ms)
        self.waiting = (
            waiting(block.cut(len(found), len(block))) if len(found) < len(block) else Waiting()
        )
        for start, stop, closes in cut(self.window, spec, found.ts_ms):
            if stop > start:
                self._add(block, found, start, stop)
            if closes:
                outputs += self._close()
        return outputs

    def _add(self, block: Block, found: Dated, start: int, stop: int) -> None:
        rows = block.numbers[start:stop]
        spec, early = self.control.spec.windows, int(np.count_nonzero(found.early[start:stop]))
        self.window.add(spec, found.ts_ms[start:stop], block.offsets[start:stop], early)
        self.observed += stop - start
        self._statistics.update(rows)
        self._categorise(block.cut(start, stop))
        if self.learner is not None:
            self.learner.sample.add(rows)
        elif self.judge is not None:
            self.judge.see_rows(rows)

    def _categorise(self, block: Block) -> None:
        for column, name in enumerate(self.columns.categorical):
            found, known = self.categories[column], self._known[column]
            for value, times in block.counts(name):
                if value is None:
                    found.missing += times
                elif self.learner is not None:
                    self.learner.count(column, value, times)
                elif value not in known:
                    found.unseen += times
                    if len(found.examples) < EXAMPLES and value not in found.examples:
                        found.examples.append(value)

    def _close(self) -> list[Output]:
        outputs: list[Output] = []
        if self.judge is not None:
            examples = zip(self.columns.categorical, self.categories, strict=True)
            named = {f"unseen({name})": found.examples for name, found in examples}
            outputs = self.judge.close(self._readings(), self.window, named)
        outputs.append(self._report())
        if self.learner is not None:
            missing = [found.missing / self.window.rows for found in self.categories]
            self.learner.close(self.window, self._statistics, missing)
            enough = len(self.learner.windows) >= self.control.spec.reference.windows
            if enough or self.learner.is_full:
                self.reference = self.learn()
                self._watch(self.reference)
        self._statistics.reset()
        self.window = self.window.following()
        self.categories = [Categories(examples=[]) for _ in self.columns.categorical]
        return outputs

    def learn(self) -> Reference:
        """Return the reference of the windows closed so far, while the monitor still learns."""
        if self.learner is None or not self.learner.windows:
            raise ValueError("expected at least one closed window of a monitor that is learning")
        origin, windows = self.origin, self.control.spec.windows
        reference = self.learner.reference(origin.model, origin.version, windows)
        if origin.source == "features":
            return msgspec.structs.replace(reference, source="features")
        return reference

    def _watch(self, reference: Reference) -> None:
        """Go from learning to watching."""
        self.learner = None
        profiles = [_points(reference.numeric.get(name)) for name in self.names]
        bounds = [_bounds(reference.numeric.get(name)) for name in self.names]
        self._statistics = ColumnStatistics(len(self.names), profiles, bounds)
        self._known = [
            {category(value) for value in reference.categorical[name].shares}
            if name in reference.categorical
            else set()
            for name in self.columns.categorical
        ]
        spec = self.control.spec
        watched = {*self.names, *self.columns.categorical}
        series = [
            create_series(name, profile, spec.effect.features)
            for name, profile in sorted(reference.series.items())
            if name.partition("(")[2].removesuffix(")") in watched
        ]
        budget = spec.false_alarms.count * SHARES[self.origin.source] * self.share
        if any(one.reference is not None for one in series):  # else nothing can be decided
            self.judge = Judge(self.origin, spec, series, self.names, budget)

    def _readings(self) -> dict[str, Reading]:
        """Return what the open window says of each series."""
        s, rows = self._statistics, self.window.rows
        found: dict[str, Reading] = {}
        table = np.stack([s.count, s.rank, s.mean, s.missing, s.outside]).T.tolist()
        for name, (count, rank, mean, missing, outside) in zip(self.names, table, strict=True):
            found[f"range({name})"] = Reading.of_share(count, outside)
            found[f"rank({name})"] = Reading.of_mean(count, rank, -0.5, 0.5, shown=mean)
            found[f"missing({name})"] = Reading.of_share(rows, missing)
        for name, seen in zip(self.columns.categorical, self.categories, strict=True):
            found[f"missing({name})"] = Reading.of_share(rows, seen.missing)
            found[f"unseen({name})"] = Reading.of_share(rows - seen.missing, seen.unseen)
        return found

    def _report(self) -> Output:
        columns = column_reports(self.names, self._statistics)
        for name, seen in zip(self.columns.categorical, self.categories, strict=True):
            columns[name] = ColumnReport(
                count=self.window.rows - seen.missing, missing=seen.missing, unseen=seen.unseen
            )
        return window_report(self.origin, self.window, self.observed, columns, self.judge)

    @property
    def learned(self) -> Reference | None:
        """The reference that was learned from this model's own rows, if it was."""
        return self.control.reference if self.control.learned else self.reference

    def supersede(self) -> list[Output]:
        """Return the alerts that close what is open, as the model is watched anew from here."""
        return self.judge.supersede(self.window) if self.judge is not None else []

    def state(self) -> DriftState:
        """Return what a snapshot needs."""
        return DriftState(
            self.observed,
            self.window,
            self._statistics.snapshot(),
            self.categories,
            self.learner.state() if self.learner else None,
            self.reference,
            self.judge.state() if self.judge else None,
            self.waiting,
        )

    def load(self, state: DriftState) -> None:
        """Take back the state of a monitor with the same control and columns."""
        if state.reference is not None:
            self.reference = state.reference
            self._watch(state.reference)
        self.observed, self.window, self.categories = state.observed, state.window, state.categories
        self.waiting = state.waiting
        self._statistics.restore(state.statistics)
        if self.learner is not None and state.learner is not None:
            self.learner.load(state.learner)
        if self.judge is not None and state.judge is not None:
            self.judge.load(state.judge)


def _bounds(profile: NumericProfile | None) -> tuple[float, float]:
    if profile is None:
        return -np.inf, np.inf
    margin = RANGE_MARGIN * (profile.high - profile.low)
    return profile.low - margin, profile.high + margin


def _points(profile: NumericProfile | None) -> tuple[Floats, Floats]:
    if profile is None:
        return np.empty(0), np.empty(0)
    return np.array(profile.points), np.array(profile.ranks)
