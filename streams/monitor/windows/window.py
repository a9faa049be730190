"""An open window: where it lies, and what it accumulates for each cohort of columns."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.streams.monitor.intake.block import Floats, Waiting
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.cells import Cells
from tidegauge.streams.monitor.windows.figures import Figures, FiguresState
from tidegauge.streams.monitor.windows.kept_pairs import KeptPairs
from tidegauge.streams.monitor.windows.outcome_counts import OutcomeCounts, OutcomeCountsState
from tidegauge.streams.monitor.windows.sample import Sample
from tidegauge.streams.monitor.windows.slice_sums import SliceSums, SliceSumsState


class Counted(msgspec.Struct):
    """How often each category of a column came, by the place of its first row among others."""

    places: dict[str, int]
    times: list[int]

    def add(self, counts: Iterable[tuple[str | None, int]], most: int) -> None:
        """Count categories, each seen so many times; further ones while there are not so many."""
        for value, times in counts:
            if value in self.places:
                self.times[self.places[value]] += times
            elif value is not None and len(self.places) < most:
                self.places[value] = len(self.times)
                self.times.append(times)


class WindowPartState(msgspec.Struct):
    """What a window accumulates for one cohort, for the snapshot; arrays as bytes."""

    rows: int
    moments: bytes
    missing: list[int]
    sample: Sample | None
    figures: FiguresState | None
    pairs: OutcomeCountsState | None = None
    slices: SliceSumsState | None = None
    before: bytes = b""
    counted: list[Counted] = []
    kept: Waiting | None = None
    is_corrected: bool = False
    cells: bytes = b""


class WindowPart:
    """What a window accumulates for one cohort.

    Parameters
    ----------
    numbers, categories
        How many of either are described.
    sample
        Where the reference is being learned from it.
    figures
        Where there is a reference to compare with.
    outcomes
        Where metrics are told of it.
    before
        The numbers of the row before the first one.
    counted
        Where the reference is being learned: the categories.
    kept
        Where labels that are corrected may revise it.
    """

    def __init__(
        self,
        numbers: int,
        categories: int = 0,
        *,
        sample: Sample | None = None,
        figures: Figures | None = None,
        outcomes: OutcomeCounts | None = None,
        before: Floats | None = None,
        counted: Sequence[Counted] = (),
        kept: KeptPairs | None = None,
    ) -> None:
        self.rows = 0
        self.moments = Moments(numbers)
        self.missing: NDArray[np.int64] = np.zeros(categories, np.int64)
        self.sample, self.figures, self.outcomes = sample, figures, outcomes
        self.slices: SliceSums | None = None  # where slices are told apart
        self.cells: Cells | None = None  # where weak ones are looked for among those of pairs
        self.before, self.counted = before, list(counted)
        self.kept = kept

    def state(self) -> WindowPartState:
        """Return what a snapshot needs."""
        return WindowPartState(
            self.rows,
            self.moments.snapshot(),
            self.missing.tolist(),
            self.sample,
            self.figures.state() if self.figures else None,
            self.outcomes.state() if self.outcomes else None,
            self.slices.state() if self.slices else None,
            b"" if self.before is None else self.before.tobytes(),
            self.counted,
            kept=self.kept.settled() if self.kept else None,
            is_corrected=self.kept is not None and self.kept.is_corrected,
            cells=self.cells.state() if self.cells else b"",
        )

    def load(self, state: WindowPartState) -> None:
        """Take back the state of a part of the same cohort."""
        self.rows, self.sample = state.rows, state.sample
        self.moments.restore(state.moments)
        self.missing = np.array(state.missing, np.int64)
        if self.figures is not None and state.figures is not None:
            self.figures.load(state.figures)
        if self.outcomes is not None and state.pairs is not None:
            self.outcomes.load(state.pairs)
        if state.slices is None:
            self.slices = None  # it began before they were told apart
        elif self.slices is not None:
            self.slices.load(state.slices)
        if self.cells is not None and state.cells:
            self.cells.load(state.cells)
        if state.before:
            self.before = np.frombuffer(state.before).copy()
        self.counted = state.counted or self.counted  # none of an earlier version
        if self.kept is not None and state.kept is not None:
            self.kept = KeptPairs(state.kept, state.is_corrected)

    def compare(self, like: "WindowPart") -> None:
        """Go on as a new part does: what is compared is compared from the next row on."""
        self.sample, self.figures, self.counted = like.sample, like.figures, like.counted
        self.slices, self.cells = self.slices or like.slices, self.cells or like.cells
        if self.moments.width != like.moments.width:  # what is told apart is known only now
            self.moments, self.rows = like.moments, 0


class WindowState(msgspec.Struct):
    """A window, for the snapshot."""

    bounds: Bounds
    parts: list[WindowPartState]


class Window:
    """A window of a monitor, which may hold several.

    Parameters
    ----------
    bounds
        Where it lies; it goes on to count the rows.
    parts
        What is accumulated for each cohort, in the monitor's order.
    """

    def __init__(self, bounds: Bounds, parts: Sequence[WindowPart]) -> None:
        self.bounds, self.parts = bounds, list(parts)

    def state(self) -> WindowState:
        """Return what a snapshot needs."""
        return WindowState(self.bounds, [part.state() for part in self.parts])

    @classmethod
    def restore(cls, state: WindowState, begin: Sequence[Callable[[], WindowPart]]) -> "Window":
        """Return the window that a snapshot describes; ``begin`` makes a part a cohort."""
        window = cls(state.bounds, [make() for make in begin])
        for part, own in zip(window.parts, state.parts, strict=True):
            part.load(own)
        return window
