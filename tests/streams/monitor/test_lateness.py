"""Windows of event time that stay open for rows that come late."""

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.driver import (
    SETTINGS,
    Driver,
    assert_equal,
    by_monitor,
    comparable,
    published,
)
from tests.streams.monitor.logs import NOON_MS, Logs, label, row
from tidegauge.schemas.monitors import (
    DetectorSpec,
    FeatureSpec,
    MonitorSpec,
    ReferenceSpec,
    WindowSpec,
)
from tidegauge.streams.monitor.control.control import control
from tidegauge.streams.monitor.control.detectors import faults
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.snapshot import Snapshot

ROWS, A_WINDOW, DISORDER_MS = 1500, 40, 2500
SECONDS = WindowSpec(every="1s")


def spec(lateness: str, **more: Any) -> MonitorSpec:
    """Return a spec with windows of a second."""
    windows = WindowSpec(every="1s", lateness=lateness)
    return MonitorSpec(model="m", windows=windows, reference=ReferenceSpec(windows=12), **more)


def late_log(seed: int = 1, disorder_ms: int = DISORDER_MS, shift: float = 100.0) -> Logs:
    """Return rows and labels of which each comes up to so late; new values come up on the way."""
    chance, logs = random.Random(seed), Logs()
    texts = [f"v{chance.randint(0, 5 + n // 40)}" for n in range(ROWS)]
    times = [NOON_MS + n * 1000 // A_WINDOW for n in range(ROWS)]
    order = sorted((ts + chance.random() * disorder_ms, n) for n, ts in enumerate(times))
    for at, (_, n) in enumerate(order):
        features = {
            "a": n % 17 + (shift if n > ROWS * 2 // 3 else 0),
            "b": texts[n],
        }
        logs.add("predictions", row("m", str(n), times[n], features, n % 10 / 10), b"m")
        logs.add("labels", label("m", str(n), times[n] + 300, n % 2), b"m")
        if at % 100 == 99:
            logs.run("predictions", "labels")
    return logs


@cache
def whole(lateness: str) -> Driver:
    """Return what came of the late log in batches as large as can be."""
    return Driver({"m": spec(lateness)}, as_objects=True).run(late_log())


def reports(driver: Driver, source: str = "predictions") -> list[Any]:
    """Return the reports of a source's windows."""
    return [own for own in published(driver.outputs, "windows") if own["source"] == source]


@settings(max_examples=6, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 49), max_size=12), lateness=st.sampled_from(["700ms", "3s"]))
def test_where_batches_are_cut_changes_no_output_and_no_byte(
    cuts: Sequence[int], lateness: str
) -> None:
    expected, found = whole(lateness), Driver({"m": spec(lateness)}).run(late_log(), cuts)
    assert len(published(expected.outputs, "alerts")) > 1
    assert_equal(by_monitor(found.outputs), by_monitor(expected.outputs))
    same = comparable(found.partition.snapshot()) == comparable(expected.partition.snapshot())
    assert same


def test_slices_and_declared_limits_of_several_open_windows_are_the_same_wherever_cut() -> None:
    limits = msgspec.convert({"a": {"type": "numeric", "max": 50}}, dict[str, FeatureSpec])
    own = spec("3s", slices=["b"], features=limits)
    expected = Driver({"m": own}, as_objects=True).run(late_log())
    names = {name for window in reports(expected) for name in window["series"]}
    assert any("limit" in name for name in names)
    assert any(window["slices"] for window in reports(expected))
    for cuts in ([3, 17, 18, 40], range(50)):
        found = Driver({"m": own}).run(late_log(), cuts)
        assert_equal(by_monitor(found.outputs), by_monitor(expected.outputs))
        same = comparable(found.partition.snapshot()) == comparable(expected.partition.snapshot())
        assert same


def test_rows_that_come_in_time_count_where_they_belong() -> None:
    for source, behind_ms in (("predictions", 0), ("outcomes", 300)):
        closed = reports(whole("3s"), source)
        assert len(closed) > 30
        for own in closed:
            first_ms = NOON_MS // 1000 * 1000 + 1000 * own["window"]
            mine = [n for n in range(ROWS) if 0 <= NOON_MS + 25 * n + behind_ms - first_ms < 1000]
            assert (own["rows"], own["late"]) == (len(mine), 0)
            assert (own["first_ts_ms"] - behind_ms - NOON_MS) // 25 == mine[0]
            assert (own["last_ts_ms"] - behind_ms - NOON_MS) // 25 == mine[-1]


def test_what_is_learned_and_told_is_what_rows_in_order_give() -> None:
    in_order = Driver({"m": spec("0ms")}).run(late_log(disorder_ms=0))
    late = whole("3s")
    for found, expected in zip(reports(late)[:12], reports(in_order)[:12], strict=True):
        assert found["columns"].keys() == expected["columns"].keys()
        for name, column in expected["columns"].items():
            assert found["columns"][name] == pytest.approx(column)
    learned = [
        driver.partition.rows["predictions"].monitors["m", ""] for driver in (late, in_order)
    ]
    profiles = [own for monitor in learned if (own := monitor.inputs[0].learned) is not None]
    assert profiles[0].numeric["a"] == profiles[1].numeric["a"]
    shares = [dict(sorted(own.categorical["b"].shares.items())) for own in profiles]
    assert shares[0] == shares[1]
    rank = [own.series["rank(a)"].values for own in profiles]
    assert rank[0] == pytest.approx(rank[1])


