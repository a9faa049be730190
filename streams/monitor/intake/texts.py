"""Short texts as places in a buffer: ids and categories of a block, with no object a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, overload

import numpy as np

from tidegauge.streams.monitor.intake.record_batch import Bytes, Ints


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
        """Return the texts of several, one after the other; what they share is not copied."""
        buffers = list({id(part.buffer): part.buffer for part in parts}.values())
        if len(buffers) == 1:
            return cls(buffers[0], np.concatenate([part.spans for part in parts]))
        ends = np.cumsum([len(buffer) for buffer in buffers]).tolist()
        starts = {id(b): end - len(b) for b, end in zip(buffers, ends, strict=True)}
        spans = [part.spans + (starts[id(part.buffer)], 0) for part in parts]  # noqa: RUF005 (a sum)
        return cls(np.concatenate(buffers), np.concatenate(spans))

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
