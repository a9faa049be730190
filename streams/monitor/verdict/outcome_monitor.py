"""Watches how well one model version's predictions match the labels that came."""

from types import MappingProxyType
from typing import Final

from tidegauge.schemas.outcomes import MAX_TALLY, LabelCounts, Outcomes
from tidegauge.streams.monitor.control.control import SHARES, Control
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.verdict.cohort import Examples
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomeCohort, same
from tidegauge.streams.monitor.verdict.reports import window_report
from tidegauge.streams.monitor.windows.cutting import windows_of
from tidegauge.streams.monitor.windows.outcome_rows import outcome_rows

SLOW: Final = 0.9  # of the labels have come after so long: rows of before have theirs


class OutcomeState(MonitorState, kw_only=True):
    """Everything the monitor remembers, for the snapshot."""

    labels: LabelCounts


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
        self.outcomes = OutcomeCohort(spec, spec.effect.outcomes, self.budget, control.reference)
        super().__init__(origin, spec, spec.windows, [self.outcomes])
        self.labels = LabelCounts()  # of the model, since the last window

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

    def _report(self) -> list[Output]:
        (part,), own = self.window.parts, self.outcomes
        window, deployed = own.evaluate(part)
        report = window_report(
            self,
            own.columns_of(part),
            window=window,
            since_deployment=deployed,
            adwin=own.second_opinion(part),
            labels=self.labels,
        )
        self.labels = LabelCounts()
        return [report]

    def inherit(self, old: "OutcomeMonitor") -> None:
        """Go on with what was learned under an earlier spec, where that still holds."""
        self.labels, self.waiting = old.labels, old.waiting
        published = self.control.reference is not None and self.control.reference.outcomes
        windows = windows_of(self.spec.windows, old.windows)
        fits = self.spec.windows in (None, windows)
        self.outcomes.go_on(old.outcomes)
        if published or not fits or not same(self.spec, old.spec, "task", "positive"):
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
        )

    def load(self, state: MonitorState) -> None:
        """Take back the state of a monitor with the same control."""
        super().load(state)
        if isinstance(state, OutcomeState):
            self.labels = state.labels
