"""What a partition remembers, in parts: its own, and one for each model version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tidegauge.schemas.outcomes import Poison
from tidegauge.streams.monitor.control.control import Control
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.intake.messages import NOBODY, Key
from tidegauge.streams.monitor.join.join import JoinCounts, RestorePoint
from tidegauge.streams.monitor.join.store import StoreState
from tidegauge.streams.monitor.journal.journal import JournalWriter, Position
from tidegauge.streams.monitor.journal.poison import Poisons
from tidegauge.streams.monitor.records import Source, Tally
from tidegauge.streams.monitor.rows import VersionRows
from tidegauge.streams.monitor.state import PartitionState
from tidegauge.streams.monitor.verdict.comparison import ComparisonState, VersionComparison
from tidegauge.streams.monitor.verdict.label_watch import LabelWatchState
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeState
from tidegauge.streams.monitor.verdict.prediction_watch import PredictionWatchState
from tidegauge.streams.monitor.verdict.readability import ReadState
from tidegauge.streams.monitor.verdict.retraining import PipeFault

LAYOUT = 3
RETRAINING: Key = ("", "retraining")  # of what is keyed by model alone; no model has this name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A root and parts: the root, with the latest of every part so far, is all of the state."""

    root: bytes
    parts: Mapping[Any, bytes]  # by what tells one from another


class RootState(msgspec.Struct):
    """The partition's own state. It is in every snapshot: nothing here grows with the models."""

    layout: int
    next_offset: dict[Source, int]
    tallies: dict[Source, Tally]
    restore_points: list[RestorePoint] = msgspec.field(name="marks")
    join: JoinCounts
    writer: JournalWriter
    position: Position
    nobody: dict[Source, ReadState | None] = {}  # how well records could be read that name no model
    poison: list[Poison] = []  # of records that are still to be folded


class VersionState(msgspec.Struct, tag="version"):
    """What is remembered of one model version."""

    key: Key
    controls: list[Control]  # each once; the others name places in this table
    digest: str | None
    spread: bool | None
    rows: dict[RowSource, VersionRows]
    outcome_control: int | None
    performance: OutcomeState | None
    readability: dict[Source, ReadState | None] = {}
    # Of all versions of the model, with that of no name:
    join: StoreState | None = None
    labels: LabelWatchState | None = None
    predictions: PredictionWatchState | None = None
    comparison: ComparisonState | None = None  # of all versions of the model, likewise


class RetrainingState(msgspec.Struct, tag="retraining"):
    """Until when which model's retraining is not to be asked for again, and on which rows."""

    quiet_until_ms: dict[str, int]
    faults: dict[str, list[PipeFault]] = {}
    asked: dict[str, tuple[str, int]] = {}


Part = VersionState | RetrainingState


def take(state: PartitionState, only_moved: bool = False) -> Snapshot:
    """Return everything a partition remembers; all its outputs must be acknowledged.

    With ``only_moved`` the parts that have changed since the last such snapshot; all at the
    first after a restore, as each owner keeps its own.
    """
    root = msgspec.msgpack.encode(_root(state))
    keys = state.moved if only_moved else _keys(state)
    parts = {key: msgspec.msgpack.encode(_part(state, key)) for key in sorted(keys)}
    if only_moved:
        for moved in state.moved_sets():
            moved.clear()
    return Snapshot(root, parts)


def _root(state: PartitionState) -> RootState:
    """Forget what no restore from here will read; return the rest of the partition's own."""
    at, position, join = state.next_offset, state.position, state.join
    here = RestorePoint(
        at["predictions"], at["labels"], at["outcomes"], position.epoch, position.sequence
    )
    join.add_restore_point(here, state.rows["predictions"].oldest_untyped(at["predictions"]))
    for monitors in state.rows.values():
        monitors.forget(state.rebuild_from["predictions"])
    state.poisons.forget({**at, **state.rebuild_from})
    return RootState(
        LAYOUT,
        at,
        state.tallies,
        join.restore_points,
        join.counts,
        state.writer,
        position,
        {source: own.state(NOBODY) for source, own in state.readability.items()},
        state.poisons.entries,
    )


