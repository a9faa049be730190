"""Decides, window by window, which series of a monitor have moved enough to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from types import MappingProxyType

import msgspec
import numpy as np

from tidegauge.detectors.base import Bank
from tidegauge.detectors.drift.mixture import WINDOW, MixtureEDetector
from tidegauge.detectors.registry import DETECTORS
from tidegauge.detectors.statistics.dependence import EXTREME, MEAN, Dependence, standardise, table
from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.monitors import DetectorSpec
from tidegauge.schemas.windows import SeriesReport
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.watched import Watched
from tidegauge.streams.monitor.verdict.history import History, HistoryState
from tidegauge.streams.monitor.verdict.likeness import Likeness, Limits
from tidegauge.streams.monitor.verdict.standing import ALIKE, LEAST_ROWS, stand
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.readings import ROWS, SHOWN, VALUE

LATCH = WINDOW  # windows for which an alarm of ADWIN or Page-Hinkley waits for the gate
CALM = 14  # windows back within half the gate: resolved
LATELY = CALM // 2  # windows that tell whether it is worse
WORSE = 2.0  # an incident goes on when a shift has grown by this factor

QUIET, PENDING, FIRING = range(3)
STATES = ("quiet", "pending", "firing")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one window changed."""

    fired: list[SeriesAlarm] = field(default_factory=list)
    worse: list[SeriesAlarm] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)  # series names


class WatchState(msgspec.Struct):
    """Everything a watch remembers, for the snapshot."""

    mixture: bytes
    chosen: list[bytes]
    history: HistoryState
    status: list[int]
    told: list[int]  # window in which a firing series was told
    effects: list[float]  # as told
    latched: list[int]  # window of the change an ADWIN or Page-Hinkley alarm stands for; -1: none


