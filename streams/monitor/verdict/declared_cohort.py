"""Rules that a spec declares: which share of rows breaks each, judged against none."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.series.checked import Check, Checked
from tidegauge.streams.monitor.series.limited import Limited, Limits
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import View
from tidegauge.streams.monitor.verdict.aa_check import Inside
from tidegauge.streams.monitor.verdict.cohort import Begun, Cohort, Watching
from tidegauge.streams.monitor.verdict.nil_cohort import noughts
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.figures import Figures, Measures
from tidegauge.streams.monitor.windows.window import WindowPart

UNIT: Final = 0.025  # of a share: with the gate of 0.2 half a point


class DeclaredState(msgspec.Struct, tag="declared"):
    """Everything the cohort remembers, for the snapshot."""

    watching: Watching | None
    counts: list[tuple[int, int]]  # of each series: that broke it so far, of how many


class DeclaredCohort(Cohort):
    """Rules that hold for certain, so that no reference is needed to tell what breaks them.

    They are the limits of features, and checks between columns. They are watched from the first
    window on. Rows that are taken for normal count, too: a rule that is broken in the reference is
    told, and not learned.

    Parameters
    ----------
    spec, effect, budget
        As of every cohort.
    """

    def __init__(self, spec: MonitorSpec, effect: float, budget: float) -> None:
        declared = {name: own for name, own in spec.features.items() if own.limits}
        self._limits = {name: Limits(own) for name, own in declared.items()}
        self._checks = {text: Check(text) for text in spec.checks}
        columns: Mapping[type[View], Sequence[str]] = {
            Limited: [*self._limits],
            Checked: [*self._checks],
        }
        super().__init__(spec, effect, budget, columns)
        self.compare({measure.name: noughts(UNIT) for measure in Measures(columns)})
        self._counts = np.zeros((len(self.measures), 2), np.int64)

    @property
    def reference_windows(self) -> int:
        """None: there is no reference."""
        return 0

    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""
        return WindowPart(0, figures=Figures(self.measures))

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window."""
        part.rows += len(block)
        views = {Limited: Limited(self._limits, block), Checked: Checked(self._checks, block)}
        self.see(part, views)

    @property
    def learning(self) -> Sequence[Begun]:
        """No windows: nothing is learned."""
        return ()

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Count what broke; nothing is learned of it."""
        assert part.figures is not None
        self._counts += part.figures.shares()
        return []

    def unasked(self, numeric: Sequence[str], categorical: Sequence[str]) -> list[str]:
        """Return the checks that these columns do not fit, or do not have, by series."""
        columns, known = (tuple(numeric), tuple(categorical)), {*numeric, *categorical}
        return [
            SERIES["check"].name(text)
            for text, own in zip(self.columns[Checked], self._checks.values(), strict=True)
            if not (own.fits(*columns) and known.issuperset(own.expression.needed))
        ]

    @property
    def broken(self) -> dict[str, float]:
        """Which share of rows has broken each rule so far, by series; those that none broke not."""
        counts = zip(self.measures, self._counts.tolist(), strict=True)
        return {measure.name: hits / rows for measure, (hits, rows) in counts if hits}

    def state(self) -> DeclaredState:
        """Return what a snapshot needs."""
        return DeclaredState(
            self.watching(), [(hits, rows) for hits, rows in self._counts.tolist()]
        )

    def load(self, state: DeclaredState) -> None:
        """Take back the state of a cohort with the same spec."""
        self._counts = np.array(state.counts, np.int64).reshape(-1, 2)
        if state.watching is not None:
            self.load_watching(state.watching)
