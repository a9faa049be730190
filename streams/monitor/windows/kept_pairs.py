"""Pairs of a window that are kept, so that labels which are corrected later can revise it."""

from dataclasses import dataclass, field
from math import isnan
from typing import Any, Final

import numpy as np

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.streams.monitor.intake.block import Block, Waiting, waiting
from tidegauge.streams.monitor.intake.dictionary import as_text
from tidegauge.streams.monitor.windows.outcome_rows import (
    BY,
    CLASSES,
    DELAY,
    ID,
    SHARE,
    outcome_rows,
)

MOST: Final = 20_000  # of a window, and in all windows that are kept


@dataclass(slots=True)
class KeptPairs:
    """Rows of ``outcome_rows`` with their ids, in the order in which they came."""

    rows: Waiting = field(default_factory=Waiting)
    is_corrected: bool = False  # since they were counted
    _added: list[Block] = field(default_factory=list)

    def add(self, block: Block, rows: int) -> None:
        """Take further rows of a window that has so many by now; of too many none is kept."""
        if rows > MOST:
            self.rows, self._added = Waiting(), []
        else:
            self._added.append(block)

    def settled(self) -> Waiting:
        """Return all rows."""
        blocks, self._added = self._added, []
        while len(blocks) > 1:  # each row is copied once for every doubling
            pairs = zip(blocks[::2], blocks[1::2], strict=False)
            rest = blocks[len(blocks) // 2 * 2 :]
            blocks = [*(waiting(one).before(other) for one, other in pairs), *rest]
        for block in blocks:
            self.rows = waiting(self.rows.before(block))
        return self.rows

    def correct(
        self, code: float, label: float, label_class: str | None, spec: MonitorSpec
    ) -> None:
        """Let the label of an id be another one, if it is here."""
        found = correct(self.settled(), code, label, label_class, spec)
        if found is not None:
            self.rows, self.is_corrected = found, True


def correct(
    rows: Waiting, code: float, label: float, label_class: str | None, spec: MonitorSpec
) -> Waiting | None:
    """Return rows in which the label of an id is another one; None if the id is not there."""
    table = np.frombuffer(rows.numbers).reshape(len(rows.offsets), len(rows.names))
    ids = table[:, rows.names.index(ID)] if len(table) else np.empty(0)
    found = np.flatnonzero(ids == code)
    if not len(found):
        return None
    at, table = int(found[-1]), table.copy()
    own = dict(zip(rows.names, table[at].tolist(), strict=True))
    said = {name: texts[at] for name, texts in zip(rows.categorical, rows.categories, strict=True)}
    shares = {n.removeprefix(SHARE): p for n, p in own.items() if n.startswith(SHARE)}
    block = outcome_rows(_pair(rows, at, own, said["class"], shares, (label, label_class)), spec)
    new: dict[str, Any] = {name: float(block.number(name)[0]) for name in block.names}
    table[at] = [
        own[name] if name in (ID, DELAY) or name.startswith(BY) else new.get(name, own[name])
        for name in own
    ]
    for n, name in enumerate(CLASSES):
        said[name] = block.dictionaries[n].value(block.codes[0, n])
    categories = [
        [*held[:at], said[name], *held[at + 1 :]]
        for name, held in zip(rows.categorical, rows.categories, strict=True)
    ]
    return Waiting(
        rows.offsets, rows.ts_ms, table.tobytes(), categories, rows.names, rows.categorical
    )


def _pair(
    rows: Waiting,
    at: int,
    own: dict[str, float],
    said: str | None,
    shares: dict[str, float],
    label: tuple[float, str | None],
) -> Outcomes:
    """Return a row as the journal would have it with another label."""
    known = {name: None if isnan(p) else p for name, p in shares.items()}
    name = label[1] or as_text([label[0]])[0] or ""
    likely = None if isnan(own["probability"]) else shares.get(name, 0.0)
    return Outcomes(
        epoch=0,
        sequence=0,
        model="",
        version="",
        ids=[""],
        ts_ms=[rows.ts_ms[at]],
        prediction_ts_ms=[rows.ts_ms[at]],  # the delay stays what it was
        predictions=[own["score"]],
        labels=[label[0]],
        prediction_offsets=[0],
        label_offsets=[rows.offsets[at]],
        classes=[said],
        label_classes=[label[1]],
        probabilities=[likely],
        class_probabilities={name: [p] for name, p in known.items()},
    )