class Watch:
    """Tells whether series have moved by more than their gates, and when it is over again.

    Parameters
    ----------
    series
        What is watched.
    false_alarms
        Expected false alarms of each series within ``horizon`` windows, shape (series,).
    horizon
        Windows the promise is about.
    detectors
        Detectors that decide for the series they name, in place of the mixture e-detector.
    limits
        Beyond which a number is out of range, by column.
    """

    def __init__(
        self,
        series: Sequence[Watched],
        false_alarms: Floats,
        horizon: int,
        detectors: Sequence[DetectorSpec] = (),
        limits: Limits = MappingProxyType({}),
    ) -> None:
        self.series = list(series)
        self.names = names = [s.name for s in self.series]
        self._chosen: list[tuple[list[int], Bank]] = []  # columns, bank
        self._detector: dict[int, str] = {}  # that decides in place of the mixture, by series
        for spec in detectors:
            columns = [names.index(name) for name in spec.series if name in names]
            self._detector |= dict.fromkeys(columns, spec.kind)
            if spec.on == "windows" and columns:
                self._chosen.append(
                    (columns, DETECTORS[spec.kind](len(columns), **spec.parameters))
                )
        judged = [i for i, s in enumerate(self.series) if s.reference is not None]
        known = [s.reference for s in self.series if s.reference is not None]
        self.reference_windows = max((one.windows for one in known), default=0)
        most = horizon / 2  # who allows more has no use for a threshold
        self._judged = np.array(judged, np.intp)
        self._column = {index: at for at, index in enumerate(judged)}
        self._references = table([s.reference for s in self.series])
        self._likeness = Likeness(self.series, limits)
        own = [(s.mean, s.gate, s.series.is_share) for s in self.series]
        levels, extremes = self._references[[MEAN, EXTREME]]
        extremes[[not s.series.is_blatant for s in self.series]] = np.inf
        known_of = [*np.array(own, np.float64).reshape(-1, 3).T, levels, extremes, levels]
        self._known = np.array(known_of)  # the last row, how alike rows are, follows each window
        self._watched = [s.series.is_watched for s in self.series]
        self._worth = [_worth(s.reference) for s in self.series]
        self._mixture = MixtureEDetector(
            known, np.minimum(false_alarms, most)[judged], float(horizon)
        )
        width = len(self.series)
        self._threshold: list[float | None] = [None] * width
        for index, level in zip(judged, self._mixture.threshold.tolist(), strict=True):
            self._threshold[index] = level
        self.history = History(self.series)
        self._status = np.full(width, QUIET)
        self._told = [0] * width
        self._effects = [0.0] * width
        self._latched = [-1] * width

    def update(
        self,
        readings: Floats,
        bounds: Bounds,
        row_alarms: Mapping[int, str],
        examples: Mapping[str, list[str]],
    ) -> Verdicts:
        """Take the readings of a closed window, a column each series (``windows.readings``).

        ``row_alarms`` names the detector that alarmed on rows of the window, by series;
        ``examples`` the values an alert is to name, by series name.
        """
        values, rows, shown = readings[VALUE], readings[ROWS], readings[SHOWN]
        (z, sd, firm), blatants = np.empty((3, len(values))), np.empty(len(values), np.bool_)
        standardise(z, sd, values, rows, self._references)
        apart = self._likeness.apart(shown)
        self._known[ALIKE] = np.where(apart, 0.0, self._likeness.correlation)
        stand(firm, blatants, readings, sd, self._known)
        self.history.remember(values, rows, firm, shown, sd, bounds)
        alarms = self._decide(z, bounds, row_alarms)
        moved = blatants | (self._status != QUIET)
        moved[list(alarms)] = True
        verdicts = Verdicts()
        is_any = FIRING in self._status
        calm, lately = [self.history.shifts(n).tolist() if is_any else [] for n in (CALM, LATELY)]
        for index in np.flatnonzero(moved & ~np.isnan(values)).tolist():
            if self._status[index] == FIRING:
                self._follow(index, calm[index], lately[index], bounds, verdicts)
                continue
            blatant = bool(blatants[index])
            if not blatant and index not in alarms:
                self._status[index] = QUIET
                continue
            watched = self.series[index]
            detector, back = ("blatant", 1) if blatant else alarms.get(index, ("", 0))
            self._status[index] = PENDING if back else QUIET
            if self._is_worth(index, back) and (blatant or (back and watched.decides)):
                alarm = self._alarm(index, detector, back, bounds)
                seen = examples.get(watched.name, [])
                verdicts.fired.append(msgspec.structs.replace(alarm, examples=seen))
                self._status[index], self._told[index] = FIRING, bounds.index
                self._effects[index] = alarm.effect
        return verdicts

    def _is_worth(self, index: int, back: int) -> bool:
        """Return whether the last values are off by the gate, and several rows carry it."""
        watched, shift = self.series[index], float(self.history.shifts(back)[index])
        rows = self.history.rows(index, back)
        if watched.series.is_share:
            rows *= min(abs(shift), 1.0)
        right = shift > 0 or not watched.series.rises_only
        return bool(abs(shift) >= watched.gate and rows >= LEAST_ROWS and right)

    def context(self, since_ms: int) -> dict[str, Figure]:
        """Return the figures that are shown and not watched, as they were and since then."""
        windows = self.history.starts[-1].index - self.history.start(since_ms).index + 1
        return {
            watched.name: Figure(
                reference=watched.shown, current=self.history.shown(index, windows)
            )
            for index, watched in enumerate(self.series)
            if not watched.series.is_watched
        }

    def report(self) -> dict[str, SeriesReport]:
        """Return what the last window was worth, series by series."""
        evidence: list[float | None] = [None] * len(self.series)
        for index, log_e in zip(self._column, self._mixture.log_e.tolist(), strict=True):
            evidence[index] = log_e if isfinite(log_e) else None
        columns = zip(
            self.names, self.history.last, evidence, self._threshold, self._worth,
            self._status.tolist(), self._watched, strict=True,
        )  # fmt: skip
        return {
            name: SeriesReport(
                value=None if isnan(value) else value,
                evidence=log_e,
                threshold=level,
                worth=worth,
                state=STATES[status],
            )
            for name, value, log_e, level, worth, status, is_watched in columns
            if is_watched
        }

    def _decide(
        self, z: Floats, bounds: Bounds, row_alarms: Mapping[int, str]
    ) -> dict[int, tuple[str, int]]:
        """Return, for each series in alarm, the detector and how many values ago it changed."""
        found: dict[int, tuple[str, int]] = {}
        over = self._mixture.update(z[self._judged].reshape(1, -1))[0]
        for column in np.flatnonzero(over):
            index = int(self._judged[column])
            if index not in self._detector:
                found[index] = ("mixture", int(self._mixture.change[column]))
        for columns, bank in self._chosen:
            alarms = bank.update(z[columns].reshape(1, -1))[0]
            for column in np.flatnonzero(alarms):
                kept = int(bank.since_rows[column])
                self._latched[columns[column]] = bounds.index - max(kept, 1) + 1
        for index in row_alarms:
            if self._latched[index] < 0 and not self.history.is_one_row(index):
                self._latched[index] = bounds.index
        for index in self._detector:
            since = self._latched[index]
            if since >= 0 and bounds.index - since >= LATCH:
                self._latched[index] = -1
            elif since >= 0:
                found[index] = (self._detector[index], bounds.index - since + 1)
        return found

    def _alarm(self, index: int, detector: str, back: int, bounds: Bounds) -> SeriesAlarm:
        series = self.series[index]
        shift = float(self.history.shifts(back)[index])
        judged = detector == "mixture"
        column = self._column[index]
        return SeriesAlarm(
            series=series.name,
            feature=series.feature,
            statistic=series.series.statistic,
            detector=detector,
            direction="up" if shift > 0 else "down",
            effect=shift / series.sd if series.sd else 0.0,
            gate=series.gate / series.sd if series.sd else 0.0,
            value=Figure(reference=series.shown, current=self.history.shown(index, back)),
            since_ms=self.history.start_of(index, back).first_ts_ms,
            told_ms=bounds.last_ts_ms,
            evidence=float(self._mixture.log_e[column]) if judged else None,
            threshold=float(self._mixture.threshold[column]) if judged else None,
        )

    def _follow(
        self, index: int, calm: float, lately: float, bounds: Bounds, verdicts: Verdicts
    ) -> None:
        """Tell a firing series resolved when it is back, or worse when it has doubled."""
        series, since = self.series[index], bounds.index - self._told[index]
        if since >= CALM and abs(calm) <= series.gate / 2:
            self._forget(index)
            verdicts.resolved.append(series.name)
            return
        if since < LATELY or not series.sd:
            return
        effect = lately / series.sd
        if effect * self._effects[index] > 0 and abs(effect) >= WORSE * abs(self._effects[index]):
            self._effects[index] = effect
            detector = self._detector.get(index, "mixture")
            verdicts.worse.append(self._alarm(index, detector, LATELY, bounds))

    def _forget(self, index: int) -> None:
        self._status[index], self._latched[index] = QUIET, -1
        self._mixture.reset_series(self._column[index])
        for columns, bank in self._chosen:
            if index in columns:
                bank.reset_series(columns.index(index))

    def state(self) -> WatchState:
        """Return what a snapshot needs."""
        return WatchState(
            self._mixture.snapshot(),
            [bank.snapshot() for _, bank in self._chosen],
            self.history.state(),
            self._status.tolist(),
            self._told,
            self._effects,
            self._latched,
        )

    def load(self, state: WatchState) -> None:
        """Take back the state of a watch of the same series."""
        self._mixture.restore(state.mixture)
        for (_, bank), data in zip(self._chosen, state.chosen, strict=True):
            bank.restore(data)
        self.history.load(state.history)
        self._status, self._told = np.array(state.status), state.told
        self._effects, self._latched = state.effects, state.latched


def _worth(reference: Dependence | None) -> float | None:
    """Return to how many independent windows a reference amounts."""
    return None if reference is None else round(float(reference.effective_windows), 1)
