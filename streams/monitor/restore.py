"""Brings a partition from its snapshot to where its logs say it is."""

from collections.abc import Sequence
from typing import Literal

from tidegauge.schemas.outcomes import (
    Corrections,
    Fence,
    Gap,
    LabelReport,
    Outcomes,
    Poison,
    PredictionReport,
    Tick,
)
from tidegauge.streams.monitor.intake.rejections import FAULTS
from tidegauge.streams.monitor.join.arrivals import arrivals_by_model
from tidegauge.streams.monitor.journal.journal import Position, read_entry
from tidegauge.streams.monitor.records import Output, Record
from tidegauge.streams.monitor.state import PartitionState


class Restore:
    """Reads again what a snapshot leaves to the logs: the journal, then rows for the join.

    Parameters
    ----------
    state
        As the snapshot has it, or new; changed in place.
    """

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._at: Position | None = None  # in the journal

    def read_journal(self, records: Sequence[Record]) -> None:
        """Take what the journal holds from ``rebuild_from`` to its end, in one call or several.

        Pairs that stand there are not written again; control changes after the snapshot are
        scheduled for the offsets they name, and so are ticks.
        """
        state = self._state
        if self._at is None:
            point = state.join.restore_points[0]
            self._at = Position(point.epoch, point.sequence)
        for record in records:
            try:
                entry = read_entry(record.value)
            except FAULTS:
                continue  # the fold of this source rejects it
            if not self._at.accepts(entry) or isinstance(entry, Fence | Gap | PredictionReport):
                continue
            if isinstance(entry, Poison):
                state.poisons.take(entry)
            elif isinstance(entry, Outcomes):
                self._recall(entry)
            elif isinstance(entry, Corrections):
                state.join.recalled([], entry.label_offsets)
                places = zip(entry.label_offsets, entry.ids, strict=True)
                state.join.corrected[entry.model].update(places)
            elif isinstance(entry, LabelReport):
                if entry.last_offset >= state.next_offset["labels"]:
                    state.join.reported[entry.model, entry.last_offset] = entry
            elif (entry.epoch, entry.sequence) > (state.writer.epoch, state.writer.sequence):
                if isinstance(entry, Tick):
                    state.take_tick(entry)
                else:
                    state.versions.schedule(entry)

    def _recall(self, entry: Outcomes) -> None:
        """Let the join know pairs that stand in the journal.

        They are settled where a snapshot has seen both sides: what waits for its types is not yet
        with the join.
        """
        state, key = self._state, (entry.model, entry.version)
        at, waits = state.next_offset, key in state.rows["predictions"].reader.intakes
        state.join.recalled(entry.prediction_offsets, entry.label_offsets)
        places = zip(entry.ids, entry.prediction_offsets, entry.label_offsets, strict=True)
        for id_, prediction, label in places:
            settled = prediction < at["predictions"] and label < at["labels"] and not waits
            state.join.recall(key, id_, settled)

    def fence(self) -> Output:
        """Take the epoch above all that the journal has; return the fence to append."""
        seen = self._at.epoch if self._at is not None else 0
        return self._state.writer.fence(seen, self._state.settings.join_key)

    def rebuild_join(
        self, source: Literal["predictions", "labels"], records: Sequence[Record]
    ) -> None:
        """Take rows below ``next_offset`` again, for the join alone; predictions come first.

        A pair that is not in the journal was written by an owner that had lost the partition, and
        is void; it is written again with the next fold.
        """
        state = self._state
        records = state.poisons.without(source, records)
        if source == "labels":
            labels, _ = state.labels.read(records)
            for came in labels:
                pairs = state.join.rebuild_labels(came, state.horizon_ms(came.model))
                state.owed += [(came.model, pairs)] if pairs else []
        else:
            for batch in state.rows["predictions"].again(records):
                rows = state.rows["predictions"]
                for model, arrived in arrivals_by_model(batch.blocks, rows.sliced_by).items():
                    state.join.rebuild_predictions(model, arrived)
