"""Reads and writes the journal ``outcomes``: owners, pairs, control, gaps, poison, ticks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from typing import Any

import msgspec
import numpy as np

from tidegauge.schemas.outcomes import (
    ControlChange,
    Corrections,
    Fence,
    Gap,
    JournalEntry,
    LabelReport,
    Outcomes,
    Poison,
    PredictionReport,
    Tick,
)
from tidegauge.streams.monitor.control.control import Choice
from tidegauge.streams.monitor.intake.rejections import present
from tidegauge.streams.monitor.join.corrected import Corrected
from tidegauge.streams.monitor.join.pairs import Pairs
from tidegauge.streams.monitor.records import Output, Source
from tidegauge.streams.monitor.windows.class_curves import MOST

MAX_OWNERS = 2**32  # from one fence to the next: one that is farther off uses the numbers up

# By which features a model version's rows are sliced, and from which offset on.
SlicedBy = Callable[[tuple[str, str]], tuple[Sequence[str], int]]

_ENTRY = msgspec.json.Decoder(JournalEntry)


def read_entry(value: bytes | None) -> JournalEntry:
    """Return the entry in a record's value; raises ValueError where it is none."""
    entry: JournalEntry = _ENTRY.decode(present(value))
    return entry


class Position(msgspec.Struct):
    """The newest owner seen, and the last entry taken from it."""

    epoch: int = 0
    sequence: int = 0

    def accepts(self, entry: JournalEntry) -> bool:
        """Step over an entry; False for an old owner's, and for a second delivery."""
        if isinstance(entry, Fence):
            if not self.epoch < entry.epoch <= self.epoch + MAX_OWNERS:
                return False
            self.epoch, self.sequence = entry.epoch, 0
            return True
        if entry.epoch != self.epoch or entry.sequence <= self.sequence:
            return False
        self.sequence = entry.sequence
        return True


