"""Pairs of label and score by slice: what is learned of them, watched and told."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from tidegauge.schemas.monitors import MonitorSpec, feature_of
from tidegauge.schemas.references import CategoryProfile, NumericProfile, SeriesProfile
from tidegauge.schemas.windows import OutcomeSlice, SliceGap, WeakSlice
from tidegauge.streams.monitor.intake.block import Block, Codes, Floats
from tidegauge.streams.monitor.intake.dictionary import MISSING, Dictionary
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.view import (
    Categories,
    Groups,
    Numbers,
    Pairs,
    Profiles,
    Slices,
)
from tidegauge.streams.monitor.series.watched import Watched, watch
from tidegauge.streams.monitor.slices.dimensions import Dimensions
from tidegauge.streams.monitor.slices.outcomes import (
    FIGURES,
    LOSS,
    OutcomeSeries,
    figures,
    gaps,
    moments,
    readings,
    reports,
    watched_series,
)
from tidegauge.streams.monitor.slices.weak import weak
from tidegauge.streams.monitor.verdict.aa_check import Inside
from tidegauge.streams.monitor.verdict.cohort import Cohort, Examples, Watching
from tidegauge.streams.monitor.verdict.learning import MAX_CATEGORIES, mid_ranks
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomeCohort, of_task
from tidegauge.streams.monitor.verdict.watch import Verdicts
from tidegauge.streams.monitor.verdict.weekly import by_week
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.cells import Cells
from tidegauge.streams.monitor.windows.figures import Measures
from tidegauge.streams.monitor.windows.outcome_rows import CLASSES, NUMBERS, class_pairs
from tidegauge.streams.monitor.windows.sample import Sample
from tidegauge.streams.monitor.windows.window import Counted, WindowPart

PART = 1 / 4  # of the budget of outcomes is that of their slices, where there are some
SAMPLE: Final = 256  # pairs of a window, from which slices are learned
MOST_SLICES: Final = 30  # with up to five series each
AMONG: Final = len(NUMBERS)  # column of a sampled row: whether its prediction is a class


class SampleWindow(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one closed window of the reference: some pairs, with what slices them."""

    rows: bytes
    start: Start


class OutcomeSlicesState(msgspec.Struct, tag="outcome_slices"):
    """Everything the cohort remembers, for the snapshot."""

    windows: list[SampleWindow]
    texts: list[dict[str, int]]  # of each feature: the places of categories in these
    numeric: dict[str, NumericProfile]
    categorical: dict[str, CategoryProfile]
    task: str
    learned: dict[str, SeriesProfile]
    watching: Watching | None
    cells: bytes


