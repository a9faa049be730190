"""Joins predictions and labels by id: either order, each pair once, within a horizon.

The store is a cache of what the logs hold; a restore rebuilds it by reading them again from
``rebuild_from``. What was already paired stands in the journal, whatever order a replay takes.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

MAX_HELD = 1_000_000  # predictions and labels held in a partition; beyond, the oldest are forgotten
MAX_MARKS = 64
PAIRS_PER_RECORD = 4000  # some 400 kB of journal
ID_BYTES_PER_RECORD = 500_000

Prediction = tuple[str, int, float, int]  # version, ts_ms, score, offset


class Label(NamedTuple):
    """A label as it came."""

    id: str
    ts_ms: int
    value: float
    offset: int


class Pair(NamedTuple):
    """A prediction that met its label."""

    id: str
    prediction: Prediction
    label: Label


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where the logs stood at a snapshot: later rows are paired at later places of the journal."""

    predictions: int
    labels: int
    outcomes: int
    epoch: int = 0  # of the journal's newest owner there, and its last entry
    sequence: int = 0


class JoinCounts(msgspec.Struct):
    """What the join did, and what it could not pair."""

    pairs: int = 0
    duplicate_predictions: int = 0
    duplicate_labels: int = 0
    beyond_horizon: int = 0
    forgotten: int = 0


@dataclass(slots=True)
class Store:
    """Predictions and waiting labels of one model, each in the order of its log."""

    predictions: dict[str, Prediction] = field(default_factory=dict)
    paired: set[str] = field(default_factory=set)
    labels: dict[str, Label] = field(default_factory=dict)
    newest_offset: int = 0  # of a prediction
    latest_prediction_ms: int = 0
    latest_label_ms: int = 0

    def __len__(self) -> int:
        """Return how many predictions and waiting labels are held."""
        return len(self.predictions) + len(self.labels)


