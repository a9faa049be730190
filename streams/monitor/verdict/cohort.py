"""Columns that share a reference: learned window by window, then watched by it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from tidegauge.schemas.alerts import SeriesAlarm
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import NumericProfile, SeriesProfile
from tidegauge.schemas.windows import ColumnReport, SeriesReport
from tidegauge.streams.monitor.intake.block import Block, Floats
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.gates import least_effect
from tidegauge.streams.monitor.series.view import View
from tidegauge.streams.monitor.series.watched import Watched, watch
from tidegauge.streams.monitor.verdict.aa_check import Inside
from tidegauge.streams.monitor.verdict.causes.base import Evidence
from tidegauge.streams.monitor.verdict.likeness import Limits
from tidegauge.streams.monitor.verdict.row_detectors import RowDetectors
from tidegauge.streams.monitor.verdict.watch import Verdicts, Watch, WatchState
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.figures import Figures, Measure, Measures, Views
from tidegauge.streams.monitor.windows.window import WindowPart

FURTHER = 1 / 4  # of a budget, of the further series
Examples = Mapping[str, list[str]]  # what alerts are to name, by series


class Begun(Protocol):
    """A window of a reference, whatever else is kept of it."""

    @property
    def start(self) -> Start:
        """Where it began."""


def shared(budget: float, series: Sequence[Series]) -> Floats:
    """Return the part of a budget that each series has, shape (series,).

    All have the same but for the further ones, which share a quarter of the budget, so that the
    first ones, however many are added, stay as quick as they are.

    >>> from tidegauge.streams.monitor.series.registry import SERIES
    >>> shared(1.0, [SERIES["rank"], SERIES["repeat"], SERIES["repeat"]]).tolist()
    [0.75, 0.125, 0.125]
    """
    further = np.array([own.is_further for own in series], np.bool_)
    watched = np.array([own.is_watched for own in series], np.bool_)
    counts = np.where(further, (further & watched).sum(), (~further & watched).sum())
    whole = (further == further[0]).all()
    parts = np.where(further, FURTHER, 1.0 - FURTHER)
    found: Floats = budget * (1.0 if whole else parts) / np.maximum(counts, 1)
    return found


class SeriesPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one series has of the budget, and what it must show to be told."""

    false_alarms: float  # expected of it within the windows of the budget
    threshold: float | None  # of its evidence; None: its reference says too little
    worth: float | None  # independent windows that its reference amounts to; None: no reference
    gate: float  # least shift that is told, in the unit of its figure
    asked: str = ""  # as the spec says it for its column, such as "absolute 5"
    decider: str
    explained: float | None = None  # share of its windows' variance that follows the week
    by_week: bool = False  # whether it is compared with the same time of the week
    level_ms: int | None = None  # start of the level it is compared with; None: the reference
    is_declared: bool = False  # by the spec, as limits and checks are: it is compared with neither


class Watching(msgspec.Struct):
    """What is remembered while a cohort is watched, for the snapshot."""

    watch: WatchState
    banks: list[bytes]
    alarmed: dict[int, str]


