"""An incident is not for ever: a level that has been kept is a new normal, and judged by itself."""

from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.traffic import (
    MINUTE_MS,
    REFERENCE,
    SPEC,
    Fault,
    Rows,
    Traffic,
    amounts_up,
    no_age,
    traffic,
)
from tidegauge.schemas.monitors import RetrainingSpec
from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import watch
from tidegauge.streams.monitor.verdict.history import HISTORY
from tidegauge.streams.monitor.verdict.watch import Verdicts, Watch, WatchState
from tidegauge.streams.monitor.windows import figures
from tidegauge.streams.monitor.windows.bounds import Bounds

BEGINS = REFERENCE + 10
KEPT = REFERENCE  # windows that a level must be kept here
AMOUNT = "rank(amount)"


@pytest.fixture(autouse=True)
def first_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the further series, which tell the same of these rows."""
    first = {name: series for name, series in SERIES.items() if not series.is_further}
    monkeypatch.setattr(figures, "SERIES", first)


def raised(by: float) -> Fault:
    def fault(rows: Rows, rng: np.random.Generator) -> None:
        rows.amount = rows.amount + by

    return fault


def moved(windows: int = KEPT + 10) -> Traffic:
    """Return traffic whose amounts rise and stay so."""
    spec = msgspec.structs.replace(SPEC, retraining=RetrainingSpec(on=("drift",), blatant=True))
    return traffic(11, spec).send(BEGINS).send(windows, amounts_up)


def levels(stream: Traffic) -> list[int | None]:
    """Return since when the level holds with which amounts are compared, window by window."""
    watched = [report["series"] for report in stream.reports() if report["series"]]
    return [series[AMOUNT]["level_ms"] for series in watched]


def ends(stream: Traffic) -> list[dict[str, Any]]:
    """Return the alerts with which incidents begin and end."""
    return [alert for alert in stream.alerts() if alert["status"] != "ongoing"]


def statuses(stream: Traffic) -> list[str]:
    return [alert["status"] for alert in stream.alerts()]


def test_a_level_that_is_kept_closes_the_incident_and_asks_once_whether_it_is_the_reference() -> (
    None
):
    stream = moved()
    first, last = ends(stream)
    (alarm,) = last["series"]
    assert (last["status"], last["incident"]) == ("resolved", first["incident"])
    assert last["title"].startswith("m: a new normal since ")
    assert "amount moved up, from 50.1 to 59.8 on average" in last["title"]
    assert last["title"].endswith("; from here on it is compared with that")
    assert last["advice"].startswith("Shall that be the reference?")
    assert alarm["settled_ms"] == first["since_ms"]
    assert (last["told_ms"] - first["since_ms"]) // MINUTE_MS == KEPT - 1
    stream.send(60, amounts_up)
    assert len(ends(stream)) == 2


def test_reports_say_since_when_a_series_is_compared_with_a_level() -> None:
    stream = moved()
    since_ms, settled = stream.alerts()[0]["since_ms"], BEGINS - REFERENCE + KEPT - 2
    told = levels(stream)
    assert told == [None] * settled + [since_ms] * (len(told) - settled)


def test_what_comes_after_is_judged_from_the_level_and_says_so() -> None:
    stream = moved().send(20, raised(20))
    told = ends(stream)[2]
    assert told["status"] == "firing"
    assert "amount moved up, from 59.8 to 6" in told["title"]
    assert told["title"].endswith(", compared with the level since 1 Jan 1970 00:49 UTC")
    assert told["series"][0]["level_ms"] == levels(stream)[-1]
    assert not told["series"][0]["is_return"]
    assert told["cooldown_ms"] is not None


def test_the_way_back_to_the_reference_is_told_and_then_over() -> None:
    stream = moved().send(KEPT)
    firing, over = ends(stream)[2:]
    assert (firing["series"][0]["is_return"], firing["cooldown_ms"]) == (True, None)
    assert "back towards the reference from the level since 1 Jan 1970 00:49 UTC" in firing["title"]
    assert "amount back within tolerance of the reference" in over["title"]
    assert levels(stream)[-1] is None
    stream.send(20, amounts_up)
    assert ends(stream)[-1]["status"] == "firing"
    assert stream.alerts()[-1]["series"][0]["level_ms"] is None


def test_back_at_its_level_it_says_so() -> None:
    stream = moved().send(8, raised(20)).send(20, amounts_up)
    assert statuses(stream)[-1] == "resolved"
    assert "amount back within tolerance of the level before" in stream.alerts()[-1]["title"]
    assert levels(stream)[-1] is not None


def test_what_still_moves_has_no_level() -> None:
    stream = traffic(11).send(BEGINS)
    for window in range(2 * KEPT):
        stream.send(1, raised(window / 5))
    assert set(statuses(stream)) == {"firing", "ongoing"}
    stream.send(2 * KEPT, raised(2 * KEPT / 5))
    assert statuses(stream)[-1] == "resolved"


def test_of_several_series_all_are_named_once_the_last_has_settled() -> None:
    stream = traffic(8).send(BEGINS).send(KEPT + 20, amounts_up, no_age)
    over = stream.alerts()[-1]
    assert (over["status"], statuses(stream).count("resolved")) == ("resolved", 1)
    assert {alarm["series"] for alarm in over["series"]} == {AMOUNT, "missing(age)"}
    assert "age is missing in " in over["title"]


def test_rows_that_cannot_be_read_are_no_new_normal() -> None:
    def unreadable(rows: Rows, rng: np.random.Generator) -> None:
        rows.score[:20] = "none"

    stream = traffic(3).send(BEGINS).send(2 * HISTORY, unreadable)
    told = [alert for alert in stream.alerts() if alert["series"][0]["series"] == "rejected"]
    assert "resolved" not in [alert["status"] for alert in told]


# --- one series, window by window -----------------------------------------------------------------


def one(statistic: str = "error", windows: int = 40, adopt: str | None = None) -> Watch:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 0.1, windows).tolist()
    profile = SeriesProfile(values=values, rows=[100.0], sd=1.0, shown=0.0, variance=1.0)
    return Watch([watch(SERIES[statistic], "", profile, 0.1)], np.ones(1), 90, adopt=adopt)


def close(own: Watch, index: int, values: Floats) -> Verdicts:
    rows = np.full(len(values), 100.0)
    readings = np.array([values, rows, values - 1e-6, values + 1e-6, values])
    return own.update(
        readings, Bounds(index=index, first_ts_ms=index, last_ts_ms=index, rows=100), {}, {}
    )


def send(own: Watch, first: int, windows: int, level: float) -> list[Verdicts]:
    rng = np.random.default_rng(first)
    values = level + rng.normal(0, 0.1, (windows, len(own.series)))
    return [close(own, first + at, row) for at, row in enumerate(values)]


def test_what_is_remembered_of_a_level_goes_on_bit_by_bit() -> None:
    own, again = one(), one()
    send(own, 0, 80, 1.0)
    assert own.levels
    state = own.state()
    again.load(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=WatchState))
    assert again.state() == state
    for index in range(80, 160):
        told = send(own, index, 1, 2.0 if index < 130 else 0.0)
        assert send(again, index, 1, 2.0 if index < 130 else 0.0) == told
        assert again.report() == own.report()
    assert again.state() == own.state()
    assert len(msgspec.msgpack.encode(own.state())) < 8000


def test_a_snapshot_from_before_there_were_levels_goes_on() -> None:
    own, again = one(), one()
    send(own, 0, 10, 1.0)
    state = msgspec.to_builtins(own.state(), builtin_types=(bytes,))
    del state["since"], state["levels"]
    again.load(msgspec.convert(state, WatchState))
    told = [verdicts for verdicts in send(again, 10, 60, 1.0) if verdicts.settled]
    assert len(told) == 1


def test_a_fall_that_is_not_told_ends_a_level_all_the_same() -> None:
    own = one("loss")
    send(own, 0, 60, 1.0)
    assert own.levels
    assert not any(verdicts.fired for verdicts in send(own, 60, 40, 0.0))
    assert not own.levels
    assert any(verdicts.fired for verdicts in send(own, 100, 10, 1.0))


def test_a_level_that_lasts_takes_the_place_of_the_reference_if_the_spec_says_so() -> None:
    own, again = one(adopt="60ms"), one(adopt="60ms")  # a window is a millisecond
    send(own, 0, 60, 2.0)
    assert own.report()["error"].level_ms == 0
    send(own, 60, 1, 2.0)
    assert own.report()["error"].level_ms is None
    again.load(msgspec.msgpack.decode(msgspec.msgpack.encode(own.state()), type=WatchState))
    told = [send(watch, 61, 30, 0.0) for watch in (own, again)]
    assert told[0] == told[1]
    (alarm,) = [alarm for verdicts in told[0] for alarm in verdicts.fired]
    assert (alarm.level_ms, alarm.is_return) == (None, False)
    assert alarm.value.reference == pytest.approx(2.0, abs=0.1)
    assert own.state() == again.state()


def test_without_that_a_level_stays_a_level() -> None:
    own = one()
    send(own, 0, 500, 2.0)
    assert own.report()["error"].level_ms == 0


def test_what_is_on_its_way_back_has_no_level() -> None:
    own = one()
    send(own, 0, 34, 1.0)
    told = send(own, 34, 20, 0.0)
    assert not any(verdicts.settled for verdicts in told)
    assert any(verdicts.resolved for verdicts in told)


@pytest.mark.parametrize(("windows", "kept"), [(12, 30), (40, 40), (200, 80)])
def test_a_level_is_kept_as_long_as_the_reference_but_30_to_80_windows(
    windows: int, kept: int
) -> None:
    own = one(windows=windows)
    told = [bool(verdicts.settled) for verdicts in send(own, 0, 100, 3.0)]
    assert told.index(True) + 1 == kept


# --- what a level promises: that of a reference of as many windows --------------------------------

SERIES_OF_A_MODEL = 30
BUDGET = 1.0


@cache
def alarms_at_the_level(correlation: float, windows: int) -> float:
    """Return a model's false alarms in the 90 windows after its series have settled."""
    rng, width, kept = np.random.default_rng(20261127), 600, min(windows, 80)
    noise = rng.normal(size=(windows + kept + 7 + 90, width))
    for at in range(1, len(noise)):
        noise[at] = correlation * noise[at - 1] + np.sqrt(1 - correlation**2) * noise[at]
    noise[windows:] += 20.0
    series = [
        watch(
            SERIES["error"],
            "",
            SeriesProfile(values=own.tolist(), rows=[100.0], sd=10.0, shown=0.0, variance=0.0),
            0.01,
        )
        for own in noise[:windows].T
    ]
    own = Watch(series, np.full(width, BUDGET / SERIES_OF_A_MODEL), 90)
    told = [close(own, index, row) for index, row in enumerate(noise[windows:])]
    at_level = len(own.levels)
    assert at_level > 0.9 * width
    later = sum(len(verdicts.fired) for verdicts in told[kept:])
    return later * SERIES_OF_A_MODEL / width


@pytest.mark.parametrize("windows", [30, 90])
def test_a_level_of_independent_windows_keeps_the_budget(windows: int) -> None:
    assert alarms_at_the_level(0.0, windows) <= BUDGET


@pytest.mark.parametrize(("windows", "most"), [(30, 4), (90, 2)])
def test_a_level_of_windows_that_depend_keeps_what_a_reference_as_long_does(
    windows: int, most: float
) -> None:
    assert alarms_at_the_level(0.5, windows) <= most * BUDGET
