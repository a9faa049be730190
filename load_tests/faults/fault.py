"""What a fault is, and the parts that many are made of."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.random import Generator

from load_tests.faults.traffic import Column, Labels, Mask, Rows, Span, Traffic

Change = Callable[[Traffic, Span, Generator], Traffic]
Part = Literal["values", "scores", "rows", "labels"]
RETURNS: Final = "the world"


@dataclass(frozen=True)
class Fault:
    """One kind of fault with its parameters.

    Parameters
    ----------
    name
        What happened, for people.
    change
        Returns the traffic as it is with the fault in a span of windows.
    part
        What it spoils: values of features, scores, which rows come, labels.
    columns
        The features whose values are wrong.
    rescored
        Whether the model scored the rows as they are with the fault.
    real
        Whether the world changed and nothing is broken: retraining on these rows is right.
    """

    name: str
    change: Change
    part: Part
    columns: tuple[str, ...] = ()
    rescored: bool = False
    real: bool = False


class Hit(NamedTuple):
    """A column whose values are spoilt.

    Parameters
    ----------
    before
        All values of the windows before the fault.
    now
        The values to change.
    """

    before: Column
    now: Column


class Where(NamedTuple):
    """The rows whose category ``name`` is ``value``."""

    name: str
    value: str

    def holds(self, rows: Rows) -> Mask:
        """Return which rows that are."""
        return np.asarray(rows.features[self.name] == self.value)


def hit(rows: Rows, span: Span, where: Where | None) -> Mask:
    """Return the rows of the span, or those of its slice."""
    inside = span.holds(rows.place)
    return inside if where is None else inside & where.holds(rows)


def values(
    name: str,
    spoil: Callable[[Hit, Generator], Any],
    where: Where | None = None,
) -> Change:
    """Return the change of one column's values by ``spoil``."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        rows = traffic.rows
        column, spoilt = rows.features[name], hit(rows, span, where)
        new = spoil(Hit(column[rows.place < span.first], column[spoilt]), rng)
        changed = column.astype(np.asarray(new).dtype if column.dtype != np.object_ else object)
        changed[spoilt] = new
        return replace(traffic, rows=rows.with_feature(name, changed))

    return change


def both(*changes: Change) -> Change:
    """Return all the changes, one after the other."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        for each in changes:
            traffic = each(traffic, span, rng)
        return traffic

    return change


def scores(spoil: Callable[[Rows, Generator], Any]) -> Change:
    """Return the change of the scores of the span's rows."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        inside = span.holds(traffic.rows.place)
        new = traffic.rows.scores.copy()
        new[inside] = spoil(traffic.rows.take(inside), rng)
        return replace(traffic, rows=replace(traffic.rows, scores=new))

    return change


def labels(spoil: Callable[[Labels, Rows, Generator], Labels]) -> Change:
    """Return the change of the labels of the span's predictions.

    ``spoil`` gets these labels and, in the same order, the rows that they belong to.
    """

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        rows = traffic.rows
        place = {row_id: at for at, row_id in enumerate(rows.ids.tolist())}
        at = np.array([place[row_id] for row_id in traffic.labels.ids.tolist()])
        inside = span.holds(rows.place[at])
        spoilt = spoil(traffic.labels.take(inside), rows.take(at[inside]), rng)
        spoilt = replace(spoilt, place=traffic.clock.place_at(spoilt.ts_ms))
        return replace(traffic, labels=merged(traffic.labels.take(~inside), spoilt))

    return change


def merged(one: Labels, other: Labels) -> Labels:
    """Return the labels of both, in order of arrival."""
    together = Labels(
        *(
            np.concatenate([getattr(one, name), getattr(other, name)])
            for name in ("ids", "ts_ms", "place", "values")
        )
    )
    return together.take(np.argsort(together.place, kind="stable"))
