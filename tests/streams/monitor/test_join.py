"""Each pair once: in either order, with duplicates on both sides, within the horizon."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.monitor import join as module
from streams.monitor.block import Block
from streams.monitor.join import Join, Label, Mark, Pair
from streams.monitor.partition import predictions_by_model
from tests.oracles import join as oracle
from tests.oracles.join import Event

EVER = 1 << 60
few = settings(derandomize=True, deadline=None, max_examples=200)
ids = st.sampled_from("abcdefgh")


def fold(join: Join, events: list[Event], horizon_ms: int, cuts: frozenset[int]) -> list[Pair]:
    """Fold events, side by side, in batches cut at these places."""
    found: list[Pair] = []
    for is_label, batch in batches(events, cuts):
        if is_label:
            labels = [Label(e.id, e.ts_ms, 1.0, e.offset) for e in batch]
            found += join.add_labels("m", labels, horizon_ms)
        else:
            arrived = [(e.id, ("", e.ts_ms, 0.5, e.offset)) for e in batch]
            found += join.add_predictions("m", arrived, horizon_ms)
    return found


def batches(events: list[Event], cuts: frozenset[int]) -> Iterator[tuple[bool, list[Event]]]:
    numbered = list(enumerate(events))
    for (is_label, _), own in groupby(
        numbered, key=lambda n: (n[1].is_label, sum(cut <= n[0] for cut in cuts))
    ):
        yield is_label, [event for _, event in own]


def events_of(drawn: list[tuple[bool, str, int]]) -> list[Event]:
    return [Event(is_label, id_, ts, n) for n, (is_label, id_, ts) in enumerate(drawn)]


@few
@given(
    drawn=st.lists(st.tuples(st.booleans(), ids, st.integers(0, 40)), max_size=40),
    cuts=st.frozensets(st.integers(0, 40), max_size=6),
)
def test_pairs_are_those_of_the_definition(
    drawn: list[tuple[bool, str, int]], cuts: frozenset[int]
) -> None:
    events, join = events_of(drawn), Join()
    found = fold(join, events, EVER, cuts)
    expected = oracle.pairs(events, EVER)
    made = [(pair.id, pair.prediction[3], pair.label.offset) for pair in found]
    assert sorted(made) == sorted(expected)
    assert join.counts.pairs == len(expected)
    labels = sum(event.is_label for event in events)
    waiting = len(join.stores["m"].labels)
    assert labels == join.counts.pairs + join.counts.duplicate_labels + waiting
    held = len(join.stores["m"].predictions)
    assert len(events) - labels == held + join.counts.duplicate_predictions


@few
@given(
    drawn=st.lists(st.tuples(ids, st.integers(0, 40), st.integers(-12, 12)), max_size=20),
    labels_first=st.booleans(),
)
def test_a_label_beyond_the_horizon_does_not_count(
    drawn: list[tuple[str, int, int]], labels_first: bool
) -> None:
    once = {id_: (ts + 12, ts + 12 + delay) for id_, ts, delay in drawn}
    sides = [
        [Event(False, id_, at, n) for n, (id_, (at, _)) in enumerate(once.items())],
        [Event(True, id_, at, n) for n, (id_, (_, at)) in enumerate(once.items())],
    ]
    events = sides[labels_first] + sides[not labels_first]
    join = Join()
    # side by side, so that nothing is forgotten in between
    found = fold(join, events, 10, frozenset())
    made = [(pair.id, pair.prediction[3], pair.label.offset) for pair in found]
    expected = oracle.pairs(events, 10)
    assert set(made) <= set(expected)
    if not labels_first:
        assert made == expected
        assert join.counts.beyond_horizon == len(events) // 2 - len(made)


def predictions(
    join: Join, *names: str, ts_ms: int = 0, model: str = "m", at: int = 0
) -> list[str]:
    rows = [(name, ("", ts_ms, 0.5, at + n)) for n, name in enumerate(names)]
    return [pair.id for pair in join.add_predictions(model, rows, EVER)]


def labels(
    join: Join, *names: str, ts_ms: int = 0, model: str = "m", horizon: int = EVER
) -> list[str]:
    rows = [Label(name, ts_ms, 1.0, n) for n, name in enumerate(names)]
    return [pair.id for pair in join.add_labels(model, rows, horizon)]


def test_pairs_come_in_the_order_of_what_completes_them() -> None:
    join = Join()
    predictions(join, "a", "b", "c")
    assert labels(join, "c", "x", "a", "b", "z") == ["c", "a", "b"]
    assert predictions(join, "z", "y", "x") == ["z", "x"]


def test_a_pair_that_the_journal_holds_is_not_made_again() -> None:
    join = Join()
    join.recall("m", ["a", "b"])
    predictions(join, "a", "b", "c")
    assert labels(join, "a", "c") == ["c"]
    assert labels(join, "a", "b", "c") == []
    assert (join.counts.pairs, join.counts.duplicate_labels) == (3, 2)


def test_models_do_not_share_ids() -> None:
    join = Join()
    predictions(join, "a", model="one")
    assert labels(join, "a", model="other") == []
    assert labels(join, "a", model="one") == ["a"]


def test_what_labels_have_left_behind_the_horizon_is_forgotten() -> None:
    join = Join()
    predictions(join, "old", ts_ms=0)
    predictions(join, "new", ts_ms=200)
    labels(join, "?", ts_ms=205, horizon=100)
    assert list(join.stores["m"].predictions) == ["new"]
    assert join.counts.forgotten == 0  # its label can no longer come: nothing is lost


def test_labels_wait_for_predictions_that_are_far_behind() -> None:
    join = Join()
    labels(join, "a", ts_ms=1_000, horizon=10)
    labels(join, "b", ts_ms=9_000, horizon=10)
    rows = [("a", ("", 995, 0.5, 0))]
    assert [pair.id for pair in join.add_predictions("m", rows, 10)] == ["a"]


def test_the_store_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 5)
    join = Join()
    predictions(join, *"abcdefgh")
    assert list(join.stores["m"].predictions) == list("defgh")
    assert join.counts.forgotten == 3
    assert labels(join, "c", "d") == ["d"]
    assert sum(len(store) for store in join.stores.values()) <= 5


def test_a_model_that_gets_no_labels_does_not_starve_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 10)
    join = Join()
    predictions(join, *"abcdefghij", model="silent")
    for n in range(4):
        predictions(join, f"x{n}", model="small")
    assert labels(join, "x0", "x1", "x2", "x3", model="small") == ["x0", "x1", "x2", "x3"]
    assert sum(len(store) for store in join.stores.values()) == 10


def test_labels_of_ever_new_models_take_no_more_than_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 10)
    join = Join()
    for n in range(50):
        labels(join, "a", model=f"model {n}")
    assert sum(len(store) for store in join.stores.values()) == 10
    assert len(join.stores) == 10


@few
@given(
    drawn=st.lists(st.tuples(st.booleans(), ids, st.integers(0, 3)), max_size=60),
    bound=st.integers(1, 6),
)
def test_what_is_held_never_exceeds_the_bound_and_pairs_stay_true(
    drawn: list[tuple[bool, str, int]], bound: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_HELD", bound)
        join = Join()
        for event in events_of(drawn):
            found = fold(join, [event], EVER, frozenset())
            assert all(pair.id == event.id for pair in found)
            assert sum(len(store) for store in join.stores.values()) <= bound


def test_a_version_whose_first_rows_come_late_keeps_the_order_of_the_log() -> None:
    join = Join()
    predictions(join, "b", "c", at=10)
    predictions(join, "a", at=3)
    assert list(join.stores["m"].predictions) == ["a", "b", "c"]
    join.mark(Mark(5, 0, 0), oldest_untyped=5)
    join.mark(Mark(20, 0, 0), oldest_untyped=20)
    assert join.marks[0].predictions == 0


def test_marks_are_bounded_and_the_first_one_stays() -> None:
    join = Join()
    predictions(join, "a")
    for n in range(500):
        join.mark(Mark(n, n, n), oldest_untyped=n)
    assert len(join.marks) <= module.MAX_MARKS
    assert join.marks[0] == Mark(0, 0, 0)
    assert join.marks[-1].predictions == 499


def test_blocks_of_several_versions_are_joined_in_the_order_of_the_log() -> None:
    def block(offsets: list[int], names: str) -> Block:
        at = np.array(offsets, np.int64)
        return Block(at, at, list(names), np.full((len(at), 1), 0.5), ())

    found = predictions_by_model(
        [(("m", "2"), block([1, 4], "ac")), (("m", "1"), block([2, 3], "ab"))]
    )
    assert [(id_, row[0], row[3]) for id_, row in found["m"]] == [
        ("a", "2", 1),
        ("a", "1", 2),
        ("b", "1", 3),
        ("c", "2", 4),
    ]
