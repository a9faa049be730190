"""What the number of rows in a window tells, and how often it is wrong."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.verdict.monitor import MonitorState
from tidegauge.streams.monitor.verdict.volume_cohort import VolumeCohort
from tidegauge.streams.monitor.windows.bounds import Bounds

HOUR_MS = 3_600_000
REFERENCE = 40
SPEC = MonitorSpec(
    model="m", windows=WindowSpec(every="1h"), reference=ReferenceSpec(windows=REFERENCE)
)
Counts = NDArray[np.int64]


class Stream:
    """A model whose hours have so many rows each."""

    def __init__(self, spec: MonitorSpec = SPEC) -> None:
        self.log, self.hour, self.rng = OfflineLog(Lookup([spec])), 0, np.random.default_rng(1)

    def send(self, *counts: int) -> "Stream":
        """Send further hours; of one without rows nothing is there."""
        for rows in counts:
            if rows:
                body = {
                    "model": "m",
                    "ids": [f"{self.hour}-{row}" for row in range(rows)],
                    "ts_ms": [self.hour * HOUR_MS + row for row in range(rows)],
                    "features": {"x": self.rng.normal(size=rows).tolist()},
                    "predictions": self.rng.random(rows).tolist(),
                }
                self.log.append("predictions", b"m", json.dumps(body).encode())
            self.hour += 1
        return self

    def poisson(self, hours: int, rate: float) -> "Stream":
        """Send hours of rows that come independently of each other."""
        return self.send(*self.rng.poisson(rate, hours).tolist())

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        """Return what was published."""
        return [json.loads(o.value or b"") for o in self.log.outputs if o.topic == topic]

    @property
    def monitor(self) -> Any:
        """The monitor of the rows."""
        (found,) = self.log.partition.rows["predictions"].monitors.values()
        return found


def test_a_stream_that_loses_half_of_its_rows_is_told_at_once() -> None:
    stream = Stream().poisson(REFERENCE + 20, 200)
    assert stream.bodies("alerts") == []
    stream.poisson(6, 100)
    (alert,) = stream.bodies("alerts")
    (told,) = alert["series"]
    assert (told["series"], told["direction"], alert["kind"]) == ("volume", "down", "quality")
    assert "rows come in a window (reference 20" in alert["title"]
    assert alert["advice"].startswith("Look for what has kept rows away since")
    assert alert["since_ms"] == (REFERENCE + 20) * HOUR_MS


def test_a_stream_whose_rows_come_twice_is_told() -> None:
    stream = Stream().poisson(REFERENCE + 20, 200).poisson(6, 400)
    (alert,) = stream.bodies("alerts")
    assert (alert["series"][0]["series"], alert["series"][0]["direction"]) == ("volume", "up")
    assert alert["advice"].startswith("Look for where the further rows come from")


def test_hours_without_any_row_are_told_with_the_first_that_comes_after_them() -> None:
    stream = Stream().poisson(REFERENCE + 20, 200).send(*[0] * 5).poisson(2, 200)
    (alert,) = stream.bodies("alerts")
    assert [own["series"] for own in alert["series"]] == ["volume"]
    shown = alert["series"][0]["value"]["current"]
    assert 25 < shown < 45, "a sixth of 200"


def test_nights_that_are_empty_as_ever_are_no_alert() -> None:
    stream = Stream()
    for _ in range(20):
        stream.poisson(12, 200).send(*[0] * 12)
    assert stream.bodies("alerts") == []


def test_blocks_of_rows_have_no_volume() -> None:
    stream = Stream(msgspec.structs.replace(SPEC, windows=WindowSpec(rows=100)))
    stream.poisson(REFERENCE + 20, 200).poisson(20, 50)
    assert stream.bodies("alerts") == []
    assert "volume" not in stream.bodies("windows")[-1]["series"]


def test_a_snapshot_of_a_version_without_it_goes_on_and_learns_it() -> None:
    stream = Stream().poisson(10, 200)
    state = stream.monitor.state()
    del state.cohorts[1], state.window.parts[1]
    stream.monitor.load(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=MonitorState))
    stream.poisson(REFERENCE + 5, 200)
    assert stream.bodies("windows")[-1]["series"]["volume"]["value"] == pytest.approx(5.3, abs=0.2)


def test_what_was_learned_holds_under_a_spec_with_the_same_windows() -> None:
    stream = Stream().poisson(REFERENCE + 5, 200)
    assert "volume" in stream.monitor.learned.series


def told(counts: Counts) -> int:
    """Return how many false alarms there are of a model with so many rows an hour."""
    cohort = VolumeCohort(SPEC, 0.2, 1 / 12, {})  # a third of a quarter: what it may have at most
    found, bounds = 0, Bounds(index=1, slot=0)
    for rows in counts.tolist():
        if rows == 0:
            bounds.skipped += 1
            continue
        part = cohort.begin()
        part.rows = rows
        found += len(cohort.judge(part, bounds, {}).fired)
        cohort.learn(part, bounds)
        bounds = Bounds(index=bounds.index + 1, slot=bounds.index)
    return found


def gamma_poisson(rng: np.random.Generator, hours: int) -> Counts:
    """Return counts whose rate varies by three tenths from hour to hour."""
    return rng.poisson(200 * rng.gamma(11, 1 / 11, hours))


def weekly(rng: np.random.Generator, hours: int) -> Counts:
    """Return counts of days, with half as many at weekends."""
    days = np.arange(hours) % 7 >= 5
    return rng.poisson(np.where(days, 500, 1000))


def wandering(rng: np.random.Generator, hours: int) -> Counts:
    """Return counts whose rate remembers half of its deviation."""
    rate, rates = 0.0, []
    for step in rng.normal(0, 0.2, hours).tolist():
        rate = 0.5 * rate + step
        rates.append(rate)
    found: Counts = rng.poisson(200 * np.exp(np.array(rates)))
    return found


def steady(rate: float) -> Callable[[np.random.Generator, int], Counts]:
    """Return what makes rows that come independently of each other."""
    return lambda rng, hours: rng.poisson(rate, hours)


@pytest.mark.parametrize(
    "made",
    [steady(3), steady(20), steady(1000), gamma_poisson, weekly, wandering],
    ids=["3", "20", "1000", "gamma_poisson", "weekly", "wandering"],
)
def test_false_alarms_keep_within_the_budget(
    made: Callable[[np.random.Generator, int], Counts],
) -> None:
    rng = np.random.default_rng(11)
    alarms = [told(made(rng, REFERENCE + 90)) for _ in range(60)]
    assert sum(alarms) / 60 <= 1 / 12 + 0.05, alarms