class Cohort(ABC):
    """Columns that share a reference.

    Parameters
    ----------
    spec
        How the model is watched: detectors, budget, how long is learned.
    effect
        Least shift worth telling, in standard deviations of reference rows.
    budget
        Expected false series alarms of all its series within the spec's horizon.
    columns
        The columns that series read, by the view that has them.
    """

    is_bounded = False  # of its evidence a bound is enough where it is no alarm
    feature = ""  # what a series without a column is about, if not itself

    def __init__(
        self,
        spec: MonitorSpec,
        effect: float,
        budget: float,
        columns: Mapping[type[View], Sequence[str]],
    ) -> None:
        self.spec, self.effect, self.budget, self.columns = spec, effect, budget, columns
        self._levels: Floats = np.empty(0)  # parts of the budget, one a measure
        self.watch: Watch | None = None  # None while the reference is learned
        self._rows: RowDetectors | None = None
        self.measures = Measures({})  # of the series that the reference knows
        self.profiled: Mapping[str, SeriesProfile] = {}  # by which it is watched

    @abstractmethod
    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""

    def figures(self) -> Figures | None:
        """Return what a new window accumulates for the series that are watched."""
        return Figures(self.measures) if self.watch is not None else None

    @abstractmethod
    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window."""

    @abstractmethod
    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete.

        Return what of the reference is not one thing, once it is complete.
        """

    @property
    @abstractmethod
    def learning(self) -> Sequence[Begun]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""

    def means(self, part: WindowPart) -> Floats:
        """Return the means of a window that people are shown for its series, a column each.

        None, where they are shown the series themselves.
        """
        return np.empty(0)

    def columns_of(self, part: WindowPart) -> dict[str, ColumnReport]:
        """Return the figures of each column in a window, for its report."""
        return {}

    @property
    def gathered(self) -> int:
        """How many windows the reference has so far."""
        return len(self.learning) if self.watch is None else self.reference_windows

    @property
    def limits(self) -> Limits:
        """Beyond which a number is out of range, by column."""
        return {}

    @property
    def reference_windows(self) -> int:
        """How many windows the longest reference of a series has; 0 while it is learned."""
        return self.watch.reference_windows if self.watch is not None else 0

    def compare(self, profiles: Mapping[str, SeriesProfile], levels: Floats | None = None) -> bool:
        """Go from learning to watching by these; return whether anything can be decided so.

        ``levels`` are the parts of the budget that its measures have; None: all of the cohort's.
        """
        found, series = self.watched(profiles)
        if not any(one.reference is not None for one in series):
            return False
        if levels is None:
            levels = shared(self.budget, [one.series for one in series])
        self._levels, spec = levels, self.spec
        windows = spec.false_alarms.windows
        adopt = spec.reference.adopt
        self.watch = Watch(
            series, levels, windows, spec.detectors, self.limits, adopt, self.is_bounded
        )
        self._rows, self.measures = RowDetectors(spec.detectors, found), found
        self.profiled = profiles
        return True

    def watched(self, profiles: Mapping[str, SeriesProfile]) -> tuple[Measures, list[Watched]]:
        """Return what is computed of rows, and what is watched, of what these profiles know."""
        found = Measures(self.columns, profiles)
        return found, [
            watch(
                p.series, p.column, profiles[p.name], self._gate(p, profiles[p.name]), self.feature
            )
            for p in found
        ]

    @property
    def numbers(self) -> Mapping[str, NumericProfile]:
        """What the reference says of numbers, by column."""
        return {}

    def _gate(self, measure: Measure, profile: SeriesProfile) -> float:
        """Return the least effect of a series that is told."""
        own, said = self.numbers.get(measure.column), self.spec.effect
        return least_effect(said, measure.series, measure.column, profile, own, self.effect)

    def _asked(self, own: Watched) -> str:
        gate = self.spec.effect.of(own.column or own.series.statistic)
        return "" if gate is None else gate.of(own.series.is_share)

    def series(self) -> dict[str, SeriesReport]:
        """Return what the last window was worth, series by series.

        Of a bounded cohort those in which something may have moved.
        """
        return {} if self.watch is None else self.watch.report(with_quiet=not self.is_bounded)

    def spend(self, levels: Floats) -> None:
        """Go on with these parts of the budget, one a measure, while it is watched."""
        watching = self.watching()
        if watching is not None and not np.array_equal(levels, self._levels):
            self.compare(self.profiled, levels)
            self.load_watching(watching)

    def parts(self) -> dict[str, SeriesPart]:
        """Return what each series that is watched has of the budget, by name."""
        if self.watch is None:
            return {}
        report = self.watch.report()
        return {
            one.name: SeriesPart(
                false_alarms=level,
                threshold=report[one.name].threshold,
                worth=None if one.series.is_declared else report[one.name].worth,
                gate=one.gate,
                asked="" if one.gate == self.effect * one.sd else self._asked(one),
                explained=self.profiled[one.name].explained,
                by_week=bool(one.week),
                level_ms=report[one.name].level_ms,
                is_declared=one.series.is_declared,
                decider=self.watch.decider(one.name),
            )
            for one, level in zip(self.watch.series, self._levels.tolist(), strict=True)
            if one.series.is_watched
        }

    def see(self, part: WindowPart, views: Views) -> None:
        """Let the figures of a window, and detectors on rows, take further rows."""
        if part.figures is not None and self._rows is not None:
            part.figures.add(views)
            self._rows.update(views)

    def evidence(self, part: WindowPart, alarms: Sequence[SeriesAlarm]) -> Evidence:
        """Return what a window that closes says of the causes of alarms."""
        return Evidence(alarms, self.columns_of(part))

    def moves_score(self, features: Collection[str]) -> bool:
        """Return whether the score has moved, and features have so that it must."""
        return False

    def judge(self, part: WindowPart, bounds: Bounds, examples: Examples) -> Verdicts:
        """Judge a window that closed; ``examples`` are for alerts of series without a column."""
        if self.watch is None or self._rows is None or part.figures is None:
            return Verdicts()
        readings = part.figures.readings(self.means(part))
        named = {**part.figures.named(readings), **examples}
        return self.watch.update(readings, bounds, self._rows.take(), named)

    @abstractmethod
    def state(self) -> Any:
        """Return what a snapshot needs."""

    @abstractmethod
    def load(self, state: Any) -> None:
        """Take back the state of a cohort of the same columns, spec and reference."""

    def watching(self) -> Watching | None:
        """Return what a snapshot needs of a cohort that is watched."""
        if self.watch is None or self._rows is None:
            return None
        return Watching(self.watch.state(), *self._rows.state())

    def load_watching(self, state: Watching) -> None:
        """Take back what is remembered of a cohort that is watched, as this one is."""
        if self.watch is None or self._rows is None:
            raise ValueError("expected a cohort that is watched, got one that learns")
        self.watch.load(state.watch)
        self._rows.load((state.banks, state.alarmed))
