"""Joins predictions and labels by id: either order, each pair once, within a horizon.

The first prediction of an id and a version meets the first label of that id, whichever comes first.
The store is a cache of what the logs hold; a restore rebuilds it by reading them again from
``rebuild_from``. What was already paired stands in the journal, whatever order a replay takes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from tidegauge.schemas.outcomes import LabelReport
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.arrivals import Arrivals, Key, Prediction
from tidegauge.streams.monitor.join.held import NOTHING
from tidegauge.streams.monitor.join.held_labels import HeldLabels
from tidegauge.streams.monitor.join.held_predictions import HeldPredictions
from tidegauge.streams.monitor.join.label_tally import (
    BEYOND,
    REPORTED,
    Label,
    LabelRecord,
    LabelTally,
)
from tidegauge.streams.monitor.join.siphash import KEY_BYTES, Hashes, hashes
from tidegauge.streams.monitor.join.store import Store, StoreState, kept_ms
from tidegauge.streams.monitor.join.watermark import STEPS

MAX_BYTES = 256 * 1_048_576  # held in a partition; beyond, the oldest are forgotten
MAX_STORES = 2000  # models of which anything is held
SPARE = 64  # part of them that is forgotten at once
MAX_RESTORE_POINTS = 64
PAIRS_PER_RECORD = 4000  # some 400 kB of journal
ID_BYTES_PER_RECORD = 500_000


class Pair(msgspec.Struct, gc=False):
    """A prediction that met its label."""

    id: str
    prediction: Prediction
    label: Label


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
        self.reported: dict[tuple[str, int], LabelReport] = {}  # by last offset
        self._held = 0
        self.moved: set[Key] = set()  # what was forgotten of since the last snapshot

    def add_predictions(self, model: str, arrived: Arrivals, horizon_ms: int) -> list[Pair]:
        """Take predictions in the order of the log, whatever their versions.

        Return the pairs they make with labels that came before them, in the order of the
        predictions of each version.
        """
        store, pairs = self.stores[model], list[Pair]()
        before, log = store.size, store.predictions_log
        store.hold_to(horizon_ms)
        begin, step_ms = 0, kept_ms(horizon_ms) // STEPS
        for start, stop in log.pieces(len(arrived)):
            first, low_ms = int(arrived.offsets[start]), int(arrived.ts_ms[start:stop].min())
            if log.see(first, low_ms, stop - start, step_ms) and store.forget(horizon_ms):
                pairs += self._take(model, arrived.where(slice(begin, stop)))
                store.drop()
                begin = stop
        pairs += self._take(model, arrived.where(slice(begin, None)) if begin else arrived)
        self._bound(store.size - before)
        return pairs

    def add_released(
        self, model: str, version: str, arrived: Arrivals, horizon_ms: int
    ) -> list[Pair]:
        """Take predictions that were held until their types were known.

        Return pairs in the order of the labels, as if these had come later. The log has long
        gone on.
        """
        store = self.stores[model]
        before, log = store.size, store.predictions_log
        store.hold_to(horizon_ms)
        log.begin(int(arrived.offsets[0]))
        kept = arrived.where(arrived.offsets >= log.forgotten)
        pairs = self._take_version(model, version, kept, in_label_order=True)
        self._bound(store.size - before)
        return pairs

    def _take(self, model: str, arrived: Arrivals) -> list[Pair]:
        own = arrived.by_version()
        return [pair for v, some in own for pair in self._take_version(model, v, some)]

    def _take_version(
        self, model: str, version: str, arrived: Arrivals, in_label_order: bool = False
    ) -> list[Pair]:
        """Hold predictions that were not delivered before, the first delivery stands; pair them."""
        store, own = self.stores[model], hashes(arrived.ids, self._key)
        held = store.predictions.setdefault(version, HeldPredictions())
        known = store.known(arrived, own)
        fresh = np.ones(len(arrived), np.bool_)
        fresh[[at for at, label in known.items() if version in label.met]] = False
        new, chosen = (arrived, own) if fresh.all() else (arrived.where(fresh), own[fresh])
        fresh[fresh] = held.put(chosen, new.offsets, new.ts_ms, new.scores)
        self.counts.duplicate_predictions += len(arrived) - int(np.count_nonzero(fresh))
        met = [at for at in known if fresh[at]]
        if not met:
            return []
        pairs: list[Pair] = []
        waiting, labels = (index.find(own[met]).tolist() for index in (held, store.labels))
        places = [*zip(labels, waiting, met, strict=True)]  # those of labels rise with their log
        for label_at, held_at, at in sorted(places) if in_label_order else places:
            label, was = known[at], known[at].met
            if pair := self._pair((model, version), held_at, label):
                pairs.append(pair)
            store.labels.mark(label_at, label.met)
            store.tally.reached(label, was)
        return pairs

    def add_labels(
        self, model: str, records: Sequence[LabelRecord], horizon_ms: int
    ) -> list[Pair | LabelReport]:
        """Take labels; return the pairs they make, with reports of what became of all.

        A label waits for predictions, and is known to those of further versions.
        """
        store, found = self.stores[model], list[Pair | LabelReport]()
        before, tally = store.size, store.tally
        store.hold_to(horizon_ms)
        step_ms = kept_ms(horizon_ms) // STEPS
        meeting = self._meet(model, store, [label for record in records for label in record.labels])
        for record in records:
            store.labels_log.begin(record.offset)
            tally.see(record)
            for label, pairs in zip(record.labels, meeting, strict=False):
                if pairs is None:
                    tally.counts.duplicate += 1
                else:
                    found += pairs
                    tally.arrived(label)
            batch = tally.batch
            if batch.labels >= REPORTED:
                store.labels_log.see(batch.first_offset, batch.low_ms, batch.labels, step_ms)
                if store.forget(horizon_ms):
                    store.drop()
                found += self._report(model, store)
        self._bound(store.size - before)
        return found

    def _hashes(self, ids: Iterable[str]) -> Hashes:
        return hashes(Texts.of(list(ids)), self._key)

    def _meet(
        self, model: str, store: Store, labels: Sequence[Label]
    ) -> Iterator[list[Pair] | None]:
        """Hold labels, one after the other; yield the pairs of each, None where it is not held."""
        own = self._hashes(label.id for label in labels)
        found = [(version, held.find(own)) for version, held in store.predictions.items()]
        for at, (label, place) in enumerate(store.hold(labels, own)):
            if place == NOTHING:
                yield None
                continue
            waiting = [
                (version, int(places[at]))
                for version, places in found
                if version in store.predictions and store.predictions[version].holds(places[at])
            ]
            pairs = [self._pair((model, version), there, label) for version, there in waiting]
            if label.met:
                store.labels.mark(place, label.met)
            yield [pair for pair in pairs if pair is not None]

    def _pair(self, key: Key, place: int, label: Label) -> Pair | None:
        """Return the pair of a label and a prediction, unless it is too late or journaled."""
        model, version = key
        store = self.stores[model]
        offset, ts_ms, score = store.predictions[version].at(place)
        if abs(label.ts_ms - ts_ms) > store.horizon_ms(offset, label.offset):
            label.met = label.met or BEYOND
            store.tally.beyond_ms = label.ts_ms, ts_ms
            return None
        store.predictions[version].remove(place)
        label.met = (*label.met, version)
        self.counts.pairs += 1
        if self.journaled and label.id in self.journaled[key]:
            self.journaled[key].discard(label.id)
            return None
        return Pair(label.id, Prediction(version, ts_ms, score, offset), label)

    def _report(self, model: str, store: Store) -> list[LabelReport]:
        """Return what became of a model's labels; what the journal says already stands."""
        report = store.tally.report(model, store.has_predictions)
        told = self.reported.pop((model, report.last_offset), None)
        if told is None:
            return [report]
        store.tally.counts = msgspec.structs.replace(told.counts)
        return []

    def unknown(self, model: str, ids: Iterable[str]) -> bool:
        """Return whether a label names a prediction that is not here."""
        store = self.stores.get(model)
        if store is None:
            return True
        own = self._hashes(ids)
        found = [store.labels.find(own), *(held.find(own) for held in store.predictions.values())]
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
        return StoreState(store.predictions_log, store.labels_log, store.tally, store.horizons)

    def load(self, model: str, state: StoreState) -> None:
        """Take back what a snapshot says of a model; its rows are read again."""
        logs = state.predictions, state.labels
        self.stores[model] = Store({}, HeldLabels(), *logs, state.tally, state.horizons)

    def recall(self, key: Key, id_: str, settled: bool) -> None:
        """Take a pair that the journal holds; it is ``settled`` if both sides are read again."""
        (self.settled if settled else self.journaled)[key].add(id_)

    def rebuild_predictions(self, model: str, arrived: Arrivals) -> None:
        """Take predictions again that were here at the snapshot."""
        store = self.stores[model]
        before = store.size
        for version, own in arrived.by_version():
            settled, chosen = (
                self.settled[model, version],
                own.offsets >= store.predictions_log.forgotten,
            )
            if settled:
                chosen &= [id_ not in settled for id_ in own.ids]
            new, held = own.where(chosen), store.predictions.setdefault(version, HeldPredictions())
            held.put(hashes(new.ids, self._key), new.offsets, new.ts_ms, new.scores)
        self._bound(store.size - before)

    def rebuild_labels(
        self, model: str, records: Sequence[LabelRecord], horizon_ms: int
    ) -> list[Pair]:
        """Take labels again that were here at the snapshot.

        Return the pairs that the journal does not hold: an owner wrote them that had lost the
        partition. They are told by the horizons of their time; ``horizon_ms`` is that of a model of
        which none is known.
        """
        store = self.stores[model]
        before, tally, counts = store.size, store.tally, msgspec.structs.replace(self.counts)
        if not store.horizons:
            store.hold_to(horizon_ms)
        store.tally = LabelTally()  # all of it was counted when it came
        settled = [(version, ids) for (of, version), ids in self.settled.items() if of == model]
        start = store.labels_log.forgotten
        labels = [label for record in records if record.offset >= start for label in record.labels]
        for label in labels:
            label.met = tuple(version for version, ids in settled if label.id in ids)
        pairs = [pair for own in self._meet(model, store, labels) for pair in own or ()]
        store.tally, self.counts = tally, counts
        self._bound(store.size - before)
        return pairs


def records_of(pairs: list[Pair]) -> Iterable[list[Pair]]:
    """Return the pairs in pieces that fit into one record of the journal each."""
    piece: list[Pair] = []
    size = 0
    for pair in pairs:
        own = len(msgspec.json.encode(pair.id))  # a control character takes six bytes
        size += own
        if piece and (size > ID_BYTES_PER_RECORD or len(piece) == PAIRS_PER_RECORD):
            yield piece
            piece, size = [], own
        piece.append(pair)
    if piece:
        yield piece
