"""What the demo tells is what is in the data: named, dated, and nothing where rows are shuffled."""

import msgspec
import numpy as np
import orjson
import pytest

from schemas.alerts import Alert
from streams.demo.flights import Flights, read_flights
from streams.demo.show import is_injected, plan
from streams.demo.traffic import shuffled, with_injected_fault
from streams.monitor.offline import OfflineLog
from streams.monitor.records import Output

NAME = "flight-delay"


@pytest.fixture(scope="module")
def flights() -> Flights:
    return read_flights()


def outputs(flights: Flights) -> list[Output]:
    """Return what a worker publishes for a replay, but for Kafka."""
    planned = plan(flights, NAME)
    log = OfflineLog({NAME: planned.spec}, {NAME: planned.reference})
    for item in planned.frames:
        log.append(item.topic, NAME.encode(), orjson.dumps(item.frame))
    return log.outputs


def told(outputs: list[Output]) -> list[Alert]:
    return [
        msgspec.json.decode(output.value or b"", type=Alert)
        for output in outputs
        if output.topic == "alerts"
    ]


def date(ms: int) -> str:
    return str(np.datetime64(ms, "ms").astype("datetime64[D]"))


def test_the_drift_in_the_year_is_found_named_and_dated(flights: Flights) -> None:
    found = outputs(with_injected_fault(flights))
    alerts = told(found)
    started = [(date(a.told_ms), a.series[0].series) for a in alerts if a.status == "firing"]
    assert sorted(started) == [
        ("2013-04-10", "range(temp)"),  # warmer than any day of the training
        ("2013-04-13", "error"),  # late flights, told punctual
        ("2013-05-11", "range(temp)"),
        ("2013-06-27", "rank(score)"),
        ("2013-07-14", "unseen(dest)"),  # Albuquerque, Nantucket, Martha's Vineyard, ...
        ("2013-10-08", "range(pressure)"),  # the injected fault
        ("2013-10-09", "loss"),  # and what it does to the scores
        ("2013-12-10", "error"),  # December's storms
    ]
    injected = {a.incident for a in alerts if a.status == "firing" and is_injected(a)}
    assert len(injected) == 1
    assert sum(output.topic == "retraining" for output in found) >= 1
    assert not [output for output in found if output.topic == "rejected"]


@pytest.mark.parametrize("seed", [2013, 1])
def test_nothing_is_told_where_the_rows_are_shuffled(flights: Flights, seed: int) -> None:
    found = outputs(shuffled(flights, seed))
    assert told(found) == []
    assert sum(output.topic == "windows" for output in found) > 500
