"""Classes among numbers: how predictions and labels that are text travel in columns of floats.

A class is a number beyond all that an event may have, so that what holds, moves and compares
scores and labels knows nothing of it. Beside it may stand the probabilities of all classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tidegauge.schemas.events import MAX_CLASSES
from tidegauge.streams.monitor.intake.dictionary import category
from tidegauge.streams.monitor.intake.record_batch import Ints

Floats = Any  # numpy arrays, shape (rows,) or (rows, 1 + classes)
FIRST: Final = 2.0**400  # events have numbers up to 1e100, which is less
OTHERS: Final = "…"  # all classes for which there is no more room


def coded(codes: Ints) -> Floats:
    """Return the numbers that stand for classes.

    >>> is_class(coded(np.array([0, 7]))), is_class(np.array([1e100, np.nan]))
    (array([ True,  True]), array([False, False]))
    """
    return FIRST * (1.0 + codes)


def is_class(values: Floats) -> Any:
    """Return which numbers stand for classes."""
    return values >= FIRST


def codes_of(values: Floats) -> Ints:
    """Return the codes of numbers that stand for classes."""
    codes: Ints = (values / FIRST - 1.0).astype(np.int64)
    return codes


def heads(table: Floats) -> Floats:
    """Return scores without the probabilities that may stand beside them."""
    return table if table.ndim == 1 else table[:, 0]


def fitted(table: Floats, width: int) -> Floats:
    """Return scores with so many columns; probabilities that were not said are NaN.

    >>> fitted(np.array([0.5]), 3).tolist(), fitted(np.array([0.5]), 1).tolist()
    ([[0.5, nan, nan]], [0.5])
    """
    own = width_of(table)
    if width <= own:
        return table
    wide = np.full((len(table), width), np.nan)
    wide[:, :own] = table.reshape(len(table), own)
    return wide


def width_of(table: Floats) -> int:
    """Return how many columns scores have."""
    return 1 if table.ndim == 1 else int(table.shape[1])


@dataclass(frozen=True, slots=True)
class Said:
    """Predicted classes of some rows."""

    names: tuple[str, ...]
    table: Floats  # (rows,), each a code for one of the names; or with their probabilities behind

    @classmethod
    def of(cls, predictions: Sequence[str | Mapping[str, float]]) -> "Said":
        """Return what predictions say: a class, or the probability of each, of which one is most.

        >>> said = Said.of([{"cat": 0.7, "dog": 0.3}, "dog"])
        >>> said.names, said.texts, said.table[:, 1:].tolist()
        (('cat', 'dog'), ['cat', 'dog'], [[0.7, 0.3], [nan, nan]])
        """
        names = Names()
        tops = [p if isinstance(p, str) else max(p, key=p.__getitem__) for p in predictions]
        maps = [(at, p) for at, p in enumerate(predictions) if not isinstance(p, str)]
        for _, probabilities in maps:
            names.enter(probabilities)
        table = coded(names.enter(tops))
        if maps:
            table = fitted(table, 1 + len(names))
            for at, probabilities in maps:
                own = names.enter(probabilities)
                table[at, 1:] = 0.0  # a class that is not said has none
                table[at, 1 + own] = list(probabilities.values())
        return cls(tuple(names), table)

    @property
    def texts(self) -> list[str]:
        """The predicted class of each row."""
        return [self.names[code] for code in codes_of(heads(self.table)).tolist()]

    def cut(self, start: int, stop: int) -> "Said":
        """Return some of the rows."""
        return Said(self.names, self.table[start:stop])


class Names(dict[str, int]):
    """Codes of classes by name, in the order in which they came."""

    def enter(self, texts: Iterable[str]) -> Ints:
        """Return the code of each text; new ones get the next codes."""
        own = (category(text) or "" for text in texts)
        return np.array([self.setdefault(name, len(self)) for name in own], np.int64)


class Classes(Names):
    """The classes of one model, so many at most: further ones are all the same one.

    >>> classes = Classes()
    >>> said = Said.of([{"cat": 0.7, "dog": 0.3}])
    >>> classes.enter(["dog"]).tolist(), renamed(classes, said.names, said.table).tolist()[0][1:]
    ([0], [0.3, 0.7])
    """

    def enter(self, texts: Iterable[str]) -> Ints:
        """Return the code of each text; all beyond the bound have the code of ``OTHERS``."""
        own = [category(text) or "" for text in texts]
        if len(self) + len(own) >= MAX_CLASSES:
            self.setdefault(OTHERS, len(self))
            rest = iter(name for name in dict.fromkeys(own) if name not in self)
            while len(self) < MAX_CLASSES and (name := next(rest, None)) is not None:
                self[name] = len(self)
            return np.array([self.get(name, self[OTHERS]) for name in own], np.int64)
        return super().enter(own)

    def named(self, values: Floats) -> Any:
        """Return the class of each value, None of a number, as objects."""
        found = np.full(len(values), None)
        mine = is_class(values)
        if mine.any():
            found[mine] = np.array([*self, None], object)[codes_of(values[mine])]
        return found


def renamed(classes: Names, names: Sequence[str], table: Floats) -> Floats:
    """Return scores or labels whose codes mean ``names`` with the codes of other classes."""
    if not names:
        return table
    places, first = classes.enter(names), heads(table).copy()
    mine = is_class(first)
    first[mine] = coded(places[codes_of(first[mine])])
    if table.ndim == 1:
        return first
    wide = np.full((len(first), 1 + len(classes)), np.nan)
    wide[:, 0], wide[:, 1 + places] = first, table[:, 1 : 1 + len(names)]
    return wide
