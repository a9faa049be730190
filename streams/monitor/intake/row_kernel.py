"""Reads plain rows and frames of many model versions by one kernel, whoever's they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from tidegauge.schemas.events import MAX_ROWS
from tidegauge.streams.monitor.intake.columns import Columns, RowSource
from tidegauge.streams.monitor.intake.json_kernel import (
    AWAITED,
    MODEL_LENGTH,
    NOTHING,
    TEXT,
    TOP,
    enter,
    read_frame,
    read_rows,
    room,
)
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.intake.plain_rows import NULL, PlainRows
from tidegauge.streams.monitor.intake.record_batch import Bytes, Ints, RecordBatch

BYTES: Final = 16 * 1_048_576  # of what is read at once
ROW_BYTES, FEWEST = 32, 1024
# A label stands where a score does, and a row of labels has no features.
LABEL_TOP: Final = ("model", "version", "id", "ts_ms", "", "label", "ids", "labels")


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is read of a model version's rows: names of fields, and where each goes."""

    key: Key
    fields: dict[str, int]
    numbers: int
    texts: int


class RowKernel:
    """Keeps how the rows of many model versions are read.

    Parameters
    ----------
    source
        Whose rows: those of predictions have a score, those of labels nothing but a label.
    """

    def __init__(self, source: RowSource | Literal["labels"]) -> None:
        self._has_score = source != "features"
        self._top = LABEL_TOP if source == "labels" else TOP
        self._layouts: dict[int, _Layout] = {}
        self._places: dict[Key, int] = {}
        self.made: Layouts | None = None  # None: out of date

    def put(self, key: Key, columns: Columns, awaited: Sequence[str]) -> int:
        """Read rows of a model version from now on; return its place, the same each time.

        Features that are ``awaited`` are plain as long as they are null.
        """
        fields = {name: AWAITED for name in awaited}
        fields |= {name: column for column, name in enumerate(columns.numeric)}
        fields |= {name: TEXT - column for column, name in enumerate(columns.categorical)}
        place = self._places.setdefault(key, len(self._places))
        layout = _Layout(key, fields, len(columns.numeric), len(columns.categorical))
        self._layouts[place], self.made = layout, None
        return place

    def drop(self, key: Key) -> None:
        """Leave rows of a model version to others."""
        del self._layouts[self._places[key]]
        self.made = None

    def piece(self, records: RecordBatch) -> RecordBatch:
        """Return the first records, as many as may be read at once."""
        # So few always may, whatever the layouts, which are not made anew for them.
        return records if len(records) <= FEWEST else records[: self.layouts.most]

    @property
    def layouts(self) -> "Layouts":
        """How rows are read now; another object after each change."""
        if self.made is None:
            self.made = Layouts(self._layouts, self._has_score, self._top)
        return self.made


