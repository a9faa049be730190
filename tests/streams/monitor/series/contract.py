"""What every series must keep: checks that say what is missing, each a sentence."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from types import MappingProxyType
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.series.rows import (
    EMPTY,
    FAULTY,
    KINDS,
    LEARNED,
    USUAL,
    Kind,
    block,
    learned_profiles,
    monitor,
)
from tidegauge.schemas import alerts
from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series import base, registry
from tidegauge.streams.monitor.series.base import Series, Share
from tidegauge.streams.monitor.series.bins import BINS
from tidegauge.streams.monitor.series.hist import Hist
from tidegauge.streams.monitor.series.view import Windows
from tidegauge.streams.monitor.series.watched import rows_of
from tidegauge.streams.monitor.verdict import wording
from tidegauge.streams.monitor.verdict.history import HISTORY
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState

ROWS = 20  # a window
LONGEST = 300  # characters of a sentence
NAME = "n" * 60  # of a model or a feature
# Learned from windows of every kind, then watched: a fault, calm, and the fault again.
REFERENCE = [(1, USUAL), (ROWS, EMPTY), *[(ROWS, USUAL)] * (LEARNED - 2)]
STORY = [*REFERENCE, *[(ROWS, USUAL)] * 3, *[(ROWS, FAULTY)] * 4, (ROWS, USUAL)]
FAULT = len(STORY) - 5  # the window in which it begins
few = settings(derandomize=True, deadline=None, max_examples=10)


@contextmanager
def registered(series: Series) -> Iterator[None]:
    """Let a series be in the registry for a while, wherever that is used."""
    known = registry.SERIES
    more = MappingProxyType({**known, series.statistic: series})
    with pytest.MonkeyPatch.context() as patch:
        for module in list(sys.modules.values()):
            if vars(module).get("SERIES") is known:
                patch.setattr(module, "SERIES", more)
        yield


def kinds(series: Series) -> list[Kind]:
    """Return the kinds of rows it reads."""
    unknown = [view.__name__ for view in series.reads if view not in KINDS]
    assert not unknown, f"say in KINDS how rows of {unknown} are made"
    return [KINDS[view] for view in series.reads]


def it_says_what_it_is(series: Series) -> None:
    for name in ("statistic", "kind", "reads", "about"):
        assert getattr(series, name, None), f"say `{name}`"
    assert series.statistic.isidentifier(), f"statistic: expected a word, got {series.statistic!r}"
    assert series.kind in get_args(alerts.Kind), f"kind: got {series.kind!r}"
    assert series.rowwise in get_args(base.Rowwise), f"rowwise: got {series.rowwise!r}"
    assert series.is_share == isinstance(series, Share), "a share is a subclass of Share"
    of_model = all(view.of_model for view in series.reads)
    assert of_model or series.is_share, "of what is judged against noughts only shares are counted"
    secret = series.names_rows or not getattr(series, "names_values", False)
    assert secret, "names_rows: the values it names are of rows"
    about = series.about
    one_line = about == about.strip(" .\n") and "\n" not in about and "|" not in about
    assert one_line and len(about) <= 100, "about: expected one line of a table, without full stop"


def its_name_is_read_back(series: Series) -> None:
    for kind in kinds(series):
        for column in (kind.column, f"a({kind.column})" if kind.column else ""):
            found = registry.parse(series.name(column))
            assert found == (series, column), f"name: {series.name(column)!r} is read as {found}"


def its_quantity_is_a_table_and_leaves_its_input_alone(series: Series) -> None:
    for kind in kinds(series):
        some = block(kind, (ROWS, USUAL), (1, EMPTY))
        for rows in (some, some.cut(0, 0), some.cut(ROWS, ROWS + 1)):
            view = kind.view(rows)
            before = [part.copy() for part in arrays(view)]
            for found in (series.quantity(view), series.rows(view)):
                shape = (len(view), len(view.columns))
                assert found.shape == shape, f"quantity: expected {shape}, got {found.shape}"
                assert not np.isinf(found).any(), "quantity: expected finite numbers, or NaN"
            same = map(np.array_equal, arrays(view), before, [True] * len(before))
            assert all(same), "quantity: it changes its input"


def its_counts_are_those_of_its_rows(series: Series) -> None:
    if not isinstance(series, Share | Hist):
        return
    for kind in kinds(series):
        some = block(kind, (ROWS, USUAL), (ROWS, FAULTY), (3, EMPTY))
        for rows in (some, some.cut(0, 0)):
            view = kind.view(rows)
            if isinstance(series, Hist):
                bins = series.quantity(view)
                expected = [(bins == at).sum(axis=0).tolist() for at in range(BINS)]
                assert series.count(view).T.tolist() == expected, "count: not what quantity says"
                continue
            expected = [one(view).sum(axis=0).tolist() for one in (series.hits, series.among)]
            found = [counts.tolist() for counts in series.count(kind.view(rows))]
            assert found == expected, "count: it does not say what hits and among do"


def arrays(view: object) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Return the arrays that a view was made of, as numbers."""
    names = (
        "values", "codes", "labels", "scores", "delays_ms", "refused", "unpaired", "duplicate",
        "counts", "resent", "unlabelled", "slots", "behind", "ages_ms", "corrected", "parts",
    )  # fmt: skip
    return [np.asarray(vars(view)[n], np.float64) for n in names if n in vars(view)]


