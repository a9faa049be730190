"""The rows of a batch as a kernel read them, until those of each model version become a block."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.monitor.intake.block import Block, Codes
from tidegauge.streams.monitor.intake.columns import SCORE, Decoders
from tidegauge.streams.monitor.intake.dictionary import Dictionary, as_text
from tidegauge.streams.monitor.intake.json_kernel import CAREFUL
from tidegauge.streams.monitor.intake.plain_rows import NULL, PlainRows
from tidegauge.streams.monitor.intake.record_batch import Bytes, RecordBatch
from tidegauge.streams.monitor.intake.texts import Texts

GROWTH = 1.25
TAKEN = CAREFUL - 1  # the owner of a row that is in a block


@dataclass(frozen=True, slots=True)
class PlainPart:
    """Rows of one model version, in the order of the log."""

    buffer: Bytes
    offsets: NDArray[np.int64]
    rows: PlainRows

    def cut(self, at: Any) -> "PlainPart":
        """Return some of the rows: of a slice, arrays that are shared."""
        return PlainPart(self.buffer, self.offsets[at], self.rows.cut(at))

    def block(self, read: Decoders, dictionaries: tuple[Dictionary, ...]) -> Block:
        """Return them as a block."""
        rows, categorical = self.rows, read.columns.categorical
        codes: Codes = np.empty((len(self.offsets), len(categorical)), np.int32)
        for column, dictionary in enumerate(dictionaries):
            codes[:, column] = dictionary.encode_spans(self.buffer, rows.texts[:, column])
        return Block(
            self.offsets,
            rows.ts_ms,
            Texts(self.buffer, rows.ids),
            np.ascontiguousarray(rows.numbers[:, : len(read.names)]),
            read.names,
            codes,
            categorical,
            dictionaries,
            logged_ms=rows.logged_ms,
        )


class PlainTable:
    """What a kernel read of a batch; what it left to others can be put in its place.

    Parameters
    ----------
    given
        The records.
    rows
        What the kernel made of them, a row a record.
    """

    def __init__(self, given: RecordBatch, rows: PlainRows) -> None:
        self._given, self._rows = given, rows
        self._buffer, self._used = given.buffer, len(given.buffer)  # with texts of others behind
        self._left: deque[int] = deque()

    def careful(self) -> Iterator[int]:
        """Yield the places of the rows that are left to others."""
        self._find(0)
        while self._left:
            yield self._left.popleft()

    def _find(self, start: int) -> None:
        self._left = deque((np.flatnonzero(self._rows.owner[start:] == CAREFUL) + start).tolist())

    def hand_back(self, place: int, after: int) -> None:
        """Leave all later rows of the version at ``place`` to others."""
        later = self._rows.owner[after + 1 :]
        later[later == place] = CAREFUL
        self._find(after + 1)

    def put(self, at: int, place: int, row: Any, read: Decoders) -> None:
        """Take a row that was read with care as one of the version at ``place``."""
        rows, numbers = self._rows, read.numbers(row.features)
        rows.ts_ms[at], rows.ids[at] = row.ts_ms, self._span(row.id)
        rows.numbers[at, : len(numbers)] = np.array(numbers, np.float64)
        if SCORE in read.names:
            rows.numbers[at, len(numbers)] = row.prediction
        texts = zip(read.columns.categorical, read.categories(row.features), strict=True)
        for column, (name, value) in enumerate(texts):
            [text] = as_text([value]) if name in read.columns.coded else [value]
            rows.texts[at, column] = (0, NULL) if text is None else self._span(text)
        rows.owner[at] = place

    def _span(self, text: str) -> tuple[int, int]:
        said = np.frombuffer(text.encode(), np.uint8)
        start, stop = self._used, self._used + len(said)
        if stop > len(self._buffer):  # what was given is not written to
            grown = np.empty(int(GROWTH * stop), np.uint8)
            grown[:start] = self._buffer[:start]
            self._buffer = grown
        self._buffer[start:stop] = said
        self._used = stop
        return start, len(said)

    def _part(self) -> PlainPart:
        return PlainPart(self._buffer, self._given.offsets, self._rows)

    def take(self, place: int, stop: int) -> PlainPart | None:
        """Return the rows before ``stop`` of the version at ``place``; None if there are none."""
        owner = self._rows.owner[:stop]
        found = np.flatnonzero(owner == place)
        if not len(found):
            return None
        part = self._part().cut(found)
        owner[found] = TAKEN
        return part

    def rest(self, stop: int) -> PlainPart:
        """Return the rows before ``stop`` that were not taken, sorted by their versions' places."""
        part = self._part().cut(slice(stop))
        owner = part.rows.owner
        if np.any(owner[1:] != owner[:-1]):
            part = part.cut(np.argsort(owner, kind="stable"))
        return part.cut(slice(int(np.searchsorted(part.rows.owner, 0)), None))