class Layouts:
    """Reads the plain ones of many model versions' rows, in any order, in any thread.

    Examples
    --------
    >>> from tidegauge.streams.monitor.intake.record_batch import RecordBatch
    >>> kernel = RowKernel("features")
    >>> place = kernel.put(("m", ""), Columns(("amount",), ("country",)), ())
    >>> row = b'{"model": "m", "id": "1", "ts_ms": 7, "features": {"country": "DE", "amount": 2.5}}'
    >>> buffer, values = np.frombuffer(row, np.uint8), np.array([[0, len(row)]])
    >>> rows = kernel.layouts.read(buffer, values)
    >>> rows.owner.tolist() == [place], rows.ts_ms.tolist(), rows.numbers.tolist()
    (True, [7], [[2.5]])
    """

    def __init__(self, layouts: dict[int, _Layout], has_score: bool, top: Sequence[str]) -> None:
        arena, known = bytearray(), list[tuple[int, int, int]]()

        def add(name: str) -> tuple[int, int]:
            start = len(arena)
            arena.extend(name.encode())
            return start, len(arena) - start

        places = max(layouts, default=-1) + 1
        tops = np.array([add(name) for name in top], np.int64)
        table = np.zeros((places, 8), np.int64)  # a place not used has the layout of nobody
        table[:, MODEL_LENGTH] = NULL
        follows = np.full(places, NOTHING)
        after = list[int]()
        for place, own in sorted(layouts.items()):
            model, version = map(add, own.key)
            table[place] = (
                len(known), len(own.fields), *model, *version, own.numbers, own.texts
            )  # fmt: skip
            if own.fields:
                follows[place] = len(known)
            known += [(*add(name), goes) for name, goes in own.fields.items()]
            after += [*range(len(after) + 1, len(known)), NOTHING][: len(own.fields)]
        self._sizes = {
            place: (own.numbers + has_score, own.texts) for place, own in layouts.items()
        }
        self._most = max((own.numbers for own in layouts.values()), default=0) + has_score
        self._texts = max((own.texts for own in layouts.values()), default=0)
        self._has_score = has_score
        self.first = min(layouts, default=None)
        # So many rows may be read at once: each has room for the most values of any version.
        self.most = max(FEWEST, BYTES // (ROW_BYTES + 8 * self._most + 16 * self._texts))
        fields = np.array(known, np.int64).reshape(-1, 3)
        names = np.frombuffer(bytes(arena), np.uint8)
        index = np.full((room(len(known)), 2), NOTHING)
        owners = np.full(room(places), NOTHING)
        enter(table, fields, names, index, owners)
        self._tables = (
            tops, table, fields, names, index, owners,
            np.concatenate([np.array(after, np.int64), follows]),
        )  # fmt: skip

    def _scratch(self) -> tuple[Ints, Ints, Ints]:
        """Return what a kernel writes to while it reads: another one for each thread."""
        fields = len(self._tables[2])
        return np.zeros(fields, np.int64), np.zeros(1, np.int64), np.empty((len(TOP), 2), np.int64)

    def read(self, buffer: Bytes, values: Ints) -> PlainRows:
        """Read the plain ones of rows; values[k] = start and length of one, NULL if it has none."""
        found = PlainRows.missing(len(values), self._most, self._texts)
        read_rows(
            buffer, values, self._has_score, *self._tables, *self._scratch(),
            found.owner, found.strange, found.ts_ms, found.ids, found.numbers, found.texts,
        )  # fmt: skip
        return found

    def frame(self, value: bytes, place: int) -> PlainRows | None:
        """Read a frame if it is plain, as the version at ``place`` is read unless it is another's.

        How many rows it has is guessed from where "ids" first stands, up to the next bracket. The
        kernel makes sure; where the guess is wrong the frame is left to others.

        >>> kernel = RowKernel("predictions")
        >>> place = kernel.put(("m", ""), Columns(("amount",), ()), ())
        >>> frame = b'{"model": "m", "ids": ["1", "2"], "ts_ms": [7, 8], "predictions": [1, 0.5]}'
        >>> kernel.layouts.frame(frame, place).numbers.tolist()
        [[nan, 1.0], [nan, 0.5]]
        """
        ids = value.find(b'"ids"')
        rows = value.count(b'"', ids + 5, value.find(b"]", ids)) // 2
        if not 0 < rows <= MAX_ROWS:
            return None
        buffer, found = np.frombuffer(value, np.uint8), np.empty(2, np.int64)
        scratch = self._scratch()
        for _ in range(2):
            numbers, texts = self._sizes[place]
            frame = PlainRows.missing(rows, numbers, texts, place)
            read_frame(
                buffer, self._has_score, place, *self._tables, *scratch, found,
                frame.ts_ms, frame.ids, frame.numbers, frame.texts,
            )  # fmt: skip
            if found[0] == place:
                frame.strange[:] = found[1]
                return frame
            if found[0] < 0:
                break
            place = int(found[0])
        return None
