"""One column of a block by its name, whatever it holds."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tidegauge.streams.monitor.intake.block import Block, Codes, Flags, Floats, Ints
from tidegauge.streams.monitor.intake.dictionary import Dictionary


class NumberCells(NamedTuple):
    """Numbers; NaN where one is missing."""

    values: Floats

    @property
    def known(self) -> Flags:
        """Which are there."""
        return ~np.isnan(self.values)

    @property
    def keys(self) -> Ints | Codes:
        """What two cells have in common only if they are alike."""
        keys: Ints = np.ascontiguousarray(self.values).view(np.int64)
        return keys

    def value(self, row: int) -> float | None:
        """Return what a row has."""
        found = float(self.values[row])
        return None if np.isnan(found) else found


class TextCells(NamedTuple):
    """Categories as codes; below 0 where one is missing."""

    codes: Codes
    dictionary: Dictionary

    @property
    def known(self) -> Flags:
        """Which are there."""
        return self.codes >= 0

    @property
    def keys(self) -> Ints | Codes:
        """What two cells have in common only if they are alike."""
        return self.codes

    def value(self, row: int) -> str | None:
        """Return what a row has."""
        return self.dictionary.value(int(self.codes[row]))


Cells = NumberCells | TextCells


def cells(block: Block, name: str) -> Cells:
    """Return a column; one that the block does not have is missing in all of its rows."""
    if name in block.categorical:
        at = block.categorical.index(name)
        return TextCells(block.codes[:, at], block.dictionaries[at])
    if name in block.names:
        return NumberCells(block.number(name))
    return NumberCells(np.full(len(block), np.nan))


def rows_apart(hits: Flags, *keys: Ints | Codes) -> Iterator[int]:
    """Yield the rows that are hit, but for those that are like the one before in all keys.

    >>> offsets, codes = np.array([7, 7, 7, 8]), np.array([0, 0, 1, 1])
    >>> list(rows_apart(np.array([True] * 4), offsets, codes))
    [0, 2, 3]
    """
    rows = np.flatnonzero(hits)
    differs = np.ones(len(rows), np.bool_)
    if len(rows):
        differs[1:] = np.any([np.diff(own[rows]) != 0 for own in keys], axis=0)
    yield from rows[differs].tolist()