def test_what_comes_later_than_that_counts_as_late_in_the_first_window_that_is_open() -> None:
    found = reports(whole("700ms"))
    assert sum(own["late"] for own in found) > ROWS / 5
    assert sum(own["late"] for own in reports(whole("0ms"))) > sum(own["late"] for own in found)
    logs = Logs()
    for n, second in enumerate([*range(3), 0, 1, 4, 5]):
        logs.add("predictions", row("m", str(n), 1000 * second, {"a": n}, 0.5), b"m")
    for n in range(100):
        logs.add("predictions", row("m", f"x{n}", 9000, {"a": n}, 0.5), b"m")
    logs.run("predictions")
    closed = reports(Driver({"m": spec("1s")}).run(logs))
    # At 2 s windows from 1 s on are open: the row of 0 s counts there.
    assert [(own["rows"], own["late"]) for own in closed] == [
        (1, 0), (3, 1), (1, 0), (1, 0), (1, 0)
    ]  # fmt: skip


def test_a_worker_that_is_restored_goes_on_with_all_open_windows() -> None:
    first, expected = Driver({"m": spec("3s")}), Driver({"m": spec("3s")})
    records = late_log().records["predictions"]
    expected.fold("predictions", records)
    first.fold("predictions", records[:777])
    assert first.partition.rows["predictions"].monitors["m", ""].later
    first.partition = Partition.restore(0, SETTINGS, first.partition.snapshot())
    first.fold("predictions", records[777:])
    assert_equal(by_monitor(first.outputs), by_monitor(expected.outputs))


@pytest.mark.parametrize("rows", [333, 777])
def test_a_snapshot_of_a_version_without_lateness_is_read(rows: int) -> None:
    driver, expected = Driver({"m": spec("0ms")}), Driver({"m": spec("0ms")})
    records = late_log(disorder_ms=0).records["predictions"]
    expected.fold("predictions", records)
    driver.fold("predictions", records[:rows])
    taken, parts = driver.partition.snapshot(), {}
    for key, part in taken.parts.items():
        own = msgspec.msgpack.decode(part)
        monitor = own["rows"]["predictions"]["monitor"]
        del monitor["later"], monitor["floor"]
        for open_part in monitor["window"]["parts"]:
            del open_part["before"]
            counted = open_part.pop("counted")
        parts[key] = msgspec.msgpack.encode(own)
    assert counted == []
    driver.partition = Partition.restore(0, SETTINGS, Snapshot(taken.root, parts))
    driver.fold("predictions", records[rows:])
    found, whole = reports(driver), reports(expected)
    assert [own["rows"] for own in found] == [own["rows"] for own in whole]
    assert len(published(driver.outputs, "alerts")) == len(published(expected.outputs, "alerts"))


@pytest.mark.parametrize(
    ("windows", "fault"),
    [
        ({"rows": 500, "lateness": "1m"}, "lateness: expected windows of event time, by every"),
        ({"every": "1m", "lateness": "101m"}, "lateness: expected 100 times every at most"),
    ],
)
def test_what_cannot_be_late_is_refused(windows: dict[str, Any], fault: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=fault):
        msgspec.convert(windows, WindowSpec)


def test_detectors_on_rows_are_refused_as_rows_are_not_in_order() -> None:
    chosen = DetectorSpec(kind="adwin", on="rows", series=["rank(a)"])
    [(path, fault)] = faults(spec("1s", detectors=[chosen]))
    assert path == "$.detectors[0].on"
    assert fault.startswith("expected windows")
    assert not list(faults(spec("0ms", detectors=[chosen])))


def test_another_lateness_keeps_what_was_learned() -> None:
    driver = Driver({"m": spec("0ms")}).run(late_log(disorder_ms=0, shift=0.0))
    monitor = driver.partition.rows["predictions"].monitors["m", ""]
    outcomes = driver.partition.outcomes.monitors["m", ""]
    assert not monitor.is_learning
    assert not outcomes.is_learning
    driver.change("m", "", spec("2s"))
    driver.feed_back()
    driver.fold("predictions", late_log().records["predictions"][:1])  # which is skipped
    driver.partition.rows["predictions"].fold(late_log().records["predictions"][-1:])
    assert driver.partition.outcomes.monitors["m", ""].windows == spec("2s").windows
    assert not driver.partition.outcomes.monitors["m", ""].is_learning
    choose(spec("2s"), monitor.learned)


@pytest.mark.parametrize("run", [4, 5, 7])
def test_slices_of_open_windows_are_the_same_after_a_restore(run: int) -> None:
    """Windows that were opened before slices were told apart have none of the rows before."""
    logs, own = late_log(), spec("3s", slices=["b"])
    expected = Driver({"m": own}, as_objects=True).run(logs)
    found = Driver({"m": own})
    for number, (source, end) in enumerate(logs.runs):
        start = found.partition.next_offset[source]
        found.fold(source, logs.records[source][start:end])
        found.feed_back()
        if number == 2 * run:
            snapshot = found.partition.snapshot()
            found.partition = Partition.restore(0, SETTINGS, snapshot)
            journal = found.fed_back["outcomes"]
            found.partition.read_journal(journal[found.partition.next_offset["outcomes"] :])
    assert [w["slices"] for w in reports(found)] == [w["slices"] for w in reports(expected)]


def test_lateness_holds_beside_a_published_reference() -> None:
    """Its windows are those of its rows, which say nothing of how late others may be."""
    reference = whole("3s").partition.rows["predictions"].monitors["m", ""].learned
    assert reference is not None
    published = control("m", spec("2s"), msgspec.structs.replace(reference, windows=SECONDS))
    assert published.spec.windows == msgspec.structs.replace(SECONDS, lateness="2s")
