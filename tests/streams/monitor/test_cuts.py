"""The same log gives the same verdicts and the same bytes, wherever its batches are cut."""

import math
import random
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.driver import (
    SETTINGS,
    Driver,
    assert_equal,
    by_monitor,
    comparable,
    pairs,
    pieces,
    published,
    rejected,
)
from tests.streams.monitor.logs import NOON_MS, SPECS, busy_logs, frame, label, row
from tidegauge.schemas.monitors import DetectorSpec, MonitorSpec
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.snapshot import RootState
from tidegauge.streams.monitor.windows.sample import Sample

DAY_MS = 86_400_000
SEEDS = (1, 2, 3)


@cache
def whole(seed: int) -> Driver:
    """Return what came of the busy log in batches as large as can be."""
    return Driver(SPECS, as_objects=True).run(busy_logs(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_much_happens_in_the_busy_log(seed: int) -> None:
    outputs = whole(seed).outputs
    alerts = published(outputs, "alerts")
    assert {alert["kind"] for alert in alerts} >= {"quality", "performance"}
    assert {window["source"] for window in published(outputs, "windows")} == {
        "predictions",
        "features",
        "outcomes",
    }
    assert any(window["late"] for window in published(outputs, "windows"))
    assert published(outputs, "retraining")
    assert len(rejected(outputs)) > 15
    state = msgspec.msgpack.decode(whole(seed).partition.snapshot().root, type=RootState)
    assert state.join.duplicate_predictions
    assert sum(store.tally.counts.duplicate for store in whole(seed).partition.join.stores.values())


@pytest.mark.parametrize("seed", SEEDS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 49), max_size=12))
def test_where_batches_are_cut_changes_no_output_and_no_byte(seed: int, cuts: list[int]) -> None:
    expected, found = whole(seed), Driver(SPECS).run(busy_logs(seed), cuts)
    assert_equal(by_monitor(found.outputs), by_monitor(expected.outputs))
    assert_equal({0: rejected(found.outputs)}, {0: rejected(expected.outputs)})
    assert_equal(pairs(found.outputs), pairs(expected.outputs))
    same = comparable(found.partition.snapshot()) == comparable(expected.partition.snapshot())
    assert same


@pytest.mark.parametrize("seed", SEEDS)
def test_batches_of_one_record_give_the_same(seed: int) -> None:
    expected, found = whole(seed), Driver(SPECS).run(busy_logs(seed), range(50))
    assert_equal(by_monitor(found.outputs), by_monitor(expected.outputs))
    assert_equal(pairs(found.outputs), pairs(expected.outputs))
    same = comparable(found.partition.snapshot()) == comparable(expected.partition.snapshot())
    assert same


# --- rows that nobody should send -----------------------------------------------------------------

ODD = (
    b'"\xff\xfe": 1',  # a name that is not UTF-8, of a field that nobody reads
    b'"note": "\xff"',
    b'"features": {"a": 1, "\xff": 2}',
    b'"features": {"a": 1, "a": "x"}',
    b'"features": {"a": 1e400}',
    b'"features": {"a": 123456789012345678901234567890}',
    b'"deep": ' + b"[" * 300 + b"]" * 300,
    b'"deep": ' + b"[" * 100_000,
    b'"id": "again", "id": "and again"',
    b'"version": 7',
    b'"ids": []',
    b'"\\u0069ds": ["y"]',
    b'"ids": ["y"], "ts_ms": [5], "predictions": [0.5], "labels": [1]',
    b'"ids": ["y", "z"], "ts_ms": [5], "predictions": [0.5, 1], "labels": [1, 1]',
    b'"prediction": -0.0, "label": -0.0',
    b'"prediction": 1e100, "label": 1e101',
    b'"ts_ms": 253402300800000',
    b'"ts_ms": 5.0',
    b'"pad": "' + b"x" * 300 + b'"',
    b'"pad": "\\"ids\\"' + b"x" * 300 + b'"',
    b'"pad": {"ids": "' + b"x" * 300 + b'"}',
)


