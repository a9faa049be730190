"""Watches rows window by window: cuts them, judges what closes, tells incidents and reports."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import msgspec
import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.windows import SeriesReport
from tidegauge.streams.monitor.intake.block import Block, Waiting, waiting
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.registry import parse
from tidegauge.streams.monitor.verdict.aa_check import reference_alert
from tidegauge.streams.monitor.verdict.alerts import alert_output
from tidegauge.streams.monitor.verdict.causes.base import Cause
from tidegauge.streams.monitor.verdict.causes.registry import find
from tidegauge.streams.monitor.verdict.cohort import Cohort, Examples, SeriesPart
from tidegauge.streams.monitor.verdict.counted_cohort import CountedState
from tidegauge.streams.monitor.verdict.declared_cohort import DeclaredState
from tidegauge.streams.monitor.verdict.incidents import Incident, Incidents, Origin
from tidegauge.streams.monitor.verdict.input_cohort import InputsState
from tidegauge.streams.monitor.verdict.nil_cohort import NilState
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomesState
from tidegauge.streams.monitor.verdict.outcome_slices import OutcomeSlicesState
from tidegauge.streams.monitor.verdict.slice_cohort import SlicesState
from tidegauge.streams.monitor.verdict.times_cohort import TimesState
from tidegauge.streams.monitor.verdict.volume_cohort import VolumeState
from tidegauge.streams.monitor.verdict.watch import LATELY, Verdicts, Watch
from tidegauge.streams.monitor.windows.bounds import Bounds, Start, first_ms
from tidegauge.streams.monitor.windows.cutting import Dated, Piece, choose, cut, dated
from tidegauge.streams.monitor.windows.window import Window, WindowState


class MonitorState(msgspec.Struct):
    """Everything a monitor remembers, for the snapshot."""

    observed: int
    windows: WindowSpec | None
    window: WindowState
    waiting: Waiting
    cohorts: list[
        InputsState
        | OutcomesState
        | NilState
        | VolumeState
        | TimesState
        | CountedState
        | DeclaredState
        | SlicesState
        | OutcomeSlicesState
    ]
    incidents: list[Incident]
    later: list[WindowState] = []
    floor: int | None = None
    tail_ms: int = 0
    heard: int | None = None


class Monitor:
    """Rows of one stream, cut into windows that cohorts of its columns learn from and judge.

    Parameters
    ----------
    origin
        Whose alerts these are and where the evidence lies.
    spec
        How the model is watched.
    windows
        What rows are cut into; None: chosen from the first rows.
    cohorts
        The columns that are watched.
    """

    def __init__(
        self,
        origin: Origin,
        spec: MonitorSpec,
        windows: WindowSpec | None,
        cohorts: Sequence[Cohort],
    ) -> None:
        self.origin, self.spec, self.windows = origin, spec, windows
        self.cohorts: list[Cohort] = list(cohorts)
        self.observed = 0
        self.waiting = Waiting()  # rows of which it is not known yet where they belong
        self.incidents = Incidents(origin)
        self.later: list[Window] = []  # open ones of event time behind the first, in their order
        self.floor: int | None = None  # the first of event time that has not closed
        self.heard: int | None = None  # the one behind the last with rows
        self.tail_ms = 0  # most by which the last row of one that closed lay before its end
        self.window = self._window(Bounds())

    @property
    def bounds(self) -> Bounds:
        """Where the open window lies; of several, the one that closes first."""
        return self.window.bounds

    @property
    def latest(self) -> Bounds:
        """Where the latest of the open windows lies, which has the latest row."""
        return self.later[-1].bounds if self.later else self.bounds

    @property
    def open_windows(self) -> list[Window]:
        """The windows that are open, that first which closes first."""
        return [self.window, *self.later]

    @property
    def reference_windows(self) -> int:
        """How many windows the longest reference has; 0 while all are learned."""
        return max((cohort.reference_windows for cohort in self.cohorts), default=0)

    @property
    def is_learning(self) -> bool:
        """Whether nothing is watched yet."""
        return not self.reference_windows

    @property
    def gathered(self) -> int:
        """How many windows the reference has so far."""
        return self.cohorts[0].gathered

    @property
    def needed(self) -> int:
        """How many the reference must have before anything is watched; 0 once it is."""
        return self.spec.reference.windows if self.is_learning else 0

    def series(self) -> dict[str, SeriesReport]:
        """Return what the last window was worth, series by series."""
        return {name: own for cohort in self.cohorts for name, own in cohort.series().items()}

    def parts(self) -> dict[str, SeriesPart]:
        """Return what each series that is watched has of the budget."""
        return {name: part for cohort in self.cohorts for name, part in cohort.parts().items()}

    def not_watched(self) -> list[str]:
        """Return the series that the spec's detectors name and the model does not have."""
        if self.cohorts[0].watch is None:
            return []  # it is not known yet
        named = dict.fromkeys(name for one in self.spec.detectors for name in one.series)
        if not named:
            return []
        learners = [cohort for cohort in self.cohorts if cohort.watch is None]
        learning = {name for one in learners for own in one.columns.values() for name in own}
        own = {one.name for watch in self._watches for one in watch.series}
        reads = {view for cohort in self.cohorts for view in cohort.columns}
        absent = {name: parse(name) for name in named if name not in own}
        return [
            name
            for name, read in absent.items()
            if read is None or (reads & {*read[0].reads} and read[1] not in learning)
        ]

    def fold(self, block: Block) -> list[Output]:
        """Fold a block of rows; return what the windows it closed give rise to."""
        block = self.waiting.before(block)
        self.windows = self.windows or choose(block.ts_ms)
        if self.windows is None:
            self.waiting = waiting(block)
            return []
        found = dated(self.latest, self.windows, block.ts_ms)
        self.waiting = Waiting()
        if len(found) < len(block):
            self.waiting = waiting(block.cut(len(found), len(block)))
        block = self.timed(block.cut(0, len(found)), found)
        outputs: list[Output] = []
        for piece in cut(self.latest, self.windows, found.ts_ms, self.floor):
            outputs += self.close_before(piece.floor)
            span = piece.start, piece.stop
            self.observed += span[1] - span[0]
            self._add(piece, block.cut(*span), found.cut(*span))
            if piece.closes:
                outputs += self.close()
        return outputs

    def close_before(self, floor: int | None) -> list[Output]:
        """Close the windows of event time before one."""
        outputs: list[Output] = []
        while floor is not None and self.bounds.rows and (self.bounds.slot or 0) < floor:
            outputs += self.close()
        return outputs

    def _tail_ms(self) -> int:
        """Return by how much the last row of the open window of event time lies before its end."""
        assert self.windows is not None and self.bounds.slot is not None
        return first_ms(self.windows, self.bounds.slot + 1) - 1 - self.bounds.last_ts_ms

    def end(self) -> list[Output]:
        """Close what is complete, as no further rows will come.

        So is a window of event time behind which another is open, and the last one, if its last row
        lies no farther before its end than that of some window before it did.
        """
        self.settle()
        outputs: list[Output] = []
        while self.later:
            outputs += self.close()
        if self.bounds.slot is not None and self.bounds.rows and self._tail_ms() <= self.tail_ms:
            outputs += self.close()
        return outputs

    def _add(self, piece: Piece, block: Block, found: Dated) -> None:
        """Take rows, each into its window."""
        if piece.slots is None:
            self.add(block, found)
            return
        self._open(int(piece.slots[0]))  # all others of them have rows
        for slot, rows in piece.windows():
            window = next(w for w in self.open_windows if w.bounds.slot == slot)
            if rows is None:
                self.add(block, found, window)
            else:
                self.add(block.take(rows), found.take(rows), window)

    def _open(self, slot: int) -> None:
        """Open a window of event time, if it is not yet."""
        if not self.bounds.rows:
            self.bounds.slot = slot
        windows = self.open_windows
        if all(window.bounds.slot != slot for window in windows):
            windows.append(self._window(Bounds(slot=slot)))
            windows.sort(key=lambda window: window.bounds.slot or 0)
            windows[0].bounds.index = self.bounds.index
            self.window, *self.later = windows

    def timed(self, block: Block, found: Dated) -> Block:
        """Return rows with what their order says of them; by itself a monitor asks nothing."""
        return block

    def settle(self) -> None:
        """Fold what was put off; by itself a monitor puts off nothing."""

    def add(self, block: Block, found: Dated, window: Window | None = None) -> None:
        """Take rows that belong to an open window, and when they count."""
        assert self.windows is not None  # or no row would belong anywhere
        window = window or self.window
        early = int(np.count_nonzero(found.early))
        window.bounds.add(self.windows, found.ts_ms, block.offsets, early)
        for cohort, part in zip(self.cohorts, window.parts, strict=True):
            cohort.add(part, block)

    def close(self, examples: Examples = MappingProxyType({})) -> list[Output]:
        """Close the open window; return the alerts and the report that it gives rise to."""
        verdicts, bounds = Verdicts(), self.bounds
        if bounds.slot is not None:
            if self.heard is not None:
                bounds.skipped = max(bounds.slot - self.heard, 0)
            self.floor = bounds.slot + 1
            if bounds.rows:
                self.heard = self.floor
                self.tail_ms = max(self.tail_ms, self._tail_ms())
        for cohort, part in zip(self.cohorts, self.window.parts, strict=True):
            found = cohort.judge(part, bounds, examples)
            verdicts.fired.extend(found.fired)
            verdicts.worse.extend(found.worse)
            verdicts.resolved.extend(found.resolved)
            verdicts.settled.extend(found.settled)
            verdicts.returned.extend(found.returned)
        outputs = self._incidents().update(verdicts, bounds, self)
        outputs += self._report()
        for at, (cohort, part) in enumerate(zip(self.cohorts, self.window.parts, strict=True)):
            learning = cohort.learning
            if inside := cohort.learn(part, bounds):
                starts = [window.start for window in learning]
                alert = reference_alert(self.origin, inside, starts, bounds)
                outputs.append(alert_output(alert, self.origin.uri))
            if learning and not cohort.learning:
                for window in self.later:
                    window.parts[at].compare(cohort.begin())
        self.go_on(bounds.following())
        return outputs

    def go_on(self, bounds: Bounds) -> None:
        """Go on with the next window that is open, or an empty one that lies there."""
        if not self.later:
            self.begin(bounds)
            return
        self.window = self.later.pop(0)
        self.bounds.index = bounds.index
        self.bounds.latest_ms = max(self.bounds.latest_ms, bounds.latest_ms)

    def _report(self) -> list[Output]:
        """Return the report of the window that closes; by itself a monitor has none."""
        return []

    def begin(self, bounds: Bounds) -> None:
        """Go on with an empty window that lies there."""
        self.window = self._window(bounds)

    def _window(self, bounds: Bounds) -> Window:
        return Window(bounds, [cohort.begin() for cohort in self.cohorts])

    def context(self, since_ms: int) -> Mapping[str, Figure]:
        """Return the figures that are shown and not watched, as they were and since then."""
        return {name: told for own in self._seeing for name, told in own.context(since_ms).items()}

    def lasts(self, alarm: SeriesAlarm) -> bool:
        """Return whether a series that fired is still as far off as an alert needs.

        That is by the mean of its last 7 windows, and not only thanks to the first of them.
        """
        for own in self._seeing:
            if alarm.series in own.names:
                at, sign = own.names.index(alarm.series), 1 if alarm.direction == "up" else -1
                off = min(sign * own.history.shifts(count)[at] for count in (LATELY, 2))
                return bool(off >= own.series[at].gate)
        return False

    def moves_score(self, features: Collection[str]) -> bool:
        """Return whether the score has moved, and features have so that it must."""
        return any(cohort.moves_score(features) for cohort in self.cohorts)

    def cause(self, alarms: Sequence[SeriesAlarm]) -> Cause | None:
        """Return what the window that closes looks like, None if like nothing in particular."""
        parts = zip(self.cohorts, self.window.parts, strict=True)
        return next((c for own, part in parts if (c := find(own.evidence(part, alarms)))), None)

    def start(self, since_ms: int) -> Start:
        """Return the window that began then, of the cohort that remembers it best."""
        found = (own.history.start(since_ms) for own in self._seeing)
        return min(found, key=lambda at: abs(at.first_ts_ms - since_ms), default=self.bounds.start)

    @property
    def _seeing(self) -> list[Watch]:
        """The watches that have seen a window."""
        return [own for own in self._watches if own.history.starts]

    @property
    def _watches(self) -> list[Watch]:
        return [cohort.watch for cohort in self.cohorts if cohort.watch is not None]

    def adopt(self, series: Collection[str]) -> None:
        """Let the levels of these series be their reference; of all, where one has no name."""
        for own in self._watches:
            own.adopt(own.names if "" in series else series)

    def supersede(self) -> list[Output]:
        """Return the alerts that close what is open, as the model is watched anew from here."""
        self.settle()
        return self._incidents().supersede(self.bounds, self)

    def _incidents(self) -> Incidents:
        """Return its incidents, which tell how long the reference is by now."""
        if self.incidents.origin.reference_windows != self.reference_windows:
            self.incidents.origin = replace(self.origin, reference_windows=self.reference_windows)
        return self.incidents

    def state(self) -> MonitorState:
        """Return what a snapshot needs."""
        self.settle()
        return MonitorState(
            self.observed,
            self.windows,
            self.window.state(),
            self.waiting,
            [cohort.state() for cohort in self.cohorts],
            self.incidents.open,
            [window.state() for window in self.later],
            self.floor,
            self.tail_ms,
            self.heard,
        )

    def load(self, state: MonitorState) -> None:
        """Take back the state of a monitor with the same spec, reference and columns."""
        self.observed, self.windows, self.waiting = state.observed, state.windows, state.waiting
        for cohort, own in zip(self.cohorts, state.cohorts, strict=True):
            cohort.load(own)
        self.incidents.open = state.incidents
        self.floor, self.tail_ms, self.heard = state.floor, state.tail_ms, state.heard
        begin = [cohort.begin for cohort in self.cohorts]
        self.window, *self.later = (
            Window.restore(own, begin) for own in (state.window, *state.later)
        )
