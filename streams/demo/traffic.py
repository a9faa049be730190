"""What the demo sends: the year's predictions and labels, as frames in their true order."""

from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from typing import Final, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from tidegauge.streams.demo.flights import Flights, service_day

REPLAY_STARTS: Final = np.datetime64("2013-04-01")
FAULT_AIRPORT: Final = "EWR"
FAULT_DAYS: Final = np.arange("2013-10-07", "2013-10-10", dtype="datetime64[D]")
INHG_PER_HPA: Final = 0.02953


class PredictionFrame(TypedDict):
    """Predictions of one service day and airport, as columns, in order of time."""

    model: str
    version: str
    ids: list[str]
    ts_ms: list[int]
    features: dict[str, list[float | None] | list[str]]
    predictions: list[float]


class LabelFrame(TypedDict):
    """Labels that arrived on one service day, as columns, in order of arrival."""

    model: str
    version: str
    ids: list[str]
    ts_ms: list[int]
    labels: list[int]


class PredictionsDue(NamedTuple):
    """Predictions to send, and when: at the time of the last row."""

    topic: Literal["predictions"]
    due_ms: int
    frame: PredictionFrame


class LabelsDue(NamedTuple):
    """Labels to send, and when: after the last row, and after what they belong to."""

    topic: Literal["labels"]
    due_ms: int
    frame: LabelFrame


def split(flights: Flights) -> tuple[Flights, Flights]:
    """Return the reference part, January to March, and the replay part, by service day."""
    replayed = service_day(flights.scheduled_ms) >= REPLAY_STARTS
    return flights.take(~replayed), flights.take(replayed)


def shuffled(flights: Flights, seed: int) -> Flights:
    """Deal the rows anew over the same prediction times: the same year, without drift.

    A row keeps its id, its label and the delay of its label. Give the whole year and fit the
    model again: a shuffled April to December still differs from an unshuffled reference.
    """
    dealt = flights.take(np.random.default_rng(seed).permutation(len(flights)))
    delay_ms = dealt.label_ms - dealt.scheduled_ms
    return replace(
        dealt, scheduled_ms=flights.scheduled_ms, label_ms=flights.scheduled_ms + delay_ms
    )


def with_injected_fault(flights: Flights) -> Flights:
    """Let the station at EWR tell pressure in inHg instead of hPa, from 7 to 9 October."""
    hit = (flights.categories["origin"] == FAULT_AIRPORT) & np.isin(
        service_day(flights.scheduled_ms), FAULT_DAYS
    )
    pressure = flights.numbers["pressure"]
    wrong = np.where(hit, pressure * INHG_PER_HPA, pressure)
    return replace(flights, numbers={**flights.numbers, "pressure": wrong})


def prediction_frames(
    flights: Flights, scores: NDArray[np.float64], model_name: str, version: str
) -> Iterator[PredictionFrame]:
    """Yield a frame for each service day and airport, in order of its last row."""
    if scores.shape != (len(flights),):
        raise ValueError(f"scores must have shape ({len(flights)},), got {scores.shape}")
    for day in _days(flights.scheduled_ms):
        origins = flights.categories["origin"][day]
        airports = [day[origins == origin] for origin in np.unique(origins)]
        for rows in sorted(airports, key=lambda rows: int(flights.scheduled_ms[rows[-1]])):
            yield {
                "model": model_name,
                "version": version,
                "ids": flights.ids[rows].tolist(),
                "ts_ms": flights.scheduled_ms[rows].tolist(),
                "features": _features(flights, rows),
                "predictions": scores[rows].tolist(),
            }


def label_frames(flights: Flights, model_name: str, version: str) -> Iterator[LabelFrame]:
    """Yield a frame for each service day on which labels arrive, in order of arrival."""
    known = flights.take(~np.isnan(flights.label_ms))
    for rows in _days(known.label_ms):
        yield {
            "model": model_name,
            "version": version,
            "ids": known.ids[rows].tolist(),
            "ts_ms": known.label_ms[rows].astype(np.int64).tolist(),
            "labels": known.late[rows].astype(np.int64).tolist(),
        }


def schedule(
    flights: Flights, scores: NDArray[np.float64], model_name: str, version: str
) -> Iterator[PredictionsDue | LabelsDue]:
    """Yield all frames in the order in which they are due, labels after their predictions.

    A label never arrives on a service day before that of its prediction, so a day's labels
    are held back until the day's predictions are out.
    """
    predictions: Iterator[PredictionsDue | LabelsDue] = (
        PredictionsDue("predictions", frame["ts_ms"][-1], frame)
        for frame in prediction_frames(flights, scores, model_name, version)
    )
    labels: Iterator[PredictionsDue | LabelsDue] = (
        LabelsDue("labels", frame["ts_ms"][-1], frame)
        for frame in label_frames(flights, model_name, version)
    )
    now_ms = 0
    for item in merge(predictions, labels, key=_due_day):  # on equal days predictions first
        now_ms = max(now_ms, item.due_ms)
        yield item._replace(due_ms=now_ms)


def _due_day(item: PredictionsDue | LabelsDue) -> int:
    return int(service_day(np.array([item.due_ms])).astype(np.int64)[0])


def _days(ms: NDArray[np.int64] | NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return the rows of each service day in order of time, day after day."""
    if not len(ms):
        return []
    in_order = np.argsort(ms, kind="stable")
    days = service_day(ms[in_order])
    return np.split(in_order, np.flatnonzero(days[1:] != days[:-1]) + 1)


def _features(
    flights: Flights, rows: NDArray[np.intp]
) -> dict[str, list[float | None] | list[str]]:
    features: dict[str, list[float | None] | list[str]] = {}
    for name, column in flights.numbers.items():
        values = column[rows].astype(np.object_)
        values[np.isnan(column[rows])] = None  # JSON has no NaN
        features[name] = values.tolist()
    for name, labels in flights.categories.items():
        features[name] = labels[rows].tolist()
    return features
