"""Shares of a stream that should be nil, judged as any other series."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from tidegauge.schemas.monitors import BudgetSpec, MonitorSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.series import MISSING_SD, PROVISIONAL_WINDOWS, Reading, create
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.judge import Judge, JudgeState
from tidegauge.streams.monitor.verdict.watch import HISTORY
from tidegauge.streams.monitor.windows.window import Window

GATE = 0.2  # of MISSING_SD: two points of share


class SharesState(msgspec.Struct):
    """What is remembered of the shares of one stream."""

    judge: JudgeState | None = None
    calm: int = 0


class Shares:
    """Tells when shares of a stream that should be nil are not.

    They are judged against a reference of noughts, by the rules of all series, with a gate of two
    points. Nothing is kept of a stream that has been clean for 100 windows.

    Parameters
    ----------
    origin
        Whose alerts these are; its reference is set here.
    names
        The series: one of ``rejected``, ``unpaired``, ``duplicate``, or several.
    """

    def __init__(self, origin: Origin, names: Sequence[str]) -> None:
        self.origin, self.names = origin, names
        self.judge: Judge | None = None
        self.calm = 0  # windows without a hit, since the last that had one

    def close(
        self, window: Window, hits: Sequence[int], examples: Mapping[str, list[str]]
    ) -> list[Output]:
        """Judge a closed window, in which so many rows count for each series.

        ``examples`` says, by series, what the alert is to name.
        """
        if self.judge is None and not any(hits):
            return []
        self.calm = 0 if any(hits) else self.calm + 1
        judge = self.judge = self.judge or self._new()
        counted = zip(self.names, hits, strict=True)
        readings = {name: Reading.of_share(window.rows, count) for name, count in counted}
        outputs = judge.close(readings, window, examples)
        if self.calm >= HISTORY and not judge.incidents.open:
            self.judge, self.calm = None, 0
        return outputs

    def _new(self) -> Judge:
        nil = SeriesProfile(values=[0.0] * PROVISIONAL_WINDOWS, sd=MISSING_SD, shown=0.0)
        series = [
            replace(create(name, nil, GATE), feature=self.origin.topic) for name in self.names
        ]
        budget = BudgetSpec()
        spec = MonitorSpec(model=self.origin.model, false_alarms=budget)
        return Judge(self.origin, spec, series, (), budget.count)

    def state(self) -> SharesState:
        """Return what a snapshot needs."""
        return SharesState(self.judge.state() if self.judge is not None else None, self.calm)

    def load(self, state: SharesState) -> None:
        """Take back the state of the same stream."""
        self.judge, self.calm = None, state.calm
        if state.judge is not None:
            self.judge = self._new()
            self.judge.load(state.judge)
