"""Joins predictions and labels by id: either order, each pair once, within a horizon.

The first prediction of an id and a version meets the first label of that id, whichever comes first.
The store is a cache of what the logs hold; a restore rebuilds it by reading them again from
``rebuild_from``. What was already paired stands in the journal, whatever order a replay takes.
"""

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Protocol, TypeVar

import msgspec

from tidegauge.schemas.outcomes import LabelReport
from tidegauge.streams.monitor.join.arrivals import Arrivals, Key, Prediction
from tidegauge.streams.monitor.join.label_tally import (
    BEYOND,
    REPORTED,
    Label,
    LabelRecord,
    LabelTally,
    Met,
)
from tidegauge.streams.monitor.join.watermark import STEPS, Watermark

MAX_HELD = 1_000_000  # predictions and labels held in a partition; beyond, the oldest are forgotten
MAX_STORES = 2000  # models of which anything is held
SPARE = 64  # part of them that is forgotten at once
MAX_RESTORE_POINTS = 64
MAX_HORIZONS = 64  # of a model, one after the other
PAIRS_PER_RECORD = 4000  # some 400 kB of journal
ID_BYTES_PER_RECORD = 500_000
GRACE_MS = 86_400_000  # at least, by which rows may come out of order
GRACE = 10  # part of the horizon, if that is more


class Row(Protocol):
    """Either of the two."""

    offset: int


AnyRow = TypeVar("AnyRow", Prediction, Label)


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


class Horizon(msgspec.Struct, frozen=True, array_like=True):
    """How far apart two partners may lie of which the later comes at these offsets or after."""

    predictions: int
    labels: int
    ms: int


class JoinCounts(msgspec.Struct):
    """What the join did; what became of labels is counted by model."""

    pairs: int = 0
    duplicate_predictions: int = 0
    forgotten: int = 0  # predictions: more were held than there is room for


class StoreState(msgspec.Struct):
    """What of a store the logs alone do not say, for the snapshot."""

    predictions: Watermark
    labels: Watermark
    tally: LabelTally
    horizons: list[Horizon] = []


@dataclass(slots=True)
class Store:
    """Predictions without a label and the known labels of one model, in the order of their logs."""

    predictions: dict[str, dict[str, Prediction]] = field(default_factory=dict)  # by version
    labels: dict[str, Label] = field(default_factory=dict)
    predictions_log: Watermark = field(default_factory=Watermark)
    labels_log: Watermark = field(default_factory=Watermark)
    tally: LabelTally = field(default_factory=LabelTally)
    horizons: list[Horizon] = field(default_factory=list)  # the last one holds

    def __len__(self) -> int:
        """Return how many predictions and labels are held."""
        return sum(map(len, self.predictions.values())) + len(self.labels)

    @property
    def has_predictions(self) -> bool:
        """Whether there ever was one."""
        return self.predictions_log.first is not None

    def hold_to(self, horizon_ms: int) -> None:
        """Let a horizon hold for partners that meet from now on."""
        if self.horizons and self.horizons[-1].ms == horizon_ms:
            return
        newest = (
            next(reversed(held.values())).offset for held in self.predictions.values() if held
        )
        label = next(reversed(self.labels.values()), None)
        after_label = 0 if label is None else label.offset + 1
        self.horizons.append(Horizon(max(newest, default=-1) + 1, after_label, horizon_ms))
        if len(self.horizons) > MAX_HORIZONS:
            del self.horizons[0]

    def horizon_ms(self, prediction: int, label: int) -> int:
        """Return the horizon that held when the later of two offsets came; -1 is before all."""
        for horizon in reversed(self.horizons):
            if prediction >= horizon.predictions or label >= horizon.labels:
                return horizon.ms
        return self.horizons[0].ms

    def forget(self, horizon_ms: int) -> None:
        """Drop what can have no partner to come in either log.

        Either log may run far ahead of the other while a worker catches up.
        """
        times = self.predictions_log.ts_ms, self.labels_log.ts_ms
        before_ms = min(-1 if ts_ms is None else ts_ms for ts_ms in times) - kept_ms(horizon_ms)
        if self.predictions_log.forget(before_ms) | self.labels_log.forget(before_ms):
            self.drop()

    def drop(self) -> None:
        """Drop what is forgotten."""
        for version, held in list(self.predictions.items()):
            drop_before(held, self.predictions_log.forgotten)
            if not held:
                del self.predictions[version]
        dropped = drop_before(self.labels, self.labels_log.forgotten)
        self.tally.counts.forgotten += sum(not label.met for label in dropped)

    def forget_oldest(self, surplus: int) -> None:
        """Forget this many of whichever there are most, with those in the same record."""
        fullest = max(self.predictions.values(), key=len, default={})
        rows: Iterable[Row] = fullest.values()
        log = self.predictions_log
        if len(self.labels) > len(fullest):
            rows, log = self.labels.values(), self.labels_log
        for row in islice(rows, surplus):
            log.forgotten = row.offset + 1
        self.drop()


