"""What series read: the rows of a block beside what the reference says of their columns."""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from math import nan
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np

from tidegauge.detectors.statistics.mid_ranks import MidRanks
from tidegauge.detectors.statistics.relations import Relations
from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Codes, Flags, Floats, Ints
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.series.tally import KINDS, count_codes, count_numbers
from tidegauge.streams.monitor.series.task import class_losses, losses

RANGE_MARGIN = 0.25  # of the reference's width, beyond which a number is out of range
FLAG = 0.25  # of a category that is there, among ranks from -0.5 to 0.5
ROUNDING = 1e-6  # of a number's size: what float32 and the order of a sum may change

Limit = TypeVar("Limit", float, Floats)


class View:
    """Rows of some columns; of one without a name, where the rows themselves are what is read."""

    has_names: ClassVar[bool] = False
    of_model: ClassVar[bool] = True  # else what it shows should be nil, or is counted apart

    def __init__(self, columns: Sequence[str], rows: int) -> None:
        self.columns, self._rows = columns, rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._rows

    @cached_property
    def known(self) -> Flags:
        """Which values are there, shape (rows, columns)."""
        raise NotImplementedError

    @cached_property
    def tally(self) -> Ints:
        """How many values are missing, and how many unlike the reference's, a row each."""
        raise NotImplementedError

    def named(self, column: int, hits: Flags) -> Iterable[str]:
        """Return how alerts name the values of a column in some of its rows, in their order."""
        raise NotImplementedError


class Profiles:
    """What a reference says of numbers, column by column; nothing of those without a profile."""

    def __init__(self, profiles: Sequence[NumericProfile | None]) -> None:
        points = [([], []) if p is None else (p.points, p.ranks) for p in profiles]
        self.ranks = MidRanks([(np.array(at), np.array(ranks)) for at, ranks in points])
        limits = np.array([bounds(p) for p in profiles]).reshape(-1, 2)
        self.low, self.high = np.ascontiguousarray(limits.T)

    def within(self, low: Floats, high: Floats) -> "Profiles":
        """Return the same of one column, but with a usual range of its own for each row."""
        found = copy(self)
        found.low, found.high = (limits[:, None] for limits in margin(low, high))
        return found


def bounds(profile: NumericProfile | None) -> tuple[float, float]:
    """Return between which values a number is not out of range."""
    if profile is None:
        return -np.inf, np.inf
    return margin(*(profile.usual or (profile.low, profile.high)))


def margin(low: Limit, high: Limit) -> tuple[Limit, Limit]:
    """Return a range with what lies beside it and is not yet far outside."""
    size = np.maximum(np.abs(low), np.abs(high))
    beside = np.maximum(RANGE_MARGIN * (high - low), ROUNDING * size)
    return low - beside, high + beside


class Numbers(View):
    """Numbers beside their profiles; NaN where a value is missing.

    Parameters
    ----------
    columns
        Their names.
    values
        Of each row, shape (rows, columns).
    profiles
        What the reference says of each column.
    before
        The row before the first one; None: there is none.
    """

    has_names = True

    def __init__(
        self,
        columns: Sequence[str],
        values: Floats,
        profiles: Profiles,
        before: Floats | None = None,
    ) -> None:
        super().__init__(columns, len(values))
        self.values, self.profiles = values, profiles
        self.before = np.full(len(columns), np.nan) if before is None else before

    @cached_property
    def known(self) -> Flags:
        """Which values are there, shape (rows, columns)."""
        return ~np.isnan(self.values)

    @cached_property
    def tally(self) -> Ints:
        """How many values are missing, and how many out of range, a row each."""
        counts = np.zeros((KINDS, len(self.columns)), np.int64)
        values = np.ascontiguousarray(self.values)
        count_numbers(counts, values, self.profiles.low, self.profiles.high)
        return counts

    @cached_property
    def ranks(self) -> Floats:
        """Mid-ranks in the reference minus one half, NaN where missing or without a profile."""
        return self.profiles.ranks(self.values)


