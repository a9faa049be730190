"""Predictions on their way to the join: out of blocks, in the order of the log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat

import msgspec

from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.intake.columns import SCORE

Key = tuple[str, str]  # model, version


class Prediction(msgspec.Struct, gc=False):
    """What the join needs of a prediction, besides the id it is held by."""

    version: str
    ts_ms: int
    score: float
    offset: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Predictions of one model, whatever their versions, each with the id in the same place."""

    ids: list[str] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)

    def cut(self, start: int, stop: int) -> "Arrivals":
        """Return those from one place to another."""
        return Arrivals(self.ids[start:stop], self.predictions[start:stop])

    def where(self, chosen: Sequence[bool]) -> "Arrivals":
        """Return those whose places are chosen."""
        return Arrivals(list(compress(self.ids, chosen)), list(compress(self.predictions, chosen)))

    def by_version(self) -> Iterator[tuple[str, "Arrivals"]]:
        """Yield the predictions of each version; mostly there is one."""
        versions = {prediction.version for prediction in self.predictions}
        if len(versions) == 1:
            yield versions.pop(), self
        for version in sorted(versions):
            yield version, self.where([p.version == version for p in self.predictions])

    def in_order(self) -> "Arrivals":
        """Return them in the order of the log; those of one record stay as they are."""
        order = sorted(range(len(self)), key=lambda at: self.predictions[at].offset)
        return Arrivals([self.ids[at] for at in order], [self.predictions[at] for at in order])


def arrivals_by_model(blocks: Sequence[tuple[Key, Block]]) -> dict[str, Arrivals]:
    """Return what the join needs of a batch, in the order of the log."""
    found: dict[str, Arrivals] = {}
    versions: dict[str, set[str]] = {}
    for (model, version), block in blocks:
        own = found.setdefault(model, Arrivals())
        columns = block.ts_ms.tolist(), block.number(SCORE).tolist(), block.offsets.tolist()
        own.ids.extend(block.ids)
        own.predictions.extend(map(Prediction, repeat(version), *columns))
        versions.setdefault(model, set()).add(version)
    return {m: own.in_order() if len(versions[m]) > 1 else own for m, own in found.items()}
