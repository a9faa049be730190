"""Arrow streams of one batch of plain columns, read by a kernel.

pyarrow verifies the metadata of each message, and the kernel the memory that they describe.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from tidegauge.schemas.events import MAX_ROWS
from tidegauge.streams.monitor.intake import arrow_kernel as kernel
from tidegauge.streams.monitor.intake.arrow_frames import (
    BEGIN,
    CELL_BYTES,
    MAX_BYTES,
    UNREADABLE,
    header,
)
from tidegauge.streams.monitor.intake.arrow_layout import Layout, layout_of
from tidegauge.streams.monitor.intake.columns import Decoders
from tidegauge.streams.monitor.intake.plain_rows import PlainRows
from tidegauge.streams.monitor.intake.record_batch import Ints

END: Final = BEGIN + bytes(4)
NO_VALUES: Final = np.empty((0, 2), np.int64)
# Places of fields in Arrow's tables DictionaryBatch and RecordBatch.
_ID, _DATA, _IS_DELTA = range(3)
_LENGTH, _NODES, _BUFFERS = range(3)


class _Batch(NamedTuple):
    """Where the parts of a batch lie in its stream."""

    rows: int
    nodes: int
    buffers: int
    body: int
    size: int  # of the body

    @property
    def stop(self) -> int:
        """Where the next message begins."""
        return self.body + self.size


@dataclass(frozen=True, slots=True)
class PlainStream:
    """A stream with a plain schema; the rest of it need not be so."""

    layout: Layout
    value: bytes
    start: int  # of what follows the schema

    def rows(self, read: Decoders) -> PlainRows | None:
        """Return its rows as those of a model version are read; None where any is not plain.

        The owner of each is 0: a frame has only one.
        """
        layout, plan, start = self.layout, self.layout.plan(read), self.start
        if plan is None:
            return None
        values = list[Ints]()
        for key, kind in layout.dictionaries:
            batch = self._batch(start, (1, 3), key)
            part = None if batch is None else self._values(batch, kind)
            if batch is None or part is None:
                return None
            values.append(part)
            start = batch.stop
        batch = self._batch(start, (len(layout.columns), layout.buffers))
        if batch is None or self.value[batch.stop :] != END:
            return None
        room = MAX_BYTES - CELL_BYTES * batch.rows * layout.cells
        found = PlainRows.missing(
            batch.rows, len(read.names), len(read.columns.categorical), strange=plan.strange
        )
        return found if self._fill(found, batch, plan.columns, values, room) else None

    def _values(self, batch: _Batch, kind: int) -> Ints | None:
        """Return where the values of a dictionary lie; None if they are not plain."""
        columns = np.array([(kind, kernel.CATEGORY, 0, kernel.FAULT)], np.int64)
        found = PlainRows.missing(batch.rows, 0, 1)
        return found.texts[:, 0] if self._fill(found, batch, columns, [], MAX_BYTES) else None

    def _fill(
        self, rows: PlainRows, batch: _Batch, columns: Ints, values: list[Ints], room: int
    ) -> bool:
        """Read a batch into rows; return whether it is plain, and its texts have room."""
        data, found = np.empty((len(columns), 2), np.int64), np.empty(1, np.int64)
        kernel.read_batch(
            np.frombuffer(self.value, np.uint8), *batch[1:], columns,
            np.cumsum([0, *map(len, values)]), np.concatenate(values) if values else NO_VALUES,
            rows.ts_ms, rows.ids, rows.numbers, rows.texts, data, found,
        )  # fmt: skip
        if not 0 <= found[0] <= room:
            return False
        try:
            for start, stop in data.tolist():
                self.value[start:stop].decode()
        except UnicodeDecodeError:
            return False
        return True

    def _batch(self, start: int, shape: tuple[int, int], key: int | None = None) -> _Batch | None:
        """Return the batch in a message, as verified by pyarrow; None where it is not plain.

        It must have so many columns and buffers, and be of the dictionary with this key, if any.
        """
        value, metadata = self.value, start + len(END)
        if value[start : start + len(BEGIN)] != BEGIN:
            return None
        try:
            message = pa.ipc.read_message(pa.py_buffer(value).slice(start))
            head = header(message)
        except UNREADABLE:
            return None
        wanted = "record batch" if key is None else "dictionary"
        if head is None or message.type != wanted:
            return None
        if key is not None:
            is_other = head.int64(_ID) != key or head.has(_IS_DELTA)
            head = None if is_other else head.table(_DATA)
            if head is None:
                return None
        rows, size = head.int64(_LENGTH), len(message.body or b"")
        (nodes, columns), (buffers, count) = head.vector(_NODES), head.vector(_BUFFERS)
        behind = max(nodes + kernel.NODE * columns, buffers + kernel.BUFFER * count)
        if (
            (columns, count) != shape
            or behind > message.metadata.size
            or not 0 < rows <= min(MAX_ROWS, size)
        ):
            return None
        body = metadata + message.metadata.size
        return _Batch(rows, metadata + nodes, metadata + buffers, body, size)


def plain_stream(value: bytes) -> PlainStream | None:
    """Return a stream whose schema is plain; None where only pyarrow can tell what is in it."""
    start = len(END) + int.from_bytes(value[len(BEGIN) : len(END)], "little")
    layout = layout_of(value[:start])
    return None if layout is None else PlainStream(layout, value, start)
