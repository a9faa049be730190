"""The model against the conditions of its optimum, and its year against the demo's table."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.streams.demo import trained, year
from tidegauge.streams.demo.flights import CATEGORIES as LOGGED
from tidegauge.streams.demo.flights import NUMBERS, Flights
from tidegauge.streams.demo.model import CATEGORIES, RIDGE, FlightModel
from tidegauge.streams.demo.traffic import split


def some_flights(late: Sequence[float]) -> Flights:
    """Return flights that differ in nothing but the temperature, 0, 1, 2 and so on."""
    rows = len(late)
    numbers = {name: np.zeros(rows) for name in NUMBERS}
    return Flights(
        ids=np.arange(rows).astype(np.str_),
        scheduled_ms=np.arange(rows, dtype=np.int64),
        label_ms=np.arange(rows, dtype=np.float64),
        late=np.array(late, dtype=np.float64),
        numbers=numbers | {"temp": np.arange(rows, dtype=np.float64)},
        categories={name: np.full(rows, "A") for name in LOGGED},
    )


def month_of(month: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the labels and the scores of a month, by local date."""
    here = year().ids.astype("U7") == f"2013-{month:02}"
    flights = year().take(here & ~np.isnan(year().late))
    return flights.late, trained().score(flights)


def area_under_roc(late: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Return how often a late flight is scored above a punctual one, ties counting half."""
    on_time, delayed = np.sort(scores[late == 0]), scores[late == 1]
    below = np.searchsorted(on_time, delayed, "left") + np.searchsorted(on_time, delayed, "right")
    return float(below.mean() / 2 / len(on_time))


def test_no_weight_can_be_moved_to_a_better_fit() -> None:
    reference, _ = split(year())
    known = reference.take(~np.isnan(reference.late))
    assert len(known) == 77_911
    excess = trained().score(known) - known.late
    weights = iter(trained().weights.tolist())

    # At the optimum the penalised gradient of every weight is zero.
    assert excess.sum() == pytest.approx(-RIDGE * next(weights), abs=1e-5)
    for name in NUMBERS:
        column = known.numbers[name]
        standard = (column - np.nanmean(column)) / np.nanstd(column)
        slope = np.nansum(standard * excess)
        assert slope == pytest.approx(-RIDGE * next(weights), abs=1e-5), name
    for name in CATEGORIES:
        for level in sorted(set(known.categories[name].tolist()))[1:]:
            surplus = excess[known.categories[name] == level].sum()
            assert surplus == pytest.approx(-RIDGE * next(weights), abs=1e-5), level
    assert next(weights, None) is None


def test_training_twice_gives_the_same_model() -> None:
    reference, _ = split(year())
    assert np.array_equal(FlightModel.fit(reference).weights, trained().weights)


@pytest.mark.parametrize(
    ("month", "expected"),
    [
        (3, [0.228, 0.218, 0.726, 0.477, 0.154, 0.446, 0.474]),
        (4, [0.279, 0.142, 0.639, 0.637, 0.207, 0.171, 0.592]),
        (7, [0.315, 0.081, 0.692, 0.814, 0.257, 0.023, 0.715]),
        (9, [0.132, 0.096, 0.637, 0.385, 0.113, 0.021, 0.420]),
        (12, [0.326, 0.231, 0.698, 0.600, 0.204, 0.413, 0.570]),
    ],
)
def test_the_months_go_as_the_story_tells(month: int, expected: list[float]) -> None:
    y, p = month_of(month)
    flagged = p > 0.302  # the upper quartile of training
    late, predicted = y.mean(), p.mean()
    log_loss = -np.log(np.where(y == 1, p, 1 - p)).mean()
    brier = ((p - y) ** 2).mean()
    recall, precision = flagged[y == 1].mean(), y[flagged].mean()
    found = [late, predicted, area_under_roc(y, p), log_loss, brier, recall, precision]
    assert found == pytest.approx(expected, abs=0.0015)


def test_the_model_takes_warmth_for_punctuality_and_replays_half_beyond_its_training() -> None:
    reference, replay = split(year())
    assert trained().weights[1 + NUMBERS.index("temp")] < 0
    warmest = np.nanmax(reference.numbers["temp"])
    assert warmest == pytest.approx(64.4)
    assert np.nanmean(replay.numbers["temp"] > warmest) == pytest.approx(0.5, abs=0.05)


def test_a_missing_number_counts_as_the_average_of_training() -> None:
    model = FlightModel.fit(some_flights([0, 1, 0, 1, 1]))
    asked = some_flights([np.nan, np.nan])
    asked.numbers["temp"][:] = [np.nan, 2.0]
    missing, average = model.score(asked).tolist()
    assert missing == average


def test_a_category_never_seen_counts_as_the_first_one() -> None:
    flights = some_flights([0, 1, 0, 1, 1, 1])
    flights.categories["carrier"][3:] = "B"
    model = FlightModel.fit(flights)
    asked = some_flights([np.nan] * 3)
    asked.numbers["temp"][:] = 1.0
    asked.categories["carrier"][:] = ["A", "B", "C"]
    first, second, unseen = model.score(asked).tolist()
    assert unseen == first
    assert second > first


def test_the_destination_is_logged_but_not_used() -> None:
    flights = some_flights([0, 1, 0, 1])
    scores = FlightModel.fit(flights).score(flights)
    flights.categories["dest"][:2] = "Z"
    assert np.array_equal(FlightModel.fit(flights).score(flights), scores)


def test_flights_without_a_label_are_scored_but_teach_nothing() -> None:
    model = FlightModel.fit(some_flights([0, 1, 0, 1]))
    more = FlightModel.fit(some_flights([0, 1, 0, 1, np.nan, np.nan]))
    assert np.array_equal(model.weights, more.weights)
    assert model.score(some_flights([np.nan])).shape == (1,)


def test_scores_stay_probabilities_however_odd_the_features() -> None:
    model = FlightModel.fit(some_flights([0, 1, 0, 1, 1]))
    odd = some_flights([np.nan, np.nan])
    odd.numbers["temp"][:] = [-1e9, 1e9]
    assert model.score(odd).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("late", [[], [np.nan], [0, 0], [1, 1]])
def test_training_needs_both_outcomes(late: list[float]) -> None:
    with pytest.raises(ValueError, match="needs late and punctual flights, got"):
        FlightModel.fit(some_flights(late))
