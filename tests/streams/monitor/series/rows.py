"""Rows of each kind that series read, and monitors of the cohorts that fold them."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from tidegauge.detectors.statistics.relations import Relation, Relations
from tidegauge.schemas.monitors import (
    DetectorSpec,
    FeatureSpec,
    MonitorSpec,
    ReferenceSpec,
    RetrainingSpec,
    WindowSpec,
)
from tidegauge.schemas.references import NumericProfile, SeriesProfile
from tidegauge.streams.monitor.intake.block import NO_IDS, Block
from tidegauge.streams.monitor.intake.dictionary import MISSING, Dictionary
from tidegauge.streams.monitor.series.checked import Check, Checked
from tidegauge.streams.monitor.series.limited import Limited, Limits
from tidegauge.streams.monitor.series.view import (
    Categories,
    Due,
    Following,
    Groups,
    Known,
    Labels,
    Numbers,
    Pairs,
    Profiles,
    Records,
    Related,
    Sent,
    Slices,
    Times,
    Typed,
    View,
    Vocabulary,
    Windows,
)
from tidegauge.streams.monitor.verdict.cohort import Cohort
from tidegauge.streams.monitor.verdict.counted_cohort import CountedCohort
from tidegauge.streams.monitor.verdict.declared_cohort import DeclaredCohort
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.input_cohort import InputCohort
from tidegauge.streams.monitor.verdict.monitor import Monitor
from tidegauge.streams.monitor.verdict.nil_cohort import FIRST, SECOND, NilCohort
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomeCohort
from tidegauge.streams.monitor.verdict.outcome_slices import OutcomeSliceCohort
from tidegauge.streams.monitor.verdict.slice_cohort import SliceCohort
from tidegauge.streams.monitor.verdict.times_cohort import TimesCohort, times
from tidegauge.streams.monitor.verdict.volume_cohort import VolumeCohort
from tidegauge.streams.monitor.windows.cutting import Dated
from tidegauge.streams.monitor.windows.outcome_rows import BY, CLASSES, DELAY

HOUR_MS = 3_600_000  # a window
LEARNED = 35  # windows of the reference: enough for any decision
SPEC = MonitorSpec(
    model="m", windows=WindowSpec(every="1h"), reference=ReferenceSpec(windows=LEARNED)
)
ROWS_OF_MODEL = Origin("m", "", "predictions", "predictions", 0, RetrainingSpec(), 0)
COLUMN, AGE = "x", "age_ms"
USUAL, FAULTY, EMPTY = range(3)  # what a row may be

LIMITED = FeatureSpec(max=20.0)
CHECK = f"({COLUMN} * 2 < 40) or (1 > 3)"
DECLARED = msgspec.structs.replace(SPEC, features={COLUMN: LIMITED}, checks=[CHECK])

Hows = NDArray[np.int64]
Columns = Mapping[str, NDArray[np.float64]]
Texts = list[str | None]


def _numbers(rng: np.random.Generator, how: Hows) -> tuple[Columns, Texts]:
    values = rng.normal(np.where(how == FAULTY, 40.0, 0.0))
    values[rng.random(len(how)) < _gaps(how)] = np.nan
    return {COLUMN: values}, []


def _related(rng: np.random.Generator, how: Hows) -> tuple[Columns, Texts]:
    values, _ = _numbers(rng, np.where(how == FAULTY, USUAL, how))
    follows = values[COLUMN] + rng.normal(size=len(how)) / 2
    return {COLUMN: np.where(how == FAULTY, -follows, follows), **{"y": values[COLUMN]}}, []


def _categories(rng: np.random.Generator, how: Hows) -> tuple[Columns, Texts]:
    known, new = rng.choice(["a", "b", "c"], len(how)), rng.integers(1 << 40, size=len(how))
    gone = rng.random(len(how)) < _gaps(how)
    rows = zip(how.tolist(), known.tolist(), new.tolist(), gone.tolist(), strict=True)
    return {}, [None if lost else f"new-{n}" if h == FAULTY else v for h, v, n, lost in rows]


def _pairs(rng: np.random.Generator, how: Hows) -> tuple[Columns, Texts]:
    scores = rng.beta(2, 5, len(how))
    labels = rng.random(len(how)) < np.where(how == FAULTY, 1 - scores / 8, scores)
    delays = np.full(len(how), 1000.0)
    pair = {"label": labels.astype(np.float64), "score": scores, DELAY: delays}
    return {name: np.where(how == EMPTY, np.nan, own) for name, own in pair.items()}, []


def _wrongs(rng: np.random.Generator, how: Hows) -> tuple[Columns, Texts]:
    wrong = rng.random(len(how)) < np.array([0.01, 0.6, 0.0])[how]
    what = rng.choice(["first", "second"], len(how)).tolist()
    return {}, [one if hit else None for one, hit in zip(what, wrong.tolist(), strict=True)]


def _ages(rng: np.random.Generator, how: Hows) -> tuple[Columns, Texts]:
    ages_ms = rng.exponential(np.array([1e4, 1e7, 1e4])[how])
    return {AGE: np.where(how == EMPTY, np.nan, ages_ms)}, []


def _gaps(how: Hows) -> NDArray[np.float64]:
    return np.array([0.1, 0.4, 1.0])[how]


PROFILE = NumericProfile(
    points=[-1.0, 0.0, 1.0], ranks=[-0.4, 0.0, 0.4], mean=0.0, sd=1.0, low=-2.0, high=2.0
)


def _see_numbers(block: Block) -> View:
    return Numbers((COLUMN, "y"), block.numbers.repeat(2, axis=1), Profiles([PROFILE, None]))


def _see_related(block: Block) -> View:
    numbers = Numbers((COLUMN, "y"), block.numbers, Profiles([PROFILE, PROFILE]))
    own = Relations([Relation(0, [1], [0.9], 0.0), Relation(1, [0], [0.9], 0.0)])
    texts = Categories((), block.codes, (), ())
    return Related(numbers, texts, Following([COLUMN, "y"], [], own))


def _see_categories(block: Block) -> View:
    known = [Vocabulary(["a", "b"]), Vocabulary(None)]
    return Categories((COLUMN, "y"), block.codes.repeat(2, axis=1), block.dictionaries * 2, known)


def _see_pairs(block: Block) -> View:
    labels, scores, delays = (block.number(name) for name in ("label", "score", DELAY))
    return Pairs(labels, scores, "classification", delays)


def _see_records(block: Block) -> View:
    return Records(block.codes[:, 0] == FIRST)


def _see_typed(block: Block) -> View:
    return Typed(COLUMN, block.codes[:, 0] == FIRST)


def _see_labels(block: Block) -> View:
    return Labels(block.codes[:, 0] == FIRST, block.codes[:, 0] == SECOND)


def _see_known(block: Block) -> View:
    return Known(block.codes[:, 0] == FIRST)


def _see_sent(block: Block) -> View:
    return Sent(block.codes[:, 0] >= 0)


def _see_due(block: Block) -> View:
    return Due(block.codes[:, 0] >= 0)


def _see_limited(block: Block) -> View:
    return Limited({COLUMN: Limits(LIMITED), "y": Limits(FeatureSpec(required=True))}, block)


def _groups(rng: np.random.Generator, how: Hows) -> tuple[Columns, Texts]:
    pairs, texts = _pairs(rng, np.where(how == FAULTY, USUAL, how))
    group = (rng.random(len(how)) < 1 / 2).astype(np.float64)
    pairs = dict(pairs) | {"probability": np.full(len(how), np.nan), f"{BY}{COLUMN}": group}
    pairs["score"] = np.where((how == FAULTY) & (group == 1), 0.9, pairs["score"])
    return pairs, texts


def _see_groups(block: Block) -> View:
    return Groups((f"selection rate | {COLUMN} = 1", "y"), block.numbers[:, :2])


def _see_slices(block: Block) -> View:
    places = np.array([0, 1, -1])  # a new value is in none of them
    return Slices((f"{COLUMN} = a", f"{COLUMN} = b"), places[np.clip(block.codes, -1, 1)])


def _see_checked(block: Block) -> View:
    return Checked({CHECK: Check(CHECK), f"{COLUMN} != 0": Check(f"{COLUMN} != 0")}, block)


def _see_windows(block: Block) -> View:
    counts = np.unique(block.ts_ms, return_counts=True)[1]
    return Windows(counts, np.ones(len(counts), np.int64))


class Kind(NamedTuple):
    """How rows of one kind are made, seen by series, and folded."""

    rows: Callable[[np.random.Generator, Hows], tuple[Columns, Texts]]
    view: Callable[[Block], View]
    cohort: Callable[[MonitorSpec], Cohort]
    column: str
    times: int = 1  # as many rows has a window with a fault


KINDS: Mapping[type[View], Kind] = MappingProxyType(
    {
        Numbers: Kind(
            _numbers,
            _see_numbers,
            lambda spec: InputCohort(spec, 0.2, 1.0, [COLUMN], [], None),
            COLUMN,
        ),
        Related: Kind(
            _related,
            _see_related,
            lambda spec: InputCohort(spec, 0.2, 1.0, [COLUMN, "y"], [], None),
            COLUMN,
        ),
        Categories: Kind(
            _categories,
            _see_categories,
            lambda spec: InputCohort(spec, 0.2, 1.0, [], [COLUMN], None),
            COLUMN,
        ),
        Pairs: Kind(_pairs, _see_pairs, lambda spec: OutcomeCohort(spec, 0.1, 1.0, None), ""),
        Records: Kind(_wrongs, _see_records, lambda _: NilCohort("m", "topic", Records), ""),
        Typed: Kind(_wrongs, _see_typed, lambda _: NilCohort("m", "topic", Typed, COLUMN), COLUMN),
        Labels: Kind(_wrongs, _see_labels, lambda _: NilCohort("m", "topic", Labels), ""),
        Known: Kind(_wrongs, _see_known, lambda _: NilCohort("m", "topic", Known), ""),
        Sent: Kind(_wrongs, _see_sent, lambda _: CountedCohort("m", Sent), ""),
        Due: Kind(_wrongs, _see_due, lambda _: CountedCohort("m", Due), ""),
        Limited: Kind(_numbers, _see_limited, lambda _: DeclaredCohort(DECLARED, 0.2, 1.0), COLUMN),
        Slices: Kind(
            _categories,
            _see_slices,
            lambda spec: SliceCohort(
                replace(spec, slices=[COLUMN]),
                0.2,
                1.0,
                InputCohort(spec, 0.2, 1.0, [], [COLUMN], None),
                {},
            ),
            f"{COLUMN} = a",
        ),
        Checked: Kind(_numbers, _see_checked, lambda _: DeclaredCohort(DECLARED, 0.2, 1.0), CHECK),
        Groups: Kind(
            _groups,
            _see_groups,
            lambda spec: OutcomeSliceCohort(
                replace(spec, slices=[COLUMN]), 0.1, 1.0, OutcomeCohort(spec, 0.1, 1.0, None)
            ),
            f"selection rate | {COLUMN} = 1",
            times=30,
        ),
        Times: Kind(_ages, times, lambda spec: TimesCohort(spec, 0.2, 1.0, {}), ""),
        Windows: Kind(_numbers, _see_windows, lambda spec: VolumeCohort(spec, 0.2, 1.0, {}), "", 9),
    }
)


class Timed(Monitor):
    """A monitor to which rows that are an hour old are behind."""

    def timed(self, block: Block, found: Dated) -> Block:
        assert block.logged_ms is not None
        return dataclasses.replace(block, behind=block.logged_ms > found.ts_ms + HOUR_MS)


def monitor(kind: Kind, *named: str) -> Monitor:
    """Return a monitor that has seen nothing yet, with ADWIN on the rows of the named series."""
    adwin = {"kind": "adwin", "on": "rows", "parameters": {"clock": 1}}
    detectors = [msgspec.convert(adwin | {"series": named}, DetectorSpec)] if named else []
    spec = msgspec.structs.replace(SPEC, detectors=detectors)
    cohort = kind.cohort(spec)
    before: list[Cohort] = []
    if isinstance(cohort, SliceCohort):
        before = [cohort.inputs]
    elif isinstance(cohort, OutcomeSliceCohort):
        before = [cohort.outcomes]
    return Timed(ROWS_OF_MODEL, spec, spec.windows, [*before, cohort])


def block(kind: Kind, *windows: tuple[int, int], first: int = 0) -> Block:
    """Return windows of an hour from the first on, each of so many rows that are such."""
    counts, hows = np.array(windows).T
    counts = counts * np.where(hows == FAULTY, kind.times, 1)
    how = hows.repeat(counts)
    columns, texts = kind.rows(np.random.default_rng(7 + first), how)
    numbers = np.array(list(columns.values())).T if columns else np.empty((len(how), 0))
    dictionary = Dictionary()
    dictionary.encode(["first", "second"])  # as FIRST and SECOND
    codes = dictionary.encode(texts).reshape(len(how), -1)
    names: tuple[str, ...] = (COLUMN,) if texts else ()
    if f"{BY}{COLUMN}" in columns:  # pairs that are sliced have columns for classes
        names = (*CLASSES, f"{BY}{COLUMN}")
        codes = np.full((len(how), len(names)), MISSING, np.int32)
    ts_ms = (first + np.arange(len(counts)).repeat(counts)) * HOUR_MS
    ages_ms = columns.get(AGE, np.full(len(how), np.nan))
    return Block(
        np.arange(len(how)) + 1000 * first,
        ts_ms,
        NO_IDS,
        numbers,
        tuple(columns),
        codes,
        names,
        (dictionary,) * len(names),
        logged_ms=np.where(np.isnan(ages_ms), 0, ts_ms + np.nan_to_num(ages_ms)).astype(np.int64),
    )


def learned_profiles(cohort: Cohort) -> Mapping[str, SeriesProfile]:
    """Return the profiles that a cohort has learned; of what should be nil there are none."""
    if isinstance(cohort, InputCohort):
        return cohort.learned.series if cohort.learned is not None else {}
    if isinstance(
        cohort, (OutcomeCohort, VolumeCohort, SliceCohort, OutcomeSliceCohort, TimesCohort)
    ):
        return cohort.learned
    return {}
