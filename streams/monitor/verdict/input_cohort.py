"""Features and scores of a model version: what is learned of them, and what is watched."""

from collections.abc import Collection, Mapping, Sequence
from math import isnan
from typing import Any, Final

import msgspec
import numpy as np

from tidegauge.schemas.alerts import SeriesAlarm
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import (
    CategoryProfile,
    NumericProfile,
    Reference,
    RelationProfile,
    SeriesProfile,
)
from tidegauge.schemas.windows import ColumnReport
from tidegauge.streams.monitor.intake.block import Block, Floats
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.series.hist import REST
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.tally import MISSING
from tidegauge.streams.monitor.series.view import (
    Categories,
    Numbers,
    Profiles,
    Related,
    View,
    Vocabulary,
)
from tidegauge.streams.monitor.verdict.aa_check import Inside, changes_inside
from tidegauge.streams.monitor.verdict.causes.base import Evidence
from tidegauge.streams.monitor.verdict.cohort import Begun, Cohort, Watching
from tidegauge.streams.monitor.verdict.learning import Learner, LearnerState
from tidegauge.streams.monitor.verdict.likeness import Limits
from tidegauge.streams.monitor.verdict.relating import following
from tidegauge.streams.monitor.verdict.watch import LATELY
from tidegauge.streams.monitor.verdict.weekly import by_week
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.figures import Figures
from tidegauge.streams.monitor.windows.sample import SAMPLE, Sample
from tidegauge.streams.monitor.windows.window import WindowPart

EXPLAINED: Final = 0.2  # of the score's shift, by features that it follows
LIVE_ROWS: Final = 128  # of a window are kept, from which causes are told


class CohortProfile(msgspec.Struct, frozen=True):
    """What a reference says of a cohort's columns."""

    rows: int
    first_ts_ms: int
    last_ts_ms: int
    numeric: dict[str, NumericProfile]
    categorical: dict[str, CategoryProfile]
    series: dict[str, SeriesProfile]
    relations: dict[str, RelationProfile] = {}


class InputsState(msgspec.Struct, tag="inputs"):
    """Everything a cohort of inputs remembers, for the snapshot."""

    numeric: list[str]
    categorical: list[str]
    learner: LearnerState | None
    learned: CohortProfile | None
    watching: Watching | None
    before: bytes = b""  # the numbers of the latest row


