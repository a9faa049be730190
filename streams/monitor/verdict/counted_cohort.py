"""Shares of rows that are counted and no more: what is learned of them, and watched."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Block, Flags
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.view import Due, Sent, View
from tidegauge.streams.monitor.verdict.aa_check import Inside, changes_inside
from tidegauge.streams.monitor.verdict.cohort import Begun, Cohort, Watching
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.figures import Figures, Measures
from tidegauge.streams.monitor.windows.window import WindowPart

EFFECT = 0.2  # of the series' unit
BUDGET = 1 / 16  # of the usual budget, and besides it, as a model's spec says nothing of these


class CountedWindow(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one closed window of the reference."""

    rows: int
    share: float
    start: Start


class CountedState(msgspec.Struct, tag="counted"):
    """Everything the cohort remembers, for the snapshot."""

    windows: list[CountedWindow]
    learned: dict[str, SeriesProfile]
    watching: Watching | None


class CountedCohort(Cohort):
    """A share of which nothing is known but how many rows have it.

    Parameters
    ----------
    model
        Whose rows these are.
    reads
        ``Sent`` or ``Due``.
    """

    def __init__(self, model: str, reads: type[Sent] | type[Due]) -> None:
        spec = MonitorSpec(model=model)
        super().__init__(spec, EFFECT, spec.false_alarms.count * BUDGET, {reads: ("",)})
        self._reads = reads
        self._all = Measures(self.columns)  # it is one series
        self.windows: list[CountedWindow] = []
        self.learned: dict[str, SeriesProfile] = {}  # once it is complete

    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""
        return WindowPart(0, figures=Figures(self._all))

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows; those that have it have the only category."""
        self.count(part, block.codes[:, 0] >= 0, np.ones(len(block), np.int64))

    def count(
        self, part: WindowPart, hits: Flags, times: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> None:
        """Take rows that each come several times, and which of them have it."""
        part.rows += int(times.sum())
        views: Mapping[type[View], View] = {self._reads: self._reads(hits)}
        if part.figures is not None:
            part.figures.add(views, times)

    @property
    def learning(self) -> Sequence[Begun]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""
        return self.windows

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete."""
        if self.watch is not None or not part.rows or part.figures is None:
            return []
        rows, share, _ = part.figures.moments()[:, 0].tolist()
        self.windows.append(CountedWindow(int(rows), share, bounds.start))
        if self.gathered < self.spec.reference.windows:
            return []
        counts, shares = np.array([(own.rows, own.share) for own in self.windows]).T
        found = series_profile(self._all[0].series, counts, shares, shares * (1 - shares))
        self._follow({self._all[0].name: found})
        self.windows = []
        return changes_inside(self.watch.series, self.learned) if self.watch is not None else []

    def _follow(self, learned: dict[str, SeriesProfile]) -> None:
        """Watch by what was learned, if it was."""
        if learned and self.compare(learned):
            self.learned = learned

    def state(self) -> CountedState:
        """Return what a snapshot needs."""
        return CountedState(self.windows, self.learned, self.watching())

    def load(self, state: CountedState) -> None:
        """Take back the state of the same rows."""
        self.windows = state.windows
        self._follow(state.learned)
        if state.watching is not None:
            self.load_watching(state.watching)
