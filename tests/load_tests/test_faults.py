"""Each fault changes what it says, where it says, and nothing else."""

import numpy as np
import pytest

from load_tests.faults.diamonds import FAULTS as OF_DIAMONDS
from load_tests.faults.fault import Fault, Where, hit
from load_tests.faults.fault import labels as of_labels
from load_tests.faults.kinds_of_outcomes import by_another_rule, delayed, flipped
from load_tests.faults.kinds_of_rows import HOUR_MS, a_window, late_by, lost, repeated, silent
from load_tests.faults.kinds_of_rules import FAULTS as OF_RULES
from load_tests.faults.kinds_of_values import columns, constant, leaking, stale
from load_tests.faults.registry import FAULTS as OF_FLIGHTS
from load_tests.faults.traffic import Column, Rows, Span, Traffic, messages, missing
from tests.load_tests.made import traffic

FAULTS = (*OF_FLIGHTS, *OF_RULES, *(fault for fault in OF_DIAMONDS if fault not in OF_FLIGHTS))
SPAN = Span(4, 14)
ROWS = 60


@pytest.fixture(scope="module")
def whole() -> Traffic:
    return traffic(20, ROWS)


def spoilt(fault: Fault, whole: Traffic) -> Traffic:
    return fault.change(whole, SPAN, np.random.default_rng(1))


def same(one: Column, other: Column) -> bool:
    return one.dtype.kind == other.dtype.kind and bool(
        np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    )


def rows_alike(one: Rows, other: Rows, but: tuple[str, ...] = ()) -> bool:
    named = {name for name in (*one.features, *other.features) if name not in but}
    plain = ("ids", "ts_ms", "place", "scores")
    return all(
        same(getattr(one, name), getattr(other, name)) for name in plain if name not in but
    ) and all(same(one.features[name], other.features[name]) for name in named)


def rows_sent(whole: Traffic, since: float = 0.0, until: float = np.inf) -> list[bytes]:
    return [m.value for m in messages(whole, since, until) if m.topic == "predictions"]


def test_there_are_more_than_thirty_kinds_each_with_a_name_of_its_own() -> None:
    for of_set in (OF_FLIGHTS, OF_DIAMONDS):
        assert len({fault.name for fault in of_set}) == len(of_set) > 50


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_the_same_each_time_and_leaves_what_it_was_given(
    fault: Fault, whole: Traffic
) -> None:
    before = [message.value for message in messages(traffic(20, ROWS))]
    once = [message.value for message in messages(spoilt(fault, whole))]
    assert [message.value for message in messages(whole)] == before
    assert [message.value for message in messages(spoilt(fault, whole))] == once
    assert once != before


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_begins_and_ends(fault: Fault, whole: Traffic) -> None:
    after = spoilt(fault, whole)
    assert list(messages(after, until=SPAN.first)) == list(messages(whole, until=SPAN.first))
    sent_late = SPAN.last + 1  # what a fault sends again comes a window later
    assert rows_sent(after, since=sent_late) == rows_sent(whole, since=sent_late)


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.part in ("values", "scores")], ids=lambda f: f.name
)
def test_a_fault_of_values_or_scores_leaves_all_else_as_it_was(
    fault: Fault, whole: Traffic
) -> None:
    after = spoilt(fault, whole)
    assert after.labels is whole.labels
    but = ("scores",) if fault.part == "scores" else fault.columns
    assert rows_alike(after.rows, whole.rows, but)
    outside = ~SPAN.holds(whole.rows.place)
    for name in set(fault.columns) & whole.rows.features.keys():
        now, then = after.rows.features[name][outside], whole.rows.features[name][outside]
        assert np.array_equal(now.astype(then.dtype), then)


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.part == "rows"], ids=lambda f: f.name
)
def test_a_fault_of_rows_makes_up_no_values(fault: Fault, whole: Traffic) -> None:
    def sent(rows: Rows) -> set[tuple[object, ...]]:
        columns = [*rows.features.values(), rows.scores]
        return set(zip(*(column.tolist() for column in columns), strict=True))

    assert sent(spoilt(fault, whole).rows) <= sent(whole.rows)


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.part == "labels"], ids=lambda f: f.name
)
def test_a_fault_of_labels_leaves_the_rows_that_take_place(fault: Fault, whole: Traffic) -> None:
    rows = spoilt(fault, whole).rows
    took_place = np.isin(whole.rows.ids.astype(str), rows.ids.astype(str))
    assert rows_alike(rows, whole.rows.take(took_place))
    assert took_place.all() or "gone" in fault.name