class OutcomeSliceCohort(Cohort):
    """Whether a model has become worse in a slice, or treats it otherwise than other rows.

    Parameters
    ----------
    spec, effect, budget
        As of every cohort; the budget is that of the slices.
    outcomes
        Whose pairs these are, and who knows the task.

    Notes
    -----
    Slices are told apart by what the pairs of the first windows say of the features, as pairs come
    in an order of their own. What a reference says of outcomes is of all rows.
    """

    is_bounded = True

    def __init__(
        self, spec: MonitorSpec, effect: float, budget: float, outcomes: OutcomeCohort
    ) -> None:
        by_windows = [one for one in spec.detectors if one.on == "windows"]
        own = msgspec.structs.replace(spec, detectors=by_windows)
        super().__init__(own, effect, budget, {Groups: ()})
        self.outcomes = outcomes
        self.features = [feature_of(one) for one in spec.slices]  # as the pairs have them
        self.windows: list[SampleWindow] = []
        self.texts: list[dict[str, int]] = [{} for _ in self.features]
        self.numeric: dict[str, NumericProfile] = {}
        self.categorical: dict[str, CategoryProfile] = {}
        self.task = ""
        self.learned: dict[str, SeriesProfile] = {}
        self.dimensions: Dimensions | None = None  # once they are learned
        self.cells = Cells(0)  # of all pairs since then
        self._series: list[OutcomeSeries] = []

    def begin(self) -> WindowPart:
        """Return what a new window accumulates: figures of each slice, then of all rows."""
        if self.dimensions is None:
            counted = [Counted({}, []) for _ in self.features]
            return WindowPart(0, sample=Sample(rows=[], most=SAMPLE), counted=counted)
        part = WindowPart((len(self.dimensions.names) + 1) * len(FIGURES))
        part.cells = Cells(len(self.dimensions.names))
        return part

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window."""
        part.rows += len(block)
        classes = class_pairs(block)
        among = np.zeros(len(block)) if classes is None else classes.among.astype(np.float64)
        pairs = np.column_stack([block.numbers[:, : len(NUMBERS)], among])
        stop = len(NUMBERS) + len(self.features)
        values, codes = block.numbers[:, len(NUMBERS) : stop], block.codes[:, len(CLASSES) :]
        if self.dimensions is None:
            places = [
                _places(dictionary.values, own, counted)
                for dictionary, own, counted in zip(
                    block.dictionaries[len(CLASSES) :], codes.T, part.counted, strict=True
                )
            ]
            rows = np.column_stack([pairs, values, *places])
            if part.sample is not None:
                part.sample.add(len(rows), lambda at: rows[at])
            return
        texts = Categories(self.features, codes, block.dictionaries[len(CLASSES) :], ())
        slices, own = self._figures(pairs, values, texts)
        if part.cells is not None:
            part.cells.add(slices.slots, own[:, LOSS])
        part.moments.update(_table(slices, own))

    def _figures(self, pairs: Floats, values: Floats, texts: Categories) -> tuple[Slices, Floats]:
        """Return in which slices rows are, and the figures of each."""
        assert self.dimensions is not None  # or nothing is told apart
        numbers = Numbers(texts.columns, values, self._profiles(texts.columns))
        own = figures(_pairs(pairs, self.task), self.spec.threshold)
        return self.dimensions.slices(numbers, texts), own

    def _profiles(self, features: Sequence[str]) -> Profiles:
        return Profiles([self.numeric.get(name) for name in features])

    @property
    def learning(self) -> Sequence[SampleWindow]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""
        return self.windows

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete."""
        if self.dimensions is None and part.rows and part.sample is not None:
            self.windows.append(SampleWindow(self._sample(part), bounds.start))
            if self.gathered >= self.spec.reference.windows and self.outcomes.task:
                self._learn()
        return []  # what of a slice is not one thing is told of all rows

    def _sample(self, part: WindowPart) -> bytes:
        """Return the pairs of a window that are kept, with places among all categories so far."""
        assert part.sample is not None
        first = len(NUMBERS) + 1 + len(self.features)
        table = part.sample.table(first + len(self.features)).copy()
        for at, (known, counted) in enumerate(zip(self.texts, part.counted, strict=True)):
            for value in counted.places if len(known) < MAX_CATEGORIES else ():
                known.setdefault(value, len(known))
            places = np.array([*(known.get(value, np.nan) for value in counted.places), np.nan])
            own = table[:, first + at]
            own[:] = places[np.where(np.isnan(own), -1, own).astype(np.intp)]
        return table.tobytes()

    def _learn(self) -> None:
        """Tell rows apart by what the windows so far say, and watch by it."""
        width = len(NUMBERS) + 1 + 2 * len(self.features)
        tables = [np.frombuffer(own.rows).reshape(-1, width) for own in self.windows]
        rows, first = np.concatenate(tables), len(NUMBERS) + 1
        for at, feature in enumerate(self.features):
            values, places = rows[:, first + at], rows[:, first + len(self.features) + at]
            known, named = values[~np.isnan(values)], places[~np.isnan(places)]
            if len(known):
                self.numeric[feature] = _number(known)
            if len(named):
                counts = np.bincount(named.astype(np.int64), minlength=len(self.texts[at]))
                shares = zip(self.texts[at], (counts / len(named)).tolist(), strict=True)
                self.categorical[feature] = CategoryProfile(shares=dict(shares))
        self.task = self.outcomes.task
        self._lay()
        found = [self._sampled(table) for table in tables]
        profiles = self._profiles_of(np.array(found))
        self._follow(by_week(profiles, [window.start for window in self.windows], self.spec))
        self.windows = []

    def _lay(self) -> None:
        self.dimensions = Dimensions(self.spec.slices, self.numeric, self.categorical, MOST_SLICES)
        self._series = watched_series(self.dimensions.names, self.task)
        self.cells = Cells(len(self.dimensions.names))

    def _sampled(self, table: Floats) -> Floats:
        """Return the moments of each series in some pairs of a window."""
        pairs, values, places = np.split(
            table, [len(NUMBERS) + 1, len(NUMBERS) + 1 + len(self.features)], axis=1
        )
        dictionaries = [Dictionary() for _ in self.features]
        for dictionary, known in zip(dictionaries, self.texts, strict=True):
            dictionary.values += known
        codes = np.where(np.isnan(places), MISSING, places).astype(np.int32)
        part = self.begin()
        texts = Categories(self.features, codes, dictionaries, ())
        part.moments.update(_table(*self._figures(pairs, values, texts)))
        return moments(part.moments, self._series)

    def _profiles_of(self, tables: Floats) -> dict[str, SeriesProfile]:
        """Return what windows say of each series, from their moments (windows, 3, series)."""
        return {
            own.name: series_profile(own.series, *tables[:, :, at].T)
            for at, own in enumerate(self._series)
        }

    def _follow(self, learned: Mapping[str, SeriesProfile]) -> None:
        if learned and self.compare(learned):
            self.learned = dict(learned)

    def watched(self, profiles: Mapping[str, SeriesProfile]) -> tuple[Measures, list[Watched]]:
        """Return what is watched by these; no detector sees rows of it."""
        return Measures({}), [
            replace(
                watch(own.series, own.column, profiles[own.name], self.effect),
                feature=own.feature,
                slice=own.slice,
            )
            for own in self._series
        ]

    def judge(self, part: WindowPart, bounds: Bounds, examples: Examples) -> Verdicts:
        """Judge a window that closed; what is said of it goes by the task."""
        if part.cells is not None:
            self.cells.merge(part.cells)
        if self.watch is None:
            return Verdicts()
        found = self.watch.update(readings(part.moments, self._series), bounds, {}, examples)
        return of_task(found, self.task)

    def reports(self, part: WindowPart) -> list[OutcomeSlice]:
        """Return the metrics of a window in each slice, for its report."""
        return [] if self.dimensions is None else reports(part.moments, self.dimensions)

    def gaps(self, slices: Sequence[OutcomeSlice]) -> list[SliceGap]:
        """Return how far the slices of each feature lie apart in a window."""
        return [] if self.dimensions is None else gaps(slices, self.dimensions)

    def weak(self) -> list[WeakSlice]:
        """Return where the loss of all pairs so far is clearly worse than elsewhere."""
        return [] if self.dimensions is None else weak(self.cells, self.dimensions, self.effect)

    def state(self) -> OutcomeSlicesState:
        """Return what a snapshot needs."""
        own = self.windows, self.texts, self.numeric, self.categorical
        return OutcomeSlicesState(
            *own, self.task, self.learned, self.watching(), self.cells.state()
        )

    def load(self, state: OutcomeSlicesState) -> None:
        """Take back the state of a cohort with the same spec."""
        self.windows, self.texts = state.windows, state.texts
        self.numeric, self.categorical = state.numeric, state.categorical
        self.task = state.task
        if self.task:
            self._lay()
            self._follow(state.learned)
        self.cells.load(state.cells)
        if state.watching is not None:
            self.load_watching(state.watching)


