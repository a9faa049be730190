"""All the state of one partition number, over all source topics: a pure function of their logs."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Literal

import msgspec

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import MonitorSpec, milliseconds
from tidegauge.schemas.outcomes import (
    ControlChange,
    Fence,
    Gap,
    JournalEntry,
    LabelReport,
    Outcomes,
    Poison,
)
from tidegauge.streams.monitor.bounds import bounded
from tidegauge.streams.monitor.control.control import Choice, Control, control
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.intake.decoding import NOBODY, Key
from tidegauge.streams.monitor.intake.labels import read_labels
from tidegauge.streams.monitor.intake.rejections import FAULTS, Rejection, letter, rejection
from tidegauge.streams.monitor.join.arrivals import Arrivals, arrivals_by_model
from tidegauge.streams.monitor.join.join import MAX_STORES, Join, Mark, Pair
from tidegauge.streams.monitor.join.label_tally import LabelRecord
from tidegauge.streams.monitor.journal.gaps import gap_alerts
from tidegauge.streams.monitor.journal.journal import JournalWriter, Position, read_entry
from tidegauge.streams.monitor.journal.poison import FoldError, Poisons, poison_alert, refused
from tidegauge.streams.monitor.layouts import read_snapshot
from tidegauge.streams.monitor.records import SOURCES, Folded, Output, Record, Source
from tidegauge.streams.monitor.rows import RowMonitors, RowsFolded
from tidegauge.streams.monitor.snapshot import (
    LAYOUT,
    RETRAINING,
    Part,
    RetrainingState,
    RootState,
    Snapshot,
    Tally,
    VersionState,
)
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.label_watch import LabelWatch
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeMonitor
from tidegauge.streams.monitor.verdict.readability import Listed, Readability, Rows
from tidegauge.streams.monitor.verdict.retraining import Retraining, read_alert

Input = Literal["predictions", "features", "labels"]
ROW_SOURCES: tuple[RowSource, ...] = ("predictions", "features")
INPUTS: tuple[Input, ...] = ("predictions", "features", "labels")


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """What the core must know of the deployment."""

    topics: Mapping[Source, str]  # names, for evidence and dead letters
    partitions: int  # of each source topic


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
        self.performance: dict[Key, OutcomeMonitor] = {}
        self.label_watches: dict[str, LabelWatch] = {}
        self.readability: dict[Source, Readability] = {
            source: Readability(source, settings.topics[source], number) for source in INPUTS
        }
        self.retraining = Retraining()
        self._position = Position()  # of the performance monitors in the journal
        self._reading: Position | None = None  # of a restore in the journal
        self.poisons = Poisons()
        self._moved: set[Key] = set()  # see ``moved``
        self._told: Mapping[RowSource, int] = {}  # see ``changes_from``
        self._digests: dict[Key, str] = {}
        self._spread: dict[Key, bool] = {}  # whether a version's first record had another key
        self._ahead_of: Sequence[Record] = ()  # a batch of labels, read but not folded
        self._ahead: tuple[list[LabelRecord], list[Rejection]] = ([], [])
        self._owed: list[tuple[str, list[Pair]]] = []  # found by a restore, not in the journal

    # --- folding -------------------------------------------------------------------------------

    def fold(self, source: Source, records: Sequence[Record]) -> Folded:
        """Fold the records not yet folded; stop before a model version that is not known.

        Raises
        ------
        FoldError
            If it cannot be done. The state is of no use then: journal ``poison``, and restore.
        """
        fresh, outputs = self._fresh(source, records), list[Output]()
        while fresh:
            piece, poison = self.poisons.piece(source, fresh)
            if source in ("predictions", "features"):
                piece = self.rows[source].before_change(piece)
            try:
                folded = self._fold(source, piece, poison)
            except Exception as fault:  # whatever it is, the next owner must not meet it again
                raise FoldError(source, piece[0].offset, piece[-1].offset, fault) from fault
            outputs += folded.outputs
            fresh = [*folded.rest, *fresh[len(piece) :]]
            if folded.unknown is not None:
                return Folded(outputs, fresh, folded.unknown)
        return Folded(outputs)

    def poison(self, fault: FoldError) -> Output:
        """Return the journal entry that says what could not be folded."""
        last, alone = self.poisons.extent(fault)
        return self.writer.poison(fault.source, fault.first, last, alone, fault.told)

    def _fold(self, source: Source, fresh: Sequence[Record], poison: Poison | None) -> Folded:
        owed, self._owed = self._owed, []
        self.join.settled.clear()
        outputs = [entry for model, pairs in owed for entry in self.writer.pairs(model, pairs)]
        rejections: list[Rejection] = []
        rows: dict[Key, list[Rows]] = {}
        released: Mapping[Key, int] = {}
        unknown: Key | None = None
        read = len(fresh)
        if poison is not None:
            rejections = refused(fresh, poison)
            if source == "outcomes":
                self._step_over(fresh)
        elif source in ("predictions", "features"):
            folded = self._fold_rows(source, fresh)
            rejections, read, unknown = folded.rejections, folded.read, folded.unknown
            outputs += folded.outputs
            released = folded.released
            for key, block in folded.blocks:
                rows.setdefault(key, []).append(block)
        elif source == "labels":
            labels, rejections = self._read_labels(fresh)
            self.tallies[source].observed += sum(len(record.labels) for record in labels)
            outputs += self._fold_labels(labels)
            for model, own in _by_model(labels).items():
                found = [label for record in own for label in record.labels]
                rows[model, ""] = [Listed(found, attrgetter("ts_ms"), attrgetter("offset"))]
        else:
            outputs += self._fold_each(source, fresh, rejections)
        if unknown is not None:
            self._moved.add(unknown)
            self._spread.setdefault(unknown, fresh[read].key != unknown[0].encode())
        done = fresh[:read]
        tally = self.tallies[source]
        tally.records += len(done)
        tally.rejected += sum(rejected.rows for rejected in rejections)
        topic = self.settings.topics[source]
        outputs += [letter(rejected, topic, self.number) for rejected in rejections]
        if source in self.readability:
            outputs += self.readability[source].fold(rows, rejections, done, released)
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
            for model, arrived in arrivals_by_model(folded.blocks).items():
                folded.outputs += self._join_predictions(model, arrived, folded.released)
        return folded

    def _join_predictions(
        self, model: str, arrived: Arrivals, released: Mapping[Key, int]
    ) -> list[Output]:
        """Join predictions; those held until their types were known as if they had not been.

        Their labels may have come meanwhile; they pair in their own order, as they would have.
        """
        self._moved.add((model, ""))
        horizon_ms, found = self._horizon(model), list[Pair]()
        ends = {version: end for (name, version), end in released.items() if name == model}
        rest, held = arrived, dict[str, Arrivals]()
        if ends:
            was_held = [p.offset <= ends.get(p.version, -1) for p in arrived.predictions]
            rest = arrived.where([not was for was in was_held])
            held = dict(arrived.where(was_held).by_version())
        for version, end in sorted(ends.items(), key=itemgetter(1)):
            before = sum(p.offset < end for p in rest.predictions)
            found += self.join.add_predictions(model, rest.cut(0, before), horizon_ms)
            if version in held:
                found += self.join.add_released(model, version, held[version], horizon_ms)
            rest = rest.cut(before, len(rest))
        found += self.join.add_predictions(model, rest, horizon_ms)
        return self.writer.pairs(model, found)

    def _fold_labels(self, labels: list[LabelRecord]) -> list[Output]:
        outputs: list[Output] = []
        for model, own in _by_model(labels).items():
            self._moved.add((model, ""))
            found = self.join.add_labels(model, own, self._horizon(model))
            outputs += self.writer.pairs(model, found)
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
                outputs += (requests := self.retraining.fold(told))
                self._moved |= {RETRAINING} if requests else set()
            else:
                outputs += self._fold_entry(told, record.timestamp)
        return outputs

    def _fold_entry(self, entry: JournalEntry, timestamp: int) -> list[Output]:
        if not self._position.accepts(entry) or isinstance(entry, Fence):
            return []
        if isinstance(entry, Gap):
            return gap_alerts(entry, self.settings.topics[entry.source], self.number, timestamp)
        if isinstance(entry, Poison):
            topic = self.settings.topics[entry.source]
            return [poison_alert(entry, topic, self.number, timestamp)] if entry.alone else []
        if isinstance(entry, LabelReport):
            return self._fold_report(entry)
        key = (entry.model, entry.version)
        self._moved.add(key)
        if isinstance(entry, ControlChange):
            self._spread[key] = entry.spread
            new = control(entry.model, entry.spec, entry.reference)
            held = self.rows["predictions"].controls.get(key)
            return self._watch_outcomes(key, held if held == new else new)  # a snapshot has it once
        self.tallies["outcomes"].observed += len(entry.ids)
        return self._performance(key).fold_pairs(entry)

    def _step_over(self, records: Sequence[Record]) -> None:
        """Take note of the owners in poisonous records, or what follows would count as void."""
        for record in records:
            with suppress(*FAULTS):  # what cannot be read is no entry
                self._position.accepts(read_entry(record.value))

    def _fold_report(self, report: LabelReport) -> list[Output]:
        model = report.model
        watch = self._label_watch(model)
        added = watch.take(report)
        if added is None:
            return []
        self._moved.add((model, ""))
        for key, monitor in self.performance.items():
            if key[0] == model:
                monitor.count(added)
                self._moved.add(key)
        return watch.judge(report)

    def _label_watch(self, model: str) -> LabelWatch:
        if model not in self.label_watches:
            if len(self.label_watches) >= MAX_STORES:
                watches = self.label_watches
                quietest = min(watches, key=lambda name: (watches[name].last_offset, name))
                del watches[quietest]
                self._moved.add((quietest, ""))
            topic = self.settings.topics["labels"]
            self.label_watches[model] = LabelWatch(model, topic, self.number)
        return self.label_watches[model]

    def _watch_outcomes(self, key: Key, new: Control) -> list[Output]:
        self.outcome_controls[key] = new
        old = self.performance.pop(key, None)
        if old is None:
            return []
        self._performance(key).inherit(old)
        return old.supersede()

    def _performance(self, key: Key) -> OutcomeMonitor:
        if key not in self.performance:
            found = self.outcome_controls.get(key) or control(key[0], None, None)
            topic = self.settings.topics["labels"]  # whose offsets do not depend on who owned what
            origin = Origin(*key, "outcomes", topic, self.number, found.spec.retraining, 0)
            share = 1 / self.settings.partitions if self._spread.get(key) else 1.0
            self.performance[key] = OutcomeMonitor(origin, found, share)
        return self.performance[key]

    def awaits_predictions(self, records: Sequence[Record]) -> bool:
        """Return whether a label names a prediction that has not been folded yet."""
        fresh = self._fresh("labels", records)
        try:
            labels, _ = self._ahead = read_labels(fresh)
        except Exception:  # the fold meets it again, and finds out which record it is
            return False
        self._ahead_of = fresh
        return any(
            self.join.unknown(record.model, (label.id for label in record.labels))
            for record in labels
        )

    def _read_labels(self, records: Sequence[Record]) -> tuple[list[LabelRecord], list[Rejection]]:
        """Return what ``awaits_predictions`` has just read of the same batch, or read it."""
        ahead = self._ahead if records is self._ahead_of else read_labels(records)
        self._ahead_of, self._ahead = (), ([], [])
        return ahead

    # --- control -------------------------------------------------------------------------------

    def gap(self, source: Source, first: int, last: int) -> Output:
        """Return the journal entry that these offsets were deleted unread; go on behind them."""
        self.next_offset[source] = last + 1
        return self.writer.gap(source, first, last)

    def known(self) -> dict[Key, str]:
        """Return the digest of spec and reference of each model version met so far."""
        return dict(self._digests)

    def control_change(self, model: str, version: str, choice: Choice) -> Output:
        """Return the journal entry that a control holds from the rows to be folded next.

        Of a model version that was met before, only after what a former owner may have told, and
        not before what an earlier change waits for: what is told stands, and the newest wins.
        """
        key = model, version
        told = self._told if key in self._digests else {}
        at = {
            source: rows.earliest_change(key, max(self.next_offset[source], told.get(source, 0)))
            for source, rows in self.rows.items()
        }
        offsets = at["predictions"], at["features"]
        return self.writer.change(key, choice, offsets, self._spread.get(key, False))

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
            if not self._reading.accepts(entry) or isinstance(entry, Fence | Gap):
                continue
            if isinstance(entry, Poison):
                self.poisons.take(entry)
            elif isinstance(entry, Outcomes):
                self._recall(entry)
            elif isinstance(entry, LabelReport):
                if entry.last_offset >= self.next_offset["labels"]:
                    self.join.reported[entry.model, entry.last_offset] = entry
            elif (entry.epoch, entry.sequence) > (self.writer.epoch, self.writer.sequence):
                self._schedule(entry)

    def _recall(self, entry: Outcomes) -> None:
        """Let the join know pairs that stand in the journal.

        They are settled where a snapshot has seen both sides: what waits for its types is not yet
        with the join.
        """
        key, at = (entry.model, entry.version), self.next_offset
        waits = key in self.rows["predictions"].reader.intakes
        places = zip(entry.ids, entry.prediction_offsets, entry.label_offsets, strict=True)
        for id_, prediction, label in places:
            settled = prediction < at["predictions"] and label < at["labels"] and not waits
            self.join.recall(key, id_, settled)

    def changes_from(self, ends: Mapping[RowSource, int]) -> None:
        """Let no control change hold for rows below ``ends``: a former owner may have told them."""
        self._told = ends

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
        records = self.poisons.without(source, records)
        if source == "labels":
            labels, _ = read_labels(records)
            for model, own in _by_model(labels).items():
                pairs = self.join.rebuild_labels(model, own, self._horizon(model))
                self._owed += [(model, pairs)] if pairs else []
        else:
            for batch in self.rows["predictions"].again(records):
                for model, arrived in arrivals_by_model(batch.blocks).items():
                    self.join.rebuild_predictions(model, arrived)

    # --- snapshots -----------------------------------------------------------------------------

    @property
    def moved(self) -> set[Key]:
        """The model versions of which something has changed since the last snapshot."""
        return self._moved.union(*self._moved_elsewhere())

    def _moved_elsewhere(self) -> list[set[Key]]:
        rows, readability = self.rows.values(), self.readability.values()
        return [self.join.moved, *(own.moved for own in rows), *(own.moved for own in readability)]

    def snapshot(self, only_moved: bool = False) -> Snapshot:
        """Return everything this partition remembers; all its outputs must be acknowledged.

        With ``only_moved`` the parts that have changed since the last such snapshot; all at the
        first after a restore, as each owner keeps its own.
        """
        at, position = self.next_offset, self._position
        self.join.mark(
            Mark(
                at["predictions"], at["labels"], at["outcomes"], position.epoch, position.sequence
            ),
            self.rows["predictions"].oldest_untyped(at["predictions"]),
        )
        for monitors in self.rows.values():
            monitors.forget(self.join.marks[0].predictions)
        self.poisons.forget({**self.next_offset, **self.rebuild_from})
        root = RootState(
            LAYOUT,
            at,
            self.tallies,
            self.join.marks,
            self.join.counts,
            self.writer,
            position,
            {source: own.state(NOBODY) for source, own in self.readability.items()},
            self.poisons.entries,
        )
        encode = msgspec.msgpack.encode
        keys = self.moved if only_moved else self._keys()
        parts = {key: encode(self._part(key)) for key in sorted(keys)}
        if only_moved:
            for moved in (self._moved, *self._moved_elsewhere()):
                moved.clear()
        return Snapshot(encode(root), parts)

    def _keys(self) -> set[Key]:
        """Return the keys of all parts."""
        own = {*self._digests, *self._spread, *self.outcome_controls, *self.performance}
        own |= {(model, "") for model in (*self.join.stores, *self.label_watches)}
        own |= {RETRAINING} if self.retraining.quiet_until_ms else set()
        return own.union(
            *(monitors.keys() for monitors in self.rows.values()),
            *(read.models.keys() - {NOBODY} for read in self.readability.values()),
        )

    def _part(self, key: Key) -> Part:
        if key == RETRAINING:
            return RetrainingState(self.retraining.quiet_until_ms)
        table: dict[int, tuple[int, Control]] = {}

        def place(control: Control) -> int:
            return table.setdefault(id(control), (len(table), control))[0]

        rows = {source: monitors.state(key, place) for source, monitors in self.rows.items()}
        outcome_control, performance = self.outcome_controls.get(key), self.performance.get(key)
        labels = self.label_watches.get(key[0])
        outcome_place = None if outcome_control is None else place(outcome_control)
        return VersionState(
            key,
            [control for _, control in table.values()],
            self._digests.get(key),
            self._spread.get(key),
            rows,
            outcome_place,
            None if performance is None else performance.state(),
            {source: own.state(key) for source, own in self.readability.items()},
            None if key[1] else self.join.state(key[0]),
            None if key[1] or labels is None else labels.state(),
        )

    @classmethod
    def restore(cls, number: int, settings: PartitionSettings, snapshot: Snapshot) -> "Partition":
        """Return the partition that a snapshot describes; ValueError where it cannot be read."""
        root, parts = read_snapshot(snapshot)
        self = cls(number, settings)
        self.next_offset, self.tallies = root.next_offset, root.tallies
        self.join.marks, self.join.counts = root.marks, root.join
        self.writer, self._position = root.writer, root.position
        self.poisons = Poisons(root.poison)
        for topic, nobody in root.nobody.items():
            self.readability[topic].load(NOBODY, nobody)
        for part in parts:
            if isinstance(part, VersionState):
                self._load(part)
            else:
                self.retraining.quiet_until_ms = part.quiet_until_ms
        self._moved = self._keys()
        return self

    def _load(self, part: VersionState) -> None:
        key, table = part.key, part.controls
        if part.digest is not None:
            self._digests[key] = part.digest
        if part.spread is not None:
            self._spread[key] = part.spread
        for source, rows in self.rows.items():
            rows.load(key, part.rows[source], table)
        if part.outcome_control is not None:
            self.outcome_controls[key] = table[part.outcome_control]
        if part.performance is not None:
            self._performance(key).load(part.performance)
        for topic, read in part.readability.items():
            self.readability[topic].load(key, read)
        if part.join is not None:
            self.join.load(key[0], part.join)
        if part.labels is not None:
            self._label_watch(key[0]).load(part.labels)


def _by_model(labels: Sequence[LabelRecord]) -> dict[str, list[LabelRecord]]:
    found: dict[str, list[LabelRecord]] = {}
    for record in labels:
        found.setdefault(record.model, []).append(record)
    return found
