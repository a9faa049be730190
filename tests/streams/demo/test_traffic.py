"""What is sent: nothing lost, in true order, and faults only where they were put."""

import json
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.demo import trained, year
from tidegauge.streams.demo.flights import CATEGORIES, NUMBERS, Flights, service_day
from tidegauge.streams.demo.model import FlightModel
from tidegauge.streams.demo.traffic import (
    label_frames,
    prediction_frames,
    schedule,
    shuffled,
    split,
    with_injected_fault,
)

HOUR_MS = 3_600_000
NINE_UTC_MS = 1_364_806_800_000  # 1 April 2013, where a service day begins


@st.composite
def a_few_flights(draw: st.DrawFn) -> Flights:
    """Draw flights of some days, labelled from at once to two days later or never."""
    departures = st.lists(st.integers(0, 72), max_size=12)
    hours = np.array(sorted(draw(departures)), dtype=np.int64)
    rows = len(hours)
    column = st.lists(st.sampled_from([np.nan, 0.0, 1.0, 5.0, 30.0]), min_size=rows, max_size=rows)
    delays = np.array(draw(column), dtype=np.float64)
    airport = st.lists(st.sampled_from(["EWR", "JFK"]), min_size=rows, max_size=rows)
    scheduled_ms = NINE_UTC_MS + hours * HOUR_MS
    return Flights(
        ids=np.array([f"f{row}" for row in range(rows)], dtype=np.str_),
        scheduled_ms=scheduled_ms,
        label_ms=scheduled_ms + delays * HOUR_MS,
        late=np.where(np.isnan(delays), np.nan, delays > 1),
        numbers={name: np.array(draw(column), dtype=np.float64) for name in NUMBERS},
        categories={name: np.array(draw(airport), dtype=np.str_) for name in CATEGORIES},
    )


def test_the_split_is_at_nine_utc_on_the_first_of_april() -> None:
    reference, replay = split(year())
    assert len(reference) == 80_789
    assert len(replay) == 255_987
    assert len(np.unique(service_day(reference.scheduled_ms))) == 90
    assert reference.scheduled_ms.max() < NINE_UTC_MS <= replay.scheduled_ms.min()


@settings(deadline=None)  # the machine may be busy
@given(a_few_flights())
def test_labels_follow_their_predictions_and_nothing_is_lost_or_due_too_early(
    flights: Flights,
) -> None:
    scores = np.linspace(0, 1, len(flights))
    sent: set[str] = set()
    answered: list[str] = []
    deliveries = list(schedule(flights, scores, "late", "1"))
    for delivery in deliveries:
        times = delivery.frame["ts_ms"]
        assert times == sorted(times)
        assert delivery.due_ms >= times[-1]
        assert len(set(service_day(np.array(times)).tolist())) == 1
        if delivery.topic == "predictions":
            assert delivery.due_ms == times[-1]
            sent.update(delivery.frame["ids"])
        else:
            assert sent.issuperset(delivery.frame["ids"])
            answered += delivery.frame["ids"]
    assert all(one.due_ms <= two.due_ms for one, two in pairwise(deliveries))
    assert sent == set(flights.ids.tolist())
    assert sorted(answered) == sorted(flights.ids[~np.isnan(flights.late)].tolist())


@settings(deadline=None)  # the machine may be busy
@given(a_few_flights())
def test_frames_decode_as_json_to_the_columns_they_came_from(flights: Flights) -> None:
    row_of = {name: row for row, name in enumerate(flights.ids.tolist())}
    scores = np.linspace(0, 1, len(flights))
    for frame in prediction_frames(flights, scores, "late", "7"):
        wire = json.loads(json.dumps(frame, allow_nan=False))
        assert wire == frame
        assert (wire["model"], wire["version"]) == ("late", "7")
        assert set(wire["features"]) == {*NUMBERS, *CATEGORIES}
        rows = [row_of[name] for name in wire["ids"]]
        assert wire["ts_ms"] == flights.scheduled_ms[rows].tolist()
        assert wire["predictions"] == scores[rows].tolist()
        assert len(set(wire["features"]["origin"])) == 1
        for name in NUMBERS:
            numbers = np.array(wire["features"][name], dtype=np.float64)  # None becomes NaN
            np.testing.assert_array_equal(numbers, flights.numbers[name][rows])
        for name in CATEGORIES:
            assert wire["features"][name] == flights.categories[name][rows].tolist()
    for answers in label_frames(flights, "late", "7"):
        wire = json.loads(json.dumps(answers, allow_nan=False))
        assert wire == answers
        assert (wire["model"], wire["version"]) == ("late", "7")
        rows = [row_of[name] for name in wire["ids"]]
        assert wire["ts_ms"] == flights.label_ms[rows].tolist()
        assert wire["labels"] == flights.late[rows].tolist()


