"""Predictions and labels that meet, many at once: which lie within the horizon, and are pairs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.classified import classified
from tidegauge.streams.monitor.join.held import NOTHING
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.join.label_tally import CORRECTED, MET_NONE, Met, Times
from tidegauge.streams.monitor.join.pairs import Pairs
from tidegauge.streams.monitor.join.sliced import told
from tidegauge.streams.monitor.join.store import Store

Side = tuple[Ints, Ints, Floats]  # offsets, event times, values of labels
Scored = tuple[Ints, Ints, Floats, Floats]  # of predictions: their scores, what they are sliced by


class Partners(NamedTuple):
    """Labels and predictions of one version that met, as columns."""

    at: Ints  # of each, a place in what came
    near: Flags  # whether they lie within the horizon
    label_offsets: Ints
    label_ts_ms: Ints
    labels: Floats
    offsets: Ints
    ts_ms: Ints
    scores: Floats
    by: Floats  # what predictions are sliced by, shape (rows, features)

    @classmethod
    def of(cls, store: Store, at: Ints, labels: Side, predictions: Scored) -> Self:
        """Return who met, judged by the horizons that held when the later one came."""
        apart_ms = np.abs(labels[1] - predictions[1])
        near = apart_ms <= store.horizons_ms(predictions[0], labels[0])
        return cls(at, near, *(*labels, *predictions))

    def where(self, chosen: Any) -> "Partners":
        """Return some of them: of a slice, arrays that are shared."""
        return Partners(*(column[chosen] for column in self))

    def fresh(self, ids: Texts, journaled: set[str] | None) -> "Partners":
        """Return the pairs that the journal has not; take from it the ids of those it has."""
        found = self if self.near.all() else self.where(self.near)
        if journaled:
            named = [ids[at] for at in found.at.tolist()]
            found = found.where(np.array([id_ not in journaled for id_ in named], np.bool_))
            journaled.difference_update(named)
        return found

    def pairs(self, version: str, ids: Texts, store: Store) -> Pairs:
        """Return them as pairs."""
        own = Texts(ids.buffer, ids.spans[self.at])
        said = classified(store.classes, self.labels, self.scores)
        return Pairs(
            version, own, self.label_ts_ms, self.ts_ms, said.scores, said.labels, self.offsets,
            self.label_offsets, said.predicted, said.true, said.probabilities,
            told(store.texts, self.by), said.shares, store.classes,
        )  # fmt: skip


def last_beyond_ms(found: Iterable[tuple[Ints, Partners]]) -> Times | None:
    """Return the times of the last two that lie too far apart; each version's order comes first."""
    last, told = NOTHING, None
    for order, met in found:
        beyond = np.flatnonzero(~met.near)
        if len(beyond) and order[beyond[-1]] >= last:
            last = int(order[beyond[-1]])
            told = int(met.label_ts_ms[beyond[-1]]), int(met.ts_ms[beyond[-1]])
    return told


def in_order(parts: Sequence[Partners]) -> Partners:
    """Return several as one, in the order of what came."""
    if len(parts) == 1:
        return parts[0]
    found = Partners(*map(np.concatenate, zip(*parts, strict=True)))
    return found.where(np.argsort(found.at))


class LabelsMet(NamedTuple):
    """What labels of one model met when they came."""

    came: LabelArrivals
    kinds: Ints  # what each has met; NOTHING where its id has a label already, or CORRECTED
    found: Mapping[str, Partners]  # by version

    def cut(self, own: slice) -> list[tuple[str, Partners]]:
        """Return what some of them met, by version."""
        found = []
        for version, met in self.found.items():
            begin, end = np.searchsorted(met.at, (own.start, own.stop)).tolist()
            if end > begin:
                found.append((version, met.where(slice(begin, end))))
        return found


class Meeting:
    """Labels of one model and the predictions of all versions that wait when they come.

    Parameters
    ----------
    store
        What waits.
    came
        The labels.
    """

    def __init__(self, store: Store, came: LabelArrivals) -> None:
        self._store, self._came = store, came
        # Whoever takes one later makes sure that it is still there.
        self._waiting = {v: (held, held.find(came.hashes)) for v, held in store.predictions.items()}

    def meet(self, start: int, stop: int, met: Sequence[Met] = ()) -> LabelsMet:
        """Hold some of the labels; return what they meet.

        ``met`` are the versions that each is known to have met before.
        """
        labels, came = self._store.labels, self._came.cut(slice(start, stop))
        apart_ms = 2 * self._store.horizons_ms(np.full(len(came), NOTHING), came.offsets)
        places, before = labels.hold(came.hashes, came.offsets, came.ts_ms, came.values, apart_ms)
        kinds = np.array([labels.kind(one) for one in met] or [MET_NONE] * len(came), np.int64)
        found: dict[str, list[Partners]] = {version: [] for version in self._waiting}
        is_held, is_first = places != NOTHING, before == NOTHING
        bulk = np.flatnonzero(is_held & is_first)
        self._pair(came, kinds, bulk, start, found)
        labels.mark(places[bulk], kinds[bulk])
        for at in np.flatnonzero(is_held & ~is_first):  # maybe one after the other
            kinds[at] = labels.inherited(before[at])
            self._pair(came, kinds, np.array([at]), start, found)
            labels.mark(places[at], kinds[at])
        differs = labels.correct(before[~is_held], came.values[~is_held])
        kinds[~is_held] = np.where(differs, CORRECTED, NOTHING)
        return LabelsMet(came, kinds, {v: in_order(own) for v, own in found.items() if own})

    def _pair(
        self,
        came: LabelArrivals,
        kinds: Ints,
        some: Ints,
        start: int,
        found: Mapping[str, list[Partners]],
    ) -> None:
        """Let some of the labels, of which no two have the same id, meet their predictions."""
        for version, (held, places) in self._waiting.items():
            there = places[start + some]
            live = held.holds(there)
            if not live.any():
                continue
            at, there = some[live], there[live]
            labels = came.offsets[at], came.ts_ms[at], came.values[at]
            predictions = *held.at(there), held.values(there)
            met = Partners.of(self._store, at, labels, predictions)
            kinds[at] = self._store.labels.joined(kinds[at], met.near, version)
            held.remove(there[met.near])
            found[version].append(met)
