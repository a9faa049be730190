"""What a spec declares that the values of a feature are, asked of whole columns."""

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.monitor.intake.block import Block, Codes, Flags, Floats
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.series.cells import Cells, TextCells, cells, rows_apart
from tidegauge.streams.monitor.series.view import View
from tidegauge.streams.monitor.words import cut, exact

VALUE = 24  # characters of a category in a sentence


class Limits:
    """The limits of one feature.

    Those of numbers say nothing of categories, and the other way round.

    Examples
    --------
    >>> limits = Limits(FeatureSpec(min=0, required=True))
    >>> limits.broken_numbers(np.array([-1.0, 0.0, np.nan])).tolist()
    [True, False, True]
    >>> limits.why(-1.0), limits.why(None)
    ('-1 is below 0', 'missing')
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._allowed = None if spec.allowed is None else {*spec.allowed}
        self._dictionary: Dictionary | None = None
        self._broken = np.empty(0, np.bool_)  # by code; the last is that of a missing value

    def broken(self, column: Cells) -> Flags:
        """Return which values of a column break a limit."""
        if isinstance(column, TextCells):
            return self.broken_codes(*column)
        return self.broken_numbers(column.values)

    def broken_numbers(self, values: Floats) -> Flags:
        """Return which numbers break a limit."""
        low = -np.inf if self.spec.min is None else self.spec.min
        high = np.inf if self.spec.max is None else self.spec.max
        found: Flags = (values < low) | (values > high)
        return found | np.isnan(values) if self.spec.required else found

    def broken_codes(self, codes: Codes, dictionary: Dictionary) -> Flags:
        """Return which categories break a limit; each value is asked once a dictionary."""
        if dictionary is not self._dictionary:
            self._dictionary, self._broken = dictionary, np.array([self.spec.required])
        if added := dictionary.values[len(self._broken) - 1 :]:
            parts = self._broken[:-1], self._outside(added), self._broken[-1:]
            self._broken = np.concatenate(parts)
        return self._broken[codes]

    def _outside(self, values: list[str]) -> Flags:
        found = np.zeros(len(values), np.bool_)
        if self._allowed is not None:
            found |= [value not in self._allowed for value in values]
        if self.spec.pattern is not None:
            found |= ~matches(self.spec.pattern, values)
        return found

    def why(self, value: float | str | None) -> str:
        """Return which limit a value breaks, and how, as part of a sentence."""
        spec = self.spec
        if value is None:
            return "missing"
        if isinstance(value, str):
            is_other = self._allowed is not None and value not in self._allowed
            return f"{cut(value, VALUE)} is not {'allowed' if is_other else 'of the pattern'}"
        if spec.min is not None and value < spec.min:
            return f"{exact(value)} is below {exact(spec.min)}"
        assert spec.max is not None  # or it would break none
        return f"{exact(value)} is above {exact(spec.max)}"


def matches(pattern: str, values: list[str]) -> Flags:
    r"""Return which values match a pattern as a whole.

    Patterns are RE2's, which takes time in proportion to the text. Python's may take exponential
    time, and with it one spec could stall a worker.

    >>> matches("[A-Z]{3}", ["EUR", "EURO", "eur"]).tolist()
    [True, False, False]
    """
    texts = pa.array(values, pa.string())
    found = pc.match_substring_regex(texts, pattern=rf"\A(?:{pattern})\z")
    return np.array(found, np.bool_)


class Limited(View):
    """Rows of the features with limits, and of the score if it has some.

    Parameters
    ----------
    limits
        Of each feature.
    block
        Rows; a feature without a column is missing in all of them, unless they have no features at
        all: then these come by another topic.
    """

    has_names = True
    of_model = False

    def __init__(self, limits: Mapping[str, Limits], block: Block) -> None:
        super().__init__(tuple(limits), len(block))
        self.limits, self.block = list(limits.values()), block
        self.cells = [cells(block, name) for name in self.columns]

    @cached_property
    def known(self) -> Flags:
        """Which values are there, shape (rows, columns)."""
        return np.column_stack([own.known for own in self.cells])

    @cached_property
    def judged(self) -> Flags:
        """Which values there are, or must be, shape (rows, columns)."""
        has_features = bool({*self.block.names, *self.block.categorical} - {SCORE})
        return self.known | [has_features and own.spec.required for own in self.limits]

    @cached_property
    def broken(self) -> Flags:
        """Which values break a limit, shape (rows, columns)."""
        pairs = zip(self.limits, self.cells, strict=True)
        return self.judged & np.column_stack([limits.broken(own) for limits, own in pairs])

    def named(self, column: int, hits: Flags) -> Iterator[str]:
        """Yield how values of a column break its limits in some of its rows, and where."""
        offsets, own, limits = self.block.offsets, self.cells[column], self.limits[column]
        for row in rows_apart(hits, offsets, own.keys):
            yield f"offset {offsets[row]}: {limits.why(own.value(row))}"
