"""Watches the inputs and the score of one model version."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from tidegauge.schemas.monitors import MOST_OPEN, milliseconds
from tidegauge.schemas.references import Reference, SeriesProfile
from tidegauge.streams.monitor.control.control import SHARES, Control
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.intake.columns import SCORE, Columns
from tidegauge.streams.monitor.intake.waiting_rows import EVER, NONE, Patience
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.verdict.causes.base import LEAST
from tidegauge.streams.monitor.verdict.cohort import Cohort, Examples, shared
from tidegauge.streams.monitor.verdict.declared_cohort import DeclaredCohort
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.input_cohort import CohortProfile, InputCohort, InputsState
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState
from tidegauge.streams.monitor.verdict.reports import window_report
from tidegauge.streams.monitor.verdict.schema import schema_alerts
from tidegauge.streams.monitor.verdict.slice_cohort import PART, SliceCohort, publishable
from tidegauge.streams.monitor.verdict.times_cohort import TimesCohort, TimesState
from tidegauge.streams.monitor.verdict.volume_cohort import VolumeCohort, VolumeState
from tidegauge.streams.monitor.windows.bounds import first_ms, slots
from tidegauge.streams.monitor.windows.cutting import (
    AROUND,
    DAY_MS,
    DEFAULT_ROWS,
    LATE_MS,
    Dated,
    windows_of,
)
from tidegauge.streams.monitor.windows.gathered import Gathered

HELD: Final = 10  # times as long as rows are usually held up, a tick waits for them


class InputMonitor(Monitor):
    """Tells whether inputs or scores of a model version have moved away from its reference.

    Parameters
    ----------
    origin
        Whose alerts these are and where the evidence lies.
    control
        Spec and published reference.
    columns
        The features that are watched from the first row on.
    share
        Part of the false-alarm budget that is this partition's, above 0, at most 1.
    """

    def __init__(self, origin: Origin, control: Control, columns: Columns, share: float) -> None:
        self.control = control
        self._columns: tuple[Sequence[str], Sequence[str]] = (), ()  # of the block before
        self.gathered_rows = Gathered()
        self._sharing = (0, False)  # cohorts among which the budget is shared, and with slices
        self._span_ms = (0, 0)  # earliest and latest time of rows without windows
        self.budget = control.spec.false_alarms.count * SHARES[origin.source] * share
        reference, spec = control.reference, control.spec
        known = None if reference is None else reference.windows
        super().__init__(origin, spec, windows_of(spec.windows, known), [])
        has_score = origin.source == "predictions" and not columns.has_classes
        names = (*columns.numeric, SCORE) if has_score else columns.numeric
        self._take_up(names, columns.categorical, reference)
        learned = reference.series if reference is not None and control.learned else {}
        self.volume = VolumeCohort(spec, spec.effect.features, self.budget, learned)
        self._join(self.volume)
        self.times = TimesCohort(spec, spec.effect.features, self.budget, learned)
        self._join(self.times)
        self.declared = DeclaredCohort(spec, spec.effect.features, self.budget)
        if self.declared.measures:
            self._join(self.declared)
        self.slices: SliceCohort | None = None
        if spec.slices:
            kept = reference.slices if reference is not None else {}
            self.slices = SliceCohort(
                spec, spec.effect.features, self.budget * PART, self.inputs[0], kept
            )
            self._join(self.slices)
        self._share_budget()

    def _take_up(
        self,
        numeric: tuple[str, ...],
        categorical: tuple[str, ...],
        reference: Reference | None = None,
    ) -> None:
        """Watch further columns from the next row on."""
        cohort = InputCohort(
            self.spec, self.spec.effect.features, self.budget, numeric, categorical, reference
        )
        self._join(cohort)

    def _join(self, cohort: Cohort) -> None:
        """Let a cohort see the rows from the next one on."""
        self.cohorts.append(cohort)
        for window in self.open_windows:
            window.parts.append(cohort.begin())

    @property
    def inputs(self) -> list[InputCohort]:
        """Its cohorts, in the order in which their columns came up."""
        return [cohort for cohort in self.cohorts if isinstance(cohort, InputCohort)]

    def fold(self, block: Block) -> list[Output]:
        """Fold a block of rows; columns that are new in it are watched from here on."""
        columns, told = (block.names, block.categorical), list[Output]()
        if columns != self._columns:
            self.settle()
            numeric = tuple(n for n in block.names if all(n not in c.numeric for c in self.inputs))
            texts = tuple(
                n for n in block.categorical if all(n not in c.categorical for c in self.inputs)
            )
            if numeric or texts:
                told = self._schema((*numeric, *texts), block)
                self._take_up(numeric, texts)
            self._columns = columns
        if self._closes_nothing(block) and self.gathered_rows.take(block):
            return told
        self.settle()
        return told + super().fold(block)

    def _schema(self, come: Sequence[str], block: Block) -> list[Output]:
        """Return what is told of columns that come up: those that nobody has heard of."""
        first, known = self.inputs[0], SERIES["missing"].name
        new = [n for n in come if n not in self.spec.features and known(n) not in first.profiled]
        if first.watch is None or not new:
            return []
        seen = first.columns_of(self.window.parts[0]).items()
        gone = [name for name, own in seen if own.count == 0 and own.missing >= LEAST]
        since_ms, offset = int(block.ts_ms[0]), int(block.offsets[0])
        return schema_alerts(self._incidents().origin, new, gone, since_ms, offset)

    def timed(self, block: Block, found: Dated) -> Block:
        """Return rows with which of them come behind later ones by more than they may."""
        assert self.windows is not None  # or they had no times
        ts_ms, latest_ms = found.ts_ms, self.latest.latest_ms
        may_ms = max(LATE_MS, self.windows.lateness_ms)
        if not len(ts_ms) or ts_ms.min() >= max(latest_ms, int(ts_ms.max())) - may_ms:
            return block  # as nearly always: none do
        clock_ms = np.maximum(np.maximum.accumulate(ts_ms), latest_ms)
        return dataclasses.replace(block, behind=ts_ms < clock_ms - may_ms)

    @property
    def patience(self) -> Patience:
        """Which further rows leave the open window open, and the choice of windows, for certain."""
        windows, bounds, gathered = self.windows, self.bounds, self.gathered_rows.rows
        if windows is None:  # see ``choose``
            held_ms = self.waiting.ts_ms
            if len(held_ms) < AROUND:
                return NONE
            if not gathered:
                self._span_ms = min(held_ms), max(held_ms)
            low_ms, high_ms = self._span_ms
            left = DEFAULT_ROWS - 1 - len(held_ms) - gathered if high_ms < low_ms + DAY_MS else 0
            return Patience(left, low_ms, low_ms + DAY_MS - 1)
        if self.waiting.offsets:
            return NONE
        if windows.rows is not None:
            return Patience(windows.rows - 1 - bounds.rows - gathered, -EVER, EVER)
        if bounds.slot is None:
            return NONE
        assert self.latest.slot is not None
        closes_ms = first_ms(windows, bounds.slot + 1) + windows.lateness_ms
        skips_ms = first_ms(windows, self.latest.slot + 2)
        return Patience(EVER, -EVER, min(closes_ms, skips_ms) - 1)

    def _closes_nothing(self, block: Block) -> bool:
        """Return whether it is certain that a block leaves the open window open."""
        may = self.patience
        if len(block) > may.rows:
            return False
        return may.first_ms <= int(block.ts_ms.min()) and int(block.ts_ms.max()) <= may.last_ms

    def settle(self) -> None:
        """Fold the rows of small blocks; what looks into a monitor asks for it first."""
        block = self.gathered_rows.block
        if block is not None:
            outputs = super().fold(block)
            assert not outputs  # they close no window
            self.gathered_rows.clear()

    def is_over(self, now_ms: int) -> bool:
        """Return whether a window of event time has ended by the wall clock, and no row came.

        None has while rows wait for more of them, where event times are not near the times of
        records, and once silence has lasted for 100 windows.
        """
        floor, slot = self._floor(now_ms), self.bounds.slot
        if floor is None or slot is None or self.waiting.offsets:
            return False
        return slot < floor if self.bounds.rows else slot + 1 < floor

    def _floor(self, now_ms: int) -> int | None:
        """Return the first window of event time that has not ended by the wall clock."""
        windows, usual_ms = self.windows, self.times.usual_ms
        if windows is None or windows.every is None or usual_ms is None:
            return None
        every_ms, latest_ms = milliseconds(windows.every), self.latest.latest_ms
        if usual_ms > every_ms or now_ms - latest_ms > MOST_OPEN * every_ms + windows.lateness_ms:
            return None
        grace_ms = LATE_MS + int(HELD * usual_ms)
        return slots(windows, now_ms - windows.lateness_ms - grace_ms)

    def tick(self, now_ms: int) -> list[Output]:
        """Close the windows that have ended by the wall clock, those without a row as well."""
        self.settle()
        outputs: list[Output] = []
        while self.is_over(now_ms):
            if not self.bounds.rows:
                assert self.windows is not None and self.bounds.slot is not None
                self.bounds.empty(self.windows, self.bounds.slot + 1)
            self.bounds.ticked = True
            outputs += self.close()
        return outputs

    def close(self, examples: Examples = MappingProxyType({})) -> list[Output]:
        """Close the open window; return the alerts and the report that it gives rise to."""
        outputs = super().close(examples)
        self._share_budget()
        return outputs

    def _share_budget(self) -> None:
        """Give each series that is watched its part, whichever cohort it is of."""
        watched = [own for own in self.cohorts if own.watch is not None and own is not self.slices]
        is_sliced = self.slices is not None and self.slices.watch is not None
        sharing = len(watched), is_sliced
        if sharing == self._sharing or len(watched) < 1 + (not is_sliced):  # one has all of it
            return
        self._sharing = sharing
        budget = self.budget * (1 - PART if is_sliced else 1)
        levels = shared(budget, [m.series for cohort in watched for m in cohort.measures])
        for cohort in watched:
            own, levels = np.split(levels, [len(cohort.measures)])
            cohort.spend(own)

    def not_watched(self) -> list[str]:
        """Return the series that the spec names and that cannot be had of the model's columns."""
        return super().not_watched() + self.declared.unasked(*self._columns)

    def _report(self) -> list[Output]:
        columns = {
            name: told
            for cohort, part in zip(self.cohorts, self.window.parts, strict=True)
            for name, told in cohort.columns_of(part).items()
        }
        own = self.slices
        slices = [] if own is None else own.reports(self.window.parts[self.cohorts.index(own)])
        return [window_report(self, columns, slices=slices)]

    def learn(self) -> Reference:
        """Return the reference of the windows closed so far, while the monitor still learns."""
        profiles = [cohort.learned or cohort.profile() for cohort in self.inputs]
        learner, slices = self.inputs[0].learner, self.slices
        own = {} if slices is None else slices.learned
        if learner is not None and slices is not None:
            own = slices.of(profiles[0], learner.samples, learner.starts)
        found = self._reference(profiles, own)
        return msgspec.structs.replace(found, broken=self.declared.broken)

    @property
    def learned(self) -> Reference | None:
        """The reference that was learned from this model's own rows, if it was."""
        if self.control.learned:
            return self.control.reference
        found = [cohort.learned for cohort in self.inputs if cohort.learned is not None]
        own = {} if self.slices is None else self.slices.learned
        return self._reference(found, own) if found and self.inputs[0].learned else None

    def _reference(
        self, profiles: list[CohortProfile], slices: Mapping[str, SeriesProfile]
    ) -> Reference:
        assert self.windows is not None  # as one has closed
        first = profiles[0]
        return Reference(
            model=self.origin.model,
            version=self.origin.version,
            source="features" if self.origin.source == "features" else "predictions",
            rows=first.rows,
            windows=replace(self.windows, lateness="0ms"),  # which is the stream's
            first_ts_ms=first.first_ts_ms,
            last_ts_ms=first.last_ts_ms,
            numeric={name: own for p in profiles for name, own in p.numeric.items()},
            categorical={name: own for p in profiles for name, own in p.categorical.items()},
            series={name: own for p in profiles for name, own in p.series.items()}
            | self.volume.learned
            | self.times.learned,
            slices=publishable(slices),
            relations={name: own for p in profiles for name, own in p.relations.items()},
        )

    def load(self, state: MonitorState) -> None:
        """Take back the state of a monitor with the same control and first columns."""
        if not any(isinstance(own, VolumeState) for own in state.cohorts):  # of an earlier version
            state.cohorts.insert(1, self.volume.state())
            state.window.parts.insert(1, self.volume.begin().state())
        if not any(isinstance(own, TimesState) for own in state.cohorts):
            state.cohorts.insert(2, self.times.state())
            for window in (state.window, *state.later):
                window.parts.insert(2, self.times.begin().state())
        for own in state.cohorts[1:]:
            if isinstance(own, InputsState):
                self._take_up(tuple(own.numeric), tuple(own.categorical))
        super().load(state)
        self._sharing = (0, False)
        self._share_budget()