class Join:
    """The pairs of one partition."""

    def __init__(self) -> None:
        self.stores: defaultdict[str, Store] = defaultdict(Store)
        self.counts = JoinCounts()
        self.marks: list[Mark] = [Mark(0, 0, 0)]
        self.journaled: set[tuple[str, str]] = set()  # pairs that the journal holds already
        self._held = 0

    def add_predictions(
        self,
        model: str,
        arrived: Sequence[tuple[str, Prediction]],
        horizon_ms: int,
        in_label_order: bool = False,
    ) -> list[Pair]:
        """Take predictions by id, in the order of the log, whatever their versions.

        Return the pairs they make with labels that came before them, in the order of the
        predictions; or of the labels, as if these had come later.
        """
        store = self.stores[model]
        before = len(store)
        fresh = dict(arrived)
        if len(fresh) == len(arrived) and store.predictions.keys().isdisjoint(fresh):
            store.predictions |= fresh
        else:
            self._add_first(store, arrived)
        if arrived[0][1][3] < store.newest_offset:  # a version's first rows, until now untyped
            store.predictions = dict(sorted(store.predictions.items(), key=lambda i: i[1][3]))
        store.newest_offset = max(store.newest_offset, arrived[-1][1][3])
        pairs: list[Pair] = []
        if store.labels:
            latest_ms = max(map(_ts_ms, arrived))
            store.latest_prediction_ms = max(store.latest_prediction_ms, latest_ms)
            found = fresh.keys() & store.labels.keys()
            order = filter(found.__contains__, store.labels if in_label_order else fresh)
            waiting = [store.labels.pop(id_) for id_ in list(order)]
            pairs = self._pair_all(model, store, waiting, horizon_ms)
        self._held += len(store) - before
        self._bound(store, horizon_ms)
        return pairs

    def _add_first(self, store: Store, arrived: Sequence[tuple[str, Prediction]]) -> None:
        """Add predictions of which some were delivered before: the first delivery stands."""
        for id_, prediction in arrived:
            if id_ in store.predictions:
                self.counts.duplicate_predictions += 1
            else:
                store.predictions[id_] = prediction

    def add_labels(self, model: str, labels: Iterable[Label], horizon_ms: int) -> list[Pair]:
        """Take labels; return the pairs they make. One without its prediction waits for it."""
        store = self.stores[model]
        before = len(store)
        pairs = self._pair_all(model, store, labels, horizon_ms)
        self._held += len(store) - before
        self._bound(store, horizon_ms)
        return pairs

    def unknown(self, model: str, ids: Iterable[str]) -> bool:
        """Return whether a label names a prediction that is not here."""
        store = self.stores.get(model)
        return store is None or not all(id_ in store.predictions for id_ in ids)

    def _pair_all(
        self, model: str, store: Store, labels: Iterable[Label], horizon_ms: int
    ) -> list[Pair]:
        pairs, latest_ms = [], store.latest_label_ms
        for label in labels:
            latest_ms = max(latest_ms, label.ts_ms)
            prediction = store.predictions.get(label.id)
            if label.id in store.paired or label.id in store.labels:
                self.counts.duplicate_labels += 1
            elif (model, label.id) in self.journaled:
                self.journaled.discard((model, label.id))
                store.paired.add(label.id)
                self.counts.pairs += 1
            elif prediction is None:
                store.labels[label.id] = label
            elif abs(label.ts_ms - prediction[1]) > horizon_ms:
                self.counts.beyond_horizon += 1
            else:
                store.paired.add(label.id)
                self.counts.pairs += 1
                pairs.append(Pair(label.id, prediction, label))
        store.latest_label_ms = latest_ms
        return pairs

    def _bound(self, store: Store, horizon_ms: int) -> None:
        """Forget what is beyond the horizon, then the oldest of whichever model holds most."""
        self._forget(store, horizon_ms)
        while (surplus := self._held - MAX_HELD) > 0:
            model = max(self.stores, key=lambda name: len(self.stores[name]))
            self._forget(self.stores[model], horizon_ms, surplus)
            if not len(self.stores[model]):
                del self.stores[model]

    def _forget(self, store: Store, horizon_ms: int, surplus: int = 0) -> None:
        """Drop what the other side has left behind the horizon, and the oldest of too many.

        Labels may run far ahead of predictions, and the other way round, while a worker catches up.
        """
        oldest_ms = store.latest_label_ms - horizon_ms
        old: list[str] = []  # gathered in one pass: a dict's front is slow to reach again and again
        for id_, prediction in store.predictions.items():
            if prediction[1] >= oldest_ms and len(old) >= surplus:
                break
            old.append(id_)
        for id_ in old:
            ts_ms = store.predictions.pop(id_)[1]
            self.counts.forgotten += id_ not in store.paired and ts_ms >= oldest_ms
        store.paired.difference_update(old)
        oldest_ms = store.latest_prediction_ms - horizon_ms
        stale: list[str] = []
        for id_, label in store.labels.items():
            if label.ts_ms >= oldest_ms and len(old) + len(stale) >= surplus:
                break
            stale.append(id_)
        for id_ in stale:
            del store.labels[id_]
        self.counts.forgotten += len(stale)
        self._held -= len(old) + len(stale)

    # --- snapshot and restore ------------------------------------------------------------------

    def mark(self, here: Mark, oldest_untyped: int) -> None:
        """Note where the logs stand, so that a restore reads no more of them than it must.

        ``oldest_untyped`` is the first prediction that waits for its model's types, and is not
        here yet; where there is none, the next one to come.
        """
        kept = self.marks
        oldest_prediction = min(
            (next(iter(s.predictions.values()))[3] for s in self.stores.values() if s.predictions),
            default=oldest_untyped,
        )
        oldest_prediction = min(oldest_prediction, oldest_untyped)
        oldest_label = min(
            (next(iter(s.labels.values())).offset for s in self.stores.values() if s.labels),
            default=here.labels,
        )
        if here != kept[-1]:
            kept.append(here)
        while len(kept) > 1 and (
            kept[1].predictions <= oldest_prediction and kept[1].labels <= oldest_label
        ):
            del kept[0]
        if len(kept) > MAX_MARKS:
            del kept[1:-1:2]

    def recall(self, model: str, ids: Iterable[str]) -> None:
        """Take the ids of pairs that the journal holds."""
        self.journaled.update((model, id_) for id_ in ids)


def _ts_ms(arrived: tuple[str, Prediction]) -> int:
    return arrived[1][1]


def records_of(pairs: list[Pair]) -> Iterable[list[Pair]]:
    """Return the pairs in pieces that fit into one record of the journal each."""
    piece: list[Pair] = []
    size = 0
    for pair in pairs:
        size += len(pair.id.encode())
        if piece and (size > ID_BYTES_PER_RECORD or len(piece) == PAIRS_PER_RECORD):
            yield piece
            piece, size = [], len(pair.id.encode())
        piece.append(pair)
    if piece:
        yield piece
