"""A snapshot holds what has changed, no more; all of them together hold everything."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.driver import FED_BACK, SETTINGS, Driver, pieces
from tests.streams.monitor.logs import NOON_MS, SPECS, busy_logs, label, row
from tidegauge.schemas.monitors import EffectSpec, MonitorSpec
from tidegauge.streams.monitor.control.control import control
from tidegauge.streams.monitor.join.store import ROW_BYTES
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.rows import RowMonitors
from tidegauge.streams.monitor.snapshot import RETRAINING, Snapshot
from tidegauge.streams.monitor.state import PartitionSettings

INPUTS: tuple[Source, ...] = ("predictions", "features", "labels")


class Topic:
    """The latest root, and the latest of every part."""

    def __init__(self) -> None:
        self.root, self.parts = b"", dict[object, bytes]()

    def write(self, partition: Partition) -> None:
        snapshot = partition.snapshot(only_moved=True)
        self.root = snapshot.root
        self.parts |= snapshot.parts

    def restore(self) -> Partition:
        return Partition.restore(0, SETTINGS, Snapshot(self.root, self.parts))


def assert_all_there(topic: Topic, partition: Partition) -> None:
    whole = partition.snapshot()
    assert topic.parts.keys() == whole.parts.keys()
    stale = [key for key, part in whole.parts.items() if topic.parts[key] != part]
    assert stale == []
    again = topic.restore().snapshot()
    assert again.root == whole.root
    assert [key for key, part in whole.parts.items() if again.parts[key] != part] == []


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(1, 3), chance=st.randoms(use_true_random=False), every=st.integers(1, 40))
def test_the_latest_of_every_part_is_everything_wherever_it_is_cut(
    seed: int, chance: random.Random, every: int
) -> None:
    logs, driver, topic = busy_logs(seed, 6), Driver(SPECS), Topic()
    batches = 0
    for source, end in logs.runs:
        start = driver.partition.next_offset[source]
        cuts = [chance.randrange(50) for _ in range(chance.randrange(8))]
        for batch in pieces(logs.records[source][start:end], cuts):
            driver.fold(source, batch)
            batches += 1
            if chance.random() < 0.1:
                gate = EffectSpec(features=round(chance.uniform(0.1, 1), 2))
                driver.change("fraud", "2", MonitorSpec(model="fraud", effect=gate))
            if chance.random() < 0.5:
                driver.feed_back(cuts)
            if batches % every == 0:
                topic.write(driver.partition)
                assert_all_there(topic, driver.partition)
    driver.feed_back()
    topic.write(driver.partition)
    assert_all_there(topic, driver.partition)
    assert RETRAINING in topic.parts
    assert driver.partition.snapshot(only_moved=True).parts == {}


def many(models: int, rows: int, own: PartitionSettings = SETTINGS) -> Driver:
    """Return a driver that has met models, and whose first snapshot is written."""
    driver = Driver(settings=own)
    values = [
        row(f"m{m}", str(n), NOON_MS + n, {"a": float(n)}, 0.5)
        for m in range(models)
        for n in range(rows)
    ]
    for source in ("predictions", "features"):
        driver.fold(source, [LoggedRecord(n, NOON_MS, b"m", v) for n, v in enumerate(values)])
    driver.feed_back()
    driver.partition.snapshot(only_moved=True)
    return driver


def one(driver: Driver, source: Source, value: bytes) -> set[object]:
    """Fold one record; return the keys of the parts that the next snapshot holds."""
    at = driver.partition.next_offset[source]
    driver.fold(source, [LoggedRecord(at, NOON_MS, b"m", value)])
    driver.feed_back()
    moved = driver.partition.moved
    found = driver.partition.snapshot(only_moved=True)
    assert found.parts.keys() == moved
    return set(found.parts)


@pytest.mark.parametrize("rows", [1, 99, 120])
@pytest.mark.parametrize("source", ["predictions", "features"])
def test_a_row_of_one_model_writes_that_model_alone(rows: int, source: Source) -> None:
    driver = many(20, rows)
    value = row("m7", "new", NOON_MS, {"a": 1.0}, 0.5)
    for _ in range(3):
        assert one(driver, source, value) == {("m7", "")}


def test_a_label_writes_the_model_that_it_pairs_with_alone() -> None:
    driver = many(20, 120)
    assert one(driver, "labels", label("m3", "5", NOON_MS, 1.0)) == {("m3", "")}
    assert one(driver, "labels", label("m3", "nobody", NOON_MS, 1.0)) == {("m3", "")}


def test_rows_that_make_another_model_s_be_forgotten_write_both() -> None:
    driver = many(2, 120, replace(SETTINGS, join_bytes=240 * ROW_BYTES))
    assert one(driver, "labels", label("m3", "x", NOON_MS, 1.0)) == {("m0", ""), ("m3", "")}


def test_what_cannot_be_read_writes_the_root_alone() -> None:
    driver = many(20, 120)
    for source in INPUTS:
        assert one(driver, source, b"{") == set()
    for source in FED_BACK:
        assert one(driver, source, b"{") == set()


def test_the_root_does_not_grow_with_the_models() -> None:
    few, more = (many(models, 1).partition.snapshot() for models in (3, 60))
    assert len(more.parts) == 60
    assert len(more.root) < len(few.root) + 50


def test_each_owner_writes_everything_once() -> None:
    driver = many(5, 10)
    restored = Partition.restore(0, SETTINGS, driver.partition.snapshot())
    assert len(restored.snapshot(only_moved=True).parts) == 5
    assert restored.snapshot(only_moved=True).parts == {}


def test_rows_move_their_model_and_so_does_forgetting_how_they_were_read() -> None:
    monitors = RowMonitors("predictions", "t", 0, 1)
    for model in ("one", "two"):
        monitors.schedule(0, (model, ""), control(model, None, None))
    values = [
        row(model, str(n), NOON_MS, {"a": 1.0}, 0.5) for n in range(101) for model in ("one", "two")
    ]
    monitors.fold([LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)])
    for n in (202, 204):  # the second of two is read by the decoder of the first
        monitors.moved.clear()
        monitors.fold([LoggedRecord(n + k, NOON_MS, b"m", values[0]) for k in range(2)])
        assert monitors.moved == {("one", "")}
    columns = monitors.reader.columns["two", ""]
    monitors.past = {("one", ""): [(50, columns)], ("two", ""): [(40, columns), (60, columns)]}
    for before, moved in ((40, {("two", "")}), (50, {("one", "")}), (50, set())):
        monitors.moved.clear()
        monitors.forget(before)
        assert monitors.moved == moved
    assert monitors.past == {("two", ""): [(60, columns)]}
