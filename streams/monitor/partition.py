"""One partition number, over all source topics: a pure function of their logs."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.outcomes import (
    ControlChange,
    Corrections,
    Fence,
    Gap,
    JournalEntry,
    LabelReport,
    Poison,
    PredictionReport,
    Tick,
)
from tidegauge.streams.monitor import snapshot as snapshots
from tidegauge.streams.monitor.control.control import Choice, control
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.intake.record_batch import RecordBatch, since
from tidegauge.streams.monitor.intake.rejections import FAULTS, Rejection, letter, rejection
from tidegauge.streams.monitor.intake.waiting_rows import NONE
from tidegauge.streams.monitor.join.arrivals import arrivals_by_model
from tidegauge.streams.monitor.join.corrected import Corrected
from tidegauge.streams.monitor.join.join import Found, OfLabels
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.join.released import join_predictions
from tidegauge.streams.monitor.journal.gaps import gap_alerts
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.journal.poison import FoldError, poison_alert, refused
from tidegauge.streams.monitor.layouts.layouts import read_snapshot
from tidegauge.streams.monitor.records import Folded, Message, Output, Record, Returned, Source
from tidegauge.streams.monitor.restore import Restore
from tidegauge.streams.monitor.rows import MANY, RowsFolded
from tidegauge.streams.monitor.sizes import bounded
from tidegauge.streams.monitor.snapshot import RETRAINING, Snapshot
from tidegauge.streams.monitor.state import ROW_SOURCES, PartitionSettings, PartitionState
from tidegauge.streams.monitor.verdict.logged_rows import Rows
from tidegauge.streams.monitor.verdict.retraining import read_alert

Labels = tuple[list[LabelArrivals], list[Rejection]]


@dataclass(slots=True)
class _Batch:
    """What records of one source held, and what they gave rise to."""

    read: int  # records
    outputs: list[Output] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    rows: dict[Key, list[Rows]] = field(default_factory=dict)
    released: Mapping[Key, int] = field(default_factory=dict)
    unknown: Key | None = None


class Partition(PartitionState):
    """Folds the records of one partition, source by source; gives outputs and snapshots.

    The same records give the same outputs and the same bytes, wherever the batches are cut: those
    of each monitor in their order. Which monitor's come first goes by the batch.
    """

    def __init__(self, number: int, settings: PartitionSettings) -> None:
        super().__init__(number, settings)
        self._restore = Restore(self)
        # Labels that were read and not yet folded, with the offsets of the first and last record.
        self._ahead: tuple[tuple[int, int], Labels] | None = None

    # --- folding -------------------------------------------------------------------------------

    def fold(self, source: Source, records: Sequence[Record]) -> Folded:
        """Fold the records not yet folded; stop before a model version that is not known.

        It stops as well where it has many outputs, so that these can be sent first.

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
                batch = self._fold(source, piece, poison)
                outputs += self._count(source, piece, batch)
            except FoldError:
                raise
            except Exception as fault:  # whatever it is, the next owner must not meet it again
                raise self._fault(source, piece[0].offset, piece[-1].offset, fault) from fault
            fresh = fresh[batch.read :]
            if batch.unknown is not None or len(outputs) >= MANY:
                return Folded(outputs, fresh, batch.unknown)
        return Folded(outputs)

    def read_ahead(self, source: Source, records: Sequence[Record]) -> Sequence[Record]:
        """Return records that are folded in less time, as part of the work is done.

        Nothing is changed: another thread may ask while this one folds those before.
        """
        if source in ("predictions", "features") and isinstance(records, RecordBatch):
            return self.rows[source].reader.read_ahead(records)
        return records

    def _fault(self, source: Source, first: int, last: int, cause: Exception) -> FoldError:
        """Return what could not be folded; it may be rows gathered from batches before."""
        if source in ("predictions", "features"):
            first = self.rows[source].settled_before(first)
        return FoldError(source, first, last, cause)

    def poison(self, fault: FoldError) -> Output:
        """Return the journal entry that says what could not be folded."""
        last, alone = self.poisons.extent(fault)
        return self.writer.poison(fault.source, fault.first, last, alone, fault.told)

    def _fresh(self, source: Source, records: Sequence[Record]) -> Sequence[Record]:
        start = self.next_offset[source]
        return records if records and records[0].offset >= start else since(records, start)

    def _fold(self, source: Source, records: Sequence[Record], poison: Poison | None) -> _Batch:
        owed, self.owed = self.owed, []
        self.join.settled.clear()
        if poison is not None:
            batch = self._refuse(source, records, poison)
        elif source in ("predictions", "features"):
            batch = self._fold_rows(source, records)
        elif source == "labels":
            batch = self._fold_labels(records)
        else:
            batch = self._fold_each(source, records)
        first = [entry for model, pairs in owed for entry in self._journal(model, pairs)]
        batch.outputs = first + batch.outputs
        return batch

    def _count(self, source: Source, records: Sequence[Record], batch: _Batch) -> list[Output]:
        """Count what became of records; return all that a batch is to publish."""
        done, topic = records[: batch.read], self.settings.topics[source]
        tally = self.tallies[source]
        tally.records += len(done)
        tally.rejected += sum(rejected.rows for rejected in batch.rejections)
        outputs = batch.outputs + [letter(own, topic, self.number) for own in batch.rejections]
        if source in self.readability:
            read = self.readability[source]
            outputs += read.fold(batch.rows, batch.rejections, done, batch.released)
        if source in ("predictions", "features"):
            self._allow_waiting(source, batch)
        if done:
            self.next_offset[source] = done[-1].offset + 1
        return list(bounded(outputs))

    def _refuse(self, source: Source, records: Sequence[Record], poison: Poison) -> _Batch:
        """Leave poisonous records out; of owners in them take note, or what follows were void."""
        for record in records if source == "outcomes" else ():
            with suppress(*FAULTS):  # what cannot be read is no entry
                self.position.accepts(read_entry(record.value))
        return _Batch(len(records), rejections=refused(records, poison))

    def _fold_rows(self, source: RowSource, records: Sequence[Record]) -> _Batch:
        rows = self.rows[source]
        rows.gathers = len(records) > 1 and not self.poisons.entries
        if not rows.gathers or rows.changes_at(records[0].offset):
            self._settle(source)
        folded = rows.fold(records)
        batch = self._take(source, folded)
        if (unknown := folded.unknown) is not None:
            self.changed.add(unknown)
            is_spread = records[folded.read].key != unknown[0].encode()
            self.versions.spread.setdefault(unknown, is_spread)
        return batch

    def _take(self, source: RowSource, folded: RowsFolded) -> _Batch:
        """Let the join and the tallies have rows that monitors have folded."""
        batch = _Batch(folded.read, folded.outputs, folded.rejections)
        batch.released, batch.unknown = folded.released, folded.unknown
        for key, block in folded.blocks:
            batch.rows.setdefault(key, []).append(block)
            self.tallies[source].observed += len(block)
        if source == "predictions":
            for model, arrived in arrivals_by_model(
                folded.blocks, self.rows["predictions"].sliced_by
            ).items():
                self.changed.add((model, ""))
                released, horizon_ms = folded.released, self.horizon_ms(model)
                found = join_predictions(self.join, model, arrived, released, horizon_ms)
                batch.outputs += self._journal(model, found)
        return batch

    def _journal(self, model: str, found: Sequence[Found | OfLabels]) -> list[Output]:
        """Return the entries for what the join has found of a model, as far as its spec asks."""
        if not self.is_corrected(model):
            found = [one for one in found if not isinstance(one, Corrected)]
        return self.writer.pairs(model, found, self.is_wide(model), self.rows["predictions"].sliced)

    def _allow_waiting(self, source: RowSource, batch: _Batch) -> None:
        """Let further rows wait of versions of which nothing can be told meanwhile."""
        rows, read, stores = self.rows[source], self.readability[source].models, self.join.stores
        for key in batch.rows if rows.gathers else ():
            # A model's predictions enter the join in the order of their log, whose time they tell.
            joins = source == "predictions" and key[0] in stores
            told = joins and (len(stores[key[0]].labels) or len(rows.specs[key[0]]) > 1)
            calm = not told and (key not in read or read[key].tells_nothing)
            patience = rows.monitors[key].patience if calm else NONE
            if source == "predictions":  # of so many a report is written
                patience = patience._replace(rows=min(patience.rows, self.join.untold(key)))
            rows.reader.allow(key, patience)

    def labels_are_read(self, are: bool) -> None:
        """Take note whether all labels were read that their log had a few seconds ago."""
        self.join.labels_read = are

    def settle(self) -> None:
        """Fold all rows that wait for more of their versions; nothing is told of them.

        Raises
        ------
        FoldError
            If it cannot be done; as from ``fold``.
        """
        for source in ROW_SOURCES:
            self._settle(source)

    def _settle(self, source: RowSource) -> None:
        rows = self.rows[source]
        rows.reader.waiting.allow_none()
        if not len(rows.reader.waiting):
            return
        try:
            batch = self._take(source, rows.release())
            outputs = batch.outputs + self.readability[source].fold(batch.rows, [], [], {})
            assert not outputs, "rows of which something is told do not wait"
        except Exception as fault:
            last = self.next_offset[source] - 1
            raise self._fault(source, last, last, fault) from fault

    def _fold_labels(self, records: Sequence[Record]) -> _Batch:
        self._settle("predictions")
        labels, rejections = self._read_labels(records)
        batch = _Batch(len(records), rejections=rejections)
        for came in labels:
            self.changed.add((came.model, ""))
            pairs = self.join.add_labels(came, self.horizon_ms(came.model))
            batch.outputs += self._journal(came.model, pairs)
            self.tallies["labels"].observed += len(came)
            batch.rows[came.model, ""] = [came]
        return batch

    def awaits_predictions(self, records: Sequence[Record]) -> bool:
        """Return whether a label names a prediction that has not been folded yet.

        Raises
        ------
        FoldError
            If predictions that wait for more of their versions cannot be folded.
        """
        fresh = self._fresh("labels", records)
        if not fresh:
            return False
        try:
            labels, _ = read = self._read_labels(fresh)
        except Exception:  # the fold meets it again, and finds out which record it is
            return False
        self._ahead = (fresh[0].offset, fresh[-1].offset), read
        self._settle("predictions")
        return any(map(self.join.unknown, labels))

    def _read_labels(self, records: Sequence[Record]) -> Labels:
        """Return what was read ahead of the same records, or read them."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == (records[0].offset, records[-1].offset):
            return ahead[1]
        return self.labels.read(records)

    def _fold_each(self, source: Source, records: Sequence[Record]) -> _Batch:
        batch = _Batch(len(records))
        for record in records:
            try:  # to read it; a fault in what follows is ours, and must not look like theirs
                told = _read(source, record)
            except FAULTS as fault:
                batch.rejections.append(rejection(record, fault))
                continue
            if isinstance(told, Alert):
                batch.outputs += (requests := self.retraining.fold(told))
                if requests or told.model in self.retraining.faults:
                    self.changed.add(RETRAINING)
            else:
                batch.outputs += self._fold_entry(told, record.timestamp)
        return batch

    def _fold_entry(self, entry: JournalEntry, timestamp: int) -> list[Output]:
        if not self.position.accepts(entry) or isinstance(entry, Fence | Tick):
            return []
        if isinstance(entry, Gap):
            return gap_alerts(entry, self.settings.topics[entry.source], self.number, timestamp)
        if isinstance(entry, Poison):
            topic = self.settings.topics[entry.source]
            return [poison_alert(entry, topic, self.number, timestamp)] if entry.alone else []
        if isinstance(entry, Corrections | LabelReport | PredictionReport):
            return self.outcomes.fold_report(entry)
        if isinstance(entry, ControlChange):
            key = entry.model, entry.version
            self.versions.spread[key] = entry.spread
            new = control(entry.model, entry.spec, entry.reference, entry.adopted)
            held = self.rows["predictions"].controls.get(key)
            # a snapshot has it once
            return self.outcomes.watch(key, held if held == new else new)
        self.tallies["outcomes"].observed += len(entry.ids)
        return self.outcomes.fold(entry)

    # --- control -------------------------------------------------------------------------------

    def gap(self, source: Source, first: int, last: int) -> Output:
        """Return the journal entry that these offsets were deleted unread; go on behind them."""
        self.next_offset[source] = last + 1
        return self.writer.gap(source, first, last)

    def known(self) -> dict[Key, str]:
        """Return the digest of spec and reference of each model version met so far."""
        return dict(self.versions.digests)

    def control_change(self, model: str, version: str, choice: Choice) -> Output:
        """Return the journal entry that a control holds from the rows to be folded next.

        Of a model version that was met before, only after what a former owner may have told, and
        not before what an earlier change waits for: what is told stands, and the newest wins.
        """
        key = model, version
        offsets = self.versions.earliest_change(key, self.next_offset)
        return self.writer.change(key, choice, offsets, self.versions.spread.get(key, False))

    def apply_change(self, output: Output) -> None:
        """Let a control change take effect that the journal has acknowledged."""
        if not isinstance(output.message, ControlChange):
            raise ValueError(f"expected a control change, got {type(output.message).__name__}")
        self.versions.schedule(output.message)

    def over(self, now_ms: int) -> list[Key]:
        """Return the model versions of which a window has ended by the clock, and no row came."""
        return sorted({key for rows in self.rows.values() for key in rows.over(now_ms)})

    def tick(self, key: Key, now_ms: int) -> Output:
        """Return the journal entry that says what time it is, before the row to be folded next."""
        offsets = self.next_offset["predictions"], self.next_offset["features"]
        return self.writer.tick(key, now_ms, offsets)

    def apply_ticks(self, output: Output | None = None) -> list[Output]:
        """Let a tick take effect that the journal has acknowledged, and any that a restore found.

        Raises
        ------
        FoldError
            If it cannot be done; as from ``fold``.
        """
        if output is not None:
            assert isinstance(output.message, Tick)
            self.take_tick(output.message)
        outputs: list[Output] = []
        for source in ROW_SOURCES:
            if self.rows[source].changes_at(self.next_offset[source]):
                self._settle(source)
                outputs += self.rows[source].apply_ticks(self.next_offset[source])
        return list(bounded(outputs))

    # --- restore and snapshots -----------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The number of this owner; 0 before its fence."""
        return self.writer.epoch

    @classmethod
    def restore(cls, number: int, settings: PartitionSettings, snapshot: Snapshot) -> Self:
        """Return the partition that a snapshot describes; ValueError where it cannot be read."""
        self = cls(number, settings)
        snapshots.load(self, *read_snapshot(snapshot))
        return self

    def read_journal(self, records: Sequence[Record]) -> None:
        """Take what the journal holds from ``rebuild_from`` on; see ``Restore``."""
        self._restore.read_journal(records)

    def changes_from(self, ends: Mapping[RowSource, int]) -> None:
        """Let no control change hold for rows below ``ends``: a former owner may have told them."""
        self.versions.told = ends

    def fence(self) -> Output:
        """Take the next epoch; return the fence to append."""
        return self._restore.fence()

    def rebuild_join(
        self, source: Literal["predictions", "labels"], records: Sequence[Record]
    ) -> None:
        """Take rows below ``next_offset`` again, for the join alone; see ``Restore``."""
        self._restore.rebuild_join(source, records)

    def snapshot(self, only_moved: bool = False) -> Snapshot:
        """Return all that is to be remembered, or what has changed of it since this was asked.

        Raises
        ------
        FoldError
            If rows cannot be folded that were gathered; as from ``fold``.
        """
        self.settle()
        for source, rows in self.rows.items():
            try:
                rows.settle()
            except Exception as fault:
                last = self.next_offset[source] - 1
                raise self._fault(source, last, last, fault) from fault
        return snapshots.take(self, only_moved)


def _read(source: Source, record: Record) -> Message:
    if isinstance(record, Returned):
        return record.message
    return read_alert(record.value) if source == "alerts" else read_entry(record.value)
