"""What the codes of a categorical column stand for."""

import hashlib
from collections.abc import Sequence
from types import NoneType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.monitor.intake.json_kernel import (
    NOTHING,
    UNKNOWN,
    enter_values,
    look_up,
    room,
)
from tidegauge.streams.monitor.intake.record_batch import Bytes, Ints
from tidegauge.streams.monitor.intake.texts import Texts

MAX_CATEGORY = 100  # characters of a categorical value
MAX_VALUES = 2000  # of a dictionary that is kept for the next block
MISSING: Final = -1
EXACT = 2.0**53  # below it a float holds every whole number


class Dictionary:
    """The values of one categorical column that were met, each with a code: its place.

    It only grows, so a block's codes mean the same for as long as the block is held. It is a cache
    of the reader and no state: nothing that is told or kept may depend on a code.

    >>> dictionary = Dictionary()
    >>> dictionary.encode(["DE", "", None, "FR", "DE"]), dictionary.values
    (array([ 0, -1, -1,  1,  0], dtype=int32), ['DE', 'FR'])
    """

    def __init__(self) -> None:
        self.values: list[str] = []
        self._codes = _Codes(self.values)
        self._table: _Table | None = None

    @property
    def is_full(self) -> bool:
        """Whether the next block is better begun with a new one."""
        return len(self.values) >= MAX_VALUES

    def encode(self, values: Sequence[str | None]) -> NDArray[np.int32]:
        """Return the code of each value, as ``category`` has it; new ones get the next places."""
        return np.fromiter(map(self._codes.__getitem__, values), np.int32, len(values))

    def encode_spans(self, buffer: Bytes, spans: Ints) -> NDArray[np.int32]:
        """Return the codes of texts in a buffer, as ``encode`` gives them; NULL is missing.

        >>> dictionary, buffer = Dictionary(), np.frombuffer(b"DE FR", np.uint8)
        >>> dictionary.encode_spans(buffer, np.array([[3, 2], [0, 2], [0, -1], [3, 2]]))
        array([ 0,  1, -1,  0], dtype=int32)
        """
        codes = np.empty(len(spans), np.int32)
        if self._table is None:
            self._table = _Table(self.values)
        look_up(buffer, spans, *self._table.arrays, codes)
        unknown = np.flatnonzero(codes == UNKNOWN)
        if len(unknown):
            texts, known = Texts(buffer, spans[unknown]), len(self.values)
            codes[unknown] = self.encode(texts)
            if len(self.values) > known:
                self._table = None
        return codes

    def value(self, code: int) -> str | None:
        """Return what a code stands for."""
        return None if code == MISSING else self.values[code]


class _Table:
    """The values of a dictionary as ``look_up`` takes them; not those that were cut."""

    def __init__(self, values: Sequence[str]) -> None:
        texts = Texts.of([value if len(value) < MAX_CATEGORY else "" for value in values])
        table = np.full(room(len(values)), NOTHING)
        enter_values(texts.buffer, texts.spans, table)
        self.arrays = texts.buffer, texts.spans, table


class _Codes(dict[str | None, int]):
    """Codes by value; a long value is cut each time, so that none is held whole."""

    def __init__(self, values: list[str]) -> None:
        super().__init__({None: MISSING, "": MISSING})
        self.values_by_code = values

    def __missing__(self, said: str) -> int:
        value = category(said)
        assert value is not None  # what is missing has its code from the beginning
        if value not in self:
            self[value] = len(self.values_by_code)
            self.values_by_code.append(value)
        return self[value]


def as_text(values: Sequence[Any]) -> Sequence[str | None]:
    """Return the values of a feature that is declared categorical as text, as files have it.

    >>> as_text([7, 7.0, 7.5, True, "7", None])
    ['7', '7', '7.5', 'true', '7', None]
    """
    return values if set(map(type, values)) <= {str, NoneType} else list(map(_text, values))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    return str(value)


def category(value: str | None) -> str | None:
    """Return a categorical value as it is counted and told: an empty one is missing, as in files.

    Of a long one the beginning is kept, and a hash that tells it from others that begin alike.

    >>> category("DE"), category(""), category("n" * 220_000)[-20:]
    ('DE', None, 'nnn…776fe8c133950794')
    """
    if not value:
        return None
    if len(value) <= MAX_CATEGORY:
        return value
    tail = hashlib.sha256(value.encode()).hexdigest()[:16]
    return f"{value[: MAX_CATEGORY - len(tail) - 1]}…{tail}"
