"""Rows of one model version as arrays: what monitors fold."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.monitor.intake.classes import Said
from tidegauge.streams.monitor.intake.columns import SCORE, Decoders
from tidegauge.streams.monitor.intake.dictionary import MISSING, Dictionary, as_text
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.records import Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Flags = NDArray[np.bool_]
NO_IDS = Texts.of(())


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of one model version, in the order of the log."""

    offsets: Ints  # of the record each row came in
    ts_ms: Ints
    ids: Texts  # only the join looks into them; none in what a monitor puts together for itself
    numbers: Floats  # rows x names; NaN = missing
    names: tuple[str, ...]
    codes: Codes  # rows x categorical, places in the column's dictionary; -1 = missing
    categorical: tuple[str, ...]
    dictionaries: tuple[Dictionary, ...]  # one a categorical column
    said: Said | None = None  # where predictions are classes; only the join looks into it
    logged_ms: Ints | None = None  # the own time of the record each row came in
    behind: Flags | None = None  # rows that come late; known once a monitor has dated them

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets)

    def cut(self, start: int, stop: int) -> "Block":
        """Return some of the rows; the arrays are shared."""
        if start == 0 and stop == len(self.offsets):
            return self
        return replace(
            self,
            offsets=self.offsets[start:stop],
            ts_ms=self.ts_ms[start:stop],
            ids=self.ids[start:stop],
            numbers=self.numbers[start:stop],
            codes=self.codes[start:stop],
            said=None if self.said is None else self.said.cut(start, stop),
            logged_ms=None if self.logged_ms is None else self.logged_ms[start:stop],
            behind=None if self.behind is None else self.behind[start:stop],
        )

    def take(self, rows: Flags) -> "Block":
        """Return some of the rows, for a monitor: without ids."""
        return replace(
            self,
            offsets=self.offsets[rows],
            ts_ms=self.ts_ms[rows],
            ids=NO_IDS,
            said=None,
            numbers=self.numbers[rows],
            codes=self.codes[rows],
            logged_ms=None if self.logged_ms is None else self.logged_ms[rows],
            behind=None if self.behind is None else self.behind[rows],
        )

    def number(self, name: str) -> Floats:
        """Return the column of a number; ValueError if there is none of this name."""
        return self.numbers[:, self.names.index(name)]

    def counts(self, name: str) -> list[tuple[str | None, int]]:
        """Return how often each category came, None if missing, in the order of the first ones."""
        column = self.categorical.index(name)
        places, values = self.codes[:, column] - MISSING, self.dictionaries[column].values
        times, rows = np.bincount(places), np.arange(len(places))
        first = np.empty(len(times), np.int64)
        first[places[::-1]] = rows[::-1]  # of equal places the last one written stays
        found = np.flatnonzero(times)
        found = found[np.argsort(first[found])]
        return [
            (None if place == 0 else values[place + MISSING], count)
            for place, count in zip(found.tolist(), times[found].tolist(), strict=True)
        ]

    def piece(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the event times and the offsets of some of them."""
        return self.ts_ms[start:stop], self.offsets[start:stop]

    def last_ms(self, default: int) -> int:
        """Return the event time of the last row; blocks have one."""
        return int(self.ts_ms[-1]) if len(self.ts_ms) else default


class Waiting(msgspec.Struct, frozen=True):
    """Rows of a monitor that it cannot fold yet, as a snapshot holds them.

    Categories are values, not codes: the same bytes whatever the dictionaries hold. A later block
    may have columns that these rows have not, and these rows numbers that it has not.
    """

    offsets: list[int] = []
    ts_ms: list[int] = []
    numbers: bytes = b""
    categories: list[list[str | None]] = []
    names: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    logged_ms: list[int] = []

    def block(self) -> Block:
        """Return these rows as a block, with dictionaries of their own."""
        none = np.empty(0, np.int64)
        dictionaries = tuple(Dictionary() for _ in self.categorical)
        numbers = np.empty((0, len(self.names)))
        codes = np.empty((0, len(dictionaries)), np.int32)
        return self.before(
            Block(none, none, NO_IDS, numbers, self.names, codes, self.categorical, dictionaries)
        )

    def before(self, block: Block) -> Block:
        """Return a block with these rows before its own."""
        if not self.offsets:
            return block
        rows, further = len(self.offsets), tuple(n for n in self.names if n not in block.names)
        if further:
            gap = np.full((len(block), len(further)), np.nan)
            numbers = np.concatenate([block.numbers, gap], axis=1)
            block = replace(block, names=(*block.names, *further), numbers=numbers)
        numbers = np.full((rows, len(block.names)), np.nan)
        own = np.frombuffer(self.numbers).reshape(rows, len(self.names))
        numbers[:, [block.names.index(name) for name in self.names]] = own
        texts = dict(zip(self.categorical, self.categories, strict=True))
        codes = encode(map(texts.get, block.categorical), block.dictionaries, rows)
        return replace(
            block,
            offsets=np.concatenate([np.array(self.offsets, np.int64), block.offsets]),
            ts_ms=np.concatenate([np.array(self.ts_ms, np.int64), block.ts_ms]),
            ids=NO_IDS,
            said=None,
            numbers=np.concatenate([numbers, block.numbers]),
            codes=np.concatenate([codes, block.codes]),
            logged_ms=self._logged(block),
        )

    def _logged(self, block: Block) -> Ints | None:
        """Return the own times of all records; 0, which is none, of those of an earlier version."""
        if block.logged_ms is None:
            return None
        own = self.logged_ms or [0] * len(self.offsets)
        return np.concatenate([np.array(own, np.int64), block.logged_ms])


def waiting(block: Block) -> Waiting:
    """Return the rows of a block as a snapshot holds them."""
    columns = zip(block.dictionaries, block.codes.T.tolist(), strict=True)
    return Waiting(
        block.offsets.tolist(),
        block.ts_ms.tolist(),
        block.numbers.tobytes(),
        [list(map(dictionary.value, codes)) for dictionary, codes in columns],
        block.names,
        block.categorical,
        [] if block.logged_ms is None else block.logged_ms.tolist(),
    )


def encode(
    columns: Iterable[Sequence[str | None] | None], dictionaries: Sequence[Dictionary], rows: int
) -> Codes:
    """Return the codes of columns of categorical values; a column may be missing as a whole."""
    codes = np.full((rows, len(dictionaries)), MISSING, np.int32)
    for at, (values, dictionary) in enumerate(zip(columns, dictionaries, strict=True)):
        if values is not None:
            codes[:, at] = dictionary.encode(values)
    return codes


def from_rows(
    rows: Sequence[Any],
    offsets: Sequence[int],
    logged_ms: Sequence[int],
    read: Decoders,
    dictionaries: tuple[Dictionary, ...],
) -> Block:
    """Return decoded rows, one at least, as a block."""
    features = [row.features for row in rows]
    numbers = np.array(list(map(read.numbers, features)), np.float64).reshape(len(rows), -1)
    if SCORE in read.names:
        scores = np.array([row.prediction for row in rows], np.float64)
        numbers = np.concatenate([numbers, scores[:, np.newaxis]], axis=1)
    said = Said.of([row.prediction for row in rows]) if read.columns.has_classes else None
    texts = _texts(zip(*map(read.categories, features), strict=True), read, said)
    return Block(
        np.array(offsets, np.int64),
        np.array([row.ts_ms for row in rows], np.int64),
        Texts.of([row.id for row in rows]),
        numbers,
        read.names,
        encode(texts, dictionaries, len(rows)),
        read.columns.categorical,
        dictionaries,
        said,
        np.array(logged_ms, np.int64),
    )


def from_frame(
    frame: Any, record: Record, read: Decoders, dictionaries: tuple[Dictionary, ...]
) -> Block:
    """Return the decoded frame of a record, its columns of equal length, as a block."""
    rows = len(frame.ids)
    numbers = list(read.numbers(frame.features))
    if SCORE in read.names:
        numbers.append(frame.predictions)
    said = Said.of(frame.predictions) if read.columns.has_classes else None
    table = np.empty((rows, len(numbers)))
    for column, values in enumerate(numbers):
        table[:, column] = np.nan if values is None else np.array(values, np.float64)
    return Block(
        np.full(rows, record.offset, np.int64),
        np.array(frame.ts_ms, np.int64),
        Texts.of(frame.ids),
        table,
        read.names,
        encode(_texts(read.categories(frame.features), read, said), dictionaries, rows),
        read.columns.categorical,
        dictionaries,
        said,
        np.full(rows, record.timestamp, np.int64),
    )


def _texts(
    columns: Iterable[Any], read: Decoders, said: Said | None
) -> Iterator[Sequence[str | None] | None]:
    """Yield columns of categorical values as text, which what is declared so need not be.

    The classes that were predicted are one of them.
    """
    given = iter(columns)
    for name in read.columns.categorical:
        values = said.texts if said is not None and name == SCORE else next(given)
        yield as_text(values) if name in read.columns.coded and values is not None else values
