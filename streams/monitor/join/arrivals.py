"""Predictions on their way to the join: out of blocks, in the order of the log."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tidegauge.streams.monitor.intake.block import Block, Floats, Ints
from tidegauge.streams.monitor.intake.classes import (
    Classes,
    Names,
    fitted,
    heads,
    renamed,
    width_of,
)
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.sliced import Sliced, sliced, together

Key = tuple[str, str]  # model, version


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Predictions of one model, whatever their versions."""

    versions: Sequence[str]
    version: Ints  # of each: its place in the versions
    ids: Texts
    offsets: Ints
    ts_ms: Ints
    scores: Floats  # (rows,), or with probabilities of classes behind; see ``classes.py``
    classes: Sequence[str] = ()  # what their codes mean
    by: Sliced | None = None  # what they are sliced by, where the spec says so
    widths: Sequence[int] = ()  # of each version: by how many features; of one alone by all

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.offsets)

    def where(self, chosen: Any) -> "Arrivals":
        """Return those of a slice, or whose places are chosen."""
        return Arrivals(
            self.versions,
            self.version[chosen],
            Texts(self.ids.buffer, self.ids.spans[chosen]),
            self.offsets[chosen],
            self.ts_ms[chosen],
            self.scores[chosen],
            self.classes,
            None if self.by is None else self.by.where(chosen),
            self.widths,
        )

    def known_by(self, classes: Classes) -> "Arrivals":
        """Return them with the codes of a model's classes."""
        if not self.classes:
            return self
        return replace(self, scores=renamed(classes, self.classes, self.scores), classes=())

    def by_version(self) -> Iterator[tuple[str, "Arrivals"]]:
        """Yield the predictions of each version; mostly there is one."""
        if len(self.versions) == 1:
            if len(self):
                yield self.versions[0], self
            return
        for version in sorted(self.versions):
            place = self.versions.index(version)
            own = self.where(self.version == place)
            if own.by is not None:  # another one's may have more
                own = replace(own, by=own.by.narrowed(self.widths[place]))
            if own.scores.ndim > 1 and np.isnan(own.scores[:, 1:]).all():  # another one's had some
                own = replace(own, scores=heads(own.scores))
            if len(own):
                yield version, own


def arrivals(version: str, block: Block, features: Sequence[str] = ()) -> Arrivals:
    """Return what the join needs of a block, with the features that rows are sliced by."""
    own = (version,), np.zeros(len(block), np.int64), block.ids, block.offsets, block.ts_ms
    by = sliced(block, features) if features else None
    if block.said is not None:
        return Arrivals(*own, block.said.table, block.said.names, by)
    return Arrivals(*own, block.number(SCORE), by=by)


def arrivals_by_model(
    blocks: Sequence[tuple[Key, Block]], features: Callable[[Key], Sequence[str]] = lambda _: ()
) -> dict[str, Arrivals]:
    """Return what the join needs of a batch, in the order of the log.

    ``features`` says by which ones a model version's rows are sliced.
    """
    found: dict[str, list[Arrivals]] = {}
    for key, block in blocks:
        found.setdefault(key[0], []).append(arrivals(key[1], block, features(key)))
    return {m: own[0] if len(own) == 1 else joined(own) for m, own in found.items()}


def joined(parts: Sequence[Arrivals]) -> Arrivals:
    """Return predictions of one model as one; those of one record stay as they are."""
    versions = list(dict.fromkeys(part.versions[0] for part in parts))
    places = [np.full(len(part), versions.index(part.versions[0])) for part in parts]
    widths = {part.versions[0]: 0 if part.by is None else part.by.width for part in parts}
    classes = Names()
    scores = [renamed(classes, part.classes, part.scores) for part in parts]
    width = max(map(width_of, scores))
    found = Arrivals(
        versions,
        np.concatenate(places),
        Texts.joined([part.ids for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.ts_ms for part in parts]),
        np.concatenate([fitted(own, width) for own in scores]),
        tuple(classes),
        together([part.by for part in parts], [len(part) for part in parts]),
        [widths[version] for version in versions],
    )
    in_order = len(versions) == 1
    return found if in_order else found.where(np.argsort(found.offsets, kind="stable"))
