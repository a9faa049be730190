"""From a closed window's figures to alerts: watch, row-level detectors and incidents together."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from tidegauge.detectors.registry import DETECTORS
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.windows import SeriesReport
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.series import CONTEXT, NOTHING, Reading, Series
from tidegauge.streams.monitor.verdict.incidents import Incident, Incidents, Origin
from tidegauge.streams.monitor.verdict.watch import Watch, WatchState
from tidegauge.streams.monitor.windows.window import Window


class JudgeState(msgspec.Struct):
    """Everything a judge remembers, for the snapshot."""

    watch: WatchState
    banks: list[bytes]
    alarmed: dict[int, str]
    incidents: list[Incident]


class Judge:
    """Decides over the series of one monitor and tells its incidents.

    Parameters
    ----------
    origin
        Whose alerts these are.
    spec
        The model's spec: budget, detectors.
    series
        What is watched.
    names
        Columns of the rows, for detectors that run on rows.
    budget
        Expected false series alarms of all these series together within the spec's horizon.
    """

    def __init__(
        self,
        origin: Origin,
        spec: MonitorSpec,
        series: Sequence[Series],
        names: Sequence[str],
        budget: float,
    ) -> None:
        windows = [s.reference.windows for s in series if s.reference is not None]
        origin = dataclasses.replace(origin, reference_windows=max(windows, default=0))
        self.incidents = Incidents(origin)
        watched = sum(s.statistic not in CONTEXT for s in series)
        self.watch = Watch(
            series, budget / max(watched, 1), spec.false_alarms.windows, spec.detectors
        )
        self._alarmed: dict[int, str] = {}  # series with an alarm on rows of the open window
        self._banks: list[tuple[str, list[int], list[int], Any]] = []
        for detector in spec.detectors:
            chosen = [
                (index, names.index(s.feature))
                for index, s in enumerate(series)
                if s.name in detector.series and s.feature in names
            ]
            if detector.on == "rows" and chosen:
                bank = DETECTORS[detector.kind](len(chosen), **detector.parameters)
                indices, columns = zip(*chosen, strict=True)
                self._banks.append((detector.kind, list(indices), list(columns), bank))

    @property
    def reference_windows(self) -> int:
        """How many windows the longest reference has."""
        return self.incidents.origin.reference_windows

    def see_rows(self, rows: Floats) -> None:
        """Let the row-level detectors of the spec see rows of the open window."""
        for kind, indices, columns, bank in self._banks:
            alarms = bank.update(np.ascontiguousarray(rows[:, columns])).any(axis=0)
            self._alarmed |= {indices[at]: kind for at in np.flatnonzero(alarms)}

    def close(
        self,
        readings: Mapping[str, Reading],
        window: Window,
        examples: Mapping[str, list[str]],
    ) -> list[Output]:
        """Judge a closed window by the readings of its series."""
        read = [readings.get(series.name, NOTHING) for series in self.watch.series]
        verdicts = self.watch.update(read, window, self._alarmed, examples)
        self._alarmed = {}
        return self.incidents.update(verdicts, window, self.watch.context, self.watch.place)

    def supersede(self, window: Window) -> list[Output]:
        """Return the alerts that close what is open, as the model is watched anew from here."""
        return self.incidents.supersede(window, self.watch.context, self.watch.place)

    def report(self) -> dict[str, SeriesReport]:
        """Return what the last window was worth, series by series."""
        return self.watch.report()

    def state(self) -> JudgeState:
        """Return what a snapshot needs."""
        banks = [bank.snapshot() for _, _, _, bank in self._banks]
        alarmed = dict(sorted(self._alarmed.items()))  # in whatever order batches showed them
        return JudgeState(self.watch.state(), banks, alarmed, self.incidents.open)

    def load(self, state: JudgeState) -> None:
        """Take back the state of a judge of the same series."""
        self.watch.load(state.watch)
        self._alarmed, self.incidents.open = state.alarmed, state.incidents
        for (_, _, _, bank), data in zip(self._banks, state.banks, strict=True):
            bank.restore(data)