class Join:
    """The pairs of one partition."""

    def __init__(self) -> None:
        self.stores: defaultdict[str, Store] = defaultdict(Store)
        self.counts = JoinCounts()
        self.restore_points: list[RestorePoint] = [RestorePoint(0, 0, 0)]
        # Of the journal, by model and version: ids that were paired before the snapshot, and after.
        self.settled: defaultdict[Key, set[str]] = defaultdict(set)
        self.journaled: defaultdict[Key, set[str]] = defaultdict(set)
        self.reported: dict[tuple[str, int], LabelReport] = {}  # by last offset
        self._met: dict[Met, Met] = {}  # each once, as there is one a label
        self._held = 0
        self.moved: set[Key] = set()  # what was forgotten of since the last snapshot

    def add_predictions(self, model: str, arrived: Arrivals, horizon_ms: int) -> list[Pair]:
        """Take predictions in the order of the log, whatever their versions.

        Return the pairs they make with labels that came before them, in the order of the
        predictions of each version.
        """
        store, pairs = self.stores[model], list[Pair]()
        before, log = len(store), store.predictions_log
        store.hold_to(horizon_ms)
        for start, stop in log.pieces(len(arrived)):
            piece = arrived.cut(start, stop)
            for version, own in piece.by_version():
                pairs += self._take(model, version, own)
            first, low_ms = piece.predictions[0].offset, min(p.ts_ms for p in piece.predictions)
            if log.see(first, low_ms, len(piece), kept_ms(horizon_ms) // STEPS):
                store.forget(horizon_ms)
        self._bound(len(store) - before)
        return pairs

    def add_released(
        self, model: str, version: str, arrived: Arrivals, horizon_ms: int
    ) -> list[Pair]:
        """Take predictions that were held until their types were known.

        Return pairs in the order of the labels, as if these had come later. The log has long
        gone on.
        """
        store = self.stores[model]
        before, log = len(store), store.predictions_log
        store.hold_to(horizon_ms)
        log.begin(arrived.predictions[0].offset)
        kept = arrived.where([p.offset >= log.forgotten for p in arrived.predictions])
        pairs = self._take(model, version, kept, in_label_order=True)
        self._bound(len(store) - before)
        return pairs

    def _take(
        self,
        model: str,
        version: str,
        arrived: Arrivals,
        in_label_order: bool = False,
    ) -> list[Pair]:
        store = self.stores[model]
        held = store.predictions.setdefault(version, {})
        fresh = dict(zip(arrived.ids, arrived.predictions, strict=True))
        known = fresh.keys() & store.labels.keys()
        if known or len(fresh) < len(arrived) or not held.keys().isdisjoint(fresh):
            fresh = self._first(store, version, arrived)
        held |= fresh
        pairs: list[Pair] = []
        for id_ in list(filter(known.__contains__, store.labels if in_label_order else fresh)):
            label = store.labels[id_]
            was = label.met
            if id_ in fresh:
                if pair := self._pair((model, version), held, label):
                    pairs.append(pair)
                store.tally.reached(label, was)
        return pairs

    def _first(self, store: Store, version: str, arrived: Arrivals) -> dict[str, Prediction]:
        """Return what was not delivered before: the first delivery stands."""
        held, fresh = store.predictions[version], dict[str, Prediction]()
        for id_, prediction in zip(arrived.ids, arrived.predictions, strict=True):
            label = store.labels.get(id_)
            if id_ in held or id_ in fresh or (label is not None and version in label.met):
                self.counts.duplicate_predictions += 1
            else:
                fresh[id_] = prediction
        return fresh

    def add_labels(
        self, model: str, records: Iterable[LabelRecord], horizon_ms: int
    ) -> list[Pair | LabelReport]:
        """Take labels; return the pairs they make, with reports of what became of all.

        A label waits for predictions, and is known to those of further versions.
        """
        store, found = self.stores[model], list[Pair | LabelReport]()
        before, tally = len(store), store.tally
        store.hold_to(horizon_ms)
        step_ms = kept_ms(horizon_ms) // STEPS
        for record in records:
            store.labels_log.begin(record.offset)
            tally.see(record)
            for label in record.labels:
                if label.id in store.labels and not self._supersedes(store, label):
                    tally.counts.duplicate += 1
                    continue
                store.labels[label.id] = label
                found += self._meet(model, store, label)
                tally.arrived(label)
            batch = tally.batch
            if batch.labels >= REPORTED:
                store.labels_log.see(batch.first_offset, batch.low_ms, batch.labels, step_ms)
                store.forget(horizon_ms)
                found += self._report(model, store)
        self._bound(len(store) - before)
        return found

    def _supersedes(self, store: Store, label: Label) -> bool:
        """Return whether a label stands in the place of the first of its id.

        It does where no prediction could have met both: one is of another time, or misdated.
        """
        known = store.labels[label.id]
        if abs(label.ts_ms - known.ts_ms) <= 2 * store.horizon_ms(-1, label.offset):
            return False
        label.met = tuple(version for version in known.met if version is not None)
        del store.labels[label.id]  # with its place in the order
        return True

    def _meet(self, model: str, store: Store, label: Label) -> list[Pair]:
        pairs: list[Pair] = []
        for version, held in store.predictions.items():
            if label.id in held and (pair := self._pair((model, version), held, label)):
                pairs.append(pair)
        return pairs

    def _pair(self, key: Key, held: dict[str, Prediction], label: Label) -> Pair | None:
        """Return the pair of a label and a prediction, unless it is too late or journaled."""
        model, version = key
        prediction, store = held[label.id], self.stores[model]
        apart_ms = abs(label.ts_ms - prediction.ts_ms)
        if apart_ms > store.horizon_ms(prediction.offset, label.offset):
            label.met = label.met or BEYOND
            store.tally.beyond_ms = label.ts_ms, prediction.ts_ms
            return None
        del held[label.id]
        met = (*label.met, version)
        label.met = self._met.setdefault(met, met)
        self.counts.pairs += 1
        if self.journaled and label.id in self.journaled[key]:
            self.journaled[key].discard(label.id)
            return None
        return Pair(label.id, prediction, label)

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
        known: list[Container[str]] = [store.labels, *store.predictions.values()]
        return not all(any(id_ in held for held in known) for id_ in ids)

    def _bound(self, added: int) -> None:
        """Forget the oldest of whichever model holds most, where there is no room for more."""
        self._held += added
        while (
            len(self.stores) > MAX_STORES
        ):  # mostly labels of models that have no predictions here
            model = min(self.stores, key=lambda name: self.stores[name].has_predictions)
            store = self.stores.pop(model)
            self._forgot(model, len(store), len(store.labels))
        while self._held > MAX_HELD:
            model = max(self.stores, key=lambda name: len(self.stores[name]))
            store = self.stores[model]
            before, labels = len(store), len(store.labels)
            store.forget_oldest(self._held - MAX_HELD + MAX_HELD // SPARE)
            self._forgot(model, before - len(store), labels - len(store.labels))
            if not len(store):
                del self.stores[model]

    def _forgot(self, model: str, rows: int, labels: int) -> None:
        """Take note of rows, some of them labels, for which there was no room."""
        self._held -= rows
        self.counts.forgotten += rows - labels
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
        self.stores[model] = Store({}, {}, *logs, state.tally, state.horizons)

    def recall(self, key: Key, id_: str, settled: bool) -> None:
        """Take a pair that the journal holds; it is ``settled`` if both sides are read again."""
        (self.settled if settled else self.journaled)[key].add(id_)

    def rebuild_predictions(self, model: str, arrived: Arrivals) -> None:
        """Take predictions again that were here at the snapshot."""
        store = self.stores[model]
        before = len(store)
        for id_, prediction in zip(arrived.ids, arrived.predictions, strict=True):
            settled = id_ in self.settled[model, prediction.version]
            if prediction.offset >= store.predictions_log.forgotten and not settled:
                store.predictions.setdefault(prediction.version, {}).setdefault(id_, prediction)
        self._bound(len(store) - before)

    def rebuild_labels(
        self, model: str, records: Iterable[LabelRecord], horizon_ms: int
    ) -> list[Pair]:
        """Take labels again that were here at the snapshot.

        Return the pairs that the journal does not hold: an owner wrote them that had lost the
        partition. They are told by the horizons of their time; ``horizon_ms`` is that of a model of
        which none is known.
        """
        store, pairs = self.stores[model], list[Pair]()
        before, tally, counts = len(store), store.tally, msgspec.structs.replace(self.counts)
        if not store.horizons:
            store.hold_to(horizon_ms)
        store.tally = LabelTally()  # all of it was counted when it came
        settled = [(version, ids) for (of, version), ids in self.settled.items() if of == model]
        for record in records:
            for label in record.labels:
                if record.offset < store.labels_log.forgotten:
                    continue
                met = tuple(version for version, ids in settled if label.id in ids)
                label.met = self._met.setdefault(met, met)
                if label.id not in store.labels or self._supersedes(store, label):
                    store.labels[label.id] = label
                    pairs += self._meet(model, store, label)
        store.tally, self.counts = tally, counts
        self._bound(len(store) - before)
        return pairs


def kept_ms(horizon_ms: int) -> int:
    """Return for how long a row may find its partner, in event time of either log."""
    return horizon_ms + max(GRACE_MS, horizon_ms // GRACE)


def drop_before(held: dict[str, AnyRow], offset: int) -> list[AnyRow]:
    """Drop and return the rows before an offset; they lie in its order."""
    # gathered in one pass: a dict's front is slow to reach again and again
    old = list(takewhile(lambda row: row.offset < offset, held.values()))
    for id_ in list(islice(held, len(old))):
        del held[id_]
    return old


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
