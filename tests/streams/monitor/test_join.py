"""Each pair once: in either order, with duplicates on both sides, within the horizon."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import cast

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import join as oracle
from tests.oracles.join import Event, Found
from tests.streams.monitor.logs import NOON_MS
from tidegauge.schemas.outcomes import LabelReport, PredictionReport
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join import join as module
from tidegauge.streams.monitor.join import label_tally, store
from tidegauge.streams.monitor.join.arrivals import Arrivals, arrivals_by_model
from tidegauge.streams.monitor.join.corrected import Corrected
from tidegauge.streams.monitor.join.held import NOTHING
from tidegauge.streams.monitor.join.join import Join, RestorePoint
from tidegauge.streams.monitor.join.label_arrivals import LabelArrivals
from tidegauge.streams.monitor.join.label_tally import NONE
from tidegauge.streams.monitor.join.pairs import Pairs
from tidegauge.streams.monitor.join.siphash import KEY_BYTES, hashes
from tidegauge.streams.monitor.join.store import GRACE_MS, kept_ms
from tidegauge.streams.monitor.join.watermark import BLOCK, STEPS, Watermark
from tidegauge.streams.monitor.journal.journal import JournalWriter
from tidegauge.streams.monitor.offline import LoggedRecord

EVER = 1 << 60
DAY_MS = 86_400_000
few = settings(derandomize=True, deadline=None, max_examples=200)
ids = st.sampled_from("abcdefgh")
versions = st.sampled_from(["1", "2"])


def fold(join: Join, events: list[Event], horizon_ms: int, cuts: frozenset[int]) -> list[Found]:
    """Fold events, side by side, in batches cut at these places."""
    found: list[Found] = []
    for is_label, batch in batches(events, cuts):
        if is_label:
            found += found_of(join.add_labels(came(batch), horizon_ms))
        else:
            found += found_of(join.add_predictions("m", arrived(batch), horizon_ms))
    return found


def arrived(events: Sequence[Event]) -> Arrivals:
    versions = sorted({event.version for event in events})
    return Arrivals(
        versions,
        np.array([versions.index(event.version) for event in events], np.int64),
        Texts.of([event.id for event in events]),
        np.array([event.offset for event in events], np.int64),
        np.array([event.ts_ms for event in events], np.int64),
        np.full(len(events), 0.5),
    )


def held(join: Join, names: Iterable[str], version: str = "", model: str = "m") -> list[str]:
    """Return which of these predictions wait."""
    own, wanted = join.stores[model].predictions[version], Texts.of([*names])
    places = own.find(hashes(wanted, bytes(KEY_BYTES)))
    found = [name for name, place in zip(wanted, places, strict=True) if place != NOTHING]
    assert len(own) == len(found)
    return found


def came(events: Sequence[Event], model: str = "m", key: str = "m") -> LabelArrivals:
    """Return labels, a record each."""
    records = [LoggedRecord(event.offset, 0, key.encode(), None) for event in events]
    columns = (
        np.arange(len(events)),
        Texts.of([event.id for event in events]),
        np.array([event.ts_ms for event in events], np.int64),
        np.ones(len(events)),
    )
    return LabelArrivals.of(model, RecordBatch.of(records), columns, bytes(KEY_BYTES))


def batches(events: list[Event], cuts: frozenset[int]) -> Iterator[tuple[bool, list[Event]]]:
    numbered = list(enumerate(events))
    for (is_label, _), own in groupby(
        numbered, key=lambda n: (n[1].is_label, sum(cut <= n[0] for cut in cuts))
    ):
        yield is_label, [event for _, event in own]


def found_of(
    told: Iterable[Pairs | Corrected | LabelReport | PredictionReport],
) -> list[Found]:
    return [
        Found(pairs.version, *own)
        for pairs in told
        if isinstance(pairs, Pairs)
        for own in zip(
            pairs.ids,
            pairs.prediction_offsets.tolist(),
            pairs.label_offsets.tolist(),
            strict=True,
        )
    ]


def events_of(drawn: list[tuple[bool, str, int, str]]) -> list[Event]:
    return [Event(is_label, id_, ts, n, v) for n, (is_label, id_, ts, v) in enumerate(drawn)]


def waiting(join: Join, names: Iterable[str]) -> int:
    own, texts = join.stores["m"].labels, Texts.of([*names])
    places = own.find(hashes(texts, bytes(KEY_BYTES))).tolist()
    known = [own.met(place) for place in places if place != NOTHING]
    assert len(own) == len(known)
    return known.count(NONE)


@few
@given(
    drawn=st.lists(st.tuples(st.booleans(), ids, st.integers(0, 40), versions), max_size=40),
    cuts=st.frozensets(st.integers(0, 40), max_size=6),
    horizon=st.sampled_from([20, EVER]),
)
def test_pairs_are_those_of_the_definition(
    drawn: list[tuple[bool, str, int, str]], cuts: frozenset[int], horizon: int
) -> None:
    events, join = events_of(drawn), Join()
    found = fold(join, events, horizon, cuts)
    expected = oracle.pairs(events, horizon)
    assert len(found) == len(set(found)) == join.counts.pairs
    assert set(found) == expected
    counts = join.stores["m"].tally.counts
    assert counts.labels == sum(event.is_label for event in events)
    decided = counts.paired + counts.duplicate + counts.beyond_horizon
    assert counts.labels == decided + waiting(join, "abcdefgh")


@few
@given(
    drawn=st.lists(st.tuples(ids, versions, st.integers(0, 40)), max_size=20),
    labels=st.lists(st.tuples(ids, st.integers(0, 40)), max_size=20),
    order=st.randoms(use_true_random=False),
    horizon=st.sampled_from([20, EVER]),
)
def test_how_the_two_logs_were_read_side_by_side_makes_no_difference(
    drawn: list[tuple[str, str, int]],
    labels: list[tuple[str, int]],
    order: random.Random,
    horizon: int,
) -> None:
    sides = [Event(False, id_, ts, n, version) for n, (id_, version, ts) in enumerate(drawn)]
    others = [Event(True, id_, ts, n) for n, (id_, ts) in enumerate(labels)]
    turns = [False] * len(sides) + [True] * len(others)
    order.shuffle(turns)
    one, other = iter(sides), iter(others)
    events = [next(other) if is_label else next(one) for is_label in turns]
    found = fold(Join(), events, horizon, frozenset())
    assert sorted(found) == sorted(oracle.pairs(events, horizon))


def told_of(join: Join, events: list[Event], size: int) -> list[object]:
    """Fold labels so many at once; return the reports, and in order what paired between them."""
    found: list[object] = [[]]
    for start in range(0, len(events), size):
        for one in join.add_labels(came(events[start : start + size]), 50):
            if isinstance(one, LabelReport):
                found += [one, []]
            else:
                found[-1] = sorted([*cast(list[Found], found[-1]), *found_of([one])])
    return found


@few
@given(
    waiting=st.lists(st.tuples(ids, versions, st.integers(0, 60)), max_size=20),
    labels=st.lists(st.tuples(ids, st.integers(0, 300)), min_size=1, max_size=40),
    size=st.integers(2, 40),
    journaled=st.lists(st.tuples(versions, ids), max_size=4),
)
def test_labels_taken_many_at_once_are_told_as_if_they_came_one_by_one(
    waiting: list[tuple[str, str, int]],
    labels: list[tuple[str, int]],
    size: int,
    journaled: list[tuple[str, str]],
) -> None:
    events = [Event(True, id_, ts, n) for n, (id_, ts) in enumerate(labels)]
    sides = [Event(False, id_, ts, n, version) for n, (id_, version, ts) in enumerate(waiting)]
    told = []
    with pytest.MonkeyPatch.context() as patch:
        for own in (module, label_tally):
            patch.setattr(own, "REPORTED", 3)
        for batch in (1, size):
            join = Join()
            for version, id_ in journaled:
                join.recall(("m", version), id_, settled=False)
            if sides:
                join.add_predictions("m", arrived(sides), 50)
            found = told_of(join, events, batch)
            store = join.stores["m"]
            met = [store.labels.met(place) for place in store.labels.find(came(events).hashes)]
            told.append((found, met, join.state("m"), join.counts, join.journaled))
    assert told[0] == told[1]


def predictions(
    join: Join, *names: str, ts_ms: int = 0, model: str = "m", at: int = 0, version: str = ""
) -> list[str]:
    rows = [Event(False, name, ts_ms, at + n, version) for n, name in enumerate(names)]
    return [one.id for one in found_of(join.add_predictions(model, arrived(rows), EVER))]


def labels(
    join: Join, *names: str, ts_ms: int = 0, model: str = "m", horizon: int = EVER, at: int = 0
) -> list[str]:
    rows = [Event(True, name, ts_ms, at + n) for n, name in enumerate(names)]
    return [one.id for one in found_of(join.add_labels(came(rows, model), horizon))]


def test_pairs_come_in_the_order_of_what_completes_them() -> None:
    join = Join()
    predictions(join, "a", "b", "c")
    assert labels(join, "c", "x", "a", "b", "z") == ["c", "a", "b"]
    assert predictions(join, "z", "y", "x") == ["z", "x"]


def test_how_far_the_log_has_come_does_not_depend_on_batches() -> None:
    horizon_ms = DAY_MS
    days_ahead = [0] * BLOCK + [3] * BLOCK + [0] * (BLOCK // 2) + [2] * (BLOCK // 2) + [0] * 30
    rows = [
        Event(False, str(n), n * 7 % 1000 + days * DAY_MS, n) for n, days in enumerate(days_ahead)
    ]
    whole = Join()
    whole.add_predictions("m", arrived(rows), horizon_ms)
    for size in (1, 30, BLOCK, BLOCK + 1):
        pieces = Join()
        for start in range(0, len(rows), size):
            pieces.add_predictions("m", arrived(rows[start : start + size]), horizon_ms)
        assert pieces.state("m") == whole.state("m")


def test_the_times_told_of_what_lies_too_far_apart_do_not_depend_on_batches() -> None:
    known = [Event(True, name, 0, n) for n, name in enumerate("ab")]
    late = [Event(False, "a", 9 * DAY_MS, 0, "2"), Event(False, "b", 8 * DAY_MS, 1, "1")]
    told = []
    for size in (1, 2):
        join = Join()
        join.add_labels(came(known), DAY_MS)
        for start in range(0, 2, size):
            join.add_predictions("m", arrived(late[start : start + size]), DAY_MS)
        told.append(join.stores["m"].tally.beyond_ms)
    assert told == [(0, 8 * DAY_MS)] * 2


def test_predictions_that_were_held_pair_in_the_order_of_their_labels() -> None:
    join = Join()
    join.add_labels(came([Event(True, name, 0, 7) for name in "dbca"]), EVER)
    released = arrived([Event(False, name, 0, n) for n, name in enumerate("abcd")])
    found = join.add_released("m", "", released, EVER)
    assert [one.id for one in found_of(found)] == list("dbca")


def test_a_label_pairs_in_every_version_that_scored_it_before_or_after() -> None:
    join = Join()
    predictions(join, "a", "b", version="1")
    predictions(join, "a", version="2")
    assert labels(join, "a", "b") == ["a", "b", "a"]  # version by version
    assert predictions(join, "b", version="2") == ["b"]
    assert predictions(join, "a", "b", version="3") == ["a", "b"]
    for version in "123":
        assert predictions(join, "a", "b", version=version) == []
    assert labels(join, "a", "b") == []
    assert (join.counts.pairs, join.counts.duplicate_predictions) == (6, 6)


def test_a_label_that_was_misdated_can_be_sent_again() -> None:
    join = Join()
    predictions(join, "a", "b", ts_ms=50 * DAY_MS)
    assert labels(join, "a", "b", ts_ms=50 * DAY_MS // 1000, horizon=DAY_MS) == []
    assert labels(join, "a", ts_ms=50 * DAY_MS, horizon=DAY_MS, at=2) == ["a"]
    assert labels(join, "a", ts_ms=50 * DAY_MS, horizon=DAY_MS, at=3) == []
    counts = join.stores["m"].tally.counts
    assert (counts.labels, counts.paired, counts.beyond_horizon, counts.duplicate) == (4, 1, 2, 1)


def test_a_label_in_the_place_of_another_pairs_with_no_version_again() -> None:
    join = Join()
    predictions(join, "a", version="1")
    assert labels(join, "a", horizon=DAY_MS) == ["a"]
    assert labels(join, "a", ts_ms=9 * DAY_MS, horizon=DAY_MS, at=1) == []
    again = [Event(False, "a", 9 * DAY_MS, n + 1, version) for n, version in enumerate("12")]
    assert found_of(join.add_predictions("m", arrived(again), DAY_MS)) == [Found("2", "a", 2, 1)]
    assert join.counts.duplicate_predictions == 1
    assert join.stores["m"].tally.counts.paired == 2


def test_a_pair_that_the_journal_holds_is_not_made_again() -> None:
    join = Join()
    for name in "ab":
        join.recall(("m", ""), name, settled=False)
    predictions(join, "a", "b", "c")
    predictions(join, "a", version="2")
    assert labels(join, "a", "c") == ["a", "c"]  # of version 2, and of the other
    assert labels(join, "a", "b", "c") == []
    assert join.counts.pairs == 4
    assert join.stores["m"].tally.counts.duplicate == 2


def test_models_do_not_share_ids() -> None:
    join = Join()
    predictions(join, "a", model="one")
    assert labels(join, "a", model="other") == []
    assert labels(join, "a", model="one") == ["a"]


# --- forgetting ---------------------------------------------------------------------------------


def flow(
    join: Join, days: range, labelled: bool = True, ahead: int = 0, horizon: int = 5 * DAY_MS
) -> list[str]:
    """Let a block of predictions and one of labels come each day; return the ids of the pairs."""
    found: list[Found] = []
    for day in days:
        names = [f"{day}-{n}" for n in range(BLOCK)]
        at, ts_ms = day * BLOCK, day * DAY_MS
        rows = [Event(False, x, ts_ms, at + n) for n, x in enumerate(names)]
        found += found_of(join.add_predictions("m", arrived(rows), horizon))
        if labelled:
            own = [Event(True, x, ts_ms + ahead, at + n) for n, x in enumerate(names)]
            found += found_of(join.add_labels(came(own), horizon))
    return [one.id for one in found]


def test_what_both_logs_have_left_behind_is_forgotten() -> None:
    join = Join()
    flow(join, range(40))
    store = join.stores["m"]
    assert len(store) <= 8 * BLOCK  # a horizon of five days, one of grace, and the open steps
    assert store.predictions_log.forgotten == store.labels_log.forgotten >= 32 * BLOCK
    assert join.counts.forgotten == store.tally.counts.forgotten == 0  # nothing is lost
    assert labels(join, "0-0", at=1 << 20) == []


@pytest.mark.parametrize("far", [DAY_MS, 40 * DAY_MS, 253_402_300_799_999])
def test_no_single_clock_makes_the_join_forget(far: int) -> None:
    join = Join()
    flow(join, range(3), labelled=False)
    wrong = [Event(True, "wrong", 2 * DAY_MS + far, 0)] * 20
    join.add_labels(came(wrong), 5 * DAY_MS)
    rows = [Event(False, f"w{n}", far, 3 * BLOCK + n) for n in range(20)]
    join.add_predictions("m", arrived(rows), 5 * DAY_MS)
    assert len(flow(join, range(3, 9))) == 6 * BLOCK
    names = [f"{day}-{n}" for day in range(3) for n in range(BLOCK)]
    late = [Event(True, name, 3 * DAY_MS, 1000 + n) for n, name in enumerate(names)]
    assert len(found_of(join.add_labels(came(late), 5 * DAY_MS))) == 3 * BLOCK


def test_a_wrong_clock_is_forgotten_with_the_rows_around_it() -> None:
    join = Join()
    flow(join, range(2))
    predictions(join, "wrong", ts_ms=253_402_300_799_999, at=2 * BLOCK - 1)
    labels(join, "wrong label", ts_ms=253_402_300_799_999, at=2 * BLOCK - 1)
    flow(join, range(2, 40))
    assert len(join.stores["m"]) <= 9 * BLOCK


def seen(days: Sequence[float]) -> Watermark:
    """Return the watermark of a log with a block at each of these days, while another goes on."""
    log = Watermark()
    for n, day in enumerate(days):
        at_ms = NOON_MS + round(day * DAY_MS)
        log.see(BLOCK * n, at_ms, BLOCK, kept_ms(30 * DAY_MS) // STEPS)
        log.forget(min(at_ms, NOON_MS + n * DAY_MS // 10) - kept_ms(30 * DAY_MS))
    return log


@pytest.mark.parametrize("length", [1, 40])
def test_blocks_of_rows_that_are_dated_ahead_do_not_keep_all_that_follows(length: int) -> None:
    usual = [n / 10 for n in range(2000)]
    ahead = [*usual[:5], *(2000 + n for n in range(length)), *usual[5:]]
    expected = seen(usual).forgotten + BLOCK * length
    assert expected > 160 * 10 * BLOCK
    assert seen(ahead).forgotten == pytest.approx(expected, abs=12 * BLOCK)  # a step is a day


def test_a_replay_of_old_rows_forgets_none_of_the_live_ones_before_it() -> None:
    live, replay = [n / 10 for n in range(100)], [n / 10 - 1000 for n in range(2000)]
    assert seen([*live, *replay]).forgotten == 0
    assert seen([*live, *replay, *(10 + n / 10 for n in range(100))]).forgotten == 0


@pytest.mark.parametrize("labels_first", [True, False])
def test_one_log_may_be_read_far_ahead_of_the_other(labels_first: bool) -> None:
    sides = [
        [Event(is_label, f"{n}", n * DAY_MS // BLOCK, n) for n in range(90 * BLOCK)]
        for is_label in (labels_first, not labels_first)
    ]
    found = fold(Join(), sides[0] + sides[1], 5 * DAY_MS, frozenset())
    assert len(found) == 90 * BLOCK


def test_a_file_that_is_replayed_as_another_version_pairs_again() -> None:
    join, horizon = Join(), 5 * DAY_MS
    for version, start in (("1", 0), ("2", 60 * BLOCK)):
        made = 0
        for day in range(60):
            at = start + day * BLOCK
            names = [f"{day}-{n}" for n in range(BLOCK)]
            rows = [Event(False, x, day * DAY_MS, at + n, version) for n, x in enumerate(names)]
            made += len(found_of(join.add_predictions("m", arrived(rows), horizon)))
            own = [Event(True, x, day * DAY_MS, at + n) for n, x in enumerate(names)]
            made += len(found_of(join.add_labels(came(own), horizon)))
        assert made == 60 * BLOCK


@settings(few, max_examples=30)
@given(
    late=st.lists(st.tuples(st.integers(0, 1999), st.integers(0, GRACE_MS // 2)), max_size=60),
    seed=st.integers(0, 99),
    cuts=st.frozensets(st.integers(0, 4000), max_size=12),
)
def test_labels_out_of_order_pair_while_the_logs_forget(
    late: list[tuple[int, int]], seed: int, cuts: frozenset[int]
) -> None:
    order = random.Random(seed)
    horizon, step = DAY_MS, DAY_MS // 100
    sides = [Event(False, f"{n}", n * step, n, f"{n % 2}") for n in range(2000)]
    at = {n: n * step + horizon for n in range(2000)} | {n: n * step for n, _ in late}
    moved = dict(late)
    by_arrival = sorted(range(2000), key=lambda n: at[n] + moved.get(n, 0))
    others = [Event(True, f"{n}", at[n], place) for place, n in enumerate(by_arrival)]
    events: list[Event] = []
    one, other = iter(sides), iter(others)
    for _ in range(40):  # the logs are read side by side, by fits and starts
        turns = [False] * 50 + [True] * 50
        order.shuffle(turns)
        events += [next(other) if is_label else next(one) for is_label in turns]
    join = Join()
    found = fold(join, events, horizon, cuts)
    assert set(found) == oracle.pairs(events, horizon)
    assert join.stores["m"].predictions_log.forgotten > 1000


def one_byte_a_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store, "ROW_BYTES", 1)


def test_the_store_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    one_byte_a_row(monkeypatch)
    join = Join(max_bytes=5)
    predictions(join, *"abcdefgh")
    assert held(join, "abcdefgh") == list("defgh")
    assert join.counts.forgotten == 3
    assert labels(join, "c", "d") == ["d"]
    assert sum(len(store) for store in join.stores.values()) <= 5


def test_a_model_that_gets_no_labels_does_not_starve_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_byte_a_row(monkeypatch)
    join = Join(max_bytes=10)
    predictions(join, *"abcdefghij", model="silent")
    for n in range(4):
        predictions(join, f"x{n}", model="small")
    assert labels(join, "x0", "x1", "x2", "x3", model="small") == ["x0", "x1", "x2", "x3"]
    assert sum(len(store) for store in join.stores.values()) == 10


def test_labels_of_ever_new_models_take_no_more_than_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_byte_a_row(monkeypatch)
    join = Join(max_bytes=10)
    for n in range(50):
        labels(join, "a", model=f"model {n}")
    assert sum(len(store) for store in join.stores.values()) == 10
    assert len(join.stores) == 10


def test_of_too_many_models_one_without_predictions_is_forgotten_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_STORES", 3)
    join = Join()
    predictions(join, "a", model="scored")
    for n in range(9):
        labels(join, "b", "c", model=f"stray {n}")
    assert list(join.stores) == ["scored", "stray 7", "stray 8"]
    assert labels(join, "a", model="scored") == ["a"]


@few
@given(
    drawn=st.lists(st.tuples(st.booleans(), ids, st.integers(0, 3), versions), max_size=60),
    bound=st.integers(1, 6),
)
def test_what_is_held_never_exceeds_the_bound_and_pairs_stay_true(
    drawn: list[tuple[bool, str, int, str]], bound: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        one_byte_a_row(patch)
        join = Join(max_bytes=bound)
        for event in events_of(drawn):
            found = fold(join, [event], EVER, frozenset())
            assert all(pair.id == event.id for pair in found)
            assert sum(len(store) for store in join.stores.values()) <= bound


def test_versions_are_held_apart_and_each_in_the_order_of_the_log() -> None:
    join = Join()
    predictions(join, "b", "c", at=10, version="1")
    released = arrived([Event(False, "a", 0, 3, "2")])
    assert join.add_released("m", "2", released, EVER) == []
    join.add_restore_point(RestorePoint(5, 0, 0), oldest_untyped=5)
    join.add_restore_point(RestorePoint(20, 0, 0), oldest_untyped=20)
    assert join.restore_points[0].predictions == 0  # the first of all lies at 3


def test_restore_points_are_bounded_and_the_first_one_stays() -> None:
    join = Join()
    predictions(join, "a")
    for n in range(500):
        join.add_restore_point(RestorePoint(n, n, n), oldest_untyped=n)
    assert len(join.restore_points) <= module.MAX_RESTORE_POINTS
    assert join.restore_points[0] == RestorePoint(0, 0, 0)
    assert join.restore_points[-1].predictions == 499


def test_blocks_of_several_versions_are_joined_in_the_order_of_the_log() -> None:
    def block(offsets: list[int], names: str) -> Block:
        at = np.array(offsets, np.int64)
        codes = np.empty((len(at), 0), np.int32)
        scores = np.full((len(at), 1), 0.5)
        return Block(at, at, Texts.of(names), scores, ("score",), codes, (), ())

    found = arrivals_by_model(
        [(("m", "2"), block([1, 4], "ac")), (("m", "1"), block([2, 3], "ab"))]
    )["m"]
    placed = zip(found.ids, found.version.tolist(), found.offsets.tolist(), strict=True)
    assert [(id_, found.versions[at], offset) for id_, at, offset in placed] == [
        ("a", "2", 1),
        ("a", "1", 2),
        ("b", "1", 3),
        ("c", "2", 4),
    ]


def test_a_record_of_the_journal_is_measured_as_it_is_written() -> None:
    writer = JournalWriter()
    ids_ = [f"{n:03}" + "\x01" * 509 for n in range(900)]  # six bytes a character, in JSON
    none, half = np.zeros(len(ids_), np.int64), np.full(len(ids_), 0.5)
    nobody, unknown = np.full(len(ids_), None), np.full(len(ids_), np.nan)
    numbers = none, none, half, half, none, none
    wide = np.full((len(ids_), 50), 1 / 3)
    names = {f"class {code}": code for code in range(50)}
    by = np.empty((len(ids_), 0))
    pairs = Pairs("", Texts.of(ids_), *numbers, nobody, nobody, unknown, by, wide[:, :0], {})
    outputs = writer.pairs("m", [pairs])
    assert max(len(output.value or b"") for output in outputs) < 1_000_000
    assert [id_ for o in outputs for id_ in msgspec.json.decode(o.value or b"")["ids"]] == ids_
    short = Texts.of([f"{n}" for n in range(len(ids_))])
    by_class = np.full(len(ids_), "class 0", object)
    pairs = Pairs("", short, *numbers, by_class, by_class, half, by, wide, names)
    sizes = [len(output.value or b"") for output in writer.pairs("m", [pairs], wide=True)]
    assert len(sizes) > 1 and max(sizes) < 1_000_000
    assert len(writer.pairs("m", [pairs])) == 1  # without the probabilities of all classes