def what_is_learned_of_it_has_a_value_a_window_and_a_unit(series: Series) -> None:
    for kind in kinds(series):
        own = monitor(kind)
        own.fold(block(kind, *STORY))
        cohort = own.cohorts[-1]
        if not any(view.of_model for view in cohort.columns):
            continue  # it is judged against noughts
        name, found = series.name(kind.column), learned_profiles(cohort)
        assert name in found, f"learn: expected a profile of {name}, got those of {[*found]}"
        profile = found[name]
        assert len(profile.values) == LEARNED, "learn: one value a window"
        for value, rows in zip(profile.values, rows_of(profile).tolist(), strict=True):
            assert (value is None) == (rows == 0), "learn: a window has a value if it has rows"
        assert 0 < profile.sd < np.inf, f"learn: expected an sd above 0, got {profile.sd}"
        assert profile.variance is not None and 0 <= profile.variance < np.inf, "learn: variance"
        assert np.isfinite(profile.shown), f"learn: expected a figure to show, got {profile.shown}"


def its_memory_is_bounded(series: Series) -> None:
    for kind in kinds(series):
        own, sizes = monitor(kind), []
        own.fold(block(kind, *STORY))
        for first in (2000, 2200, 2400):  # numbers of as many bytes each
            own.fold(block(kind, *[(5, USUAL), (5, FAULTY)] * HISTORY, first=first))
            sizes.append(len(msgspec.msgpack.encode(own.state())))
        grown = sizes[-1] - sizes[-2]
        assert grown < 2 * HISTORY, f"state: {grown} bytes more after {2 * HISTORY} windows"


def watching(series: Series, kind: Kind) -> Monitor:
    """Return a monitor in which a detector looks at the rows of a series, if one may."""
    sees_rows = series.has_spec and series.rowwise != "nothing"
    return monitor(kind, *([series.name(kind.column)] if sees_rows else []))


def fold(own: Monitor, rows: Block, cuts: list[int]) -> list[Output]:
    """Fold rows in pieces."""
    edges = [0, *sorted(cut % len(rows) for cut in cuts), len(rows)]
    pieces = [rows.cut(*edge) for edge in pairwise(edges)]
    return [output for piece in pieces if len(piece) for output in own.fold(piece)]


