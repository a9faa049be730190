"""When a model version's rows are of and when they come: what is learned of it, and watched."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from tidegauge.schemas.events import LATEST_MS
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.freshness import MINUTE_MS
from tidegauge.streams.monitor.series.view import Times, View
from tidegauge.streams.monitor.verdict.aa_check import Inside, changes_inside
from tidegauge.streams.monitor.verdict.cohort import Begun, Cohort, Watching
from tidegauge.streams.monitor.verdict.weekly import by_week
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.figures import Figures, Measures
from tidegauge.streams.monitor.windows.window import WindowPart

TIMES: Final = Measures({Times: ("",)})
FRESHNESS: Final = "freshness"


class TimesWindow(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one closed window of the reference."""

    moments: bytes  # rows, means and variances of each series
    start: Start


class TimesState(msgspec.Struct, tag="times"):
    """Everything the cohort remembers, for the snapshot."""

    windows: list[TimesWindow]
    learned: dict[str, SeriesProfile]
    watching: Watching | None
    usual_ms: float | None = None


class TimesCohort(Cohort):
    """Whether rows come in their order, and how long after their event times.

    Parameters
    ----------
    spec, effect, budget
        As of every cohort.
    learned
        What was learned before under another spec. A published reference says nothing of it: its
        rows came from a file.
    """

    def __init__(
        self,
        spec: MonitorSpec,
        effect: float,
        budget: float,
        learned: Mapping[str, SeriesProfile],
    ) -> None:
        super().__init__(spec, effect, budget, {Times: ("",)})
        self.windows: list[TimesWindow] = []
        self.learned: dict[str, SeriesProfile] = {}  # once it is complete
        # From event times to records, in the last window that said so, as a geometric mean.
        self.usual_ms: float | None = None
        self._follow({own.name: learned[own.name] for own in TIMES if own.name in learned})

    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""
        return WindowPart(0, figures=self.figures() or Figures(TIMES))

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window."""
        part.rows += len(block)
        views: Mapping[type[View], View] = {Times: times(block)}
        if self.watch is not None:
            self.see(part, views)
        elif part.figures is not None:
            part.figures.add(views)

    @property
    def learning(self) -> Sequence[Begun]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""
        return self.windows

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete."""
        if not part.rows or part.figures is None:
            return []
        if self.watch is not None and bounds.slot is None:
            return []  # no clock closes blocks of rows
        moments = part.figures.moments()
        own = [measure.name for measure in part.figures.measures]
        if FRESHNESS in own and moments[0, own.index(FRESHNESS)]:
            self.usual_ms = MINUTE_MS * float(np.expm1(moments[1, own.index(FRESHNESS)]))
        if self.watch is not None:
            return []
        self.windows.append(TimesWindow(moments.tobytes(), bounds.start))
        if self.gathered < self.spec.reference.windows:
            return []
        kept = b"".join(window.moments for window in self.windows)
        tables = np.frombuffer(kept).reshape(len(self.windows), 3, len(TIMES))
        found = {
            own.name: series_profile(own.series, *tables[:, :, at].T)
            for at, own in enumerate(TIMES)
        }
        self._follow(by_week(found, [window.start for window in self.windows], self.spec))
        self.windows = []
        return changes_inside(self.watch.series, self.learned) if self.watch is not None else []

    def _follow(self, learned: dict[str, SeriesProfile]) -> None:
        """Watch by what was learned, if it was."""
        if learned and self.compare(learned):
            self.learned = learned

    def state(self) -> TimesState:
        """Return what a snapshot needs."""
        return TimesState(self.windows, self.learned, self.watching(), self.usual_ms)

    def load(self, state: TimesState) -> None:
        """Take back the state of a cohort with the same spec."""
        self.windows, self.usual_ms = state.windows, state.usual_ms
        self._follow(state.learned)
        if state.watching is not None:
            self.load_watching(state.watching)


def times(block: Block) -> Times:
    """Return when rows are of, and when they came where their records say so."""
    rows, logged_ms = len(block), block.logged_ms
    behind = np.zeros(rows, np.bool_) if block.behind is None else block.behind
    if logged_ms is None:
        return Times(behind, np.full(rows, np.nan))
    dated = (logged_ms > 0) & (logged_ms <= LATEST_MS)
    return Times(behind, np.where(dated, logged_ms - block.ts_ms, np.nan))
