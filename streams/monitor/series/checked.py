"""Checks between columns, asked of whole columns of rows."""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, reduce
from typing import Any

import numpy as np

from tidegauge.streams.monitor.intake.block import Block, Flags
from tidegauge.streams.monitor.series.cells import Cells, TextCells, cells, rows_apart
from tidegauge.streams.monitor.series.expression import COMPARES, COMPUTES, TRUTHS, Expression, Kind
from tidegauge.streams.monitor.series.view import View
from tidegauge.streams.monitor.words import cut, exact

NAME, VALUE, NAMED = 20, 24, 4  # characters, and columns that an example has


class Check:
    """An expression, and of which blocks it can be said."""

    def __init__(self, text: str) -> None:
        self.expression = Expression(text)
        self._fits: tuple[object, bool] = (None, False)  # for which columns, and whether

    def fits(self, names: tuple[str, ...], categorical: tuple[str, ...]) -> bool:
        """Return whether it can be said of these numbers and categories."""
        columns = names, categorical
        if self._fits[0] != columns:
            kinds: dict[str, Kind] = dict.fromkeys(names, "number")
            kinds |= dict.fromkeys(categorical, "text")
            self._fits = columns, not self.expression.fault(kinds)
        return self._fits[1]

    def asked(self, block: Block, columns: Mapping[str, Cells]) -> tuple[Flags, Flags]:
        """Return which rows break it, and of which it can be said, shape (rows,) each.

        It cannot of a row in which a column is missing, unless all that is asked of it is whether
        it is; nor where something is divided by 0.
        """
        rows, own = np.ones(len(block), np.bool_), self.expression
        counts = reduce(operator.and_, (columns[name].known for name in own.needed), rows)
        if not self.fits(block.names, block.categorical) or not counts.any():
            return np.zeros_like(rows), np.zeros_like(rows)
        said = _Said(columns, counts.copy())
        holds = np.broadcast_to(said.value(own.tree), counts.shape)
        return said.counts & ~holds, said.counts


class _Said:
    """The values of an expression's parts in some rows, and of which of them they can be said."""

    def __init__(self, columns: Mapping[str, Cells], counts: Flags) -> None:
        self._columns, self.counts = columns, counts

    def value(self, node: ast.expr) -> Any:  # noqa: PLR0911 - one for each kind of node
        """Return a number, a text or a truth value of each row, or of all."""
        match node:
            case ast.Constant(value=str() as text):
                return text
            case ast.Constant(value=number):
                return float(number)  # type: ignore[arg-type]  # texts apart, they are numbers
            case ast.Name(id=name):
                column = TRUTHS[name] if name in TRUTHS else self._columns[name]
                return column if isinstance(column, TextCells | float) else column.values
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return np.logical_not(self.value(part))
            case ast.UnaryOp(op=op, operand=part):
                return -self.value(part) if isinstance(op, ast.USub) else self.value(part)
            case ast.BinOp(left=left, op=op, right=right):
                with np.errstate(all="ignore"):
                    found = COMPUTES[type(op)](np.float64(self.value(left)), self.value(right))
                self.counts &= np.isfinite(found)
                return found
            case ast.BoolOp(op=op, values=parts):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return reduce(join, map(self.value, parts))
            case ast.Call(args=[part]):
                return np.abs(self.value(part))
            case ast.Compare(left=left, ops=ops, comparators=parts):
                pairs = zip([left, *parts], ops, parts, strict=False)
                return reduce(np.logical_and, (self._compared(*pair) for pair in pairs))
        raise ValueError(f"expected an expression that was read, got {ast.dump(node)}")

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, ast.Is | ast.IsNot):
            assert isinstance(left, ast.Name)
            known = self._columns[left.id].known
            return known if isinstance(op, ast.IsNot) else ~known
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right, ast.List | ast.Tuple)
            listed = {self.value(part) for part in right.elts}
            own = self.value(left)
            if isinstance(own, TextCells):
                found = _asked(own, lambda text: text in listed)
            else:
                found = np.isin(own, [*listed])
            return found if isinstance(op, ast.In) else ~found
        return _ordered(COMPARES[type(op)], self.value(left), self.value(right))


def _ordered(compare: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Return how two values of each row compare; texts do by their characters."""
    if isinstance(left, TextCells) and isinstance(right, TextCells):
        return compare(_texts(left), _texts(right)).astype(np.bool_)
    if isinstance(left, TextCells):
        return _asked(left, lambda text: compare(text, right))
    if isinstance(right, TextCells):
        return _asked(right, lambda text: compare(left, text))
    return compare(left, right)


def _asked(column: TextCells, test: Callable[[str], bool]) -> Flags:
    """Return for each row what a test says of its text; each text is asked once."""
    return np.array([*map(test, column.dictionary.values), False], np.bool_)[column.codes]


def _texts(column: TextCells) -> Any:
    return np.array([*column.dictionary.values, ""], np.object_)[column.codes]


class Checked(View):
    """Rows and the checks that they should pass, a column each.

    Parameters
    ----------
    checks
        By their text.
    block
        Rows; a column that it does not have is missing in all of them.
    """

    has_names = True
    of_model = False

    def __init__(self, checks: Mapping[str, Check], block: Block) -> None:
        super().__init__(tuple(checks), len(block))
        self.checks, self.block = list(checks.values()), block

    @cached_property
    def cells(self) -> dict[str, Cells]:
        """The columns that are named."""
        named = (name for own in self.checks for name in own.expression.names)
        return {name: cells(self.block, name) for name in named}

    @cached_property
    def _asked(self) -> tuple[Flags, Flags]:
        found = [own.asked(self.block, self.cells) for own in self.checks]
        broken, counts = (np.column_stack(part) for part in zip(*found, strict=True))
        return broken, counts

    @property
    def broken(self) -> Flags:
        """Which rows break which check, shape (rows, columns)."""
        return self._asked[0]

    @property
    def judged(self) -> Flags:
        """Of which rows it can be said, shape (rows, columns)."""
        return self._asked[1]

    def named(self, column: int, hits: Flags) -> Iterator[str]:
        """Yield the values of the columns of a check in some of its rows, and where."""
        offsets, names = self.block.offsets, self.checks[column].expression.names[:NAMED]
        for row in rows_apart(hits, offsets, *(self.cells[name].keys for name in names)):
            told = ", ".join(f"{cut(n, NAME)} {_told(self.cells[n].value(row))}" for n in names)
            yield f"offset {offsets[row]}: {told}"


def _told(value: float | str | None) -> str:
    if value is None:
        return "missing"
    return cut(value, VALUE) if isinstance(value, str) else exact(value)
