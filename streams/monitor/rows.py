"""The drift monitors of one row source in one partition, and the changes they wait for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from streams.monitor.block import Block
from streams.monitor.columns import Columns, RowSource
from streams.monitor.control import Control
from streams.monitor.decoding import Batch, BatchReader, Intake, Key, key_of
from streams.monitor.drift import DriftMonitor, DriftState
from streams.monitor.incidents import Origin
from streams.monitor.learning import watched_columns
from streams.monitor.records import Output, Record
from streams.monitor.rejections import Rejection

MAX_MODELS = 1000  # model versions watched in one partition; rows of further ones are rejected


@dataclass(frozen=True, slots=True)
class Change:
    """A control change that takes effect at an offset of this source."""

    offset: int
    key: Key
    control: Control


class RowsState(msgspec.Struct):
    """Everything remembered of one row source, for the snapshot."""

    controls: list[tuple[Key, int]]  # places in the partition's table of controls
    changes: list[tuple[int, Key, int]]
    spread: list[tuple[Key, bool]]
    columns: list[tuple[Key, Columns]]
    intakes: list[tuple[Key, Intake]]
    past: list[tuple[Key, list[tuple[int, Columns]]]]
    monitors: list[tuple[Key, DriftState]]


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
        self.changes: list[Change] = []
        self.reader = BatchReader(source)
        self.monitors: dict[Key, DriftMonitor] = {}
        # Columns that held before an offset: a restore reads the rows before it as they were read.
        self.past: dict[Key, list[tuple[int, Columns]]] = {}

    def schedule(self, offset: int, key: Key, control: Control) -> None:
        """Let a control take effect before the record at ``offset``."""
        # Nothing lies between it and an earlier one for the same place.
        self.changes = [c for c in self.changes if (c.offset, c.key) != (offset, key)]
        self.changes.append(Change(offset, key, control))
        self.changes.sort(key=lambda change: change.offset)

    def fold(self, records: Sequence[Record]) -> RowsFolded:
        """Fold records in order, up to the first of a model version without a control."""
        folded = RowsFolded()
        while folded.read < len(records):
            rest = records[folded.read :]
            folded.outputs += self._apply_due(rest[0].offset)
            if self.changes:
                rest = [record for record in rest if record.offset < self.changes[0].offset]
            batch = self.reader.read(rest, self.controls)
            folded.read += batch.stop
            folded.rejections += batch.rejections
            folded.blocks += batch.blocks
            folded.released |= batch.released
            for key, block in batch.blocks:
                folded.outputs += self._monitor(key).fold(block)
            if batch.unknown is not None and len(self.controls) < MAX_MODELS:
                folded.unknown = batch.unknown
                return folded
            if batch.unknown is not None:
                reason = f"expected at most {MAX_MODELS} model versions in a partition"
                folded.rejections.append(Rejection(records[folded.read], reason, "TooManyModels"))
                folded.read += 1
        return folded

    def _apply_due(self, offset: int) -> list[Output]:
        outputs: list[Output] = []
        while self.changes and self.changes[0].offset <= offset:
            change = self.changes.pop(0)
            outputs += self._apply(change.key, change.control, offset)
        return outputs

    def _apply(self, key: Key, control: Control, offset: int) -> list[Output]:
        """Watch a model version by a new control; what was open under the old one is closed."""
        old, before = self.monitors.pop(key, None), self.controls.get(key)
        spec = control.spec
        if control.reference is not None and control.reference.source != self.source:
            control = msgspec.structs.replace(control, reference=None)
        learned = old.learned if old is not None else None
        if old is None and before is not None and before.learned:
            learned = before.reference  # no row came between two changes
        if control.reference is None and learned is not None and before is not None:
            was = before.spec
            if (spec.windows, spec.features) == (was.windows, was.features):  # it still holds
                control = msgspec.structs.replace(control, reference=learned, learned=True)
        columns = self.reader.columns.get(key)
        self.controls[key] = control
        self.reader.declared[key] = spec.features
        if control.reference is not None:
            self.reader.columns[key] = watched_columns(control.reference, spec.features)
        elif before is not None and before.spec.features != spec.features:
            self.reader.columns.pop(key, None)
        if columns is not None and columns != self.reader.columns.get(key):
            self.past.setdefault(key, []).append((offset, columns))
        return old.supersede() if old is not None else []

    def _monitor(self, key: Key) -> DriftMonitor:
        if key not in self.monitors:
            control = self.controls[key]
            origin = Origin(
                key[0], key[1], self.source, self.topic, self.partition, control.spec.retraining, 0
            )
            share = 1 / self.partitions if self.reader.spread[key] else 1.0
            self.monitors[key] = DriftMonitor(origin, control, self.reader.columns[key], share)
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
            batch = reader.read([r for r in records if r.offset < end], self.controls)
            yield batch
            after = batch.stop + (batch.unknown is not None)  # one of a model beyond the bound
            records = records[after:]

    def forget(self, before: int) -> None:
        """Forget the columns of rows before an offset, which no restore will read."""
        kept = {k: [p for p in past if p[0] > before] for k, past in self.past.items()}
        self.past = {key: past for key, past in kept.items() if past}

    def waiting(self) -> int:
        """Return how many rows wait until their model's types are known."""
        return sum(intake.rows for intake in self.reader.intakes.values())

    def oldest_untyped(self, default: int) -> int:
        """Return the offset of the first record that waits until its model's types are known."""
        held = (intake.records[0].offset for intake in self.reader.intakes.values())
        return min(held, default=default)

    def state(self, place: Callable[[Control], int]) -> RowsState:
        """Return what a snapshot needs; ``place`` enters a control into the snapshot's table.

        Sorted by model version: the order in which they were met depends on how batches were cut.
        """
        reader = self.reader
        return RowsState(
            [(key, place(control)) for key, control in sorted(self.controls.items(), key=key_of)],
            [(change.offset, change.key, place(change.control)) for change in self.changes],
            sorted(reader.spread.items(), key=key_of),
            sorted(reader.columns.items(), key=key_of),
            sorted(reader.intakes.items(), key=key_of),
            sorted(self.past.items(), key=key_of),
            [(key, monitor.state()) for key, monitor in sorted(self.monitors.items(), key=key_of)],
        )

    def load(self, state: RowsState, table: Sequence[Control]) -> None:
        """Take back the state of the same source and partition."""
        self.controls = {key: table[at] for key, at in state.controls}
        self.changes = [Change(offset, key, table[at]) for offset, key, at in state.changes]
        reader = self.reader
        reader.declared = {key: control.spec.features for key, control in self.controls.items()}
        reader.spread, reader.columns = dict(state.spread), dict(state.columns)
        reader.intakes, self.past = dict(state.intakes), dict(state.past)
        for key, monitor in state.monitors:
            self._monitor(key).load(monitor)
