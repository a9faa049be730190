"""The same log gives the same verdicts and the same bytes, wherever its batches are cut."""

from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.monitor.partition import PartitionState
from streams.monitor.records import Source
from tests.streams.monitor.driver import (
    Driver,
    assert_equal,
    by_monitor,
    comparable,
    pairs,
    published,
    rejected,
)
from tests.streams.monitor.logs import SPECS, busy_logs

SEEDS = (1, 2, 3)


@cache
def whole(seed: int) -> Driver:
    """Return what came of the busy log in batches as large as can be."""
    return Driver(SPECS).run(busy_logs(seed))


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
    state = msgspec.msgpack.decode(whole(seed).partition.snapshot(), type=PartitionState)
    assert state.join.duplicate_labels and state.join.duplicate_predictions


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
