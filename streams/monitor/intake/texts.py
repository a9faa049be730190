"""Short texts as places in a buffer: ids and categories of a block, with no object a text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, overload

import numpy as np
from numba import types

from tidegauge.detectors._jit import kernel
from tidegauge.streams.monitor.intake.record_batch import Bytes, Ints


@kernel(
    types.Array(types.uint8, 1, "C", readonly=True),
    types.Array(types.int64, 2, "C"),
    types.Array(types.uint8, 1, "C"),
    types.Array(types.int64, 1, "C"),
    allocates=False,
)
def copy_texts(buffer: Any, spans: Any, room: Any, used: Any) -> None:
    """Copy texts of a buffer into the room, behind what is used; their spans follow them."""
    for k in range(len(spans)):
        start, length = spans[k, 0], spans[k, 1]
        spans[k, 0] = used[0]
        for at in range(length):  # none of what is missing
            room[used[0] + at] = buffer[start + at]
        used[0] += max(length, 0)


def size(spans: Ints) -> int:
    """Return how many bytes texts have; none those that are missing."""
    return int(np.maximum(spans[..., 1], 0).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Texts(Sequence[str]):
    """UTF-8 texts; each is decoded when it is asked for.

    >>> texts = Texts.of(["req-1", "req-2", "größe"])
    >>> texts[2], list(texts[:2]), texts.spans.tolist()
    ('größe', ['req-1', 'req-2'], [[0, 5], [5, 5], [10, 7]])
    """

    buffer: Bytes
    spans: Ints  # texts x (start, length)

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Return texts in a buffer of their own."""
        found = [text.encode() for text in texts]
        lengths = np.array([len(text) for text in found], np.int64)
        spans = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
        return cls(np.frombuffer(b"".join(found), np.uint8), spans)

    @classmethod
    def joined(cls, parts: Sequence["Texts"]) -> "Texts":
        """Return the texts of several; a buffer that all share is not copied."""
        spans = np.concatenate([part.spans for part in parts])
        if all(part.buffer is parts[0].buffer for part in parts):
            return cls(parts[0].buffer, spans)
        buffer, used, start = np.empty(size(spans), np.uint8), np.zeros(1, np.int64), 0
        for part in parts:
            copy_texts(part.buffer, spans[start : start + len(part)], buffer, used)
            start += len(part)
        return cls(buffer, spans)

    def __iter__(self) -> Iterator[str]:
        """Return all texts in turn; their bytes are taken from the buffer at once."""
        starts, lengths = self.spans.T
        ends = np.cumsum(lengths)
        places = np.repeat(starts - ends + lengths, lengths) + np.arange(lengths.sum())
        told, stops = self.buffer[places].tobytes(), ends.tolist()
        return iter([told[a:b].decode() for a, b in zip([0, *stops], stops, strict=False)])

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.spans)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> "Texts": ...
    def __getitem__(self, at: int | slice) -> "str | Texts":
        """Return one text, or some; the bytes are shared."""
        if isinstance(at, slice):
            return Texts(self.buffer, self.spans[at])
        start, length = self.spans[at].tolist()
        return self.buffer[start : start + length].tobytes().decode()
