"""What waits for its label is held by a keyed hash, in few bytes, as an ordered dict holds it."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.siphash import sip_hash
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join import held_labels as module
from tidegauge.streams.monitor.join import held_predictions as predictions
from tidegauge.streams.monitor.join.held import GONE, NOTHING, HashIndex
from tidegauge.streams.monitor.join.held_labels import HeldLabels
from tidegauge.streams.monitor.join.held_predictions import HeldPredictions
from tidegauge.streams.monitor.join.join import Join
from tidegauge.streams.monitor.join.label_tally import BEYOND, NONE, Met
from tidegauge.streams.monitor.join.siphash import Hashes, hashes
from tidegauge.streams.monitor.join.store import ROW_BYTES

KEY = bytes(range(16))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=40), max_size=5), st.binary(min_size=16, max_size=16))
def test_ids_are_hashed_as_the_paper_says(texts: list[str], key: bytes) -> None:
    found = hashes(Texts.of(texts), key)
    assert [own.tobytes() for own in found] == [sip_hash(text.encode(), key) for text in texts]


def test_every_length_is_hashed_as_the_reference_code_does() -> None:
    texts = ["x" * n for n in range(600)]
    found = hashes(Texts.of(texts), KEY)
    assert [own.tobytes() for own in found] == [sip_hash(text.encode(), KEY) for text in texts]
    assert found[0].tobytes().hex() == "a3817f04ba25a8e66df67214c7550293"


def test_with_another_key_all_hashes_are_others() -> None:
    texts = Texts.of([str(n) for n in range(1000)])
    ours, theirs = hashes(texts, KEY), hashes(texts, bytes(16))
    assert not set(ours.ravel().tolist()) & set(theirs.ravel().tolist())


def named(numbers: list[int], few: bool) -> Hashes:
    """Return hashes of names; with ``few`` their places in a table collide all the time."""
    found = hashes(Texts.of([str(n) for n in numbers]), KEY)
    return np.stack([found[:, 0] & np.uint64(1), found[:, 1]], axis=1) if few else found


NUMBERS = st.lists(st.integers(0, 40), max_size=12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NUMBERS),
        st.tuples(st.just("remove"), NUMBERS),
        st.tuples(st.just("drop"), st.integers(0, 200)),
    ),
    max_size=30,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(STEPS, st.booleans(), st.sampled_from([1, 2, 5, predictions.MOST]), st.booleans())
def test_what_is_held_is_what_an_ordered_dict_holds(
    steps: list[tuple[str, list[int] | int]], few: bool, most: int, shrinks: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictions, "MOST", most)  # rows of a segment
        check_as_a_dict(steps, few, shrinks)


def check_as_a_dict(steps: list[tuple[str, list[int] | int]], few: bool, shrinks: bool) -> None:
    held, expected, at = HeldPredictions(), dict[int, tuple[int, int, float]](), 0
    for what, told in steps:
        if isinstance(told, int):
            before = list(expected.values())
            while expected and next(iter(expected.values()))[0] < told:
                del expected[next(iter(expected))]
            assert held.drop_before(told) == len(before) - len(expected)
        elif what == "put":
            offsets = np.arange(at, at + len(told))
            fresh = held.put(named(told, few), offsets, offsets + 7, offsets / 2)
            for number, offset, is_fresh in zip(told, offsets.tolist(), fresh, strict=True):
                assert is_fresh == (number not in expected)
                expected.setdefault(number, (offset, offset + 7, offset / 2))
            at += len(told)
        else:
            for number in told:
                place = held.find(named([number], few))
                assert held.holds(place)[0] == (number in expected)
                if expected.pop(number, None):
                    held.remove(place)
                    assert not held.holds(place)[0]
        if shrinks:
            held.shrink()
        assert len(held) == len(expected)
        columns = held.at(held.find(named([*expected], few)))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        assert [*rows] == [*expected.values()]
        others = [n for n in range(41) if n not in expected]
        assert set(held.find(named(others, few)).tolist()) <= {NOTHING}
        assert held.last_offset == max([GONE, *(own[0] for own in expected.values())])
        for number, own in enumerate(expected.values()):
            assert held.offset_of(number) == own[0]


def many(start: int, stop: int) -> tuple[Hashes, Ints, Ints, Floats]:
    """Return rows whose hashes are as even as those of a keyed hash."""
    rows = np.arange(start, stop)
    own = np.random.default_rng(start).integers(0, 1 << 64, (len(rows), 2), np.uint64)
    return own, rows, rows, rows / 2


@pytest.mark.parametrize("batch", [1, 100, 3000])
def test_a_prediction_that_waits_takes_no_more_than_it_is_counted_for(batch: int) -> None:
    held, most = HeldPredictions(), 0.0
    for start in range(0, 60_000, batch):
        held.put(*many(start, start + batch))
        if len(held) >= 20_000:
            most = max(most, held.nbytes / len(held))
    assert len(held) == 60_000
    assert most <= ROW_BYTES


def test_memory_is_given_back_once_most_has_gone() -> None:
    join = Join()
    hashed, offsets, ts_ms, scores = many(0, 300_000)
    held = join.stores["m"].predictions[""] = HeldPredictions()
    held.put(hashed, offsets, ts_ms, scores)
    held.remove(held.find(hashed[10:]))
    assert held.nbytes > 10_000_000
    join.state("m")  # for a snapshot
    assert held.nbytes < 10_000
    assert held.at(held.find(hashed[:10]))[0].tolist() == [*range(10)]
    labels = join.stores["m"].labels
    labels.hold(hashed, offsets, ts_ms, scores, ts_ms)
    labels.drop_unmet_before(299_990)
    join.state("m")
    assert labels.nbytes < 10_000
    assert (labels.find(hashed[299_990:]) != NOTHING).all()


def test_growing_takes_few_rows_at_a_time_and_little_memory() -> None:
    held, rows, batch = HeldPredictions(), 1_300_000, 13_000
    hashed, offsets, ts_ms, scores = many(0, rows)
    moved, most = list[int](), 0.0
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for start in range(0, rows, batch):
        arrays = {id(own._hashes) for own in held._segments}  # noqa: SLF001 (what was copied)
        tracemalloc.reset_peak()
        new = slice(start, start + batch)
        assert held.put(hashed[new], offsets[new], ts_ms[new], scores[new]).all()
        taken = tracemalloc.get_traced_memory()[1] - before
        if len(held) > 100_000:
            most = max(most, taken / len(held))
        segments = held._segments  # noqa: SLF001
        moved.append(sum(len(own) for own in segments if id(own._hashes) not in arrays))  # noqa: SLF001
    tracemalloc.stop()
    sizes = [len(own) for own in held._segments]  # noqa: SLF001
    assert max(sizes) <= predictions.MOST
    assert max(sizes) < 2.2 * min(sizes)
    assert max(moved) <= 6 * predictions.MOST
    assert most <= ROW_BYTES
    assert (held.find(hashed) != NOTHING).all()


def hold(held: HeldLabels, hashes: Hashes, at: Ints) -> Ints:
    """Hold labels of these offsets and times, each far from every other."""
    return held.hold(hashes, at, at, np.ones(len(at)), np.zeros(len(at), np.int64))[0]


@pytest.mark.parametrize("batch", [1, 100, 3000])
def test_a_label_that_is_known_takes_no_more_than_it_is_counted_for(batch: int) -> None:
    held, most = HeldLabels(), 0.0
    for start in range(0, 30_000, batch):
        rows = np.arange(start, start + batch).astype(np.uint64)
        hold(held, np.stack([rows, rows], axis=1), rows.astype(np.int64))
        if len(held) >= 10_000:
            most = max(most, held.nbytes / len(held))
    assert len(held) == 30_000
    assert most <= ROW_BYTES


def test_what_labels_have_met_is_kept_and_kinds_that_none_has_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MET_KINDS", 20)
    held, expected = HeldLabels(), dict[int, Met]()
    for number in range(3000):
        at = np.array([number])
        places, _ = held.hold(named([number], few=False), at, at * 2, at / 2, at)
        expected[number] = (BEYOND, ("v",), (str(number),), NONE)[number % 4]
        held.mark(places, np.array([held.kind(expected[number])]))
        if number % 10 == 9:
            gone = [expected.pop(at) for at in list(expected) if at < number - 49]
            assert held.drop_unmet_before(number - 49) == gone.count(NONE)
    places = held.find(named([*expected], few=False))
    assert [*map(held.met, places)] == [*expected.values()]
    offsets, ts_ms, values = held.at(places)
    assert offsets.tolist() == [*expected]
    assert (ts_ms.tolist(), values.tolist()) == ((offsets * 2).tolist(), (offsets / 2).tolist())
    assert len(held._kinds) < 200  # noqa: SLF001 (what is not told and must not grow)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=20), max_size=6),
    st.integers(0, 20),
    st.booleans(),
)
def test_a_label_is_held_unless_one_of_its_id_is_near(
    batches: list[list[tuple[int, int]]], apart: int, few: bool
) -> None:
    held, expected, at = HeldLabels(), dict[int, tuple[int, int]](), 0
    said = dict[int, float]()
    for batch in batches:
        numbers, times = [number for number, _ in batch], [ts_ms for _, ts_ms in batch]
        offsets, ts_ms = np.arange(at, at + len(batch)), np.array(times, np.int64)
        given_ms = np.full(len(batch), apart)
        values = np.array([time % 3 for time in times], np.float64)
        places, before = held.hold(named(numbers, few), offsets, ts_ms, values, given_ms)
        again = places == NOTHING
        corrected = dict(
            zip(
                np.flatnonzero(again).tolist(),
                held.correct(before[again], values[again]).tolist(),
                strict=True,
            )
        )
        for row, (number, time) in enumerate(batch):
            former = expected.get(number)
            is_new = former is None or abs(time - former[1]) > apart
            assert (places[row] != NOTHING) == is_new
            assert (before[row] != NOTHING) == (former is not None)
            if is_new:
                expected[number] = at + row, time
            else:
                assert corrected[row] == (said[number] != time % 3)
            said[number] = time % 3
        at += len(batch)
        own, known, values = held.at(held.find(named([*expected], few)))
        assert [*zip(own.tolist(), known.tolist(), strict=True)] == [*expected.values()]
        assert values.tolist() == [said[number] for number in expected]
        assert len(held) == len(expected)


def test_a_label_that_gave_way_to_another_is_not_missed() -> None:
    held = HeldLabels()
    (first,) = hold(held, named([1], few=False), np.array([0]))
    hold(held, named([1, 2], few=False), np.array([9, 9]))
    assert held.inherited(first) == held.kind(NONE)
    assert held.drop_unmet_before(10) == 2


@pytest.mark.parametrize(
    ("met", "left"), [(NONE, NONE), (BEYOND, NONE), ((None, "1"), ("1",)), (("1", "2"), ("1", "2"))]
)
def test_who_takes_a_labels_place_has_met_the_versions_that_it_met(met: Met, left: Met) -> None:
    held = HeldLabels()
    places = hold(held, named([1], few=False), np.array([0]))
    held.mark(places, np.array([held.kind(met)]))
    assert held.inherited(places[0]) == held.kind(left)


def test_what_has_found_its_label_gives_its_place_to_others() -> None:
    held, rows = HeldPredictions(), np.arange(1000)
    for start in range(0, 500_000, 1000):
        own = (rows + start).astype(np.uint64)
        held.put(np.stack([own, own], axis=1), rows + start, rows, rows / 2)
        held.drop_before(start - 3000)
    assert len(held) == 4000
    assert held.nbytes <= 2 * ROW_BYTES * len(held)


def test_arrays_that_were_emptied_are_used_again() -> None:
    index, rows = HashIndex(), np.arange(100_000)
    hashed = np.stack([rows, rows], axis=1).astype(np.uint64)
    index.add(hashed, rows)
    full = index.nbytes
    index.drop_before(99_990)
    index.add(hashed[:40_000], rows[:40_000] + 100_000)
    assert len(index) == 40_010
    index.drop_before(1 << 40)
    index.add(hashed, rows + 200_000)
    assert index.nbytes <= full