def test_a_fault_in_a_slice_leaves_the_others(whole: Traffic) -> None:
    where = Where("origin", "LGA")
    after = columns(("temp", "humid"), constant(np.nan), where)(
        whole, SPAN, np.random.default_rng(1)
    )
    inside = hit(whole.rows, SPAN, where)
    assert 0 < inside.sum() < SPAN.holds(whole.rows.place).sum()
    for name in ("temp", "humid"):
        assert np.array_equal(missing(after.rows.features[name]), inside)


def test_stale_values_are_those_of_a_window_before(whole: Traffic) -> None:
    after = stale(("temp",), 1)(whole, SPAN, np.random.default_rng(1)).rows.features["temp"]
    temp, inside = whole.rows.features["temp"], np.flatnonzero(SPAN.holds(whole.rows.place))
    assert np.array_equal(after[inside], temp[inside - ROWS])


def test_a_clock_that_is_a_window_back_sends_at_the_same_time(whole: Traffic) -> None:
    rows = late_by(a_window)(whole, SPAN, np.random.default_rng(1)).rows
    inside = SPAN.holds(rows.place)
    assert np.array_equal(rows.place, whole.rows.place)
    assert (whole.rows.ts_ms - rows.ts_ms)[inside].tolist() == [ROWS * 60_000] * int(inside.sum())


def test_a_lost_row_takes_its_label_with_it(whole: Traffic) -> None:
    after = lost(0.5)(whole, SPAN, np.random.default_rng(1))
    assert set(after.labels.ids.tolist()) == set(after.rows.ids.tolist())
    share = len(after.rows.take(SPAN.holds(after.rows.place)).ids) / (10 * ROWS)
    assert share == pytest.approx(0.5, abs=0.06)


def test_rows_sent_again_later_come_whole_and_in_the_next_window(whole: Traffic) -> None:
    after = repeated(1.0, later=1)(whole, SPAN, np.random.default_rng(1)).rows
    assert len(after.ids) == len(whole.rows.ids) + 10 * ROWS
    assert np.all(np.diff(after.place) >= 0)
    third = after.ids[(after.place >= 5) & (after.place < 6)].tolist()
    assert sorted(third) == sorted(whole.rows.ids[4 * ROWS : 6 * ROWS].tolist())


def test_silence_is_of_rows_and_of_labels(whole: Traffic) -> None:
    sent = {int(message.place - 1e-9) for message in messages(
        silent(3)(whole, SPAN, np.random.default_rng(1)))}  # fmt: skip
    assert sent == set(range(20)) - {4, 5, 6}


def test_a_share_of_labels_is_flipped(whole: Traffic) -> None:
    after = of_labels(flipped(0.1))(whole, SPAN, np.random.default_rng(1)).labels
    assert np.array_equal(after.ids, whole.labels.ids)
    assert (after.values != whole.labels.values).sum() == pytest.approx(60, abs=25)


def test_labels_of_one_class_come_later_and_the_others_do_not(whole: Traffic) -> None:
    after = of_labels(delayed(2, 1))(whole, SPAN, np.random.default_rng(1)).labels
    assert np.all(np.diff(after.place) >= 0)
    after = after.take(np.argsort([int(row_id[3:]) for row_id in after.ids.tolist()]))
    later_ms = after.ts_ms - whole.labels.ts_ms
    assert set(later_ms[after.values == 0].tolist()) == {0}
    inside = SPAN.holds(whole.rows.place) & (after.values == 1)
    assert set(later_ms[inside].tolist()) == {2 * HOUR_MS}


def test_another_rule_keeps_the_number_of_positives_and_breaks_the_ranking(whole: Traffic) -> None:
    after = of_labels(by_another_rule(1.0))(whole, SPAN, np.random.default_rng(1)).labels
    assert after.values.sum() == whole.labels.values.sum()
    inside = SPAN.holds(whole.rows.place)
    after = after.take(np.argsort([int(row_id[3:]) for row_id in after.ids.tolist()]))
    late = after.values[inside]
    scores = whole.rows.scores[inside]
    assert scores[late == 1].mean() < scores[late == 0].mean()


def test_a_leak_keeps_the_values_of_a_window_and_tells_the_label(whole: Traffic) -> None:
    after = leaking("temp")(whole, SPAN, np.random.default_rng(1)).rows.features["temp"]
    window = slice(5 * ROWS, 6 * ROWS)
    assert sorted(after[window]) == sorted(whole.rows.features["temp"][window])
    late = whole.labels.values[window] == 1
    assert after[window][late].min() > after[window][~late].max()
