"""Decides, window by window, which series of a monitor have moved enough to be told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np

from tidegauge.detectors.base import Bank
from tidegauge.detectors.drift.mixture import WINDOW, MixtureEDetector
from tidegauge.detectors.registry import DETECTORS
from tidegauge.detectors.statistics.dependence import Dependence, standardise, table
from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.monitors import DetectorSpec, Duration, milliseconds
from tidegauge.schemas.windows import SeriesReport
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.watched import MOST_CALM, Watched
from tidegauge.streams.monitor.verdict.history import History, HistoryState
from tidegauge.streams.monitor.verdict.level import Level, needed, steady_level
from tidegauge.streams.monitor.verdict.likeness import Likeness, Limits
from tidegauge.streams.monitor.verdict.standing import ALIKE, LEAST_ROWS, stand
from tidegauge.streams.monitor.verdict.weekly import Usual
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.readings import ROWS, SHOWN, VALUE

LATCH = WINDOW  # windows for which an alarm of ADWIN or Page-Hinkley waits for the gate
LATELY = 7  # windows that tell whether it is worse, and from one look for a level to the next
WORSE = 2.0  # an incident goes on when a shift has grown by this factor

QUIET, PENDING, FIRING = range(3)
STATES = ("quiet", "pending", "firing")


class Settled(NamedTuple):
    """A series that has kept a new level."""

    series: str
    value: Figure  # of the reference and of the level
    effect: float
    since_ms: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one window changed."""

    fired: list[SeriesAlarm] = field(default_factory=list)
    worse: list[SeriesAlarm] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)  # series names
    settled: list[Settled] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)  # of the resolved, from a level


