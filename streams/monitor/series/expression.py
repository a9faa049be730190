"""Checks between columns, such as ``end >= start``: a small language, read by Python's parser."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

Kind = Literal["number", "text", "truth"]
EXAMPLE: Final = "a comparison such as end >= start"
MISSING: Final = "missing"
TRUTHS: Final = {"true": 1.0, "false": 0.0}
DEEPEST: Final = 20  # levels of an expression
LARGEST: Final = 1e100  # number
# Names that Python would not read stand in backticks; what is quoted otherwise is a text.
BREAKS: Final = re.compile(r"[\r\n]")
QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`([^`]+)`")

COMPARES: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
COMPUTES: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


class Expression:
    """What rows keep: comparisons of columns, numbers and texts, with and, or, not, + - * /.

    Beside these there are ``in`` with a list, ``abs``, ``is missing``, ``true`` and ``false``. No
    other part of Python is read, and none is run: see ``checked`` for what becomes of the tree.

    Parameters
    ----------
    text
        As the spec has it.

    Raises
    ------
    ValueError
        If it is none; says at which character, and what was expected there.

    Examples
    --------
    >>> Expression("amount > 0 or status == 'refund'").names
    ['amount', 'status']
    >>> Expression("end > = start")
    Traceback (most recent call last):
    ValueError: expected a comparison such as end >= start, got invalid syntax at character 7
    >>> Expression("end >= lower(start)")
    Traceback (most recent call last):
    ValueError: expected abs as the only function, got 'lower(start)' at character 8
    """

    def __init__(self, text: str) -> None:
        self.text = text
        line = BREAKS.sub(" ", text)  # as places are those of one line
        self._source = QUOTED.sub(lambda found: "_" * len(found[0]) if found[1] else found[0], line)
        self.tree = self._parsed()
        self.names: list[str] = []
        types = _Types(self, {})
        types.of(self.tree, "truth")
        self.needed = [*types.kinds]  # a row in which one of them is missing says nothing
        if not self.names:
            raise ValueError(f"expected {EXAMPLE}, got no column in {text!r}")

    def _parsed(self) -> ast.expr:
        try:
            tree = ast.parse(self._source, mode="eval").body
        except (SyntaxError, ValueError) as fault:  # ValueError: of a null character
            told = getattr(fault, "msg", str(fault))
            at = getattr(fault, "offset", None) or len(self.text) + 1  # where more was expected
            raise ValueError(f"expected {EXAMPLE}, got {told} at character {at}") from None
        quoted = {
            len(self._source[: found.start()].encode()): found[1]
            for found in QUOTED.finditer(self.text)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                # Python would have names in another form of Unicode than columns may be in.
                own = self._source.encode()[node.col_offset : node.end_col_offset].decode()
                node.id = quoted.get(node.col_offset, own)
        return tree

    def fault(self, kinds: Mapping[str, Kind]) -> str:
        """Return why it cannot be said of columns that are such; empty if it can, or may.

        >>> Expression("amount > 0").fault({"amount": "text"})
        "expected a text, got '0' at character 10"
        """
        try:
            _Types(self, dict(kinds)).of(self.tree, "truth")
        except ValueError as fault:
            return str(fault)
        return ""

    def place(self, node: ast.expr) -> str:
        """Return a part as it is written, and where."""
        source = self._source.encode()
        start = len(source[: node.col_offset].decode())
        end = len(source[: node.end_col_offset].decode())
        return f"{self.text[start:end]!r} at character {start + 1}"


class _Types:
    """Of which kind the parts of an expression are: what is none of them is refused.

    Parameters
    ----------
    whole
        The expression; columns that are met become its names.
    kinds
        Of columns, as far as they are known; what parts say of them is entered.
    """

    def __init__(self, whole: Expression, kinds: dict[str, Kind | None]) -> None:
        self.whole, self.kinds, self._depth = whole, kinds, 0

    def of(self, node: ast.expr, wanted: Kind | None = None) -> Kind | None:
        """Return the kind of a part, None while that is open; raise if it is not what is wanted."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fault(node, f"at most {DEEPEST} levels")
        is_column = isinstance(node, ast.Name) and node.id not in TRUTHS
        found = self._column(node, wanted) if is_column else self._kind(node)
        self._depth -= 1
        if wanted is not None and found != wanted:
            expected = EXAMPLE if wanted == "truth" else f"a {wanted}"
            told = f", which is {found}" if isinstance(node, ast.Name) else ""
            raise ValueError(f"expected {expected}, got {self.whole.place(node)}{told}")
        return found

    def _column(self, node: Any, wanted: Kind | None) -> Kind | None:
        self._enter(node.id)
        if self.kinds.get(node.id) is None:
            self.kinds[node.id] = wanted if wanted != "truth" else "number"
        return self.kinds[node.id]

    def _enter(self, name: str) -> None:
        if name not in self.whole.names:
            self.whole.names.append(name)

    def _kind(self, node: ast.expr) -> Kind | None:  # noqa: PLR0911 - one for each kind of node
        match node:
            case ast.Constant(value=str()):
                return "text"
            case ast.Constant(value=bool() | int() | float() as value) if abs(value) <= LARGEST:
                return "number"
            case ast.Name():  # true, or false
                return "number"
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=part):
                return self.of(part, "number")
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return self.of(part, "truth")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in COMPUTES:
                self.of(left, "number")
                return self.of(right, "number")
            case ast.BoolOp(values=parts):
                for part in parts:
                    self.of(part, "truth")
                return "truth"
            case ast.Call(func=ast.Name(id="abs"), args=[part], keywords=[]):
                return self.of(part, "number")
            case ast.Call():
                raise self._fault(node, "abs as the only function")
            case ast.Compare(left=first, ops=ops, comparators=parts):
                for pair in zip([first, *parts], ops, parts, strict=False):
                    self._compared(*pair)
                return "truth"
            case _:
                raise self._fault(node, EXAMPLE)

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> None:
        """Look at what is compared with what."""
        if isinstance(op, ast.Is | ast.IsNot):
            if not isinstance(right, ast.Name) or right.id != MISSING:
                raise self._fault(right, "missing after is")
            if not isinstance(left, ast.Name) or left.id in TRUTHS:
                raise self._fault(left, "a column before is missing")
            self._enter(left.id)
        elif isinstance(op, ast.In | ast.NotIn):
            listed = right.elts if isinstance(right, ast.List | ast.Tuple) else []
            if not listed or not all(isinstance(part, ast.Constant) for part in listed):
                raise self._fault(right, "a list such as ['DE', 'FR']")
            for part in listed:
                self.of(part, self.of(left, self.of(listed[0])))
        else:
            kind = self.of(left) or self.of(right)
            if kind == "truth":
                raise self._fault(left, "a column, a number or a text")
            self.of(left, kind)
            self.of(right, kind)

    def _fault(self, node: ast.expr, expected: str) -> ValueError:
        return ValueError(f"expected {expected}, got {self.whole.place(node)}")