def odd_rows(seed: int, source: Source) -> list[LoggedRecord]:
    """Return good rows and frames among such as nobody should send."""
    chance, found = random.Random(seed), list[LoggedRecord]()
    for n in range(400):
        ts_ms = NOON_MS + chance.randint(-DAY_MS, DAY_MS // 2)
        name = str(chance.randint(0, 150))
        value = label("m", name, ts_ms, 1.0)
        if source == "predictions":
            value = row("m", name, ts_ms, {"a": n % 7, "b": "x"}, 0.5, chance.choice(["", "2"]))
        if n > 120 and chance.random() < 0.2:
            value = frame([value] * chance.randint(1, 4))
        if n > 110 and chance.random() < 0.5:
            odd = chance.choice(ODD)
            value = chance.choice([value[:-1] + b", " + odd + b"}", b"{" + odd + b", " + value[1:]])
        if n > 110 and chance.random() < 0.1:
            at = chance.randrange(len(value))
            value = value[:at] + bytes([chance.randrange(256)]) + value[at + 1 :]
        if chance.random() < 0.03:
            value = chance.choice(
                [b"{}", b"[]", b'{"ids": []}', b"{" * 5, value[: len(value) // 2]]
            )
        found.append(LoggedRecord(n, NOON_MS, b"m", value))
    return found


def odd(seed: int, cuts: list[int]) -> Driver:
    """Return what came of odd rows in batches cut at these places."""
    driver = Driver()
    sources: tuple[Source, ...] = ("predictions", "labels")
    for source in sources:
        driver.fold_each(source, pieces(odd_rows(seed, source), cuts))
        driver.feed_back(cuts)
    return driver


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 9), cuts=st.lists(st.integers(0, 49), max_size=30))
def test_where_batches_are_cut_does_not_decide_what_is_read_of_odd_rows(
    seed: int, cuts: list[int]
) -> None:
    expected, found = odd(seed, []), odd(seed, cuts)
    assert rejected(expected.outputs)
    assert pairs(expected.outputs)
    assert_equal({0: rejected(found.outputs)}, {0: rejected(expected.outputs)})
    assert_equal(pairs(found.outputs), pairs(expected.outputs))
    assert_equal(by_monitor(found.outputs), by_monitor(expected.outputs))
    for source, own in expected.partition.readability.items():
        theirs = found.partition.readability[source]
        assert {k: theirs.state(k) for k in theirs.models} == {k: own.state(k) for k in own.models}
    assert found.partition.join.state("m") == expected.partition.join.state("m")


@pytest.mark.parametrize("source", ["predictions", "labels"])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_row_is_read_alike_first_in_a_batch_and_after_others(
    odd: bytes, source: Source
) -> None:
    good = [row("m", str(n), NOON_MS, {"a": n % 7}, 0.5) for n in range(120)]
    value = label("m", "1", NOON_MS, 1.0) if source == "labels" else good[0]
    value = value[:-1] + b", " + odd + b"}"
    counts = []
    for before in (0, 20):
        driver = Driver()
        driver.fold("predictions", [LoggedRecord(n, NOON_MS, b"m", v) for n, v in enumerate(good)])
        batch = (good if source == "predictions" else [label("m", "0", NOON_MS, 1.0)] * 20)[:before]
        first = driver.partition.next_offset[source]
        values = [*batch, value]
        driver.fold(
            source, [LoggedRecord(first + n, NOON_MS, b"m", v) for n, v in enumerate(values)]
        )
        counts.append(driver.partition.tallies[source].rejected)
    assert counts[0] == counts[1]


def test_every_row_is_observed_rejected_or_waiting() -> None:
    logs = busy_logs(1)
    partition = whole(1).partition
    sources: tuple[Source, ...] = ("predictions", "features", "labels")
    for source in sources:
        tally = partition.tallies[source]
        assert tally.records == len(logs.records[source]) == partition.next_offset[source]
        rows = sum(count_rows(record.value) for record in logs.records[source])
        waiting = sum(rows.waiting() for name, rows in partition.rows.items() if name == source)
        assert tally.observed + tally.rejected + waiting == rows


def count_rows(value: bytes | None) -> int:
    """Return the rows of a record; one that cannot be read at all counts as one."""
    try:
        found = msgspec.json.decode(value or b"")
    except (ValueError, UnicodeDecodeError):
        return 1
    ids = found.get("ids", ["one"]) if isinstance(found, dict) else ["one"]
    return max(len(ids), 1)


def test_what_was_folded_already_is_skipped_and_gaps_in_the_offsets_are_normal() -> None:
    logs = busy_logs(1)
    driver, expected = Driver(SPECS), Driver(SPECS)
    records = [replace(r, offset=3 * r.offset) for r in logs.records["predictions"]]
    expected.fold("predictions", records)
    for start in range(0, len(records), 40):
        driver.fold("predictions", records[max(0, start - 25) : start + 40])
    assert_equal(by_monitor(driver.outputs), by_monitor(expected.outputs))
    assert driver.partition.tallies == expected.partition.tallies
    assert driver.partition.next_offset["predictions"] == records[-1].offset + 1


def test_rows_rejected_when_their_types_are_known_are_counted_the_same_wherever_cut() -> None:
    rows = [
        {"a": "text" if n % 5 < 2 else 1, "b": "text" if 2 <= n % 5 < 4 else 1} for n in range(100)
    ]
    values = [row("m", str(n), n, features, 0.5) for n, features in enumerate(rows)]
    records = [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
    whole, single = Driver(), Driver()
    whole.fold("predictions", records)
    for record in records:
        single.fold("predictions", [record])
    assert len(rejected(whole.outputs)) == 80
    assert by_monitor(whole.outputs) == by_monitor(single.outputs)
    (told,) = published(whole.outputs, "alerts")
    assert told["series"][0]["value"]["current"] == 0.8
    same = comparable(whole.partition.snapshot()) == comparable(single.partition.snapshot())
    assert same


def test_which_model_was_met_first_in_a_batch_leaves_no_trace() -> None:
    one = [row("one", str(n), n, {"a": 1}, 0.5) for n in range(101)]
    two = [row("two", str(n), n, {"a": 1}, 0.5) for n in range(101)]
    values = [*one[:99], frame(two[:99]), one[99], frame(two[99:])]
    records = [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
    whole, single = Driver(), Driver()
    whole.fold("predictions", records)
    for record in records:
        single.fold("predictions", [record])
    same = comparable(whole.partition.snapshot()) == comparable(single.partition.snapshot())
    assert same


def test_which_series_alarmed_first_in_an_open_window_leaves_no_trace() -> None:
    chosen = DetectorSpec(
        kind="page_hinkley",
        on="rows",
        series=["rank(a)", "rank(b)"],
        parameters={"threshold": 50.0, "min_instances": 1},
    )
    spec = msgspec.structs.replace(SPECS["fraud"], model="m", detectors=[chosen])
    features = [{"a": n % 7, "b": n % 5} for n in range(120)]
    features += [{"a": 0 if n < 4 else 90, "b": 0 if n < 2 else 90} for n in range(8)]
    values = [row("m", str(n), n, own, 0.5) for n, own in enumerate(features)]
    records = [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
    whole, single = Driver({"m": spec}), Driver({"m": spec})
    whole.fold("predictions", records)
    for record in records:
        single.fold("predictions", [record])
    (inputs,) = whole.partition.rows["predictions"].monitors["m", ""].inputs
    watching = inputs.watching()
    assert watching is not None
    assert len(watching.alarmed) == 2
    same = comparable(whole.partition.snapshot()) == comparable(single.partition.snapshot())
    assert same


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("slices", [[], ["a", "b"], ["b", "a"]])
def test_versions_that_are_sliced_otherwise_leave_no_trace_in_one_another(
    slices: list[str], restored: bool
) -> None:
    spec = MonitorSpec(model="m", slices=["a"])
    values = [
        row("m", str(n // 2), n, {"a": "pqr"[n % 3], "b": n // 2 % 5}, 0.5, "12"[n % 2])
        for n in range(460)
    ]
    records = [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
    whole, single = Driver({"m": spec}), Driver({"m": spec})
    for driver, cuts in ((whole, []), (single, range(50))):
        driver.fold("predictions", records[:400])  # of which the last wait for their labels
        driver.change("m", "2", msgspec.structs.replace(spec, slices=slices))
        for batch in pieces(records[400:], cuts):
            driver.fold("predictions", batch)
        if restored:
            driver.partition = Partition.restore(0, SETTINGS, driver.partition.snapshot())
            driver.partition.rebuild_join("predictions", records)
        labels = [label("m", str(n), 1000, 1.0) for n in range(190, 230)]
        driver.fold("labels", [LoggedRecord(n, NOON_MS, b"m", v) for n, v in enumerate(labels)])
    found = published(whole.outputs, "outcomes")
    assert found == published(single.outputs, "outcomes")
    told = {one["version"]: one["slices"] for one in found if "ids" in one}
    assert told["1"] == {"a": ["pqr"[n % 3] for n in range(380, 460, 2)]}
    after: dict[str, list[Any]] = {"a": ["pqr"[n % 3] for n in range(401, 460, 2)]}
    after["b"] = [n // 2 % 5 for n in range(401, 460, 2)]
    assert told["2"] == {name: [None] * 10 + after[name] for name in slices}


@pytest.mark.parametrize("rows", [1, 2000, 2001, 4001, 9000])
def test_a_sample_is_bounded_evenly_spaced_and_the_same_wherever_cut(rows: int) -> None:
    table = np.arange(2.0 * rows).reshape(rows, 2)
    whole, parts = Sample(rows=[]), Sample(rows=[])
    whole.add(rows, table.__getitem__)
    for part in np.split(table, range(0, rows, 7)):
        parts.add(len(part), part.__getitem__)
    assert whole == parts
    assert len(whole.rows) <= 2000
    kept = np.frombuffer(b"".join(whole.rows)).reshape(-1, 2)
    assert kept.tolist() == table[:: whole.stride].tolist()
    assert whole.stride == max(1, 2 ** math.ceil(math.log2(rows / 2000)))
