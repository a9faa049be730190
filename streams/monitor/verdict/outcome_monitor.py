"""Watches how well one model version's predictions match the labels that came."""

from types import MappingProxyType
from typing import Final

import msgspec

from tidegauge.schemas.monitors import milliseconds
from tidegauge.schemas.outcomes import MAX_TALLY, Corrections, LabelCounts, Outcomes
from tidegauge.streams.monitor.control.control import SHARES, Control
from tidegauge.streams.monitor.intake.block import Waiting
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.verdict.cohort import Examples
from tidegauge.streams.monitor.verdict.comparison import VersionComparison
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomeCohort, same
from tidegauge.streams.monitor.verdict.outcome_slices import PART, OutcomeSliceCohort
from tidegauge.streams.monitor.verdict.reports import window_report
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.cutting import windows_of
from tidegauge.streams.monitor.windows.kept_pairs import MOST, correct
from tidegauge.streams.monitor.windows.outcome_counts import OutcomeCountsState
from tidegauge.streams.monitor.windows.outcome_rows import codes_of, outcome_rows
from tidegauge.streams.monitor.windows.window import WindowPart

SLOW: Final = 0.9  # of the labels have come after so long: rows of before have theirs


class KeptWindow(msgspec.Struct):
    """A window that closed, which labels that are corrected may revise."""

    bounds: Bounds
    rows: Waiting
    counts: OutcomeCountsState
    revised: int = 0  # reports of it after the first
    is_due: bool = False  # whether a further one is


class OutcomeState(MonitorState, kw_only=True):
    """Everything the monitor remembers, for the snapshot."""

    labels: LabelCounts
    kept: list[KeptWindow] = msgspec.field(default_factory=list)