class JournalWriter(msgspec.Struct):
    """Numbers the entries of one owner."""

    epoch: int = 0
    sequence: int = 0

    def fence(self, seen: int, key: bytes) -> Output:
        """Take the next epoch; return the fence that makes it known, and the key of its hashes."""
        self.epoch, self.sequence = max(seen, self.epoch) + 1, 0
        return _output(Fence(epoch=self.epoch, key=key.hex()))

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def gap(self, source: Source, first: int, last: int) -> Output:
        """Return the entry for records of a source that were deleted before they were read."""
        entry = Gap(
            epoch=self.epoch,
            sequence=self._next(),
            source=source,
            first_offset=first,
            last_offset=last,
        )
        return _output(entry)

    def poison(self, source: Source, first: int, last: int, alone: bool, error: str) -> Output:
        """Return the entry for records of a source that could not be folded."""
        entry = Poison(
            epoch=self.epoch,
            sequence=self._next(),
            source=source,
            first_offset=first,
            last_offset=last,
            alone=alone,
            error=error,
        )
        return _output(entry)

    def pairs(
        self,
        model: str,
        found: Iterable[Pairs | Corrected | LabelReport | PredictionReport],
        wide: bool = False,
        sliced: SlicedBy = lambda _: ((), 0),
    ) -> list[Output]:
        """Return the entries for pairs, corrections and reports of one model, in their order.

        ``wide``: with the probabilities of all classes.
        """
        outputs, pairs = list[Output](), dict[str, list[Pairs]]()
        for one in found:
            if isinstance(one, Pairs):
                has_room = wide and one.shares.shape[1] <= MOST
                pairs.setdefault(one.version, []).append(one if has_room else one.narrow())
                continue
            outputs += self._pairs(model, pairs, sliced)
            pairs = {}
            if isinstance(one, Corrected):
                outputs += [self._corrections(model, piece) for piece in one.records()]
            else:
                outputs.append(self._report(one))
        return [*outputs, *self._pairs(model, pairs, sliced)]

    def _pairs(
        self,
        model: str,
        pairs: Mapping[str, Sequence[Pairs]],
        sliced: SlicedBy,
    ) -> Iterable[Output]:
        for version, own in pairs.items():
            by = sliced((model, version))
            for piece in Pairs.joined(own).records():
                yield self._outcomes(model, piece, *by)

    def _corrections(self, model: str, corrected: Corrected) -> Output:
        entry = Corrections(
            epoch=self.epoch,
            sequence=self._next(),
            model=model,
            ids=list(corrected.ids),
            ts_ms=corrected.ts_ms.tolist(),
            labels=corrected.labels.tolist(),
            label_classes=corrected.label_classes.tolist() if any(corrected.label_classes) else [],
            label_offsets=corrected.label_offsets.tolist(),
        )
        return _output(entry, model)

    def _report(self, report: LabelReport | PredictionReport) -> Output:
        entry = msgspec.structs.replace(report, epoch=self.epoch, sequence=self._next())
        return _output(entry, report.model)

    def _outcomes(self, model: str, pairs: Pairs, features: Sequence[str], since: int) -> Output:
        entry = Outcomes(
            epoch=self.epoch,
            sequence=self._next(),
            model=model,
            version=pairs.version,
            ids=list(pairs.ids),
            ts_ms=pairs.ts_ms.tolist(),
            prediction_ts_ms=pairs.prediction_ts_ms.tolist(),
            predictions=pairs.predictions.tolist(),
            labels=pairs.labels.tolist(),
            prediction_offsets=pairs.prediction_offsets.tolist(),
            label_offsets=pairs.label_offsets.tolist(),
            **_classes(pairs),
            slices=_slices(pairs, features, since),
        )
        return _output(entry, model)

    def change(
        self,
        key: tuple[str, str],
        choice: Choice,
        offsets: tuple[int, int],
        spread: bool,
    ) -> Output:
        """Return the entry for a spec and a reference that hold from these offsets on.

        They are of ``predictions`` and of ``features``.
        """
        entry = ControlChange(
            epoch=self.epoch,
            sequence=self._next(),
            model=key[0],
            version=key[1],
            spec=choice.spec,
            reference=choice.reference,
            predictions_offset=offsets[0],
            features_offset=offsets[1],
            spread=spread,
            adopted=dict(choice.adopted),
        )
        return _output(entry, key[0])

    def tick(self, key: tuple[str, str], now_ms: int, offsets: tuple[int, int]) -> Output:
        """Return the entry for what time it is, before the rows at these offsets.

        They are of ``predictions`` and of ``features``.
        """
        entry = Tick(
            epoch=self.epoch,
            sequence=self._next(),
            model=key[0],
            version=key[1],
            now_ms=now_ms,
            predictions_offset=offsets[0],
            features_offset=offsets[1],
        )
        return _output(entry, key[0])


def _slices(pairs: Pairs, features: Sequence[str], since: int) -> dict[str, list[Any]]:
    """Return the values of features; of predictions before an offset others were kept."""
    values = np.full((len(pairs), len(features)), None)
    if values.shape == pairs.by.shape:
        kept = pairs.prediction_offsets >= since
        values[kept] = pairs.by[kept]
    return dict(zip(features, values.T.tolist(), strict=True))


def _classes(pairs: Pairs) -> dict[str, Any]:
    """Return the columns of classes, none where all are numbers."""
    if not (any(pairs.classes) or any(pairs.label_classes)):
        return {}
    said = [None if isnan(one) else one for one in pairs.probabilities.tolist()]
    return {
        "classes": pairs.classes.tolist(),
        "label_classes": pairs.label_classes.tolist(),
        "probabilities": said if any(one is not None for one in said) else [],
        "class_probabilities": pairs.of_classes(),
    }


def _output(entry: JournalEntry, model: str | None = None) -> Output:
    key = None if model is None else model.encode()
    return Output("outcomes", key, msgspec.json.encode(entry), message=entry)
