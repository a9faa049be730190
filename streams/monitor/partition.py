"""All the state of one partition number, over all source topics: a pure function of their logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Literal

import msgspec

from schemas.alerts import Alert
from schemas.monitors import MonitorSpec, milliseconds
from schemas.outcomes import ControlChange, Fence, JournalEntry
from schemas.references import Reference
from streams.monitor.block import Block
from streams.monitor.bounds import bounded
from streams.monitor.columns import RowSource
from streams.monitor.control import Control, control
from streams.monitor.decoding import Key, key_of
from streams.monitor.incidents import Origin
from streams.monitor.join import Join, JoinCounts, Label, Mark, Pair, Prediction
from streams.monitor.journal import JournalWriter, Position, read_entry
from streams.monitor.labels import Labels, read_labels
from streams.monitor.performance import PerformanceMonitor, PerformanceState
from streams.monitor.quality import Listed, Readability, ReadState, Rows
from streams.monitor.records import SOURCES, Folded, Output, Record, Source
from streams.monitor.rejections import FAULTS, Rejection, letter, rejection
from streams.monitor.retraining import Retraining, read_alert
from streams.monitor.rows import RowMonitors, RowsFolded, RowsState
from streams.monitor.trial import check_control

Input = Literal["predictions", "features", "labels"]
ROW_SOURCES: tuple[RowSource, ...] = ("predictions", "features")
INPUTS: tuple[Input, ...] = ("predictions", "features", "labels")
LAYOUT = 1  # of the snapshot


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """What the core must know of the deployment."""

    topics: Mapping[Source, str]  # names, for evidence and dead letters
    partitions: int  # of each source topic


class Tally(msgspec.Struct):
    """What became of one source's records: rows = observed + rejected + waiting."""

    records: int = 0
    observed: int = 0
    rejected: int = 0


class PartitionState(msgspec.Struct):
    """A snapshot."""

    layout: int
    next_offset: dict[Source, int]
    tallies: dict[Source, Tally]
    controls: list[Control]  # each once; the others name places in this table
    rows: dict[RowSource, RowsState]
    outcome_controls: list[tuple[Key, int]]
    performance: list[tuple[Key, PerformanceState]]
    marks: list[Mark]
    join: JoinCounts
    writer: JournalWriter
    position: Position
    digests: list[tuple[Key, str]]
    spread: list[tuple[Key, bool]]
    quiet_until_ms: dict[str, int]
    readability: dict[Source, list[tuple[Key, ReadState]]] = {}


