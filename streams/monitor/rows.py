"""The drift monitors of one row source in one partition, and the changes they wait for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from tidegauge.schemas.monitors import MonitorSpec, feature_of
from tidegauge.streams.monitor.control.columns import other_features, same_columns, watched_columns
from tidegauge.streams.monitor.control.control import Control
from tidegauge.streams.monitor.intake.awaited import Shown
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.intake.columns import SCORE, Columns, RowSource
from tidegauge.streams.monitor.intake.decoding import Batch, BatchReader
from tidegauge.streams.monitor.intake.messages import Intake, Key
from tidegauge.streams.monitor.intake.record_batch import until
from tidegauge.streams.monitor.intake.rejections import Rejection
from tidegauge.streams.monitor.records import Output, Record
from tidegauge.streams.monitor.series.expression import Expression
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.input_cohort import InputsState
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.verdict.monitor import MonitorState
from tidegauge.streams.monitor.windows.cutting import windows_of

MAX_MODELS = 1000  # model versions watched in one partition; rows of further ones are rejected
MANY = 4096  # outputs; so many are sent before further records are folded


@dataclass(frozen=True, slots=True)
class Change:
    """A control change that takes effect at an offset of this source."""

    offset: int
    key: Key
    control: Control


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it was, before the row at an offset of this source."""

    offset: int
    key: Key
    now_ms: int


class Scheduled(msgspec.Struct, array_like=True):
    """A change or a tick in a snapshot; earlier versions wrote changes alone, without a time."""

    offset: int
    control: int | None  # a place in the part's table of controls; None of a tick
    now_ms: int = 0


class VersionRows(msgspec.Struct):
    """Everything remembered of one model version's rows in one source, for the snapshot."""

    control: int | None  # a place in the part's table of controls
    changes: list[Scheduled]  # in the order in which they take effect
    spread: bool | None
    columns: Columns | None
    intake: Intake | None
    past: list[tuple[int, Columns]]
    monitor: MonitorState | None
    awaited: dict[str, Shown] = {}
    sliced_from: int = 0


@dataclass(slots=True)
class RowsFolded:
    """What a batch of rows gave, and where it stopped."""

    outputs: list[Output] = field(default_factory=list)
    blocks: list[tuple[Key, Block]] = field(default_factory=list)
    released: dict[Key, int] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    unknown: Key | None = None
    read: int = 0  # records


