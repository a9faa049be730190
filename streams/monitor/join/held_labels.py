"""Labels that are known, in few bytes each, and which versions' predictions each has met."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.join.held import NOTHING, HashIndex, add_apart, moved
from tidegauge.streams.monitor.join.label_tally import BEYOND, MET_BEYOND, MET_NONE, NONE, Met
from tidegauge.streams.monitor.join.siphash import Hashes

MET_KINDS: Final = 1000  # of what labels have met; with more, those no label has are forgotten


class HeldLabels(HashIndex):
    """Labels of one model, in the order of their log.

    Examples
    --------
    >>> labels, hashes = HeldLabels(), np.array([[5, 5], [6, 6], [5, 5]], np.uint64)
    >>> offsets, ts_ms = np.array([10, 11, 12]), np.array([70, 80, 90])
    >>> values = np.array([1.0, 0.0, 0.0])
    >>> places, before = labels.hold(hashes, offsets, ts_ms, values, np.full(3, 50))
    >>> places.tolist(), before.tolist()
    ([0, 1, -1], [-1, -1, 0])
    >>> labels.correct(before[2:], values[2:]).tolist()
    [True]
    >>> labels.mark(places[:1], labels.joined(labels.kinds(places[:1]), np.array([True]), "v1"))
    >>> labels.met(places[0]), [column.tolist() for column in labels.at(places[:1])]
    (('v1',), [[10], [70], [0.0]])
    >>> labels.drop_unmet_before(12), len(labels)
    (1, 0)
    """

    def __init__(self) -> None:
        super().__init__()
        self._ts_ms: Ints = np.empty(0, np.int64)
        self._values: Floats = np.empty(0)
        self._met: NDArray[np.int32] = np.empty(0, np.int32)  # each a place in the kinds
        self._kinds: dict[Met, int] = {NONE: MET_NONE, BEYOND: MET_BEYOND}

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return super().nbytes + self._ts_ms.nbytes + self._values.nbytes + self._met.nbytes

    def hold(
        self, hashes: Hashes, offsets: Ints, ts_ms: Ints, values: Floats, apart_ms: Ints
    ) -> tuple[Ints, Ints]:
        """Hold labels, as if they had met nothing; return where, and where the one before is.

        NOTHING is where a label is not held, as one of its id is: it takes the place of that one
        only if they lie further apart than ``apart_ms``. NOTHING is also where there is none.
        """
        if self._tail + len(offsets) > len(self._offsets):
            self._make_room(len(offsets))
        given, found = np.array([offsets, ts_ms, apart_ms]), np.empty((2, len(offsets)), np.int64)
        held = self._hashes, self._offsets, self._ts_ms, self._table
        add_apart(*held, self._tail, hashes, given, found)
        places, before = found
        is_held = places != NOTHING
        own = places[is_held]
        self._values[own], self._met[own] = values[is_held], MET_NONE
        self._tail += len(own)
        self._rows += len(own) - int(np.count_nonzero(before[is_held] != NOTHING))
        return places, before

    def correct(self, places: Ints, values: Floats) -> Flags:
        """Let the labels there have these values from now on; return which had another one.

        One after the other, as a label may be corrected more than once.
        """
        differs: Flags = self._values[places] != values
        for at in np.flatnonzero(np.isin(places, places[differs])).tolist():
            differs[at] = self._values[places[at]] != values[at]
            self._values[places[at]] = values[at]
        return differs

    def at(self, places: Ints) -> tuple[Ints, Ints, Floats]:
        """Return offsets, event times and values of labels."""
        return self._offsets[places], self._ts_ms[places], self._values[places]

    def met(self, place: int) -> Met:
        """Return what a label has met."""
        return self._by_kind()[int(self._met[place])]

    def kinds(self, places: Ints) -> Ints:
        """Return what labels have met, as numbers that hold until labels are held again."""
        return self._met[places].astype(np.int64)

    def kind(self, met: Met) -> int:
        """Return the number for what a label has met."""
        return self._kinds.setdefault(met, len(self._kinds))

    def joined(self, kinds: Ints, near: Flags, version: str) -> Ints:
        """Return what labels of these kinds have met once they met a prediction of a version.

        ``near`` says whether it lies within the horizon.
        """
        found = np.where(near | (kinds != MET_NONE), kinds, MET_BEYOND)
        by_kind = self._by_kind()
        met, which = np.unique(kinds[near], return_inverse=True)
        found[near] = np.array([self.kind((*by_kind[k], version)) for k in met.tolist()])[which]
        return found

    def have_met(self, places: Ints, version: str) -> Flags:
        """Return which labels have met a prediction of a version."""
        own = np.array([version in met for met in self._kinds], np.bool_)
        return own[self._met[places]]

    def mark(self, places: Ints, kinds: Ints) -> None:
        """Take note of what labels have met by now."""
        self._met[places] = kinds

    def inherited(self, place: int) -> int:
        """Return as what a label begins that takes the place of one, which is not missed."""
        met, self._met[place] = self.met(place), MET_BEYOND
        return self.kind(tuple(version for version in met if version is not None))

    def drop_unmet_before(self, offset: int) -> int:
        """Drop the labels before an offset; return how many of them have met nothing."""
        start = self._head
        self.drop_before(offset)
        return int(np.count_nonzero(self._met[start : self._head] == MET_NONE))

    def _by_kind(self) -> list[Met]:
        return list(self._kinds)

    def _move(self, kept: Ints, size: int) -> None:
        super()._move(kept, size)
        self._ts_ms, self._values = moved(self._ts_ms, kept, size), moved(self._values, kept, size)
        self._met = moved(self._met, kept, size)
        if len(self._kinds) > MET_KINDS:
            own, kinds = self._met[: len(kept)], self._by_kind()
            used, codes = np.unique(np.append(own, (MET_NONE, MET_BEYOND)), return_inverse=True)
            own[:] = codes[:-2]
            self._kinds = {kinds[kind]: n for n, kind in enumerate(used.tolist())}