class WatchState(msgspec.Struct):
    """Everything a watch remembers, for the snapshot."""

    mixture: bytes
    chosen: list[bytes]
    history: HistoryState
    status: list[int]
    told: list[int]  # window in which a firing series was told
    effects: list[float]  # as told
    latched: list[int]  # window of the change an ADWIN or Page-Hinkley alarm stands for; -1: none
    since: list[int] = []  # window in which a firing series moved; none: when it was told
    levels: dict[int, Level] = {}
    adopted: dict[int, Level] = {}


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
    adopt
        For how long a level must be kept to take the reference's place, in event time.
    is_bounded
        Whether a bound of the evidence is enough where it is no alarm.
    """

    def __init__(
        self,
        series: Sequence[Watched],
        false_alarms: Floats,
        horizon: int,
        detectors: Sequence[DetectorSpec] = (),
        limits: Limits = MappingProxyType({}),
        adopt: Duration | None = None,
        is_bounded: bool = False,
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
        self._known = np.array([_known(s) for s in self.series]).reshape(-1, 6).T.copy()
        self._watched = [s.series.is_watched for s in self.series]
        self._worth = [_worth(s.reference) for s in self.series]
        self._mixture = MixtureEDetector(
            known, np.minimum(false_alarms, most)[judged], float(horizon), bounded=is_bounded
        )
        width = len(self.series)
        self.usual = Usual(self.series)
        self.levels: dict[int, Level] = {}  # with which series are compared, not the reference
        self._adopted: dict[int, Level] = {}  # that are the reference now
        self._adopt_ms = inf if adopt is None else milliseconds(adopt)
        self._against = list(self.series)  # with what each is compared
        self.history = History(self._against)
        self._status = np.full(width, QUIET)
        self._told = [0] * width
        self._effects = [0.0] * width
        self._latched = [-1] * width
        self._since = [0] * width

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
        apart = self._likeness.apart(readings[SHOWN])
        readings = self.usual.taken_off(readings, bounds.slot)
        values, rows, shown = readings[VALUE], readings[ROWS], readings[SHOWN]
        (z, sd, firm), blatants = np.empty((3, len(values))), np.empty(len(values), np.bool_)
        standardise(z, sd, values, rows, self._references)
        self._known[ALIKE] = np.where(apart, 0.0, self._likeness.correlation)
        stand(firm, blatants, readings, sd, self._known)
        self.history.remember(values, rows, firm, shown, sd, bounds)
        alarms = self._decide(z, bounds, row_alarms)
        moved = blatants | (self._status != QUIET)
        moved[list(alarms)] = True
        verdicts = Verdicts()
        back_at = self._back() if FIRING in self._status or self.levels else {}
        lately = self.history.shifts(LATELY).tolist() if back_at else []
        for index, home in back_at.items():
            if self._status[index] != FIRING and home is self.series[index]:
                self._compare(index, None)  # a fall that is not told
        for index in np.flatnonzero(moved & ~np.isnan(values)).tolist():
            if self._status[index] == FIRING:
                self._follow(index, back_at[index], lately[index], bounds, verdicts)
                continue
            blatant = bool(blatants[index])
            if not blatant and index not in alarms:
                self._status[index] = QUIET
                continue
            watched = self._against[index]
            detector, back = ("blatant", 1) if blatant else alarms.get(index, ("", 0))
            self._status[index] = PENDING if back else QUIET
            if self._is_worth(index, back) and (blatant or (back and watched.decides)):
                alarm = self._alarm(index, detector, back, bounds)
                seen = examples.get(watched.name, [])
                verdicts.fired.append(msgspec.structs.replace(alarm, examples=seen))
                self._status[index], self._told[index] = FIRING, bounds.index
                self._since[index] = self.history.start_of(index, back).index
                self._effects[index] = alarm.effect
        for index, level in list(self.levels.items()):
            is_kept = bounds.last_ts_ms - level.since_ms >= self._adopt_ms
            if is_kept and self._status[index] != FIRING:
                self._adopt(index)
        return verdicts

    def _is_worth(self, index: int, back: int) -> bool:
        """Return whether the last values are off by the gate, and several rows carry it."""
        watched, shift = self._against[index], float(self.history.shifts(back)[index])
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

    def decider(self, name: str) -> str:
        """Return which detector decides for a series."""
        return self._detector.get(self.names.index(name), "mixture")

    def report(self, with_quiet: bool = True) -> dict[str, SeriesReport]:
        """Return what the last window was worth, series by series, those that are quiet or not."""
        log_e = dict(zip(self._column, self._mixture.log_e.tolist(), strict=True))
        threshold = dict(zip(self._column, self._mixture.threshold.tolist(), strict=True))
        starts = self.history.starts
        usual = self.usual.at(starts[-1].slot if starts else None).tolist()
        columns = zip(self.names, self.history.last, self._status.tolist(), usual, strict=True)
        return {
            name: SeriesReport(
                value=value + usual if isfinite(value) else None,
                evidence=own if isfinite(own := log_e.get(index, nan)) else None,
                threshold=threshold.get(index),
                worth=self._worth[index],
                state=STATES[status],
                level_ms=self.levels[index].since_ms if index in self.levels else None,
            )
            for index, (name, value, status, usual) in enumerate(columns)
            if self._watched[index] and (with_quiet or status != QUIET)
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
        series, level = self._against[index], self.levels.get(index)
        shift = float(self.history.shifts(back)[index])
        off = shift + series.mean - self.series[index].mean  # from the reference
        usual = self.history.mean_of(self.usual.shown[:, index], index, back)
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
            value=Figure(
                reference=series.shown + usual, current=self.history.shown(index, back) + usual
            ),
            since_ms=self.history.start_of(index, back).first_ts_ms,
            told_ms=bounds.last_ts_ms,
            evidence=float(self._mixture.log_e[column]) if judged else None,
            threshold=float(self._mixture.threshold[column]) if judged else None,
            level_ms=None if level is None else level.since_ms,
            is_return=level is not None and abs(off) < abs(shift),
            slice=series.slice,
        )

    def _back(self) -> dict[int, Watched | None]:
        """Return with what each series that fires agrees again; None: with nothing yet.

        So may one whose fall from a level is not told.
        """
        found: dict[int, Watched | None] = {}
        firing = np.flatnonzero(self._status == FIRING).tolist()
        firing += [index for index in self.levels if self.series[index].series.rises_only]
        for home in (self._against, self.series):
            counts = np.array([self._calm(at, one) for at, one in enumerate(home)], np.int64)
            means = np.array([one.mean for one in home], np.float64)
            shifts = np.abs(self.history.shifts(counts, means))
            for index in firing:
                is_calm = bool(shifts[index] <= home[index].gate / 2)
                found[index] = found.get(index) or (home[index] if is_calm else None)
        return found

    def _calm(self, index: int, home: Watched) -> int:
        """Return how many windows must be back: not fewer than its alarm stood on, up to 14."""
        stood = self._told[index] - self._since[index] + 1
        return max(home.calm, min(stood, MOST_CALM))

    def _follow(
        self, index: int, home: Watched | None, lately: float, bounds: Bounds, verdicts: Verdicts
    ) -> None:
        """Tell a firing series over when it is back or has settled, worse when it has doubled."""
        series, since = self._against[index], bounds.index - self._told[index]
        if home is not None and since >= self._calm(index, home):
            if home is not series:
                verdicts.returned.append(series.name)
            self._compare(index, self.levels.get(index) if home is series else None)
            verdicts.resolved.append(series.name)
            return
        level = self._level(index, bounds)
        if level is not None:
            self._compare(index, level)
            verdicts.settled.append(self._settled(index, level))
            return
        if since < LATELY or not series.sd:
            return
        effect = lately / series.sd
        if effect * self._effects[index] > 0 and abs(effect) >= WORSE * abs(self._effects[index]):
            self._effects[index] = effect
            detector = self._detector.get(index, "mixture")
            verdicts.worse.append(self._alarm(index, detector, LATELY, bounds))

    def _level(self, index: int, bounds: Bounds) -> Level | None:
        """Return the level that a firing series has kept since it moved, if it has for long enough.

        What is judged against noughts has none: they are what there should be.
        """
        series, windows = self.series[index], bounds.index - self._since[index] + 1
        count = needed(series)
        if (
            windows < count
            or (windows - count) % LATELY
            or not (series.sd and series.series.has_spec)
        ):
            return None
        start = self.history.start_of(index, count)
        values, rows = self.history.last_of(index, count)
        if len(values) < count or start.index < self._since[index]:
            return None
        shown = self.history.shown(index, count)
        return steady_level(series, values, rows, shown, start.first_ts_ms)

    def _settled(self, index: int, level: Level) -> Settled:
        series, shift = self.series[index], self._against[index].mean - self.series[index].mean
        value = Figure(reference=series.shown, current=level.profile.shown)
        return Settled(series.name, value, shift / series.sd, level.since_ms)

    def _compare(self, index: int, level: Level | None) -> None:
        """Go on with a series, afresh, compared with a level; None: with the reference."""
        self.levels.pop(index, None)
        if level is not None:
            self.levels[index] = level
        series = self.series[index]
        own = self._against[index] = series if level is None else level.watched(series)
        self._known[:, index] = _known(own)
        self._worth[index] = _worth(own.reference)
        self._references[:, index] = table([own.reference])[:, 0]
        self.history.refer(index)
        if own.reference is not None:
            self._mixture.refer(self._column[index], own.reference)
        self._forget(index)

    def adopt(self, names: Collection[str]) -> None:
        """Let the levels with which these series are compared be the reference, as they are now."""
        for index in list(self.levels):
            if self.names[index] in names:
                self._adopt(index)

    def _adopt(self, index: int) -> None:
        """Let the level with which a series is compared be the reference."""
        self._adopted[index], self.series[index] = self.levels.pop(index), self._against[index]

    def _forget(self, index: int) -> None:
        self._status[index], self._latched[index] = QUIET, -1
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
            self._since,
            self.levels,
            self._adopted,
        )

    def load(self, state: WatchState) -> None:
        """Take back the state of a watch of the same series."""
        for index, level in state.adopted.items():
            self._compare(index, level)
            self._adopt(index)
        for index, level in state.levels.items():
            self._compare(index, level)
        self._mixture.restore(state.mixture)
        for (_, bank), data in zip(self._chosen, state.chosen, strict=True):
            bank.restore(data)
        self.history.load(state.history)
        self._status, self._told = np.array(state.status), state.told
        self._effects, self._latched = state.effects, state.latched
        self._since = state.since or list(state.told)


def _known(series: Watched) -> list[float]:
    """Return what is to be known of a series of whether it is told at once."""
    level = np.nan if series.reference is None else series.reference.mean
    return [series.mean, series.gate, series.series.is_share, level, series.far, 0.0]


def _worth(reference: Dependence | None) -> float | None:
    """Return to how many independent windows a reference amounts."""
    return None if reference is None else round(float(reference.effective_windows), 1)
