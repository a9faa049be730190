"""Labels that are known, in few bytes each, and which versions' predictions each has met."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.record_batch import Ints
from tidegauge.streams.monitor.join.held import HashIndex, moved
from tidegauge.streams.monitor.join.label_tally import BEYOND, NONE, Label, Met
from tidegauge.streams.monitor.join.siphash import Hashes

MET_NONE: Final = 0
MET_KINDS: Final = 1000  # of what labels have met; with more, those no label has are forgotten


class HeldLabels(HashIndex):
    """Labels of one model, in the order of their log.

    Examples
    --------
    >>> labels, hashes = HeldLabels(), np.array([[5, 5], [6, 6]], np.uint64)
    >>> place = labels.put(hashes, [Label("a", 70, 1.0, 10), Label("b", 80, 0.0, 11)])
    >>> labels.mark(place, ("v1",))
    >>> labels.at(place, "a")
    Label(id='a', ts_ms=70, value=1.0, offset=10, met=('v1',))
    >>> labels.drop_unmet_before(12), len(labels)
    (1, 0)
    """

    def __init__(self) -> None:
        super().__init__()
        self._ts_ms: Ints = np.empty(0, np.int64)
        self._values: Floats = np.empty(0)
        self._met: NDArray[np.int32] = np.empty(0, np.int32)  # each a place in the kinds
        self._kinds: dict[Met, int] = {NONE: MET_NONE}

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return super().nbytes + self._ts_ms.nbytes + self._values.nbytes + self._met.nbytes

    def put(self, hashes: Hashes, labels: Sequence[Label]) -> int:
        """Hold labels of which none is held, as if they had met nothing; return the first place."""
        self.add(hashes, np.array([label.offset for label in labels], np.int64))
        first = self._tail - len(labels)
        self._ts_ms[first : self._tail] = [label.ts_ms for label in labels]
        self._values[first : self._tail] = [label.value for label in labels]
        self._met[first : self._tail] = MET_NONE
        return first

    def at(self, place: int, id_: str) -> Label:
        """Return a label; who asks knows its id."""
        found = self._ts_ms[place], self._values[place], self._offsets[place]
        ts_ms, value, offset = (column.item() for column in found)
        return Label(id_, ts_ms, value, offset, self._by_kind()[self._met[place]])

    def mark(self, place: int, met: Met) -> None:
        """Take note of what a label has met by now."""
        self._met[place] = self._kinds.setdefault(met, len(self._kinds))

    def remove(self, place: int) -> None:
        """Hold a label no longer; another stands in its place, so it is not missed as unmet."""
        super().remove(place)
        self.mark(place, BEYOND)

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
            used, codes = np.unique(np.append(own, MET_NONE), return_inverse=True)
            own[:] = codes[:-1]
            self._kinds = {kinds[kind]: n for n, kind in enumerate(used.tolist())}


def only_ones(hashes: Hashes) -> NDArray[np.bool_]:
    """Return which hashes, by their first words, come once."""
    _, place, counts = np.unique(hashes[:, 0], return_inverse=True, return_counts=True)
    found: NDArray[np.bool_] = counts[place] == 1
    return found