def test_the_replay_sends_every_row_once_in_a_frame_a_day_and_airport() -> None:
    _, replay = split(year())
    deliveries = list(schedule(replay, trained().score(replay), "late", "1"))
    predictions = [item.frame for item in deliveries if item.topic == "predictions"]
    labels = [item.frame for item in deliveries if item.topic == "labels"]
    assert len(predictions) == 275 * 3
    ids = [name for frame in predictions for name in frame["ids"]]
    assert len(ids) == len(set(ids)) == len(replay)
    assert sum(len(frame["ids"]) for frame in labels) == (~np.isnan(replay.late)).sum()
    # In this year no labels need to be held back: each frame is due with its own last row.
    assert all(item.due_ms == item.frame["ts_ms"][-1] for item in deliveries)


def test_shuffling_keeps_times_and_moves_whole_rows_with_the_delay_of_their_label() -> None:
    flights = year()
    mixed = shuffled(flights, seed=1)
    assert np.array_equal(mixed.scheduled_ms, flights.scheduled_ms)
    row_of = {name: row for row, name in enumerate(flights.ids.tolist())}
    rows = np.array([row_of[name] for name in mixed.ids.tolist()])
    assert sorted(rows.tolist()) == list(range(len(flights)))
    assert (rows != np.arange(len(rows))).mean() > 0.99
    expected = flights.take(rows)
    np.testing.assert_array_equal(mixed.late, expected.late)
    np.testing.assert_array_equal(
        mixed.label_ms - mixed.scheduled_ms, expected.label_ms - expected.scheduled_ms
    )
    for name in NUMBERS:
        np.testing.assert_array_equal(mixed.numbers[name], expected.numbers[name])
    for name in CATEGORIES:
        assert np.array_equal(mixed.categories[name], expected.categories[name])


def test_a_seed_gives_the_same_shuffle_and_another_seed_another() -> None:
    ids = shuffled(year(), seed=1).ids
    assert np.array_equal(ids, shuffled(year(), seed=1).ids)
    assert not np.array_equal(ids, shuffled(year(), seed=2).ids)


def test_a_model_trained_on_the_shuffled_year_stays_calibrated() -> None:
    reference, replay = split(shuffled(year(), seed=1))
    scores = FlightModel.fit(reference).score(replay)
    assert np.nanmean(replay.late - scores) == pytest.approx(0, abs=0.005)
    _, untouched = split(year())
    assert np.nanmean(untouched.late - trained().score(untouched)) > 0.1


def test_the_injected_fault_touches_the_pressure_at_newark_on_three_days_only() -> None:
    flights = year()
    faulty = with_injected_fault(flights)
    before, after = flights.numbers["pressure"], faulty.numbers["pressure"]
    touched = np.flatnonzero((before != after) & ~np.isnan(before))
    assert len(touched) == 811
    assert set(flights.categories["origin"][touched].tolist()) == {"EWR"}
    days, rows = np.unique(service_day(flights.scheduled_ms[touched]), return_counts=True)
    assert [str(day) for day in days] == ["2013-10-07", "2013-10-08", "2013-10-09"]
    assert rows.min() > 100
    assert after[touched] == pytest.approx(before[touched] * 0.02953)
    assert np.array_equal(np.isnan(before), np.isnan(after))

    same = replace(faulty, numbers=flights.numbers)
    assert all(getattr(same, field.name) is getattr(flights, field.name) for field in fields(same))
    others = (name for name in NUMBERS if name != "pressure")
    assert all(faulty.numbers[name] is flights.numbers[name] for name in others)


def test_the_injected_fault_turns_the_scores_at_newark_from_low_to_high() -> None:
    hit = np.isin(service_day(year().scheduled_ms), np.array(["2013-10-08"], "datetime64[D]"))
    newark = hit & (year().categories["origin"] == "EWR")
    assert trained().score(year().take(newark)).mean() < 0.25
    assert trained().score(with_injected_fault(year()).take(newark)).mean() > 0.7


def test_scores_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scores must have shape \(336776,\), got \(3,\)"):
        list(prediction_frames(year(), np.zeros(3), "late", "1"))