class RowMonitors:
    """Folds the rows of ``predictions`` or ``features``, each model version into its monitor."""

    def __init__(self, source: RowSource, topic: str, partition: int, partitions: int) -> None:
        self.source, self.topic, self.partition = source, topic, partition
        self.partitions = partitions
        self.controls: dict[Key, Control] = {}
        self.specs: dict[str, dict[str, MonitorSpec]] = {}  # theirs, by model and version
        self.changes: list[Change | Clock] = []
        self.reader = BatchReader(source)
        self.monitors: dict[Key, InputMonitor] = {}
        # Columns that held before an offset: a restore reads the rows before it as they were read.
        self.past: dict[Key, list[tuple[int, Columns]]] = {}
        self.sliced_from: dict[Key, int] = {}  # offset from which on, where the spec has changed
        self.gathers = True  # rows of several batches, where one must not tell which one fails
        self.moved: set[Key] = set()  # what has changed of since the last snapshot

    def schedule(self, offset: int, key: Key, control: Control) -> None:
        """Let a control take effect before the record at ``offset``.

        In the order of the journal, so that the newest wins: none before one scheduled earlier.
        """
        self.moved.add(key)
        offset = self.earliest_change(key, offset)
        # Nothing lies between it and an earlier one for the same place, if not a tick.
        here = [c for c in self.changes if (c.offset, c.key) == (offset, key)]
        if all(isinstance(c, Change) for c in here):
            self.changes = [c for c in self.changes if c not in here]
        self._append(Change(offset, key, control))

    def tick(self, offset: int, key: Key, now_ms: int) -> None:
        """Let windows that had ended by then close before the record at ``offset``."""
        self.moved.add(key)
        self._append(Clock(offset, key, now_ms))

    def _append(self, change: Change | Clock) -> None:
        self.changes.append(change)
        self.changes.sort(key=lambda change: change.offset)

    def earliest_change(self, key: Key, offset: int) -> int:
        """Return ``offset``, or that of the last change which is scheduled, if it is later."""
        return max([offset, *(change.offset for change in self.changes if change.key == key)])

    def over(self, now_ms: int) -> list[Key]:
        """Return the model versions of which a window has ended by the clock, and no row came."""
        return sorted(key for key, own in self.monitors.items() if own.is_over(now_ms))

    def apply_ticks(self, offset: int) -> list[Output]:
        """Let the clock that was journaled take effect where all rows before it are folded."""
        due = any(isinstance(c, Clock) and c.offset <= offset for c in self.changes)
        return self._apply_due(offset) if due else []

    def before_change(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the first records, up to the next change: all are read under one control."""
        first = records[0].offset
        ends = next((c.offset for c in self.changes if c.offset > first), None)
        return records if ends is None else until(records, ends)

    def fold(self, records: Sequence[Record]) -> RowsFolded:
        """Fold records in order, up to the first of a model version without a control.

        Not all of them where many are rejected: what is told of these takes more memory than they.
        No change may take effect among them; see ``before_change``.
        """
        self.reader.waiting.begin()
        folded = RowsFolded(outputs=self._apply_due(records[0].offset))
        while folded.read < len(records) and len(folded.rejections) < MANY:
            rest = records[folded.read :]
            batch = self.reader.read(rest, self.controls)
            folded.read += batch.stop
            folded.rejections += batch.rejections
            folded.blocks += batch.blocks
            folded.released |= batch.released
            self.moved |= batch.touched
            for grown in batch.grown:
                self._outgrow(grown.key, grown.offset, grown.columns)
            folded.outputs += self._fold(batch.blocks)
            if batch.unknown is not None and len(self.controls) < MAX_MODELS:
                folded.unknown = batch.unknown
                return folded
            if batch.unknown is not None:
                reason = f"expected at most {MAX_MODELS} model versions in a partition"
                folded.rejections.append(Rejection(records[folded.read], reason, "TooManyModels"))
                folded.read += 1
        return folded

    def _fold(self, blocks: Sequence[tuple[Key, Block]]) -> list[Output]:
        outputs: list[Output] = []
        for key, block in blocks:
            self.moved.add(key)
            monitor = self._monitor(key, block.names, block.categorical)
            outputs += monitor.fold(block)
            if not self.gathers:
                monitor.settle()
        return outputs

    def release(self) -> RowsFolded:
        """Fold all rows that wait for more of their versions; nothing is told of them."""
        blocks = self.reader.release()
        return RowsFolded(self._fold(blocks), blocks)

    def settle(self) -> None:
        """Fold all rows that monitors gathered."""
        for monitor in self.monitors.values():
            monitor.settle()

    def settled_before(self, offset: int) -> int:
        """Return before which offset all rows are folded, ``offset`` at most."""
        blocks = (monitor.gathered_rows.block for monitor in self.monitors.values())
        gathered = [int(block.offsets[0]) for block in blocks if block is not None]
        return min([offset, self.reader.waiting.oldest, *gathered])

    def changes_at(self, offset: int) -> bool:
        """Return whether a change takes effect before the record at an offset."""
        return bool(self.changes) and self.changes[0].offset <= offset

    def _apply_due(self, offset: int) -> list[Output]:
        outputs: list[Output] = []
        while self.changes_at(offset):
            change = self.changes.pop(0)
            if isinstance(change, Change):
                outputs += self._apply(change.key, change.control, offset)
            elif change.key in self.monitors:
                self.moved.add(change.key)
                outputs += self.monitors[change.key].tick(change.now_ms)
        return outputs

    def _apply(self, key: Key, control: Control, offset: int) -> list[Output]:
        """Watch a model version by a new control; what was open under the old one is closed."""
        self.moved.add(key)
        if key in self.monitors:
            self.monitors[key].settle()
        before = self.controls.get(key)
        if (adopted := control.adopts(before)) is not None and before is not None:
            self._hold(key, msgspec.structs.replace(before, adopted=control.adopted))
            if key in self.monitors:
                self.monitors[key].adopt(adopted)
            return []
        old = self.monitors.pop(key, None)
        spec = control.spec
        if control.reference is not None and control.reference.source != self.source:
            control = msgspec.structs.replace(control, reference=None)
        learned = old.learned if old is not None else None
        if old is None and before is not None and before.learned:
            learned = before.reference  # no row came between two changes
        if control.reference is None and learned is not None and before is not None:
            fits = spec.windows in (None, windows_of(spec.windows, learned.windows))
            fits &= spec.baseline == before.spec.baseline
            if fits and same_columns(learned, spec.types, before.spec.types):  # it still holds
                control = msgspec.structs.replace(control, reference=learned, learned=True)
        columns = self.reader.columns.get(key)
        if before is not None and before.spec.slices != spec.slices:
            self.sliced_from[key] = offset
        self._hold(key, control)
        if control.reference is not None:
            self.reader.columns[key] = watched_columns(control.reference, spec.types)
            rest = other_features(control.reference, spec.features)
            rest += [name for check in spec.checks for name in Expression(check).names]
            if control.learned and columns is not None:
                rest += [*columns.numeric, *columns.categorical, *self.reader.awaited.get(key, ())]
            self.reader.awaited[key] = {}
            self.reader.wait_for(key, rest)
        elif before is not None and before.spec.types != spec.types:
            self.reader.columns.pop(key, None)
            self.reader.awaited.pop(key, None)
        self.reader.reopen(key)
        if columns is not None and columns != self.reader.columns.get(key):
            self._outgrow(key, offset, columns)
        if old is None:
            return []
        if old.waiting.offsets and columns == self.reader.columns.get(key):
            first = old.inputs[0]
            self._monitor(key, first.numeric, first.categorical).waiting = old.waiting
        return old.supersede()

    def _hold(self, key: Key, control: Control) -> None:
        self.controls[key] = control
        self.specs.setdefault(key[0], {})[key[1]] = control.spec
        self.reader.declared[key] = control.spec.types
        is_published = control.reference is not None and not control.learned
        (self.reader.fixed.add if is_published else self.reader.fixed.discard)(key)

    def sliced_by(self, key: Key) -> list[str]:
        """Return the features by which the spec of a model version slices its rows."""
        control = self.controls.get(key)
        return [] if control is None else [feature_of(own) for own in control.spec.slices]

    def sliced(self, key: Key) -> tuple[list[str], int]:
        """Return these features, and from which offset on rows are sliced so."""
        return self.sliced_by(key), self.sliced_from.get(key, 0)

    def _outgrow(self, key: Key, offset: int, columns: Columns) -> None:
        """Remember columns that hold no longer: a restore reads predictions again, for the join."""
        if self.source == "predictions":
            self.past.setdefault(key, []).append((offset, columns))

    def _monitor(
        self, key: Key, numeric: Sequence[str], categorical: Sequence[str]
    ) -> InputMonitor:
        """Return the monitor of a model version; a new one begins with what a reference describes.

        Or with these columns, where there is no reference.
        """
        if key not in self.monitors:
            control = self.controls[key]
            features = tuple(name for name in numeric if name != SCORE)
            columns = Columns(features, tuple(categorical))
            if control.reference is not None:
                columns = watched_columns(control.reference, control.spec.types)
            origin = Origin(
                key[0], key[1], self.source, self.topic, self.partition, control.spec.retraining, 0
            )
            share = 1 / self.partitions if self.reader.spread[key] else 1.0
            self.monitors[key] = InputMonitor(origin, control, columns, share)
        return self.monitors[key]

    def again(self, records: Sequence[Record]) -> Iterator[Batch]:
        """Read records once more, each with the columns that held when it was folded."""
        ends = sorted({end for past in self.past.values() for end, _ in past})
        while records:
            first = records[0].offset
            end = next((end for end in ends if end > first), records[-1].offset + 1)
            reader = self.reader.again()
            for key, past in self.past.items():
                held = next((columns for until, columns in past if first < until), None)
                if held is not None:
                    reader.columns[key] = held
            batch = reader.read(until(records, end), self.controls)
            yield batch
            after = batch.stop + (batch.unknown is not None)  # one of a model beyond the bound
            records = records[after:]

    def forget(self, before: int) -> None:
        """Forget the columns of rows before an offset, which no restore will read."""
        for key, past in list(self.past.items()):
            kept = [held for held in past if held[0] > before]
            if kept != past:
                self.moved.add(key)
                self.past[key] = kept
            if not kept:
                del self.past[key]

    def waiting(self) -> int:
        """Return how many rows wait until their model's types are known."""
        return sum(intake.rows for intake in self.reader.intakes.values())

    def oldest_untyped(self, default: int) -> int:
        """Return the offset of the first record that waits until its model's types are known."""
        held = (intake.records[0].offset for intake in self.reader.intakes.values())
        return min(held, default=default)

    def keys(self) -> set[Key]:
        """Return the model versions of which anything is remembered."""
        scheduled = {change.key for change in self.changes}
        return {*scheduled, *self.controls, *self.reader.spread}

    def state(self, key: Key, place: Callable[[Control], int]) -> VersionRows:
        """Return what a snapshot needs of a model version; ``place`` enters a control there."""
        reader, control = self.reader, self.controls.get(key)
        monitor = self.monitors.get(key)
        return VersionRows(
            None if control is None else place(control),
            [
                Scheduled(c.offset, place(c.control))
                if isinstance(c, Change)
                else Scheduled(c.offset, None, c.now_ms)
                for c in self.changes
                if c.key == key
            ],
            reader.spread.get(key),
            reader.columns.get(key),
            reader.intakes.get(key),
            self.past.get(key, []),
            monitor.state() if monitor is not None else None,
            reader.awaited.get(key, {}),
            self.sliced_from.get(key, 0),
        )

    def load(self, key: Key, state: VersionRows, table: Sequence[Control]) -> None:
        """Take back the state of a model version of the same source and partition."""
        reader = self.reader
        for own in state.changes:
            if own.control is None:
                self.tick(own.offset, key, own.now_ms)
            else:
                self.schedule(own.offset, key, table[own.control])
        if state.control is not None:
            self._hold(key, table[state.control])
        if state.spread is not None:
            reader.spread[key] = state.spread
        if state.columns is not None:
            reader.columns[key] = state.columns
        if state.intake is not None:
            reader.intakes[key] = state.intake
        if state.past:
            self.past[key] = state.past
        if state.sliced_from:
            self.sliced_from[key] = state.sliced_from
        if state.awaited:
            reader.awaited[key] = state.awaited
        if state.monitor is not None:
            first = state.monitor.cohorts[0]
            assert isinstance(first, InputsState)
            self._monitor(key, first.numeric, first.categorical).load(state.monitor)
