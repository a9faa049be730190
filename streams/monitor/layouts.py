"""Reads snapshots of every layout there was."""

import msgspec

from tidegauge.streams.monitor.control.control import Control
from tidegauge.streams.monitor.intake.columns import Columns, RowSource
from tidegauge.streams.monitor.intake.decoding import Intake, Key
from tidegauge.streams.monitor.rows import VersionRows
from tidegauge.streams.monitor.snapshot import (
    LAYOUT,
    Part,
    RetrainingState,
    RootState,
    Snapshot,
    VersionState,
)
from tidegauge.streams.monitor.verdict.drift import DriftState
from tidegauge.streams.monitor.verdict.performance import PerformanceState

_PART = msgspec.msgpack.Decoder(Part)


class _Layout(msgspec.Struct):
    layout: int


def read_snapshot(snapshot: Snapshot) -> tuple[RootState, list[Part]]:
    """Return what a root and its parts hold; ValueError where they cannot be read."""
    layout = msgspec.msgpack.decode(snapshot.root, type=_Layout).layout
    if layout == 1:
        return _read_layout_1(snapshot.root)
    if layout != LAYOUT:
        raise ValueError(f"snapshot: expected layout 1 or {LAYOUT}, got {layout}")
    root = msgspec.msgpack.decode(snapshot.root, type=RootState)
    return root, [_PART.decode(part) for part in snapshot.parts.values()]


class _Rows1(msgspec.Struct):
    controls: list[tuple[Key, int]]
    changes: list[tuple[int, Key, int]]
    spread: list[tuple[Key, bool]]
    columns: list[tuple[Key, Columns]]
    intakes: list[tuple[Key, Intake]]
    past: list[tuple[Key, list[tuple[int, Columns]]]]
    monitors: list[tuple[Key, DriftState]]


class _State1(RootState, kw_only=True):
    """Layout 1: the whole partition in one piece; controls are places in one table."""

    controls: list[Control]
    rows: dict[RowSource, _Rows1]
    outcome_controls: list[tuple[Key, int]]
    performance: list[tuple[Key, PerformanceState]]
    digests: list[tuple[Key, str]]
    spread: list[tuple[Key, bool]]
    quiet_until_ms: dict[str, int]


def _read_layout_1(data: bytes) -> tuple[RootState, list[Part]]:
    state = msgspec.msgpack.decode(data, type=_State1)
    keys = {key for key, *_ in (*state.digests, *state.spread, *state.outcome_controls)}
    parts: list[Part] = [_version_of(state, key) for key in sorted(keys)]
    return state, [*parts, RetrainingState(state.quiet_until_ms)]


def _version_of(state: _State1, key: Key) -> VersionState:
    return VersionState(
        key,
        state.controls,
        dict(state.digests).get(key),
        dict(state.spread).get(key),
        {
            source: VersionRows(
                dict(rows.controls).get(key),
                [(offset, place) for offset, own, place in rows.changes if own == key],
                dict(rows.spread).get(key),
                dict(rows.columns).get(key),
                dict(rows.intakes).get(key),
                dict(rows.past).get(key, []),
                dict(rows.monitors).get(key),
            )
            for source, rows in state.rows.items()
        },
        dict(state.outcome_controls).get(key),
        dict(state.performance).get(key),
    )
