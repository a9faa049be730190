"""Reads and writes the journal ``outcomes``: owners, pairs, changes of control, gaps, poison."""

from collections.abc import Iterable

import msgspec

from tidegauge.schemas.outcomes import (
    ControlChange,
    Fence,
    Gap,
    JournalEntry,
    LabelReport,
    Outcomes,
    Poison,
)
from tidegauge.streams.monitor.control.control import Choice
from tidegauge.streams.monitor.intake.rejections import present
from tidegauge.streams.monitor.join.join import Pair, records_of
from tidegauge.streams.monitor.records import Output, Source

MAX_OWNERS = 2**32  # from one fence to the next: one that is farther off uses the numbers up

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

    def pairs(self, model: str, found: Iterable[Pair | LabelReport]) -> list[Output]:
        """Return the entries for pairs of one model and reports of its labels, in their order."""
        outputs, pairs = list[Output](), list[Pair]()
        for one in found:
            if isinstance(one, Pair):
                pairs.append(one)
            else:
                outputs += [*self._pairs(model, pairs), self._report(one)]
                pairs = []
        return [*outputs, *self._pairs(model, pairs)]

    def _pairs(self, model: str, pairs: list[Pair]) -> Iterable[Output]:
        by_version: dict[str, list[Pair]] = {}
        for pair in pairs:
            by_version.setdefault(pair.prediction.version, []).append(pair)
        for version, own in by_version.items():
            for piece in records_of(own):
                yield self._outcomes(model, version, piece)

    def _report(self, report: LabelReport) -> Output:
        entry = msgspec.structs.replace(report, epoch=self.epoch, sequence=self._next())
        return _output(entry, report.model)

    def _outcomes(self, model: str, version: str, pairs: list[Pair]) -> Output:
        entry = Outcomes(
            epoch=self.epoch,
            sequence=self._next(),
            model=model,
            version=version,
            ids=[pair.id for pair in pairs],
            ts_ms=[pair.label.ts_ms for pair in pairs],
            prediction_ts_ms=[pair.prediction.ts_ms for pair in pairs],
            predictions=[pair.prediction.score for pair in pairs],
            labels=[pair.label.value for pair in pairs],
            prediction_offsets=[pair.prediction.offset for pair in pairs],
            label_offsets=[pair.label.offset for pair in pairs],
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
        )
        return _output(entry, key[0])


def _output(entry: JournalEntry, model: str | None = None) -> Output:
    key = None if model is None else model.encode()
    return Output("outcomes", key, msgspec.json.encode(entry), message=entry)