class InputCohort(Cohort):
    """Features, and the score, that are watched from the same row on.

    Parameters
    ----------
    spec, effect, budget
        As of every cohort.
    numeric, categorical
        Names of the columns.
    reference
        The published one; None: it is learned from the first windows.
    """

    def __init__(
        self,
        spec: MonitorSpec,
        effect: float,
        budget: float,
        numeric: Sequence[str],
        categorical: Sequence[str],
        reference: Reference | None,
    ) -> None:
        columns = {Numbers: numeric, Categories: categorical, Related: []}
        super().__init__(spec, effect, budget, columns)
        self.numeric, self.categorical = list(numeric), list(categorical)
        self.learner: Learner | None = Learner(numeric, categorical)
        self.learned: CohortProfile | None = None
        self.known: CohortProfile | Reference | None = None  # by which it is watched
        self.is_sliced = False  # then it hands on what a cohort of its slices needs:
        self.views: tuple[Numbers, Categories] | None = None  # of the latest rows
        self.samples: list[bytes] = []  # of each window of the reference that is now complete
        self.starts: list[Start] = []  # of the same
        self._before: Floats | None = None  # the numbers of the latest row
        self._profiles = Profiles([None] * len(numeric))
        self._vocabularies = [Vocabulary(None) for _ in categorical]
        self._following = following({}, numeric, categorical)
        if reference is not None:
            self._follow(reference)

    @property
    def features(self) -> list[str]:
        """Its numbers without the score, which is the model's own."""
        return [name for name in self.numeric if name != SCORE]

    def _follow(self, profile: CohortProfile | Reference) -> None:
        """Watch by what a reference says."""
        self.learner, self.known = None, profile
        self._profiles = self.profiles_of(profile)
        self._vocabularies = [_vocabulary(profile, name) for name in self.categorical]
        self._following = following(profile.relations, self.numeric, self.categorical)
        self.columns = {**self.columns, Related: self._following.targets}
        self.compare(profile.series)

    def profiles_of(self, profile: CohortProfile | Reference) -> Profiles:
        """Return what a reference says of its numbers."""
        return Profiles([profile.numeric.get(name) for name in self.numeric])

    @property
    def numbers(self) -> Mapping[str, NumericProfile]:
        """What the reference says of numbers, by column."""
        return {} if self.known is None else self.known.numeric

    @property
    def limits(self) -> Limits:
        """Beyond which a number is out of range, by column."""
        ends = zip(self._profiles.low.tolist(), self._profiles.high.tolist(), strict=True)
        return dict(zip(self.numeric, ends, strict=True))

    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""
        learner = self.learner
        return WindowPart(
            len(self.numeric),
            len(self.categorical),
            sample=Sample(rows=[], most=LIVE_ROWS if learner is None else SAMPLE),
            figures=Figures(learner.direct) if learner is not None else self.figures(),
            before=self._before,
            counted=[] if learner is None else learner.counted(),
        )

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window."""
        numbers, codes, dictionaries = self._own(block)
        part.rows += len(block)
        part.moments.update(numbers)
        own = Numbers(self.numeric, numbers, self._profiles, part.before)
        texts = Categories(self.categorical, codes, dictionaries, self._vocabularies)
        views: dict[type[View], View] = {
            Numbers: own,
            Categories: texts,
            Related: Related(own, texts, self._following),
        }
        part.missing += texts.tally[MISSING]
        if self.learner is not None and part.figures is not None:
            part.figures.add(views)
            self.learner.add(part, block, numbers, codes)
        else:
            self.see(part, views)
            if part.sample is not None:
                part.sample.add(
                    len(block), lambda at: np.column_stack([numbers[at], *texts.places(at)])
                )
        part.before = self._before = numbers[-1].copy()
        self.views = (own, texts) if self.is_sliced else None

    def _own(self, block: Block) -> tuple[Any, Any, Any]:
        """Return the numbers, the codes and the dictionaries of its columns."""
        if [*block.names] == self.numeric and [*block.categorical] == self.categorical:
            return block.numbers, block.codes, block.dictionaries
        numbers = [block.names.index(name) for name in self.numeric]
        texts = [block.categorical.index(name) for name in self.categorical]
        dictionaries = [block.dictionaries[at] for at in texts]
        return block.numbers[:, numbers], block.codes[:, texts], dictionaries

    @property
    def learning(self) -> Sequence[Begun]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""
        return self.learner.windows if self.learner is not None else ()

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete."""
        if self.learner is None or not part.rows:
            return []  # a window in which it has no row says nothing
        own = msgspec.structs.replace(bounds, rows=part.rows)
        self.learner.close(own, part)
        if self.gathered >= self.spec.reference.windows or self.learner.is_full:
            self.learned = self.profile()
            self.samples = self.learner.samples if self.is_sliced else []
            self.starts = self.learner.starts if self.is_sliced else []
            self._follow(self.learned)
            if self.watch is not None:
                return changes_inside(self.watch.series, self.learned.series)
        return []

    def profile(self) -> CohortProfile:
        """Return what the windows so far say, while it is learned."""
        if self.learner is None or not self.learner.windows:
            raise ValueError("expected at least one closed window of a monitor that is learning")
        windows = self.learner.windows
        numeric, categorical, series, relations = self.learner.profiles()
        means = self.learner.means()
        shown = {
            own.name(name): values
            for own in SERIES.values()
            if own.shows_mean
            for name, values in means.items()
        }
        return CohortProfile(
            sum(window.rows for window in windows),
            min(window.start.first_ts_ms for window in windows),
            max(window.last_ts_ms for window in windows),
            numeric,
            categorical,
            by_week(series, self.learner.starts, self.spec, shown),
            relations,
        )

    def evidence(self, part: WindowPart, alarms: Sequence[SeriesAlarm]) -> Evidence:
        """Return what a window that closes says of the causes of alarms."""
        profile = self.known
        if profile is None or part.sample is None:
            return super().evidence(part, alarms)
        names = [*self.numeric, *self.categorical]
        rows = part.sample.table(len(names))
        columns = dict(zip(names, rows.T, strict=True))
        return Evidence(
            alarms,
            self.columns_of(part),
            {name: columns[name] for name in self.numeric},
            {name: columns[name] for name in self.categorical if name in profile.categorical},
            {name: own for name, own in profile.numeric.items() if name in columns},
            profile.categorical,
        )

    def moves_score(self, features: Collection[str]) -> bool:
        """Return whether the score has moved, and features have so that it must.

        That is by its relation to them in the reference: of what all its features do to it they do
        most, and that is a fifth of its shift or more. Ranks end where the reference does, so they
        explain too little of a model that goes on.
        """
        rank, watch, known = SERIES["rank"], self.watch, self.known
        if watch is None or known is None or SCORE not in known.relations:
            return False
        shifts = dict(zip(watch.names, watch.history.shifts(LATELY).tolist(), strict=True))
        off, gate = shifts[rank.name(SCORE)], watch.series[watch.names.index(rank.name(SCORE))].gate
        weights = known.relations[SCORE].numbers
        parts = {name: own * shifts[rank.name(name)] / off for name, own in weights.items() if off}
        by = sum(part for name, part in parts.items() if name in features)
        most = sum(part for part in parts.values() if part > 0) / 2
        return bool(abs(off) >= gate and by >= max(EXPLAINED, most))

    def means(self, part: WindowPart) -> Floats:
        """Return the mean of each number in a window."""
        return part.moments.mean

    def columns_of(self, part: WindowPart) -> dict[str, ColumnReport]:
        """Return the figures of each column in a window."""
        columns = dict(zip(self.numeric, column_reports(part), strict=True))
        hits = part.figures.hits() if part.figures is not None else {}
        for name, missing in zip(self.categorical, part.missing.tolist(), strict=True):
            columns[name] = ColumnReport(
                count=part.rows - missing,
                missing=missing,
                unseen=hits.get(SERIES["unseen"].name(name), 0),
            )
        return columns

    def state(self) -> InputsState:
        """Return what a snapshot needs."""
        return InputsState(
            self.numeric,
            self.categorical,
            self.learner.state() if self.learner is not None else None,
            self.learned,
            self.watching(),
            b"" if self._before is None else self._before.tobytes(),
        )

    def load(self, state: InputsState) -> None:
        """Take back the state of a cohort of the same columns."""
        if state.learned is not None:
            self.learned = state.learned
            self._follow(state.learned)
        if self.learner is not None and state.learner is not None:
            self.learner.load(state.learner)
        if state.watching is not None:
            self.load_watching(state.watching)
        self._before = np.frombuffer(state.before).copy() if state.before else None


def _vocabulary(profile: CohortProfile | Reference, name: str) -> Vocabulary:
    """Return the categories that a reference has of a column."""
    own, hist = profile.categorical.get(name), profile.series.get(SERIES["hist"].name(name))
    bins = [REST] if hist is None else [one.name for one in hist.bins] or [REST]
    return Vocabulary(None if own is None else own.shares, bins)


def column_reports(part: WindowPart) -> list[ColumnReport]:
    """Return the figures of each number of a part; None for those that there are not."""
    rows, found = part.rows, []
    for count, mean, sd, low, high in part.moments.columns():
        found.append(
            ColumnReport(
                count=count,
                missing=rows - count,
                mean=None if isnan(mean) else mean,
                sd=None if isnan(sd) else sd,
                low=None if isnan(low) else low,
                high=None if isnan(high) else high,
            )
        )
    return found
