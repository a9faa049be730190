"""Layout 2: a part a model version, with monitors that are not today's.

What they had learned holds, and their open incidents are followed to their ends. Open windows,
references half learned and the evidence of detectors begin anew.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from tidegauge.schemas.monitors import RetrainingSpec, WindowSpec
from tidegauge.schemas.outcomes import LabelCounts
from tidegauge.schemas.references import Reference, SeriesProfile
from tidegauge.streams.monitor.control.columns import watched_columns
from tidegauge.streams.monitor.control.control import Control
from tidegauge.streams.monitor.control.control import control as default
from tidegauge.streams.monitor.intake.block import Waiting
from tidegauge.streams.monitor.intake.columns import Columns, RowSource
from tidegauge.streams.monitor.intake.messages import NOBODY, Key
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.snapshot import Part, RetrainingState, RootState, VersionState
from tidegauge.streams.monitor.verdict.incidents import Incident, MonitorSource, Origin
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.verdict.label_watch import LabelWatch, LabelWatchState
from tidegauge.streams.monitor.verdict.monitor import Monitor
from tidegauge.streams.monitor.verdict.nil_cohort import NilCohort
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeMonitor, OutcomeState
from tidegauge.streams.monitor.verdict.readability import Readable, ReadState
from tidegauge.streams.monitor.verdict.watch import FIRING
from tidegauge.streams.monitor.windows.bounds import Bounds

Tree = dict[str, Any]  # of a struct, as it was written

WINDOWS = WindowSpec(rows=1000)  # of then, where there was no spec


class _Judge(msgspec.Struct):
    incidents: list[Incident]


class _Inputs(msgspec.Struct):
    observed: int
    window: Bounds
    reference: Reference | None  # where it was learned here
    judge: _Judge | None


class _Pairs(msgspec.Struct):
    ts_ms: list[int]
    offsets: list[int]
    labels: list[float]
    scores: list[float]


class _Outcomes(msgspec.Struct):
    observed: int
    task: str
    pairs: _Pairs
    window: Bounds
    profiles: dict[str, SeriesProfile]  # learned, or published
    judge: _Judge | None
    labels: LabelCounts = msgspec.field(default_factory=LabelCounts)


class _Shares(msgspec.Struct):
    judge: _Judge | None


class _Read(msgspec.Struct):
    rows: int
    rejected: int
    reason: str
    window: Bounds
    reasons: dict[str, int]
    shares: _Shares
    last_ms: int = 0


class _Labels(msgspec.Struct):
    counts: LabelCounts
    last_offset: int
    judged: LabelCounts
    window: Bounds
    shares: _Shares


class _Rows(msgspec.Struct):
    monitor: _Inputs | None


class _Version(msgspec.Struct):
    rows: dict[RowSource, _Rows]
    performance: _Outcomes | None
    readability: dict[Source, _Read | None] = {}
    labels: _Labels | None = None


def read(root: Tree, parts: Iterable[Tree]) -> tuple[RootState, list[Part]]:
    """Return what they say today; ValueError where they cannot be read."""
    nobody = msgspec.convert(root.pop("nobody", {}), dict[Source, _Read | None])
    state = msgspec.convert(root, RootState)
    state.nobody = {source: _readable(own) for source, own in nobody.items()}
    return state, [_part(part, state.next_offset["predictions"]) for part in parts]


def _part(tree: Tree, offset: int) -> Part:
    """Return a part of today; ``offset`` is that of the next prediction."""
    if tree["type"] == "retraining":
        return msgspec.convert(tree, RetrainingState)
    old = msgspec.convert(tree, _Version)
    for tables in tree["rows"].values():
        tables["monitor"] = None
    as_ever = tree | {"performance": None, "readability": {}, "labels": None}
    part = msgspec.convert(as_ever, VersionState)
    part.controls = [_by_default(control) for control in part.controls]
    for source, rows in old.rows.items():
        _rows(part, source, rows.monitor, offset)
    part.performance = _outcomes(part, old.performance)
    part.readability = {source: _readable(own) for source, own in old.readability.items()}
    part.labels = _label_watch(part.key[0], old.labels)
    return part


def _by_default(control: Control) -> Control:
    """Return the defaults of today where those of then held."""
    today = default(control.spec.model, None, None)
    return today if control.digest == today.digest else control


def _rows(part: VersionState, source: RowSource, old: _Inputs | None, offset: int) -> None:
    """Let the columns and the monitor of a version's rows be today's."""
    rows = part.rows[source]
    if rows.control is None or rows.columns is None:
        return
    control, held = part.controls[rows.control], rows.columns
    if old is not None and old.reference is not None:
        control = replace(control, reference=old.reference, learned=True)
        rows.control = len(part.controls)
        part.controls.append(control)
    rows.columns = _columns(control, held)
    if rows.columns != held and source == "predictions":  # which a restore reads again
        rows.past.append((offset, held))
    if old is not None:
        monitor = InputMonitor(_origin(part.key, source), control, rows.columns, share=1.0)
        monitor.observed = old.observed
        _go_on(monitor, _anew(old.window), old.judge)
        rows.monitor = monitor.state()


def _columns(control: Control, held: Columns) -> Columns:
    """Return the columns of then by the rules of today."""
    declared = control.spec.types
    if control.reference is not None:
        return watched_columns(control.reference, declared)
    coded = tuple(name for name in held.categorical if name in declared)
    return Columns(held.numeric, held.categorical, coded)


def _outcomes(part: VersionState, old: _Outcomes | None) -> OutcomeState | None:
    if old is None:
        return None
    place = part.outcome_control
    control = default(part.key[0], None, None) if place is None else part.controls[place]
    monitor = OutcomeMonitor(_origin(part.key, "outcomes"), control, share=1.0)
    if old.profiles and not (control.reference is not None and control.reference.outcomes):
        monitor.outcomes.task = old.task
        monitor.outcomes.follow(old.profiles)
        monitor.windows = monitor.windows or WINDOWS
    monitor.observed, monitor.labels, held = old.observed, old.labels, old.pairs
    numbers = np.array([held.labels, held.scores], np.float64).T.tobytes()
    monitor.waiting = Waiting(held.offsets, held.ts_ms, numbers, [], ("label", "score"))
    _go_on(monitor, _anew(old.window), old.judge)
    return monitor.state()


def _readable(old: _Read | None) -> ReadState | None:
    if old is None:
        return None
    monitor = Readable(_origin(NOBODY, "predictions")).monitor
    _go_on(monitor, _anew(old.window), old.shares.judge)
    return ReadState(old.rows, old.rejected, old.reason, old.last_ms, old.reasons, monitor.state())


def _label_watch(model: str, old: _Labels | None) -> LabelWatchState | None:
    if old is None:
        return None
    monitor = LabelWatch(model, "", 0).monitor
    _go_on(monitor, old.window, old.shares.judge)  # nothing of it is lost: it follows from counts
    return LabelWatchState(old.counts, old.last_offset, old.judged, monitor.state())


def _origin(key: Key, source: MonitorSource) -> Origin:
    return Origin(*key, source, "", 0, RetrainingSpec(), 0)  # of which only the source matters here


def _anew(window: Bounds) -> Bounds:
    """Return an empty window in the place of one that was open."""
    return replace(window.following(), index=window.index)


def _go_on(monitor: Monitor, bounds: Bounds, judge: _Judge | None) -> None:
    """Go on at a window with open incidents: what was told is followed, and not told again.

    Of a series that is no longer watched nothing further can be said: it is taken for over.
    """
    cohort, incidents = monitor.cohorts[0], [] if judge is None else judge.incidents
    if incidents and isinstance(cohort, NilCohort):
        cohort.follow()
    monitor.begin(bounds)
    monitor.incidents.open = incidents
    told = {
        name: alarm
        for incident in incidents
        for name, alarm in incident.alarms.items()
        if alarm.resolved_ms is None
    }
    if cohort.watch is not None:
        state = cohort.watch.state()
        for at, series in enumerate(cohort.watch.series):
            if series.name in told and series.reference is not None:
                state.status[at], state.told[at] = FIRING, bounds.index
                state.effects[at] = told.pop(series.name).effect
        cohort.watch.load(state)
    for incident in incidents:
        for name in told.keys() & incident.alarms.keys():
            incident.alarms[name] = replace(told[name], resolved_ms=bounds.last_ts_ms)
