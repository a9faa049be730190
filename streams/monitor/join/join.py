"""Joins predictions and labels by id: either order, each pair once, within a horizon.

The first prediction of an id and a version meets the first label of that id, whichever comes first.
The store is a cache of what the logs hold; a restore rebuilds it by reading them again from
``rebuild_from``. What was already paired stands in the journal, whatever order a replay takes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

import msgspec
import numpy as np

from tidegauge.schemas.outcomes import LabelReport, PredictionReport
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.intake.classes import width_of
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.arrivals import Arrivals, Key
from tidegauge.streams.monitor.join.corrected import Corrected
from tidegauge.streams.monitor.join.held import NOTHING
from tidegauge.streams.monitor.join.held_labels import HeldLabels
from tidegauge.streams.monitor.join.held_predictions import HeldPredictions
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.join.label_tally import CORRECTED, REPORTED, Batch
from tidegauge.streams.monitor.join.meeting import LabelsMet, Meeting, Partners, last_beyond_ms
from tidegauge.streams.monitor.join.pairs import Pairs
from tidegauge.streams.monitor.join.prediction_tally import PredictionTally
from tidegauge.streams.monitor.join.siphash import KEY_BYTES, Hashes, hashes
from tidegauge.streams.monitor.join.store import Store, StoreState, kept_ms
from tidegauge.streams.monitor.join.watermark import STEPS

MAX_BYTES = 256 * 1_048_576  # held in a partition; beyond, the oldest are forgotten
MAX_STORES = 2000  # models of which anything is held
SPARE = 64  # part of them that is forgotten at once
MAX_RESTORE_POINTS = 64

Found = Pairs | PredictionReport
OfLabels = Pairs | Corrected | LabelReport
Ready = tuple[int, int, Batch]  # labels from and to, and the batch they are reported in


class RestorePoint(msgspec.Struct, frozen=True, array_like=True):
    """Where the logs stood at a snapshot: later rows are paired at later places of the journal."""

    predictions: int
    labels: int
    outcomes: int
    epoch: int = 0  # of the journal's newest owner there, and its last entry
    sequence: int = 0


class JoinCounts(msgspec.Struct):
    """What the join did; what became of labels is counted by model."""

    pairs: int = 0
    duplicate_predictions: int = 0
    forgotten: int = 0  # predictions: more were held than there is room for


class Join:
    """The pairs of one partition.

    Parameters
    ----------
    max_bytes
        Of what is held; beyond, the oldest are forgotten.
    key
        Of the hashes that stand for ids, 16 bytes; nothing that is told depends on it.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, key: bytes = bytes(KEY_BYTES)) -> None:
        self._max_bytes, self._key = max_bytes, key
        self.stores: defaultdict[str, Store] = defaultdict(Store)
        self.counts = JoinCounts()
        self.restore_points: list[RestorePoint] = [RestorePoint(0, 0, 0)]
        # Of the journal, by model and version: ids that were paired before the snapshot, and after.
        self.settled: defaultdict[Key, set[str]] = defaultdict(set)
        self.journaled: defaultdict[Key, set[str]] = defaultdict(set)
        # Likewise labels that correct another one, by model: their offsets and ids.
        self.corrected: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
        self._recalled = (-1, -1)  # the last prediction and the last label of what was journaled
        self.reported: dict[tuple[str, int], LabelReport] = {}  # by last offset
        self._held = 0
        self.moved: set[Key] = set()  # what was forgotten of since the last snapshot
        self.labels_read = True  # whether all labels were read that the log has; else unknown

    def add_predictions(self, model: str, arrived: Arrivals, horizon_ms: int) -> list[Found]:
        """Take predictions in the order of the log, whatever their versions.

        Return the pairs they make with labels that came before them, in the order of the
        predictions of each version, and reports of how many they are.
        """
        store, pairs = self.stores[model], list[Found]()
        arrived = self._room_for(model, store, arrived)
        before, log = store.size, store.predictions_log
        store.hold_to(horizon_ms)
        begin, step_ms = 0, kept_ms(horizon_ms) // STEPS
        for start, stop in log.pieces(len(arrived)):
            first, low_ms = int(arrived.offsets[start]), int(arrived.ts_ms[start:stop].min())
            if log.see(first, low_ms, stop - start, step_ms) and store.forget(horizon_ms):
                pairs += self._take(model, arrived.where(slice(begin, stop)).by_version())
                store.drop()
                begin = stop
        rest = arrived.where(slice(begin, None)) if begin else arrived
        pairs += self._take(model, rest.by_version())
        self._bound(store.size - before)
        return pairs

    def add_released(
        self, model: str, version: str, arrived: Arrivals, horizon_ms: int
    ) -> list[Found]:
        """Take predictions that were held until their types were known.

        Return pairs in the order of the labels, as if these had come later. The log has long
        gone on.
        """
        store = self.stores[model]
        arrived = self._room_for(model, store, arrived)
        before, log = store.size, store.predictions_log
        store.hold_to(horizon_ms)
        log.begin(int(arrived.offsets[0]))
        kept = arrived.where(arrived.offsets >= log.forgotten)
        pairs = self._take(model, [(version, kept)], in_label_order=True)
        self._bound(store.size - before)
        return pairs

    def _take(
        self, model: str, arrived: Iterable[tuple[str, Arrivals]], in_label_order: bool = False
    ) -> list[Found]:
        """Take predictions by version; return the pairs they make with labels that are known."""
        store, found, pairs = self.stores[model], list[tuple[Ints, Partners]](), list[Found]()
        reports: list[Found] = []
        for version, own in arrived:
            ids, met, again = self._take_version(store, version, own, in_label_order)
            tally = store.sent.setdefault(version, PredictionTally())
            reports += tally.take(model, version, own.offsets, own.ts_ms, again, self.labels_read)
            if met is None:
                continue
            found.append((met.label_offsets if in_label_order else met.offsets, met))
            fresh = met.fresh(ids, self.journaled.get((model, version)))
            if len(fresh.at):
                pairs.append(fresh.pairs(version, ids, store))
        store.tally.beyond_ms = last_beyond_ms(found) or store.tally.beyond_ms
        return pairs + reports

    def _room_for(self, model: str, store: Store, arrived: Arrivals) -> Arrivals:
        """Return predictions in a model's classes, when there is room for what they make wider.

        More classes make all predictions of their version larger that wait: the oldest go first.
        """
        arrived = arrived.known_by(store.classes)
        if arrived.scores.ndim > 1:
            before = store.size
            for version, own in arrived.by_version():
                store.predictions.setdefault(version, HeldPredictions()).widen(width_of(own.scores))
            self._bound(store.size - before)
            self.stores[model] = store  # it may be empty now, and is about to be filled
        return arrived

    def _take_version(
        self, store: Store, version: str, arrived: Arrivals, in_label_order: bool
    ) -> tuple[Texts, Partners | None, Flags]:
        """Hold predictions that were not delivered before, the first delivery stands.

        Return the ids of those whose labels are known, how they met, and which of all were
        delivered before.
        """
        own = hashes(arrived.ids, self._key)
        held = store.predictions.setdefault(version, HeldPredictions())
        places = store.labels.find(own)
        known = np.flatnonzero(places != NOTHING)
        fresh = np.ones(len(arrived), np.bool_)
        fresh[known] = ~store.labels.have_met(places[known], version)
        new, chosen = (arrived, own) if fresh.all() else (arrived.where(fresh), own[fresh])
        by = None if new.by is None else new.by.known_by(store.texts)
        fresh[fresh] = held.put(chosen, new.offsets, new.ts_ms, new.scores, by)
        self.counts.duplicate_predictions += len(arrived) - int(np.count_nonzero(fresh))
        at = known[fresh[known]]
        if not len(at):
            return arrived.ids, None, ~fresh
        if in_label_order:
            at = at[np.argsort(places[at])]  # these rise with their log
        came = arrived.where(at)
        met = self._meet_known(store, version, came, own[at], places[at])
        return came.ids, met, ~fresh

    def _meet_known(
        self, store: Store, version: str, came: Arrivals, own: Hashes, places: Ints
    ) -> Partners:
        """Let predictions that were held right now meet labels that are known."""
        by = np.empty((len(places), 0)) if came.by is None else came.by.known_by(store.texts)
        labels = store.labels.at(places)
        predictions = came.offsets, came.ts_ms, came.scores, by
        met = Partners.of(store, np.arange(len(came)), labels, predictions)
        before = store.labels.kinds(places)
        store.labels.mark(places, store.labels.joined(before, met.near, version))
        held = store.predictions[version]
        held.remove(held.find(own[met.near]))
        store.tally.reached(labels[0], before, met.near)
        self.counts.pairs += int(np.count_nonzero(met.near))
        return met

    def add_labels(self, came: LabelArrivals, horizon_ms: int) -> list[OfLabels]:
        """Take labels; return the pairs they make, corrections, and reports of what became of all.

        A label waits for predictions, and is known to those of further versions.
        """
        store, found = self.stores[came.model], list[OfLabels]()
        came = came.known_by(store.classes)
        before, batch = store.size, store.tally.batch
        store.hold_to(horizon_ms)
        store.labels_log.begin(int(came.offsets[0]))
        step_ms = kept_ms(horizon_ms) // STEPS
        meeting, ready = Meeting(store, came), list[Ready]()
        for start, stop in came.pieces(REPORTED - batch.labels, REPORTED):
            batch.see(came.cut(slice(start, stop)))
            ready.append((start, stop, batch))
            is_due = batch.is_full and (
                store.labels_log.see(batch.first_offset, batch.low_ms, batch.labels, step_ms)
                & store.forget(horizon_ms)
            )
            if is_due or stop == len(came):
                found += self._meet(meeting, came, ready, is_due)
                ready = []
            batch = Batch() if batch.is_full else batch
        store.tally.batch = batch
        self._bound(store.size - before)
        return found

    def _meet(
        self, meeting: Meeting, came: LabelArrivals, ready: Sequence[Ready], is_due: bool
    ) -> Iterator[OfLabels]:
        """Yield what labels give that are reported one batch after the other.

        Before the last report is told, what is forgotten is dropped, if that ``is_due``.
        """
        store, begin = self.stores[came.model], ready[0][0]
        met = meeting.meet(begin, ready[-1][1])
        for start, stop, batch in ready:
            own = slice(start - begin, stop - begin)
            found = met.cut(own)
            beyond_ms = last_beyond_ms((partners.at, partners) for _, partners in found)
            store.tally.arrived(batch, met.came.cut(own), met.kinds[own], beyond_ms)
            yield from self._fresh(met.came, found)
            yield from self._corrections(met, own)
            if is_due and stop == ready[-1][1]:
                store.drop()
            if batch.is_full:
                yield from self._report(came.model, store, batch)

    def _fresh(self, came: LabelArrivals, found: Iterable[tuple[str, Partners]]) -> list[Pairs]:
        """Return the pairs of labels by version, in the order of the first of each."""
        pairs, store = [], self.stores[came.model]
        for version, met in found:
            self.counts.pairs += int(np.count_nonzero(met.near))
            fresh = met.fresh(came.ids, self.journaled.get((came.model, version)))
            if len(fresh.at):
                pairs.append((int(fresh.at[0]), fresh.pairs(version, came.ids, store)))
        return [own for _, own in sorted(pairs, key=itemgetter(0))]

    def _corrections(self, met: LabelsMet, own: slice) -> list[Corrected]:
        """Return those of some labels that correct an earlier one, but those in the journal."""
        at = own.start + np.flatnonzero(met.kinds[own] == CORRECTED)
        model, came = met.came.model, met.came
        if len(at) and (journaled := self.corrected.get(model)):
            named = [(int(came.offsets[one]), came.ids[one]) for one in at.tolist()]
            at = at[[one not in journaled for one in named]]
            journaled.difference_update(named)
        return [Corrected.of(came, at, self.stores[model].classes)] if len(at) else []

    def _report(self, model: str, store: Store, batch: Batch) -> list[LabelReport]:
        """Return what became of a model's labels; what the journal says already stands."""
        report = store.tally.report(batch, model, store.has_predictions)
        told = self.reported.pop((model, report.last_offset), None)
        if told is None:
            return [report]
        store.tally.counts = msgspec.structs.replace(told.counts)
        return []

    def untold(self, key: Key) -> int:
        """Return how many predictions of a model version may come without a report of them."""
        store = self.stores.get(key[0])
        tally = store.sent.get(key[1]) if store is not None else None
        return tally.missing - 1 if tally is not None else 0

    def unknown(self, came: LabelArrivals) -> bool:
        """Return whether a label names a prediction that is not here."""
        store = self.stores.get(came.model)
        if store is None:
            return True
        waiting = (held.find(came.hashes) for held in store.predictions.values())
        found = [store.labels.find(came.hashes), *waiting]
        return bool((np.maximum.reduce(found) == NOTHING).any())

    def _bound(self, added: int) -> None:
        """Forget the oldest of whichever model holds most, where there is no room for more."""
        self._held += added
        # Mostly labels of models that have no predictions here.
        while len(self.stores) > MAX_STORES:
            model = min(self.stores, key=lambda name: self.stores[name].has_predictions)
            store = self.stores.pop(model)
            self._forgot(model, store.size, len(store) - len(store.labels))
        while self._held > self._max_bytes:
            model = max(self.stores, key=lambda name: self.stores[name].size)
            store = self.stores[model]
            before, rows, labels = store.size, len(store), len(store.labels)
            store.forget_oldest(self._held - self._max_bytes + self._max_bytes // SPARE)
            gone = labels - len(store.labels)
            self._forgot(model, before - store.size, rows - len(store) - gone)
            if not len(store):
                del self.stores[model]

    def _forgot(self, model: str, size: int, predictions: int) -> None:
        """Take note of bytes for which there was no room, and of the predictions among them."""
        self._held -= size
        self.counts.forgotten += predictions
        self.moved.add((model, ""))

    # --- snapshot and restore ------------------------------------------------------------------

    def add_restore_point(self, here: RestorePoint, oldest_untyped: int) -> None:
        """Note where the logs stand, so that a restore reads no more of them than it must.

        ``oldest_untyped`` is the first prediction that waits for its model's types, and is not
        here yet; where there is none, the next one to come.
        """
        kept, stores = self.restore_points, self.stores.values()
        if (
            here.labels > self._recalled[1]
            and min(here.predictions, oldest_untyped) > self._recalled[0]
        ):
            self.journaled.clear()  # all of these were here again, but for what has no partner now
            self.corrected.clear()
        elif any(self.journaled.values()) or any(self.corrected.values()):
            # The journal has pairs of rows that are to come again: it must be read from there.
            last = kept[-1]
            here = RestorePoint(
                here.predictions, here.labels, last.outcomes, last.epoch, last.sequence
            )
        predictions = [s.predictions_log.start for s in stores]
        labels = [s.labels_log.start for s in stores]
        oldest_prediction = min([oldest_untyped, *(at for at in predictions if at is not None)])
        oldest_label = min([here.labels, *(at for at in labels if at is not None)])
        if here != kept[-1]:
            kept.append(here)
        while len(kept) > 1 and (
            kept[1].predictions <= oldest_prediction and kept[1].labels <= oldest_label
        ):
            del kept[0]
        if len(kept) > MAX_RESTORE_POINTS:
            del kept[1:-1:2]

    def state(self, model: str) -> StoreState | None:
        """Return what a snapshot needs of a model."""
        if model not in self.stores:
            return None
        store = self.stores[model]
        store.shrink()
        return StoreState(
            store.predictions_log, store.labels_log, store.tally, store.horizons, store.sent
        )

    def load(self, model: str, state: StoreState) -> None:
        """Take back what a snapshot says of a model; its rows are read again."""
        logs = state.predictions, state.labels
        self.stores[model] = Store({}, HeldLabels(), *logs, state.tally, state.horizons, state.sent)

    def recall(self, key: Key, id_: str, settled: bool) -> None:
        """Take a pair that the journal holds; it is ``settled`` if both sides are read again."""
        (self.settled if settled else self.journaled)[key].add(id_)

    def recalled(self, predictions: Sequence[int], labels: Sequence[int]) -> None:
        """Note up to which offsets rows must come again of which the journal has pairs."""
        last_prediction, last_label = self._recalled
        self._recalled = max(last_prediction, *predictions, -1), max(last_label, *labels, -1)

    def rebuild_predictions(self, model: str, arrived: Arrivals) -> None:
        """Take predictions again that were here at the snapshot."""
        store = self.stores[model]
        arrived = self._room_for(model, store, arrived)
        before = store.size
        for version, own in arrived.by_version():
            settled, chosen = (
                self.settled[model, version],
                own.offsets >= store.predictions_log.forgotten,
            )
            if settled:
                chosen &= [id_ not in settled for id_ in own.ids]
            new, held = own.where(chosen), store.predictions.setdefault(version, HeldPredictions())
            by = None if new.by is None else new.by.known_by(store.texts)
            held.put(hashes(new.ids, self._key), new.offsets, new.ts_ms, new.scores, by)
        self._bound(store.size - before)

    def rebuild_labels(self, came: LabelArrivals, horizon_ms: int) -> list[Pairs | Corrected]:
        """Take labels again that were here at the snapshot.

        Return the pairs and corrections that the journal does not hold: an owner wrote them that
        had lost the partition. They are told by the horizons of their time; ``horizon_ms`` is that
        of a model of which none is known.
        """
        store = self.stores[came.model]
        before, counts = store.size, msgspec.structs.replace(self.counts)
        if not store.horizons:
            store.hold_to(horizon_ms)
        settled = [(v, ids) for (of, v), ids in self.settled.items() if of == came.model and ids]
        start = int(np.searchsorted(came.offsets, store.labels_log.forgotten))
        came = came.cut(slice(start, None)).known_by(store.classes)
        met = [tuple(v for v, ids in settled if id_ in ids) for id_ in came.ids] if settled else []
        found = Meeting(store, came).meet(0, len(came), met)
        every = slice(0, len(came))
        pairs: list[Pairs | Corrected] = [*self._fresh(came, found.cut(every))]
        pairs += self._corrections(found, every)
        self.counts = counts  # all was counted when it came
        self._bound(store.size - before)
        return pairs
