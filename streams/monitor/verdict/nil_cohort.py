"""Shares of a stream that should be nil: rows that cannot be read, labels without a prediction."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from tidegauge.detectors.statistics.shares import row_variance
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Block, Codes
from tidegauge.streams.monitor.series.view import Known, Labels, Records, Typed, View
from tidegauge.streams.monitor.series.watched import PROVISIONAL_WINDOWS
from tidegauge.streams.monitor.verdict.aa_check import Inside
from tidegauge.streams.monitor.verdict.cohort import Begun, Cohort, Examples, Watching
from tidegauge.streams.monitor.verdict.history import HISTORY
from tidegauge.streams.monitor.verdict.watch import Verdicts
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.figures import Figures, Measures
from tidegauge.streams.monitor.windows.window import WindowPart

BLOCK = 100  # rows of a window
EFFECT = 0.2  # of the series' unit: two points of share
FINE, FIRST, SECOND = range(-1, 2)  # codes of rows: nothing wrong, or what; further ones too


class NilState(msgspec.Struct, tag="nil"):
    """What is remembered of the shares of one stream."""

    watching: Watching | None = None
    calm: int = 0
    column: str = ""


class NilCohort(Cohort):
    """Shares that are judged against a reference of noughts, by the rules of all series.

    Nothing is kept of a stream that has been clean for 100 windows.

    Parameters
    ----------
    model, topic
        Whose rows these are.
    reads
        ``Records``, ``Labels`` or ``Known``; ``Typed`` of one feature.
    column, code
        The feature, and what its rows have in their only category.

    Examples
    --------
    >>> cohort = NilCohort("fraud", "predictions", Records)
    >>> part = cohort.begin()
    >>> cohort.count(part, {FINE: 80, FIRST: 20})
    >>> [(alarm.series, alarm.value.current) for alarm in cohort.judge(part, Bounds(), {}).fired]
    [('rejected', 0.2)]
    """

    def __init__(
        self, model: str, topic: str, reads: type[View], column: str = "", code: int = FIRST
    ) -> None:
        spec = MonitorSpec(model=model)
        super().__init__(spec, EFFECT, spec.false_alarms.count, {reads: (column,)})
        self.feature, self._reads, self._column, self._code = topic, reads, column, code
        self._all = Measures(self.columns)  # counted whether anything is watched or not
        self.calm = 0  # windows without a hit, since the last that had one

    @property
    def gathered(self) -> int:
        """How many windows the reference has."""
        return PROVISIONAL_WINDOWS

    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""
        return WindowPart(0, figures=Figures(self._all))

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows; what is wrong with each stands in their only category."""
        codes = block.codes[:, 0]
        part.rows += len(block)
        if part.figures is not None:
            part.figures.add({self._reads: self._view(codes)})

    def count(self, part: WindowPart, counts: Mapping[int, int]) -> None:
        """Take so many further rows of each code."""
        codes, times = np.array(list(counts), np.int32), np.array(list(counts.values()))
        part.rows += int(times.sum())
        if part.figures is not None:
            part.figures.add({self._reads: self._view(codes)}, times)

    def _view(self, codes: Codes) -> View:
        if self._reads is Typed:
            return Typed(self._column, codes == self._code)
        if self._reads is Records:
            return Records(codes >= FIRST)
        if self._reads is Known:
            return Known(codes == FIRST)
        return Labels(codes == FIRST, codes == SECOND)

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Learn nothing: there should be nothing."""
        return []

    @property
    def learning(self) -> Sequence[Begun]:
        """No windows: nothing is learned."""
        return ()

    def judge(self, part: WindowPart, bounds: Bounds, examples: Examples) -> Verdicts:
        """Judge a window that closed."""
        hit = part.figures is not None and any(part.figures.hits().values())
        if self.watch is None and hit:
            self.follow()
        verdicts = super().judge(part, bounds, examples)
        self.calm = 0 if hit else self.calm + 1
        return verdicts

    def rest(self) -> None:
        """Forget what is remembered, if nothing has been wrong for long."""
        if self.calm >= HISTORY:
            self.watch, self.calm = None, 0

    def follow(self) -> None:
        """Watch by noughts."""
        self.compare({measure.name: noughts(0.1) for measure in self._all})

    def state(self) -> NilState:
        """Return what a snapshot needs."""
        return NilState(self.watching(), self.calm, self._column)

    def load(self, state: NilState) -> None:
        """Take back the state of the same stream."""
        self.watch, self.calm = None, state.calm
        if state.watching is not None:
            self.follow()
            self.load_watching(state.watching)


def noughts(sd: float) -> SeriesProfile:
    """Return the profile of a share that should be nil; ``sd`` is the unit of its effect."""
    rows = [float(BLOCK)] * PROVISIONAL_WINDOWS
    variance = row_variance(0, sum(rows))
    return SeriesProfile(values=[0.0] * len(rows), rows=rows, sd=sd, shown=0.0, variance=variance)