def _keys(state: PartitionState) -> set[Key]:
    """Return the keys of all parts."""
    versions, outcomes = state.versions, state.outcomes
    own = {*versions.digests, *versions.spread, *outcomes.controls, *outcomes.monitors}
    own |= {*outcomes.prediction_watches}
    of_models = *state.join.stores, *outcomes.label_watches, *outcomes.comparisons
    own |= {(model, "") for model in of_models}
    asked = state.retraining
    own |= {RETRAINING} if asked.quiet_until_ms or asked.faults else set()
    return own.union(
        *(monitors.keys() for monitors in state.rows.values()),
        *(read.models.keys() - {NOBODY} for read in state.readability.values()),
    )


def _part(state: PartitionState, key: Key) -> Part:
    if key == RETRAINING:
        asked = state.retraining
        return RetrainingState(asked.quiet_until_ms, asked.faults, asked.asked)
    table: dict[int, tuple[int, Control]] = {}

    def place(control: Control) -> int:
        return table.setdefault(id(control), (len(table), control))[0]

    versions, outcomes = state.versions, state.outcomes
    rows = {source: monitors.state(key, place) for source, monitors in state.rows.items()}
    control, performance = outcomes.controls.get(key), outcomes.monitors.get(key)
    labels = outcomes.label_watches.get(key[0])
    predictions = outcomes.prediction_watches.get(key)
    compared = outcomes.comparisons.get(key[0])
    outcome_place = None if control is None else place(control)
    return VersionState(
        key,
        [control for _, control in table.values()],
        versions.digests.get(key),
        versions.spread.get(key),
        rows,
        outcome_place,
        None if performance is None else performance.state(),
        {source: own.state(key) for source, own in state.readability.items()},
        None if key[1] else state.join.state(key[0]),
        None if key[1] or labels is None else labels.state(),
        None if predictions is None else predictions.state(),
        None if key[1] or compared is None else compared.state(),
    )


def load(state: PartitionState, root: RootState, parts: Iterable[Part]) -> None:
    """Let a new partition remember what a snapshot holds."""
    state.next_offset, state.tallies = root.next_offset, root.tallies
    state.join.restore_points, state.join.counts = root.restore_points, root.join
    state.writer, state.position = root.writer, root.position
    state.poisons = Poisons(root.poison)
    for topic, nobody in root.nobody.items():
        state.readability[topic].load(NOBODY, nobody)
    for part in parts:
        if isinstance(part, VersionState):
            _load_version(state, part)
        else:
            state.retraining.quiet_until_ms = part.quiet_until_ms
            state.retraining.faults, state.retraining.asked = part.faults, part.asked
    state.changed = _keys(state)


def _load_version(state: PartitionState, part: VersionState) -> None:
    key, table, outcomes = part.key, part.controls, state.outcomes
    if part.digest is not None:
        state.versions.digests[key] = part.digest
    if part.spread is not None:
        state.versions.spread[key] = part.spread
    for source, rows in state.rows.items():
        rows.load(key, part.rows[source], table)
    if part.outcome_control is not None:
        outcomes.controls[key] = table[part.outcome_control]
    if part.performance is not None:
        outcomes.monitor(key).load(part.performance)
    for topic, read in part.readability.items():
        state.readability[topic].load(key, read)
    if part.join is not None:
        state.join.load(key[0], part.join)
    if part.labels is not None:
        outcomes.label_watch(key[0]).load(part.labels)
    if part.predictions is not None:
        outcomes.prediction_watch(key).load(part.predictions)
    if part.comparison is not None:
        outcomes.comparisons[key[0]] = VersionComparison.restore(part.comparison)