class Partition:
    """Folds the records of one partition, source by source; gives outputs and snapshots.

    The same records give the same outputs and the same bytes, wherever the batches are cut.
    """

    def __init__(self, number: int, settings: PartitionSettings) -> None:
        self.number, self.settings = number, settings
        self.next_offset: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self.tallies: dict[Source, Tally] = {source: Tally() for source in SOURCES}
        self.rows: dict[RowSource, RowMonitors] = {
            source: RowMonitors(source, settings.topics[source], number, settings.partitions)
            for source in ROW_SOURCES
        }
        self.join = Join()
        self.writer = JournalWriter()
        self.outcome_controls: dict[Key, Control] = {}
        self.performance: dict[Key, PerformanceMonitor] = {}
        self.readability: dict[Source, Readability] = {
            source: Readability(source, settings.topics[source], number) for source in INPUTS
        }
        self.retraining = Retraining()
        self._position = Position()  # of the performance monitors in the journal
        self._reading: Position | None = None  # of a restore in the journal
        self._digests: dict[Key, str] = {}
        self._spread: dict[Key, bool] = {}  # whether a version's first record had another key
        self._ahead_of: Sequence[Record] = ()  # a batch of labels, read but not folded
        self._ahead: tuple[Labels, list[Rejection]] = ([], [])
        self._owed: list[tuple[str, list[Pair]]] = []  # found by a restore, not in the journal

    # --- folding -------------------------------------------------------------------------------

    def fold(self, source: Source, records: Sequence[Record]) -> Folded:
        """Fold the records not yet folded; stop before a model version that is not known."""
        fresh = self._fresh(source, records)
        if not fresh:
            return Folded([])
        owed, self._owed = self._owed, []
        outputs = [entry for model, pairs in owed for entry in self.writer.pairs(model, pairs)]
        rejections: list[Rejection] = []
        rows: dict[Key, list[Rows]] = {}
        unknown: Key | None = None
        read = len(fresh)
        if source in ("predictions", "features"):
            folded = self._fold_rows(source, fresh)
            rejections, read, unknown = folded.rejections, folded.read, folded.unknown
            outputs += folded.outputs
            for key, block in folded.blocks:
                rows.setdefault(key, []).append(block)
        elif source == "labels":
            labels, rejections = self._read_labels(fresh)
            self.tallies[source].observed += len(labels)
            outputs += self._fold_labels(labels)
            for model, own in _by_model(labels).items():
                rows[model, ""] = [Listed(own, itemgetter(1), itemgetter(3))]  # ts_ms, offset
        else:
            outputs += self._fold_each(source, fresh, rejections)
        if unknown is not None:
            self._spread.setdefault(unknown, fresh[read].key != unknown[0].encode())
        done = fresh[:read]
        tally = self.tallies[source]
        tally.records += len(done)
        tally.rejected += sum(rejected.rows for rejected in rejections)
        topic = self.settings.topics[source]
        outputs += [letter(rejected, topic, self.number) for rejected in rejections]
        if source in self.readability:
            outputs += self.readability[source].fold(rows, rejections, done)
        if done:
            self.next_offset[source] = done[-1].offset + 1
        return Folded(list(bounded(outputs)), fresh[read:], unknown)

    def _fresh(self, source: Source, records: Sequence[Record]) -> Sequence[Record]:
        start = self.next_offset[source]
        if records and records[0].offset >= start:
            return records
        return [record for record in records if record.offset >= start]

    def _fold_rows(self, source: RowSource, records: Sequence[Record]) -> RowsFolded:
        folded = self.rows[source].fold(records)
        self.tallies[source].observed += sum(len(block) for _, block in folded.blocks)
        if source == "predictions":
            for model, arrived in predictions_by_model(folded.blocks).items():
                folded.outputs += self._join_predictions(model, arrived, folded.released)
        return folded

    def _join_predictions(
        self, model: str, arrived: list[tuple[str, Prediction]], released: Mapping[Key, int]
    ) -> list[Output]:
        """Join predictions; those held until their types were known as if they had not been.

        Their labels may have come meanwhile; they pair in their own order, as they would have.
        """
        horizon_ms, outputs = self._horizon(model), list[Output]()
        ends = {version: end for (name, version), end in released.items() if name == model}
        held, rest = list[tuple[str, Prediction]](), arrived
        if ends:
            held = [item for item in arrived if item[1][3] <= ends.get(item[1][0], -1)]
            rest = [item for item in arrived if item[1][3] > ends.get(item[1][0], -1)]
        for part, in_label_order in ((held, True), (rest, False)):
            if part:
                pairs = self.join.add_predictions(model, part, horizon_ms, in_label_order)
                outputs += self.writer.pairs(model, pairs)
        return outputs

    def _fold_labels(self, labels: Labels) -> list[Output]:
        outputs: list[Output] = []
        for model, own in _by_model(labels).items():
            pairs = self.join.add_labels(model, own, self._horizon(model))
            outputs += self.writer.pairs(model, pairs)
        return outputs

    def _horizon(self, model: str) -> int:
        held = self.rows["predictions"].controls
        specs = [c.spec for (name, _), c in held.items() if name == model]
        return max(
            milliseconds(spec.labels.horizon) for spec in specs or [MonitorSpec(model=model)]
        )

    def _fold_each(
        self, source: Source, records: Sequence[Record], rejections: list[Rejection]
    ) -> list[Output]:
        outputs: list[Output] = []
        for record in records:
            try:  # to read it; a fault in what follows is ours, and must not look like theirs
                told = read_alert(record.value) if source == "alerts" else read_entry(record.value)
            except FAULTS as fault:
                rejections.append(rejection(record, fault))
                continue
            if isinstance(told, Alert):
                outputs += self.retraining.fold(told)
            else:
                outputs += self._fold_entry(told)
        return outputs

    def _fold_entry(self, entry: JournalEntry) -> list[Output]:
        if not self._position.accepts(entry) or isinstance(entry, Fence):
            return []
        key = (entry.model, entry.version)
        if isinstance(entry, ControlChange):
            self._spread[key] = entry.spread
            new = control(entry.model, entry.spec, entry.reference)
            held = self.rows["predictions"].controls.get(key)
            return self._watch_outcomes(key, held if held == new else new)  # a snapshot has it once
        self.tallies["outcomes"].observed += len(entry.ids)
        return self._performance(key).fold(entry)

    def _watch_outcomes(self, key: Key, new: Control) -> list[Output]:
        self.outcome_controls[key] = new
        old = self.performance.pop(key, None)
        if old is None:
            return []
        self._performance(key).inherit(old)
        return old.supersede()

    def _performance(self, key: Key) -> PerformanceMonitor:
        if key not in self.performance:
            found = self.outcome_controls.get(key) or control(key[0], None, None)
            topic = self.settings.topics["labels"]  # whose offsets do not depend on who owned what
            origin = Origin(*key, "outcomes", topic, self.number, found.spec.retraining, 0)
            share = 1 / self.settings.partitions if self._spread.get(key) else 1.0
            self.performance[key] = PerformanceMonitor(origin, found, share)
        return self.performance[key]

    def awaits_predictions(self, records: Sequence[Record]) -> bool:
        """Return whether a label names a prediction that has not been folded yet."""
        fresh = self._fresh("labels", records)
        labels, _ = self._ahead = read_labels(fresh)
        self._ahead_of = fresh
        return any(
            self.join.unknown(model, (label.id for label in own))
            for model, own in _by_model(labels).items()
        )

    def _read_labels(self, records: Sequence[Record]) -> tuple[Labels, list[Rejection]]:
        """Return what ``awaits_predictions`` has just read of the same batch, or read it."""
        ahead = self._ahead if records is self._ahead_of else read_labels(records)
        self._ahead_of, self._ahead = (), ([], [])
        return ahead

    # --- control -------------------------------------------------------------------------------

    def known(self) -> dict[Key, str]:
        """Return the digest of spec and reference of each model version met so far."""
        return dict(self._digests)

    def control_change(
        self, model: str, version: str, spec: MonitorSpec | None, reference: Reference | None
    ) -> Output:
        """Return the journal entry that a control holds from the rows to be folded next.

        Raises
        ------
        ValueError
            If no model can be watched with it: in the journal it would stop every owner.
        """
        check_control(spec, reference)
        key, at = (model, version), self.next_offset
        offsets = at["predictions"], at["features"]
        return self.writer.change(key, spec, reference, offsets, self._spread.get(key, False))

    def apply_change(self, output: Output) -> None:
        """Let a control change take effect that the journal has acknowledged."""
        entry = read_entry(output.value)
        if not isinstance(entry, ControlChange):
            raise ValueError(f"expected a control change, got {type(entry).__name__}")
        self._schedule(entry)

    def _schedule(self, entry: ControlChange) -> None:
        key, new = (entry.model, entry.version), control(entry.model, entry.spec, entry.reference)
        self._digests[key], self._spread[key] = new.digest, entry.spread
        self.rows["predictions"].schedule(entry.predictions_offset, key, new)
        self.rows["features"].schedule(entry.features_offset, key, new)

    # --- restore -------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The number of this owner; 0 before its fence."""
        return self.writer.epoch

    @property
    def rebuild_from(self) -> dict[Source, int]:
        """Where a restore must start to read the logs again for the join."""
        mark = self.join.marks[0]
        return {
            "predictions": mark.predictions,
            "labels": mark.labels,
            "outcomes": mark.outcomes,
        }

    def read_journal(self, records: Sequence[Record]) -> None:
        """Take what the journal holds from ``rebuild_from`` to its end, in one call or several.

        Pairs that stand there are not written again; control changes after the snapshot are
        scheduled for the offsets they name.
        """
        if self._reading is None:
            mark = self.join.marks[0]
            self._reading = Position(mark.epoch, mark.sequence)
        for record in records:
            try:
                entry = read_entry(record.value)
            except FAULTS:
                continue  # the fold of this source rejects it
            if not self._reading.accepts(entry) or isinstance(entry, Fence):
                continue
            if not isinstance(entry, ControlChange):
                self.join.recall(entry.model, entry.ids)
            elif (entry.epoch, entry.sequence) > (self.writer.epoch, self.writer.sequence):
                self._schedule(entry)

    def fence(self) -> Output:
        """Take the next epoch; return the fence to append."""
        seen = self._reading.epoch if self._reading is not None else 0
        return self.writer.fence(seen)

    def rebuild_join(
        self, source: Literal["predictions", "labels"], records: Sequence[Record]
    ) -> None:
        """Take rows below ``next_offset`` again, for the join alone; predictions come first.

        A pair that is not in the journal was written by an owner that had lost the partition, and
        is void; it is written again with the next fold.
        """
        counts = msgspec.structs.replace(self.join.counts)
        if source == "labels":
            labels, _ = read_labels(records)
            for model, own in _by_model(labels).items():
                pairs = self.join.add_labels(model, own, self._horizon(model))
                self._owed += [(model, pairs)] if pairs else []
        else:
            self._rebuild_predictions(records)
        self.join.counts = counts

    def _rebuild_predictions(self, records: Sequence[Record]) -> None:
        for batch in self.rows["predictions"].again(records):
            for model, arrived in predictions_by_model(batch.blocks).items():
                self.join.add_predictions(model, arrived, self._horizon(model))

    # --- snapshots -----------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return everything this partition remembers; all its outputs must be acknowledged."""
        at, position = self.next_offset, self._position
        self.join.mark(
            Mark(
                at["predictions"], at["labels"], at["outcomes"], position.epoch, position.sequence
            ),
            self.rows["predictions"].oldest_untyped(at["predictions"]),
        )
        for monitors in self.rows.values():
            monitors.forget(self.join.marks[0].predictions)
        table: dict[int, tuple[int, Control]] = {}

        def place(control: Control) -> int:
            return table.setdefault(id(control), (len(table), control))[0]

        rows = {source: monitors.state(place) for source, monitors in self.rows.items()}
        held = sorted(self.outcome_controls.items(), key=key_of)
        outcomes = [(key, place(control)) for key, control in held]
        state = PartitionState(
            LAYOUT,
            at,
            self.tallies,
            [control for _, control in table.values()],
            rows,
            outcomes,
            [(key, held.state()) for key, held in sorted(self.performance.items(), key=key_of)],
            self.join.marks,
            self.join.counts,
            self.writer,
            position,
            sorted(self._digests.items()),
            sorted(self._spread.items()),
            self.retraining.quiet_until_ms,
            {source: own.state() for source, own in self.readability.items()},
        )
        return msgspec.msgpack.encode(state)

    @classmethod
    def restore(cls, number: int, settings: PartitionSettings, data: bytes) -> "Partition":
        """Return the partition that a snapshot describes; ValueError where it cannot be read."""
        state = msgspec.msgpack.decode(data, type=PartitionState)
        if state.layout != LAYOUT:
            raise ValueError(f"snapshot: expected layout {LAYOUT}, got {state.layout}")
        self = cls(number, settings)
        self.next_offset, self.tallies = state.next_offset, state.tallies
        for source, rows in self.rows.items():
            rows.load(state.rows[source], state.controls)
        self.outcome_controls = {key: state.controls[at] for key, at in state.outcome_controls}
        self.join.marks, self.join.counts = state.marks, state.join
        self.writer, self._position = state.writer, state.position
        self._digests, self._spread = dict(state.digests), dict(state.spread)
        for key, monitor in state.performance:
            self._performance(key).load(monitor)
        for topic, read in state.readability.items():
            self.readability[topic].load(read)
        self.retraining.quiet_until_ms = state.quiet_until_ms
        return self


def predictions_by_model(
    blocks: Sequence[tuple[Key, Block]],
) -> dict[str, list[tuple[str, Prediction]]]:
    """Return what the join needs of a batch, in the order of the log.

    A batch has a block for each version, but of two versions' predictions with one id the first
    stands, wherever the batch was cut.
    """
    found: dict[str, list[tuple[str, Prediction]]] = {}
    versions: dict[str, set[str]] = {}
    for (model, version), block in blocks:
        scores = block.numbers[:, -1].tolist()
        rows = zip(repeat(version), block.ts_ms.tolist(), scores, block.offsets.tolist())
        found.setdefault(model, []).extend(zip(block.ids, rows, strict=True))
        versions.setdefault(model, set()).add(version)
    for model, arrived in found.items():
        if len(versions[model]) > 1:
            arrived.sort(key=lambda item: item[1][3])
    return found


def _by_model(labels: Labels) -> dict[str, list[Label]]:
    found: dict[str, list[Label]] = {}
    for model, label in labels:
        found.setdefault(model, []).append(label)
    return found
