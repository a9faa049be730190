"""What predictions are sliced by: values of features that wait with them for their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidegauge.streams.monitor.intake.block import Block, Floats
from tidegauge.streams.monitor.intake.classes import Classes, Names, coded, renamed


@dataclass(frozen=True, slots=True, eq=False)
class Sliced:
    """Values of the features by which rows are sliced.

    Parameters
    ----------
    table
        Shape (rows, features); a text is a number that stands for it, see ``classes.py``.
    names
        What these mean.
    """

    table: Floats
    names: Sequence[str]

    def where(self, chosen: Any) -> "Sliced":
        """Return those of a slice, or whose places are chosen."""
        return Sliced(self.table[chosen], self.names)

    @property
    def width(self) -> int:
        """How many features there are."""
        return int(self.table.shape[1])

    def narrowed(self, width: int) -> "Sliced | None":
        """Return the values of the first features alone; None of none."""
        return Sliced(self.table[:, :width], self.names) if width else None

    def known_by(self, texts: Names) -> Floats:
        """Return the values with the numbers that these names give to texts."""
        columns = [renamed(texts, self.names, column) for column in self.table.T]
        return np.column_stack(columns)


def sliced(block: Block, features: Sequence[str]) -> Sliced:
    """Return the values of features in a block; NaN where they are missing.

    >>> from tidegauge.streams.monitor.intake.dictionary import Dictionary
    >>> nothing = np.empty(0, np.int64)
    >>> block = Block(nothing, nothing, None, np.array([[1.5]]), ("x",), nothing, (), ())
    >>> sliced(block, ["x", "y"]).table.tolist()
    [[1.5, nan]]
    """
    names, table = Names(), np.full((len(block.numbers), len(features)), np.nan)
    for at, feature in enumerate(features):
        if feature in block.names:
            table[:, at] = block.number(feature)
        elif feature in block.categorical:
            column = block.categorical.index(feature)
            codes, values = block.codes[:, column], block.dictionaries[column].values
            came = np.unique(codes[codes >= 0])
            numbers = np.full(len(values) + 1, np.nan)  # the last is that of a missing one
            numbers[came] = coded(names.enter([values[code] for code in came.tolist()]))
            table[:, at] = numbers[codes]
    return Sliced(table, tuple(names))


def together(parts: Sequence[Sliced | None], rows: Sequence[int]) -> Sliced | None:
    """Return several one after the other; of one that is not sliced no value is known."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    names, width = Names(), max(part.width for part in known)
    tables = []
    for part, count in zip(parts, rows, strict=True):
        table = np.full((count, width), np.nan)
        if part is not None:
            table[:, : part.width] = part.known_by(names)
        tables.append(table)
    return Sliced(np.concatenate(tables), tuple(names))


def told(texts: Classes, table: Floats) -> Any:
    """Return values as the journal has them, as objects: numbers, texts, None.

    >>> texts = Classes()
    >>> table = np.array([[1.5, np.nan], [np.nan, coded(texts.enter(["DE"]))[0]]])
    >>> told(texts, table).tolist()
    [[1.5, None], [None, 'DE']]
    """
    found = np.full(table.shape, None)
    for at, column in enumerate(table.T):
        known = ~np.isnan(column)
        named = texts.named(column)
        is_text = np.array([text is not None for text in named], np.bool_)
        found[known, at] = column[known]
        found[is_text, at] = named[is_text]
    return found