class OutcomeMonitor(Monitor):
    """Tells whether a model version has become worse than it was in its reference.

    Parameters
    ----------
    origin
        Whose alerts these are and where the evidence lies.
    control
        Spec and published reference.
    share
        Part of the false-alarm budget that is this partition's, above 0, at most 1.
    """

    def __init__(self, origin: Origin, control: Control, share: float) -> None:
        self.control, spec = control, control.spec
        self.budget = spec.false_alarms.count * SHARES["outcomes"] * share
        effect, part = spec.effect.outcomes, PART if spec.slices else 0.0
        self.outcomes = OutcomeCohort(spec, effect, self.budget * (1 - part), control.reference)
        self.slices = OutcomeSliceCohort(spec, effect, self.budget * part, self.outcomes)
        cohorts = [self.outcomes, self.slices] if spec.slices else [self.outcomes]
        super().__init__(origin, spec, spec.windows, cohorts)
        self.labels = LabelCounts()  # of the model, since the last window
        self.comparison: VersionComparison | None = None  # where it is the challenger
        self.kept: list[KeptWindow] = []  # the oldest first

    @property
    def _keeps_ms(self) -> int | None:
        """How long windows are kept, in event time; None: they are not."""
        corrections = self.spec.labels.corrections
        return None if corrections is None else milliseconds(corrections)

    def fold_pairs(self, pairs: Outcomes) -> list[Output]:
        """Fold pairs of prediction and label; return what the windows they closed give rise to."""
        return self.fold(outcome_rows(pairs, self.spec))

    def close(self, examples: Examples = MappingProxyType({})) -> list[Output]:
        """Close the open window; return the alerts and the report that it gives rise to.

        The window is cut by the arrival of labels, and says since when by their predictions.
        """
        delays = self.outcomes.delays(self.window.parts[0])
        if len(delays):
            usual, slow = delays[[len(delays) // 2, int(SLOW * (len(delays) - 1))]].tolist()
            self.bounds.delay_ms, self.bounds.slow_ms = int(usual), int(slow)
        return super().close(examples)

    def count(self, labels: LabelCounts) -> None:
        """Take what became of further labels of the model, for the report of the open window."""
        for name in LabelCounts.__struct_fields__:
            total = getattr(self.labels, name) + getattr(labels, name)
            setattr(self.labels, name, min(total, MAX_TALLY))  # the journal may hold anything

    def correct(self, corrections: Corrections) -> None:
        """Let labels be others than they were: in windows that are kept, open, or still to come."""
        classes = corrections.label_classes or [None] * len(corrections.ids)
        labels = zip(codes_of(corrections.ids).tolist(), corrections.labels, classes, strict=True)
        for code, label, label_class in labels if self._keeps_ms is not None else ():
            said = code, label, label_class, self.spec
            if self.waiting.offsets:
                self.waiting = correct(self.waiting, *said) or self.waiting
            for part in (window.parts[0] for window in self.open_windows):
                assert part.kept is not None
                part.kept.correct(*said)
            for window in self.kept:
                found = correct(window.rows, *said)
                window.rows, window.is_due = found or window.rows, window.is_due or bool(found)

    def revised(self) -> list[Output]:
        """Return reports anew of the windows whose labels were corrected since they were told."""
        due = [window for window in self.kept if window.is_due]
        parts = [self.outcomes.recount(window.rows) for window in due]
        for window, part in zip(due, parts, strict=True):
            assert part.outcomes is not None
            window.counts, window.is_due = part.outcomes.state(), False
            window.revised += 1
        return [
            self._told(part, window.bounds, window.revised)
            for window, part in zip(due, parts, strict=True)
        ]

    def _told(self, part: WindowPart, bounds: Bounds, revised: int = 0) -> Output:
        own, versus = self.outcomes, None if revised else self.comparison
        window, deployed = own.evaluate(part, [own.counts(kept.counts) for kept in self.kept])
        others = [] if revised else self.window.parts[1:]  # of a revised one slices stand as told
        slices = self.slices.reports(others[0]) if others else []
        return window_report(
            self,
            own.columns_of(part),
            window,
            since_deployment=deployed,
            adwin={} if revised else own.second_opinion(part, self.bounds),
            labels=None if revised else self.labels,
            bounds=bounds,
            revised=revised,
            comparison=None if versus is None else versus.tell(own.seems),
            outcome_slices=slices,
            gaps=self.slices.gaps(slices),
            weak_slices=[] if revised else self.slices.weak(),
        )

    def _keep(self, part: WindowPart) -> None:
        """Keep a window that closes, or count it for good; and so those that are too old."""
        assert part.outcomes is not None  # as every part begins with some
        if part.kept is None or self._keeps_ms is None:
            self.outcomes.deployed.merge(part.outcomes)
            return
        rows = part.kept.settled()
        window = KeptWindow(self.bounds, rows, part.outcomes.state(), is_due=part.kept.is_corrected)
        self.kept.append(window)
        oldest_ms = self.bounds.last_ts_ms - self._keeps_ms
        while self.kept and (
            self.kept[0].bounds.last_ts_ms < oldest_ms
            or sum(len(window.rows.offsets) for window in self.kept) > MOST
        ):
            self._let_go()

    def keep_none(self) -> None:
        """Count all windows that are kept for good."""
        while self.kept:
            self._let_go()

    def _let_go(self) -> None:
        self.outcomes.deployed.merge(self.outcomes.counts(self.kept.pop(0).counts))

    def _report(self) -> list[Output]:
        part = self.window.parts[0]
        self._keep(part)
        report = self._told(part, self.bounds)
        self.labels = LabelCounts()
        return [report]

    def inherit(self, old: "OutcomeMonitor") -> None:
        """Go on with what was learned under an earlier spec, where that still holds."""
        self.labels, self.waiting = old.labels, old.waiting
        old.keep_none()  # what is kept from here on is of this spec
        published = self.control.reference is not None and self.control.reference.outcomes
        windows = windows_of(self.spec.windows, old.windows)
        fits = self.spec.windows in (None, windows)
        self.outcomes.go_on(old.outcomes)
        if published or not fits or not same(self.spec, old.spec, "task", "positive", "baseline"):
            return
        self.windows = windows
        if old.outcomes.learned and self.outcomes.watch is None:
            self.outcomes.task = old.outcomes.task
            self.outcomes.follow(old.outcomes.learned)
            self.begin(self.bounds)

    def state(self) -> OutcomeState:
        """Return what a snapshot needs."""
        own = super().state()
        return OutcomeState(
            **{name: getattr(own, name) for name in MonitorState.__struct_fields__},
            labels=self.labels,
            kept=self.kept,
        )

    def load(self, state: MonitorState) -> None:
        """Take back the state of a monitor with the same control."""
        super().load(state)
        if isinstance(state, OutcomeState):
            self.labels, self.kept = state.labels, state.kept