def _table(slices: Slices, figures_: Floats) -> Floats:
    """Return the figures of each row in the columns of its slices, and of all."""
    of_slices = np.where(slices.inside[:, :, None], figures_[:, None, :], np.nan)
    return np.hstack([of_slices.reshape(len(figures_), -1), figures_])


def _pairs(rows: Floats, task: str) -> Pairs:
    """Return pairs as the task has them; those of another kind have no numbers."""
    labels, scores, _, probabilities, among = rows.T
    own = (among > 0) == (task == "multiclass")
    labels, scores = np.where(own, labels, np.nan), np.where(own, scores, np.nan)
    return Pairs(labels, scores, task, None, probabilities)


def _number(values: Floats) -> NumericProfile:
    points, ranks = mid_ranks(values, np.ones(len(values)))
    return NumericProfile(
        points=points.tolist(),
        ranks=ranks.tolist(),
        mean=float(values.mean()),
        sd=float(values.std()),
        low=float(values.min()),
        high=float(values.max()),
    )


def _places(values: Sequence[str], codes: Codes, counted: Counted) -> Floats:
    """Return the place of each row's category among those that came so far in its window."""
    found, first, times = np.unique(codes, return_index=True, return_counts=True)
    order = np.argsort(first)
    came = zip(found[order].tolist(), times[order].tolist(), strict=True)
    counted.add(((values[c], n) for c, n in came if c != MISSING), MAX_CATEGORIES)
    places = np.full(len(values) + 1, np.nan)  # the last is that of a missing one
    for code in found[found != MISSING].tolist():
        places[code] = counted.places.get(values[code], np.nan)
    own: Floats = places[codes]
    return own
