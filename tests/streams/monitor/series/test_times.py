"""Rows out of order and rows that are held up: told by their clocks, whoever sends them."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import UNDATED, OfflineLog

NOW_MS, HOUR_MS, MINUTE_MS = 1_699_999_200_000, 3_600_000, 60_000
HOURS, PER_HOUR = 40, 60
Clock = Callable[[int, str], int]  # event time of a row, from when it is sent and where


class Stream:
    """Rows of two regions, a minute each, and when their records came."""

    def __init__(self, **windows: Any) -> None:
        spec = MonitorSpec(model="m", windows=WindowSpec(**(windows or {"every": "1h"})))
        self.log, self.sent, self.rng = OfflineLog(Lookup([spec])), 0, np.random.default_rng(3)

    def send(self, hours: int, clock: Clock = lambda now, _: now, held_ms: int = 0) -> "Stream":
        """Send rows for some hours; each comes up to two seconds after it was made."""
        for _ in range(hours * PER_HOUR):
            now, region = NOW_MS + self.sent * MINUTE_MS, ("north", "south")[self.sent % 2]
            row = {
                "model": "m",
                "id": f"{self.sent}",
                "ts_ms": clock(now, region),
                "features": {"x": float(self.rng.normal()), "region": region},
                "prediction": 0.5,
            }
            logged = now + held_ms + int(self.rng.integers(2000))
            self.log.append("predictions", b"m", json.dumps(row).encode(), logged)
            self.sent += 1
        return self

    def titles(self) -> list[str]:
        """Return what was told."""
        return [alert["title"].partition(" UTC ")[2] for alert in self.alerts()]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts."""
        return [json.loads(o.value or b"") for o in self.log.outputs if o.topic == "alerts"]


def an_hour_back(now: int, region: str) -> int:
    return now - HOUR_MS


def a_day_back_in_the_south(now: int, region: str) -> int:
    return now - (24 * HOUR_MS if region == "south" else 0)


def test_a_clock_an_hour_back_is_told_by_the_times_of_the_records() -> None:
    stream = Stream().send(HOURS).send(6, an_hour_back)
    first, last = stream.alerts()[0], stream.alerts()[-1]
    assert "event times lie 412 seconds from when they came (reference 0.99" in first["title"]
    assert first["kind"] == "quality"
    assert {own["series"] for own in last["series"]} == {"freshness", "late"}


def test_rows_that_are_held_up_are_told_and_such_as_come_sooner_are_not() -> None:
    held = Stream().send(HOURS).send(6, held_ms=20 * MINUTE_MS)
    assert any("event times lie 1201 seconds" in title for title in held.titles())
    assert any("Check the clock and the time zone" in alert["advice"] for alert in held.alerts())
    sooner = Stream().send(HOURS, held_ms=20 * MINUTE_MS).send(6)
    assert sooner.titles() == []


@pytest.mark.parametrize("windows", [{"every": "1h"}, {"rows": 60}])
def test_a_clock_a_day_back_in_one_region_is_told_by_the_order_of_rows(windows: Any) -> None:
    stream = Stream(**windows).send(HOURS).send(6, a_day_back_in_the_south)
    found = [s["series"] for alert in stream.alerts() for s in alert["series"]]
    assert {"late", "freshness"} <= {*found}
    (late,) = {s["value"]["current"] for a in stream.alerts() for s in a["series"][:9]
               if s["series"] == "late" and a["revision"] == 1}  # fmt: skip
    assert late == pytest.approx(0.5, abs=0.02)


def test_rows_within_a_minute_or_the_lateness_are_in_order() -> None:
    def jitter(now: int, region: str) -> int:
        return now - (119_000 if region == "south" else 0)  # a minute less a second behind

    def more(now: int, region: str) -> int:
        return now - (30 * MINUTE_MS if region == "south" else 0)

    within = Stream().send(HOURS).send(6, jitter)
    assert not any("come behind later ones" in title for title in within.titles())
    without = Stream().send(HOURS).send(6, more)
    assert any("come behind later ones" in title for title in without.titles())
    late = Stream(every="1h", lateness="30m").send(HOURS).send(6, more)
    assert not any("come behind later ones" in title for title in late.titles())


def test_where_records_have_no_time_nothing_is_said_of_it() -> None:
    stream = Stream()
    for n in range(HOURS * PER_HOUR):
        row = {"model": "m", "id": f"{n}", "ts_ms": NOW_MS + n * MINUTE_MS}
        row |= {"features": {"x": n % 7}, "prediction": 0.5}
        stream.log.append("predictions", b"m", json.dumps(row).encode(), UNDATED)
    [*_, report] = [json.loads(o.value or b"") for o in stream.log.outputs if o.topic == "windows"]
    assert report["series"]["freshness"]["value"] is None
    assert report["series"]["late"]["value"] == 0