class Vocabulary:
    """The categories that a reference has; None where nothing can be said of others.

    Parameters
    ----------
    values
        All of them.
    bins
        Those that are counted one by one; the last one stands for all others.
    """

    def __init__(self, values: Iterable[str] | None, bins: Sequence[str] = ("",)) -> None:
        self.values = None if values is None else {value: at for at, value in enumerate(values)}
        self._bins, self._rest = {name: at for at, name in enumerate(bins)}, len(bins) - 1
        self._forget()

    def _forget(self) -> None:
        self._dictionary: Dictionary | None = None
        self._new, self._binned = np.empty(0, np.bool_), np.empty(0, np.int64)  # by code
        self._places = np.full(1, np.nan)  # by code, too; the last is that of a missing value

    def new(self, dictionary: Dictionary) -> Flags:
        """Return which codes stand for a category that the reference does not have."""
        self._read(dictionary)
        return self._new

    def binned(self, dictionary: Dictionary) -> Ints:
        """Return the bin of each code."""
        self._read(dictionary)
        return self._binned

    def places(self, dictionary: Dictionary) -> Floats:
        """Return the place of each code among the reference's categories; -1 of one that is new.

        Behind them is the place of a missing value, NaN; so is that of all, where none are known.
        """
        self._read(dictionary)
        return self._places

    def _read(self, dictionary: Dictionary) -> None:
        if dictionary is not self._dictionary:
            self._forget()
            self._dictionary = dictionary
        if len(self._new) < len(dictionary.values):
            added, known = dictionary.values[len(self._new) :], self.values
            flags = [known is not None and value not in known for value in added]
            places = [nan if known is None else known.get(value, -1) for value in added]
            self._new = np.concatenate([self._new, np.array(flags, np.bool_)])
            bins = [self._bins.get(value, self._rest) for value in added]
            self._binned = np.concatenate([self._binned, np.array(bins, np.int64)])
            self._places = np.concatenate([self._places[:-1], np.array(places, np.float64), [nan]])


class Categories(View):
    """Categories beside those of the reference.

    Parameters
    ----------
    columns
        Their names.
    codes
        Of each row, shape (rows, columns): places in the column's dictionary, -1 where missing.
    dictionaries, vocabularies
        What the codes stand for, and the categories the reference has, one of each a column.
    """

    has_names = True

    def __init__(
        self,
        columns: Sequence[str],
        codes: Codes,
        dictionaries: Sequence[Dictionary],
        vocabularies: Sequence[Vocabulary],
    ) -> None:
        super().__init__(columns, len(codes))
        self.codes, self.dictionaries, self.vocabularies = codes, dictionaries, vocabularies

    @cached_property
    def known(self) -> Flags:
        """Which values are there, shape (rows, columns)."""
        return self.codes >= 0

    @cached_property
    def new(self) -> Flags:
        """Which values the reference does not have, shape (rows, columns)."""
        found = np.zeros(self.codes.shape, np.bool_)
        for column, new in enumerate(self._new):
            here = self.codes[:, column] >= 0
            found[here, column] = new[self.codes[here, column]]
        return found

    @cached_property
    def tally(self) -> Ints:
        """How many values are missing, and how many the reference does not have, a row each."""
        counts = np.zeros((KINDS, len(self.columns)), np.int64)
        for column, new in enumerate(self._new):
            count_codes(counts, self.codes, column, new)
        return counts

    @property
    def _new(self) -> Iterator[Flags]:
        """Yield which codes of each column the reference does not have."""
        pairs = zip(self.vocabularies, self.dictionaries, strict=True)
        return (vocabulary.new(dictionary) for vocabulary, dictionary in pairs)

    @property
    def bins(self) -> Iterator[Ints]:
        """Yield the bin of each code of each column."""
        pairs = zip(self.vocabularies, self.dictionaries, strict=True)
        return (vocabulary.binned(dictionary) for vocabulary, dictionary in pairs)

    def places(self, rows: slice) -> Iterator[Floats]:
        """Yield for each column where values of some rows stand among the reference's."""
        columns = zip(self.vocabularies, self.dictionaries, self.codes[rows].T, strict=True)
        return (vocabulary.places(own)[codes] for vocabulary, own, codes in columns)

    def named(self, column: int, hits: Flags) -> Iterable[str]:
        """Return the values of a column in some of its rows, in their order."""
        values = self.dictionaries[column].values
        return (values[code] for code in self.codes[hits, column].tolist() if code >= 0)


class Following(NamedTuple):
    """Which numbers follow from which others, and from which categories."""

    targets: list[str]
    flags: list[tuple[int, Vocabulary]]  # columns of categories, and a value of each
    relations: Relations  # of the numbers, then the flags


class Related(View):
    """Numbers that follow from others, by their ranks in the reference, and from categories.

    Parameters
    ----------
    numbers, categories
        All that there are.
    following
        Which follow, and how.
    """

    has_names = True

    def __init__(self, numbers: Numbers, categories: Categories, following: Following) -> None:
        super().__init__(following.targets, len(numbers))
        self.numbers, self.categories, self.following = numbers, categories, following

    @cached_property
    def squares(self) -> Floats:
        """The squares of what their relations leave of the ranks, NaN where one is missing."""
        ranks, own = self.numbers.ranks, self.categories
        table = np.zeros((len(self), ranks.shape[1] + len(self.following.flags)))
        table[:, : ranks.shape[1]] = ranks
        for at, (column, value) in enumerate(self.following.flags, ranks.shape[1]):
            others = np.append(value.new(own.dictionaries[column]), True)
            table[:, at] = FLAG * ~others[own.codes[:, column]]
        return self.following.relations(table)


