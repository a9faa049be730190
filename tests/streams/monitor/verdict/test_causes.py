"""Causes are named from the pattern: each is injected into flights that are dealt anew."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from tests.streams.monitor.traffic import REFERENCE, ROWS, traffic
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.demo.flights import CATEGORIES, NUMBERS, Flights, read_flights
from tidegauge.streams.demo.model import FlightModel
from tidegauge.streams.demo.traffic import shuffled
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog, learn_reference
from tidegauge.streams.monitor.verdict.wording import log_line

WINDOW = 500  # rows
WINDOWS = 60  # of the reference
SPEC = MonitorSpec(
    model="m",
    windows=WindowSpec(rows=WINDOW),
    features={"clock": FeatureSpec(type="numeric")},
)
Columns = dict[str, Any]  # of rows, to be spoilt in place
Frame = tuple[str, bytes]


@cache
def rows() -> tuple[Flights, Any]:
    """Return flights dealt anew, of which none drifts, and their scores."""
    dealt = shuffled(read_flights(), 5).take(np.arange((WINDOWS + 10) * WINDOW))
    return dealt, FlightModel.fit(dealt).score(dealt)


def frames(first: int, last: int, spoil: Callable[[Columns], None] | None) -> Iterator[Frame]:
    """Yield windows of predictions, spoilt by a fault."""
    flights, scores = rows()
    for window in range(first, last):
        own = slice(window * WINDOW, (window + 1) * WINDOW)
        columns: Columns = {name: flights.numbers[name][own].copy() for name in NUMBERS}
        columns |= {name: flights.categories[name][own].astype(object) for name in CATEGORIES}
        columns |= {"clock": columns["hour"].astype(float), "score": scores[own].copy()}
        if spoil is not None:
            spoil(columns)
        score = columns.pop("score")
        features = {
            name: [None if value != value else value for value in column.tolist()]  # noqa: PLR0124
            for name, column in columns.items()
        }
        frame = {
            "model": "m",
            "ids": [f"{window}-{row}" for row in range(len(score))],
            "ts_ms": (flights.scheduled_ms[own][: len(score)]).tolist(),
            "features": features,
            "predictions": score.tolist(),
        }
        yield "predictions", orjson.dumps(frame)


@cache
def reference() -> Reference:
    return learn_reference(SPEC, "", [("predictions", value) for _, value in frames(0, 60, None)])


def told(spoil: Callable[[Columns], None] | None) -> list[Alert]:
    """Return what is told of ten windows that are spoilt so."""
    log = OfflineLog(Lookup([SPEC, reference()]))
    for _, value in frames(WINDOWS, WINDOWS + 10, spoil):
        log.append("predictions", b"m", value)
    return [
        msgspec.json.decode(output.value or b"", type=Alert)
        for output in log.outputs
        if output.topic == "alerts"
    ]


def scaled(name: str, factor: float, added: float = 0.0) -> Callable[[Columns], None]:
    def spoil(columns: Columns) -> None:
        columns[name] = columns[name] * factor + added

    return spoil


def at(where: Callable[[Columns], Any], name: str, value: Any) -> Callable[[Columns], None]:
    """Set some rows of a column; a value may be a function of it."""

    def spoil(columns: Columns) -> None:
        hit, column = where(columns), columns[name].copy()
        column[hit] = value(column[hit]) if callable(value) else value
        columns[name] = column

    return spoil


def newark(columns: Columns) -> Any:
    return columns["origin"] == "EWR"


def every_third(columns: Columns) -> Any:
    return np.arange(len(columns["origin"])) % 3 == 0


def swap(columns: Columns) -> None:
    columns["distance"], columns["humid"] = columns["humid"], columns["distance"]


def lose_newark(columns: Columns) -> None:
    kept = ~newark(columns)
    for name in columns:
        columns[name] = columns[name][kept]
    columns["score"] = np.minimum(columns["score"] + 0.1, 1)  # something must be told


def no_weather(columns: Columns) -> None:
    for name in ("temp", "humid", "wind_speed", "visib"):
        at(newark, name, np.nan)(columns)


def dealt(name: str) -> Callable[[Columns], None]:
    """Give each row the value of another one."""

    def spoil(columns: Columns) -> None:
        columns[name] = np.random.default_rng(5).permutation(columns[name])

    return spoil


def whole_degrees(columns: Columns) -> None:
    columns["wind_speed"] = np.floor(columns["wind_speed"] / 10) * 10


FAULTS: dict[str, tuple[Callable[[Columns], None], str, list[str]]] = {
    "km for miles": (
        scaled("distance", 1.609344),
        "unit",
        ["distance looks like km instead of miles: every quantile is about 1.61 of the"],
    ),
    "miles for km": (
        scaled("distance", 1 / 1.609344),
        "unit",
        ["distance looks like miles instead of km: every quantile is about 0.621 of the"],
    ),
    "celsius": (scaled("temp", 1 / 1.8, -32 / 1.8), "unit", ["temp looks like °C instead of °F"]),
    "thousand": (scaled("distance", 1000.0), "unit", ["distance looks like thousandths"]),
    "cents": (scaled("humid", 100.0), "unit", ["humid looks like hundredths"]),
    "pressure of one airport": (
        at(newark, "pressure", lambda own: own * 0.02953),
        "unit",
        ["pressure with origin = EWR looks like inHg instead of hPa"],
    ),
    "swapped": (swap, "swapped", ["humid and distance look swapped"]),
    "minus 999": (at(every_third, "temp", -999.0), "default", ["temp is exactly -999, in 3"]),
    "nought": (at(every_third, "humid", 0.0), "default", ["humid is exactly 0, in 3"]),
    "default of a slice": (
        at(newark, "humid", 0.0), "default", ["humid is exactly 0, with origin = EWR"],
    ),
    "renamed": (
        at(newark, "origin", "NWK"),
        "renamed",
        ["origin has NWK (3", "where it had EWR (3", "a category renamed"],
    ),
    "stuck": (
        at(lambda own: own["temp"] == own["temp"], "temp", 44.06),
        "stuck",
        ["temp is constant at 44.1"],
    ),
    "time zone": (
        lambda own: own.update(clock=(own["clock"] + 5) % 24),
        "time shift",
        ["clock looks some 5 hours late"],
    ),
    "clipped": (
        lambda own: own.update(distance=np.minimum(own["distance"], 800.0)),
        "clipped",
        ["distance looks cut off at 800", "greatest value"],
    ),
    "rounded": (whole_degrees, "rounded", ["wind_speed comes rounded", "multiples of 10"]),
    "lost": (lose_newark, "lost", ["no row has origin = EWR any more: 3"]),
    "scores of other rows": (
        dealt("score"), "other model", ["score no longer follows from the features, of which none"],
    ),
    "scores of another model": (
        lambda own: own.update(score=own["score"] * 0.7 + 0.3),
        "other model",
        ["score no longer follows from the features, of which none"],
    ),
    "distances of other rows": (
        dealt("distance"),
        "mismatched",
        [
            "distance looks like another row's: values are those of the reference",
            "of all ranks from what the others",
        ],
    ),
    "a join fails": (
        no_weather,
        "join",
        ["a join or a client fails: ", "all rows with origin = EWR (3"],
    ),
    "a gap in a slice": (
        at(newark, "temp", np.nan),
        "slice",
        ["temp is missing in all rows with origin = EWR"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cause_is_named_with_its_evidence(fault: str) -> None:
    spoil, cause, phrases = FAULTS[fault]
    alerts = told(spoil)
    named = [alert for alert in alerts if alert.cause == cause]
    assert named, [(alert.cause, alert.title) for alert in alerts]
    assert {alert.cause for alert in alerts} <= {"", cause}
    for phrase in phrases:
        assert phrase in named[0].title
    assert named[0].kind == "quality"
    assert len({alert.incident for alert in alerts}) == 1


UNNAMED: dict[str, Callable[[Columns], None]] = {
    "dearer": lambda own: own.update(distance=own["distance"] * 1.4),
    "warmer": lambda own: own.update(temp=own["temp"] + 12),
    "more of one": lambda own: own.update(
        {name: np.concatenate([own[name][newark(own)], own[name]])[:WINDOW] for name in own}
    ),
    "a new category beside the others": at(
        lambda own: np.arange(len(own["origin"])) % 10 == 0, "origin", "NEW"
    ),
}


@pytest.mark.parametrize("fault", UNNAMED)
def test_nothing_is_named_where_the_evidence_is_thin(fault: str) -> None:
    alerts = told(UNNAMED[fault])
    assert fault == "more of one" or alerts
    assert [(alert.cause, alert.title) for alert in alerts if alert.cause] == []


def test_nothing_is_told_of_rows_that_nobody_spoilt() -> None:
    assert told(None) == []


def positives_late(rows: Any, rng: np.random.Generator) -> Any:
    """Let positive labels come 15 windows late, of rows from the 61st window on."""
    late = np.where(rows.label == 1, 15, 0)
    return late if rows.amount[0] < -500 else np.zeros(ROWS, np.int64)


def mark(rows: Any, rng: np.random.Generator) -> None:
    rows.amount[0] = -999.0


def test_labels_of_one_class_that_come_late_are_waited_for() -> None:
    stream = traffic(5, labelled=True, lateness=positives_late).send(REFERENCE + 20)
    stream.send(40, mark)
    first = next(one for one in stream.alerts() if one["evidence"]["topic"] == "labels")
    assert (first["cause"], first["kind"]) == ("late labels", "quality")
    assert "labels is positive where the model says" in first["title"]
    assert first["advice"].startswith("Wait for the positive labels")
    assert stream.retraining() == []


def test_a_log_names_the_cause_and_no_values_of_rows() -> None:
    alert = told(FAULTS["renamed"][0])[0]
    assert "NWK" in alert.title
    line = log_line(alert)
    assert "NWK" not in line and "EWR" not in line
    assert line.endswith("(renamed)")
