"""How many rows a model version has in a window: what is learned of it, and watched."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Windows
from tidegauge.streams.monitor.verdict.aa_check import Inside, changes_inside
from tidegauge.streams.monitor.verdict.cohort import Begun, Cohort, Examples, Watching
from tidegauge.streams.monitor.verdict.watch import Verdicts
from tidegauge.streams.monitor.verdict.weekly import by_week
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.readings import FIELDS, ROWS, SHOWN
from tidegauge.streams.monitor.windows.window import WindowPart

VOLUME = "volume"


class VolumeWindow(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one closed window of the reference."""

    rows: int
    length: int  # over how many windows of event time they came
    start: Start


class VolumeState(msgspec.Struct, tag="volume"):
    """Everything the cohort remembers, for the snapshot."""

    windows: list[VolumeWindow]
    learned: dict[str, SeriesProfile]
    watching: Watching | None


class VolumeCohort(Cohort):
    """Whether more rows come than did, or fewer; said only of windows of event time.

    Parameters
    ----------
    spec, effect, budget
        As of every cohort.
    learned
        What was learned before under another spec. A published reference says nothing of it: it
        may be a part of the rows, and a partition has but a part of a model's.

    Notes
    -----
    Of so many rows as come independently of each other the logarithm varies by 1/rows; whatever it
    varies beyond that is learned as what windows differ. Judged is by the rows that were expected,
    where fewer came. A model's first window is left out: mostly its rows begin in the middle.
    """

    def __init__(
        self,
        spec: MonitorSpec,
        effect: float,
        budget: float,
        learned: Mapping[str, SeriesProfile],
    ) -> None:
        super().__init__(spec, effect, budget, {Windows: ("",)})
        self.windows: list[VolumeWindow] = []
        self.learned: dict[str, SeriesProfile] = {}  # once it is complete
        self._follow({VOLUME: learned[VOLUME]} if VOLUME in learned else {})

    def begin(self) -> WindowPart:
        """Return what a new window accumulates: nothing but its rows."""
        return WindowPart(0)

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window."""
        part.rows += len(block)

    @property
    def learning(self) -> Sequence[Begun]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""
        return self.windows

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete."""
        if self.watch is not None or not _is_whole(part, bounds):
            return []
        self.windows.append(VolumeWindow(part.rows, bounds.skipped + 1, bounds.start))
        if self.gathered < self.spec.reference.windows:
            return []
        self._follow({VOLUME: self._profile()})
        self.windows = []
        return changes_inside(self.watch.series, self.learned) if self.watch is not None else []

    def _profile(self) -> SeriesProfile:
        """Return what the windows so far say."""
        rows, lengths = np.array([(own.rows, own.length) for own in self.windows]).T
        means = SERIES[VOLUME].quantity(Windows(rows, lengths))[:, 0]
        found = series_profile(SERIES[VOLUME], rows.astype(np.float64), means, 1 - 1 / rows)
        silence = int(lengths.max()) - 1
        shown = rows / lengths
        found = replace(found, shown=float(shown.mean()), silence=silence)
        starts = [window.start for window in self.windows]
        return by_week({VOLUME: found}, starts, self.spec, {VOLUME: shown})[VOLUME]

    def _follow(self, learned: dict[str, SeriesProfile]) -> None:
        """Watch by what was learned, if it was."""
        if learned and self.compare(learned):
            self.learned = learned

    def judge(self, part: WindowPart, bounds: Bounds, examples: Examples) -> Verdicts:
        """Judge a window that closed."""
        if self.watch is None:
            return Verdicts()
        reading = np.full((FIELDS, 1), np.nan)
        reading[ROWS] = 0.0
        if _is_whole(part, bounds) or self._is_silent(bounds):
            # Where none came each window is one by itself.
            came = Windows(
                np.array([part.rows]), np.array([bounds.skipped + 1 if part.rows else 1])
            )
            reading[:] = SERIES[VOLUME].quantity(came)  # with or without one of the rows
            usual = self.watch.series[0].mean + self.watch.usual.at(bounds.slot)[0]
            reading[ROWS] = max(part.rows, np.exp(usual))
            reading[SHOWN] = came.counts / came.lengths
        return self.watch.update(reading, bounds, {}, examples)

    def _is_silent(self, bounds: Bounds) -> bool:
        """Return whether no row has come for longer than in the reference."""
        silence = self.learned[VOLUME].silence
        return (
            bounds.ticked and not bounds.rows and silence is not None and bounds.skipped >= silence
        )

    def state(self) -> VolumeState:
        """Return what a snapshot needs."""
        return VolumeState(self.windows, self.learned, self.watching())

    def load(self, state: VolumeState) -> None:
        """Take back the state of a cohort with the same spec."""
        self.windows = state.windows
        self._follow(state.learned)
        if state.watching is not None:
            self.load_watching(state.watching)


def _is_whole(part: WindowPart, bounds: Bounds) -> bool:
    """Return whether a window of event time has all its rows."""
    return bounds.slot is not None and bounds.index > 0 and part.rows > 0