@few
@given(cuts=st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def where_rows_are_cut_changes_no_bit(series: Series, cuts: list[int]) -> None:
    for kind in kinds(series):
        rows, whole, parts = block(kind, *STORY), watching(series, kind), watching(series, kind)
        told = fold(whole, rows, [])
        # So short a reference tells of others only what is blatant.
        assert told or not series.is_blatant, "the fault in these rows is told of no series"
        assert fold(parts, rows, cuts) == told, "cuts: other alerts"
        same = msgspec.msgpack.encode(parts.state()) == msgspec.msgpack.encode(whole.state())
        assert same, "cuts: other bits"


@few
@given(cut=st.integers(0, len(STORY) * ROWS) | st.integers(FAULT * ROWS, len(STORY) * ROWS))
def a_snapshot_in_mid_window_goes_on_bit_for_bit(series: Series, cut: int) -> None:
    for kind in kinds(series):
        rows = block(kind, *STORY)
        first, second = watching(series, kind), watching(series, kind)
        first.fold(rows.cut(0, cut))
        state = msgspec.msgpack.encode(first.state())
        second.load(msgspec.msgpack.decode(state, type=MonitorState))
        assert msgspec.msgpack.encode(second.state()) == state, "restore: other bits"
        rest = rows.cut(cut, len(rows))
        assert second.fold(rest) == first.fold(rest), "restore: other alerts"
        same = msgspec.msgpack.encode(second.state()) == msgspec.msgpack.encode(first.state())
        assert same, "restore: other bits later on"


def one_row_or_none_is_quiet(series: Series) -> None:
    for kind in kinds(series):
        if kind is KINDS[Windows]:
            continue  # of how many rows there are it is a fault
        own = monitor(kind)
        own.fold(block(kind, *STORY[: LEARNED + 3]))
        told: list[Output] = []
        for hour, window in enumerate([(1, FAULTY), (1, EMPTY), (ROWS, USUAL)], LEARNED + 3):
            told += own.fold(block(kind, window, first=hour))
        own.begin(own.bounds)  # as where a spec changes: of the window no row is left
        told += own.close()
        assert [output.message for output in told] == [], "one row, or none, is told"
        view = kind.view(block(kind, (ROWS, EMPTY)))
        told = own.fold(block(kind, (ROWS, EMPTY), (ROWS, USUAL), first=LEARNED + 6))
        if np.isnan(series.quantity(view)).all():
            names = [alarm.series for output in told for alarm in output.message.series]  # type: ignore[union-attr]  # alerts alone are told
            assert series.name(kind.column) not in names, "rows without a value are told"
        for name, report in own.series().items():
            figures = (report.value, report.evidence, report.threshold)
            assert all(f is None or np.isfinite(f) for f in figures), f"{name}: {report}"


def its_sentences_are_for_people(series: Series) -> None:
    feature = NAME if series.has_column else series.statistic
    for direction, current in (("up", 0.7), ("down", 0.3)):
        alarm = alarm_of(series, feature, direction, current)
        parts = {
            "phrase": series.phrase(alarm, {}),
            "phrase with context": series.phrase(alarm, CONTEXT),
            "subject": series.subject(feature),
            "advice": series.advice(alarm) if series.is_watched else f"{feature}.",
        }
        for part, text in parts.items():
            assert text.strip(), f"{part}: expected words, got {text!r}"
            assert f"{series.statistic}(" not in text, f"{part}: {text!r} has an internal name"
            named = feature in text or not series.has_column
            assert named, f"{part}: expected the feature's name in {text!r}"
        assert parts["advice"].endswith("."), "advice: expected a sentence"
        other = alarm_of(series, "other" if series.has_column else feature, direction, 0.5)
        alone = wording.title(NAME, [alarm], CONTEXT, alarm.since_ms)
        assert parts["phrase with context"] in alone, "phrase: too long for a title"
        joined = wording.title(NAME, [alarm, *[other] * 5], CONTEXT, alarm.since_ms)
        over = wording.resolution(NAME, [alarm, *[other] * 5], CONTEXT, alarm.told_ms)
        kept = msgspec.structs.replace(alarm, settled_ms=alarm.since_ms)
        settled = wording.resolution(NAME, [kept, *[other] * 5], CONTEXT, alarm.told_ms)
        for sentence in (joined, over, settled, parts["advice"]):
            assert len(sentence) <= LONGEST, f"{len(sentence)} characters: {sentence}"


CONTEXT: Mapping[str, Figure] = {
    name: Figure(reference=0.2, current=0.3) for name in ("label", "score")
}


def alarm_of(series: Series, feature: str, direction: str, current: float) -> SeriesAlarm:
    """Return an alarm as a watch raises it."""
    return msgspec.convert(
        {
            "series": series.name(feature if series.has_column else ""),
            "feature": feature,
            "statistic": series.statistic,
            "detector": "mixture",
            "direction": direction,
            "effect": current - 0.5,
            "gate": 0.1,
            "value": {"reference": 0.5, "current": current},
            "since_ms": 1_366_275_600_000,
            "told_ms": 1_366_279_200_000,
        },
        SeriesAlarm,
    )


CHECKS: tuple[Callable[[Series], None], ...] = (
    it_says_what_it_is,
    its_name_is_read_back,
    its_quantity_is_a_table_and_leaves_its_input_alone,
    its_counts_are_those_of_its_rows,
    what_is_learned_of_it_has_a_value_a_window_and_a_unit,
    its_memory_is_bounded,
    where_rows_are_cut_changes_no_bit,
    a_snapshot_in_mid_window_goes_on_bit_for_bit,
    one_row_or_none_is_quiet,
    its_sentences_are_for_people,
)
