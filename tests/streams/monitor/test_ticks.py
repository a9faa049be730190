"""Silence is told while nothing comes: the clock is journaled, and a replay tells the same."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.driver import SETTINGS, Driver, assert_equal, by_monitor, published
from tests.streams.monitor.logs import row
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.outcomes import Tick
from tidegauge.streams.monitor.control.control import control
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.rows import Change, Clock, RowMonitors, VersionRows
from tidegauge.streams.monitor.status import model_statuses

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
FIRST_MS = 472_222 * HOUR_MS
HOURS = 40
END_MS = FIRST_MS + HOURS * HOUR_MS


def spec(**windows: Any) -> MonitorSpec:
    return MonitorSpec(model="m", windows=WindowSpec(**(windows or {"every": "1h"})))


def rows(
    hours: Sequence[int] = range(HOURS), behind_ms: int = 0, first: int = 0
) -> list[LoggedRecord]:
    """Return some 30 rows in each of these hours, whose records are a second younger."""
    rng, found = np.random.default_rng(7), list[LoggedRecord]()
    for hour in hours:
        for at in np.sort(rng.integers(0, HOUR_MS, rng.poisson(30))).tolist():
            ts_ms, n = FIRST_MS + hour * HOUR_MS + at, first + len(found)
            value = row("m", str(n), ts_ms - behind_ms, {"x": float(rng.normal())}, 0.5)
            found.append(LoggedRecord(n, ts_ms + 1000, b"m", value))
    return found


def ticked(driver: Driver, until_ms: int, since_ms: int = END_MS) -> Driver:
    """Let the clock go on, as a worker does that has folded all rows."""
    for now_ms in range(since_ms, until_ms, 5 * MINUTE_MS):
        driver.publish(driver.partition.apply_ticks())
        for key in driver.partition.over(now_ms):
            entry = driver.partition.tick(key, now_ms)
            driver.publish([entry])
            driver.publish(driver.partition.apply_ticks(entry))
        driver.feed_back()
    return driver


def ticks(driver: Driver) -> list[Tick]:
    entries = [read_entry(o.value) for o in driver.outputs if o.topic == "outcomes"]
    return [entry for entry in entries if isinstance(entry, Tick)]


def silent(hours: int = 5, **windows: Any) -> Driver:
    """Return a worker to which no row has come for some hours."""
    driver = Driver({"m": spec(**windows)})
    driver.fold("predictions", rows())
    return ticked(driver, END_MS + hours * HOUR_MS)


def replayed(driver: Driver, records: Sequence[LoggedRecord]) -> Driver:
    """Return a worker that has lost all state and reads the logs again."""
    other = Driver({"m": spec()})
    other.partition = Partition(0, SETTINGS)
    other.partition.read_journal(driver.fed_back["outcomes"])
    other.publish([other.partition.fence()])
    other.fold("predictions", records)
    other.publish(other.partition.apply_ticks())
    return other


def test_silence_is_told_while_nothing_comes() -> None:
    driver = silent()
    alert, *_ = published(driver.outputs, "alerts")
    assert "0 rows come in a window (reference 30" in alert["title"]
    assert (alert["status"], alert["kind"]) == ("firing", "quality")
    assert FIRST_MS + HOURS * HOUR_MS <= alert["told_ms"] < END_MS + 2 * HOUR_MS
    closed = published(driver.outputs, "windows")
    assert [own["ticked"] for own in closed[-6:]] == [False, *[True] * 5]
    assert [own["rows"] > 0 for own in closed[-6:]] == [True, True, *[False] * 4]
    assert [own["window"] for own in closed] == [*range(len(closed))]
    assert [own["first_ts_ms"] for own in closed[-4:]] == [
        END_MS + hour * HOUR_MS for hour in range(4)
    ]


def test_windows_without_a_row_make_no_row_newer() -> None:
    (status,) = model_statuses(silent().partition)
    assert status.streams[0].newest_ms == rows()[-1].timestamp - 1000
    assert status.streams[0].windows > HOURS


def test_there_is_one_entry_for_each_window_and_none_before_its_end_and_a_minute() -> None:
    found = [entry.now_ms - END_MS for entry in ticks(silent())]
    assert [at // HOUR_MS for at in found] == [0, 1, 2, 3, 4]
    assert all(MINUTE_MS < at % HOUR_MS <= 6 * MINUTE_MS for at in found)
    late = [entry.now_ms - END_MS for entry in ticks(silent(every="1h", lateness="20m"))]
    assert all(21 * MINUTE_MS < at % HOUR_MS <= 26 * MINUTE_MS for at in late)


def test_a_replay_of_the_logs_tells_the_same_bytes() -> None:
    driver = silent()
    again = rows(range(HOURS + 6, HOURS + 9), first=len(rows()))
    driver.fold("predictions", again)
    whole = replayed(driver, [*rows(), *again])
    assert len(published(driver.outputs, "alerts")) >= 1
    assert_equal(by_monitor(whole.outputs), by_monitor(driver.outputs))
    one_by_one = Driver({"m": spec()})
    one_by_one.partition.read_journal(driver.fed_back["outcomes"])
    for record in [*rows(), *again]:
        one_by_one.fold("predictions", [record])
    assert_equal(by_monitor(one_by_one.outputs), by_monitor(driver.outputs))


def test_a_worker_that_died_between_a_tick_and_what_it_tells_is_followed_by_one_that_tells_it() -> (
    None
):
    driver, expected = Driver({"m": spec()}), silent(2)
    driver.fold("predictions", rows())
    snapshot = driver.partition.snapshot()
    now_ms = ticks(expected)[0].now_ms
    driver.publish([driver.partition.tick(("m", ""), now_ms)])
    driver.partition = Partition.restore(0, SETTINGS, snapshot)
    driver.partition.read_journal(driver.fed_back["outcomes"])
    driver.publish([driver.partition.fence()])
    pending = driver.partition.snapshot()
    driver.partition = Partition.restore(0, SETTINGS, pending)  # which has it as well
    ticked(driver, END_MS + 2 * HOUR_MS, now_ms)
    assert_equal(by_monitor(driver.outputs), by_monitor(expected.outputs))


def threshold(value: float) -> MonitorSpec:
    return MonitorSpec(model="m", windows=WindowSpec(every="1h"), threshold=value)


def test_ticks_and_changes_of_the_spec_keep_their_order_in_snapshots() -> None:
    driver = Driver({"m": spec()})
    driver.fold("predictions", rows())
    snapshot, start = driver.partition.snapshot(), len(driver.outputs)
    ticked(driver, END_MS + 5 * HOUR_MS)
    driver.change("m", "", threshold(0.7))
    again = rows(range(HOURS + 6, HOURS + 9), first=len(rows()))
    driver.fold("predictions", again)
    titles = " ".join(alert["title"] for alert in published(driver.outputs[start:], "alerts"))
    assert "0 rows come in a window" in titles
    assert "closed, as a new spec" in titles
    other = Driver()
    other.partition = Partition.restore(0, SETTINGS, snapshot)
    other.partition.read_journal(driver.fed_back["outcomes"])
    other.publish([other.partition.fence()])
    other.partition = Partition.restore(0, SETTINGS, other.partition.snapshot())
    other.fold("predictions", again)
    assert_equal(by_monitor(other.outputs), by_monitor(driver.outputs[start:]))


def test_a_tick_between_two_changes_is_between_them_in_a_snapshot() -> None:
    key, held = ("m", ""), RowMonitors("predictions", "t", 0, 1)
    table = [control("m", threshold(value), None) for value in (0.4, 0.6)]
    held.schedule(10, key, table[0])
    held.tick(10, key, 5)
    held.schedule(10, key, table[1])
    expected = [Change(10, key, table[0]), Clock(10, key, 5), Change(10, key, table[1])]
    assert held.changes == expected
    state = msgspec.to_builtins(held.state(key, table.index))
    restored = RowMonitors("predictions", "t", 0, 1)
    restored.load(key, msgspec.convert(state, VersionRows), table)
    assert restored.changes == expected


def test_changes_in_a_snapshot_of_an_earlier_version_take_effect() -> None:
    key, held = ("m", ""), RowMonitors("predictions", "t", 0, 1)
    table = [control("m", threshold(value), None) for value in (0.4, 0.6)]
    state = msgspec.to_builtins(held.state(key, table.index))
    state["changes"] = [[10, 0], [12, 1]]
    held.load(key, msgspec.convert(state, VersionRows), table)
    assert held.changes == [Change(10, key, table[0]), Change(12, key, table[1])]


def test_rows_of_the_past_are_not_closed_by_the_clock_of_today() -> None:
    driver = Driver({"m": spec()})
    driver.fold("predictions", rows(behind_ms=24 * HOUR_MS))
    assert driver.partition.over(END_MS + HOUR_MS) == []
    old = Driver({"m": spec()})
    old.fold("predictions", rows())
    assert old.partition.over(END_MS + HOUR_MS) == [("m", "")]
    assert old.partition.over(END_MS + 102 * HOUR_MS) == []


def test_rows_that_are_held_up_as_usual_are_waited_for() -> None:
    driver = Driver({"m": spec()})
    driver.fold("predictions", rows(behind_ms=5 * MINUTE_MS))
    assert driver.partition.over(END_MS + 45 * MINUTE_MS) == []
    assert driver.partition.over(END_MS + 60 * MINUTE_MS) == [("m", "")]


def test_blocks_of_rows_wait_for_rows() -> None:
    driver = Driver({"m": spec(rows=50)})
    driver.fold("predictions", rows())
    assert driver.partition.over(END_MS + 5 * HOUR_MS) == []


def test_nights_without_rows_are_no_silence() -> None:
    by_day = [hour for hour in range(24 * 8) if hour % 24 < 12]
    driver, done = Driver({"m": spec()}), 0
    records = rows(by_day)
    for hour in range(24 * 8 + 5):
        now = FIRST_MS + hour * HOUR_MS
        some = [r for r in records[done:] if r.timestamp < now]
        driver.fold("predictions", some)
        done += len(some)
        ticked(driver, now + 1, now)
    assert any(own["ticked"] and not own["rows"] for own in published(driver.outputs, "windows"))
    assert [a["title"] for a in published(driver.outputs, "alerts") if "0 rows" in a["title"]] == []
    ticked(driver, FIRST_MS + 24 * 9 * HOUR_MS, FIRST_MS + (24 * 8 + 5) * HOUR_MS)
    told = [a for a in published(driver.outputs, "alerts") if "0 rows" in a["title"]]
    assert told[0]["told_ms"] < FIRST_MS + (24 * 8 + 6) * HOUR_MS


def test_what_comes_after_silence_counts_where_it_belongs() -> None:
    driver = silent(3)
    driver.fold("predictions", rows(range(HOURS + 3, HOURS + 6), first=len(rows())))
    after = [own for own in published(driver.outputs, "windows") if own["first_ts_ms"] >= END_MS]
    assert [(own["rows"] > 20, own["ticked"]) for own in after] == [
        (False, True), (False, True), (True, False), (True, False)
    ]  # fmt: skip
    assert [own["late"] for own in after] == [0] * 4


@pytest.mark.parametrize("now_ms", [0, END_MS - HOUR_MS])
def test_a_clock_that_is_behind_closes_nothing(now_ms: int) -> None:
    driver = Driver({"m": spec()})
    driver.fold("predictions", rows())
    assert driver.partition.over(now_ms) == []