class Pairs(View):
    """Labels beside the scores of their predictions, shape (rows,) each.

    Of several classes the label is whether the predicted one is right, and the score how probable
    that was said to be; ``probabilities`` are those of the labels' classes. ``delays_ms`` say by
    how much each label came after its prediction; without them nobody knows.

    >>> Pairs(np.array([1.0, 0.0]), np.array([0.5, 0.75]), "regression").losses.tolist()
    [0.5, 0.75]
    """

    def __init__(
        self,
        labels: Floats,
        scores: Floats,
        task: str,
        delays_ms: Floats | None = None,
        probabilities: Floats | None = None,
    ) -> None:
        super().__init__(("",), len(labels))
        self.labels, self.scores, self.task = labels, scores, task
        self.delays_ms = np.full(len(labels), np.nan) if delays_ms is None else delays_ms
        self._probabilities = probabilities

    @cached_property
    def losses(self) -> Floats:
        """Log loss of a classification, absolute error of a regression, shape (rows,)."""
        if self._probabilities is not None and self.task == "multiclass":
            return class_losses(self.labels, self._probabilities)
        return losses(self.labels, self.scores, self.task)


class Records(View):
    """Rows of a topic, and which of them could not be read."""

    of_model = False

    def __init__(self, refused: Flags) -> None:
        super().__init__(("",), len(refused))
        self.refused = refused


class Typed(View):
    """Rows of a topic, and which of them could not be read because of one feature."""

    has_names = True
    of_model = False

    def __init__(self, feature: str, refused: Flags) -> None:
        super().__init__((feature,), len(refused))
        self.refused = refused


class Labels(View):
    """What became of labels."""

    of_model = False

    def __init__(self, unpaired: Flags, duplicate: Flags) -> None:
        super().__init__(("",), len(unpaired))
        self.unpaired, self.duplicate = unpaired, duplicate


class Known(View):
    """Labels whose ids a model knows, and which of them correct one that had come before."""

    of_model = False

    def __init__(self, corrected: Flags) -> None:
        super().__init__(("",), len(corrected))
        self.corrected = corrected


class Sent(View):
    """Predictions as they come, and which of them have an id that came before."""

    of_model = False

    def __init__(self, resent: Flags) -> None:
        super().__init__(("",), len(resent))
        self.resent = resent


class Due(View):
    """Predictions that are as old as those with labels mostly are, and which have none."""

    of_model = False

    def __init__(self, unlabelled: Flags) -> None:
        super().__init__(("",), len(unlabelled))
        self.unlabelled = unlabelled


class Times(View):
    """When rows are of, and when they came.

    Parameters
    ----------
    behind
        Which come behind later ones by more than they may.
    ages_ms
        By how much their event times lie before their records' own; NaN: nobody knows.
    """

    def __init__(self, behind: Flags, ages_ms: Floats) -> None:
        super().__init__(("",), len(behind))
        self.behind, self.ages_ms = behind, ages_ms


class Windows(View):
    """Closed windows of event time, a row each: how many rows came, and for how long.

    Parameters
    ----------
    counts
        Rows of each window; those of the model, not of the view.
    lengths
        Over how many windows of event time they came: time may have skipped some, empty ones.
    """

    def __init__(self, counts: Ints, lengths: Ints) -> None:
        super().__init__(("",), len(counts))
        self.counts, self.lengths = counts, lengths


class Slices(View):
    """Rows, and in which slices each of them is.

    Parameters
    ----------
    columns
        Names of the slices.
    slots
        Of each row and dimension the place of its slice among them, -1 where it is in none.
    """

    has_names = True

    def __init__(self, columns: Sequence[str], slots: Ints) -> None:
        super().__init__(columns, len(slots))
        self.slots = slots

    @property
    def inside(self) -> Flags:
        """Which rows are in which slices, shape (rows, slices)."""
        places = np.arange(len(self.columns))
        found: Flags = (self.slots[:, :, None] == places).any(axis=1)
        return found


class Groups(View):
    """Rows of pairs, and what each adds to how far metrics of slices lie from those of other rows.

    Parameters
    ----------
    columns
        Such as "selection rate | country = DE".
    parts
        Of each row and column; their mean is the difference. NaN where a row adds nothing.
    """

    has_names = True

    def __init__(self, columns: Sequence[str], parts: Floats) -> None:
        super().__init__(columns, len(parts))
        self.parts = parts
