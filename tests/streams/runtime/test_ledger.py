import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from tests.streams.runtime.memory import (
    CountingCore,
    MemoryControl,
    MemoryOffsets,
    MemoryProducer,
    Row,
    rows,
)
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.monitor.journal.poison import FoldError
from tidegauge.streams.monitor.records import SOURCES, Output, Record
from tidegauge.streams.runtime import ledger
from tidegauge.streams.runtime.ledger import Fetch, Ledger
from tidegauge.streams.runtime.outbox import Outbox
from tidegauge.streams.runtime.restore import Restored, SupersededError

TOPICS = {"windows": "windows", "outcomes": "outcomes", "state": "state"}


@dataclass
class World:
    """A ledger that holds partition 0, and everything around it."""

    story: list[str] = field(default_factory=list)
    clock: float = 0.0
    wall: float = 0.0

    def __post_init__(self) -> None:
        self.producer = MemoryProducer(self.story)
        self.control = MemoryControl()
        self.offsets = MemoryOffsets(self.story)
        self.cores: list[CountingCore] = []
        self.outbox = Outbox(TOPICS)
        self.outbox.start(self.producer)
        self.ledger = Ledger(
            self.outbox,
            self.control,
            lambda: self.offsets,
            self.restore,
            lambda: self.clock,
            lambda: self.wall,
        )

    async def restore(self, numbers: set[int], wanted: Callable[[], bool]) -> dict[int, Restored]:
        await asyncio.sleep(0)
        if not wanted():
            raise SupersededError
        self.cores = [CountingCore(number) for number in numbers]
        starts = dict.fromkeys(SOURCES, 0)
        return {core.number: Restored(core, starts, 100, set()) for core in self.cores}

    def fetch(self, records: list[Record]) -> Fetch:
        return Fetch(self.ledger.flow, records)

    async def fold(self, *offsets: int) -> None:
        await self.ledger.fold("predictions", 0, self.fetch(rows(*offsets)))


async def world() -> World:
    made = World()
    await made.ledger.restore({0})
    return made


async def test_outputs_leave_at_once_and_snapshots_only_after_their_confirmation() -> None:
    w = await world()
    w.producer.held = []
    w.control.tables.revision = 0
    w.cores[0].digests["m"] = control_digest(None, None)
    await w.fold(0, 1)
    assert w.story == ["windows", "windows"]
    leaving = asyncio.create_task(w.ledger.release())
    for _ in range(10):
        await asyncio.sleep(0)
    assert "state" not in w.story
    w.producer.confirm()
    await leaving
    assert w.story == ["windows"] * 2 + ["windows confirmed"] * 2 + ["state", "commit"]
    assert w.offsets.committed["predictions", 0] == 2


async def test_an_unknown_model_is_journaled_before_its_first_row_is_folded() -> None:
    w = await world()
    spec = MonitorSpec(model="m", threshold=0.9)

    def publish() -> None:
        w.control.tables.read_monitors([Row(0, b"m", msgspec.json.encode(spec))])

    w.control.on_catch_up = publish  # known only once the reader has caught up
    await w.fold(0)
    assert w.story == ["outcomes", "windows"]
    assert w.cores[0].digests["m"] == control_digest(spec, None)


async def test_a_changed_spec_is_journaled_before_the_next_row_and_only_once() -> None:
    w = await world()
    await w.fold(0)
    spec = MonitorSpec(model="m", threshold=0.9)
    w.control.tables.read_monitors([Row(0, b"m", msgspec.json.encode(spec))])
    await w.fold(1)
    await w.fold(2)
    assert w.story == ["outcomes", "windows", "outcomes", "windows", "windows"]
    assert w.cores[0].digests["m"] == control_digest(spec, None)


async def test_batches_fetched_before_a_seek_or_a_rebalance_are_left_out() -> None:
    w = await world()
    before_seek = w.fetch(rows(5))
    w.ledger.flow = object()  # as the consumer's thread does at a seek
    await w.ledger.fold("predictions", 0, before_seek)
    before_rebalance = w.fetch(rows(5))
    await w.ledger.restore({0})
    await w.ledger.fold("predictions", 0, before_rebalance)
    assert w.cores[0].folded == []
    await w.fold(0)
    assert w.cores[0].folded == [("predictions", 0)]


async def test_what_the_log_lost_between_two_batches_is_journaled_before_the_next_row() -> None:
    w = await world()
    w.cores[0].digests["m"] = control_digest(None, None)
    w.offsets.starts["predictions"] = 5
    await w.fold(5)  # what was there before anything was read is not missed
    await w.fold(8, 9)  # a hole of compaction, or of a transaction's marker
    w.offsets.starts["predictions"] = 14
    await w.fold(20)
    outcomes = [record.value for record in w.producer.log("outcomes").records]
    assert outcomes == [b"gap 10 to 13"]
    assert w.story == ["windows"] * 3 + ["outcomes", "windows"]


async def test_a_partition_that_is_not_held_is_left_alone() -> None:
    w = await world()
    await w.ledger.fold("predictions", 3, w.fetch(rows(0)))
    assert w.story == []


async def test_after_a_failed_fold_nothing_is_published() -> None:
    w = await world()
    w.cores[0].explodes_at = 1
    with pytest.raises(RuntimeError, match="a bug in the core"):
        await w.fold(0, 1)
    await w.ledger.release()
    assert "state" not in w.story
    assert w.offsets.committed == {}
    await w.ledger.restore({0})
    await w.fold(0)
    await w.ledger.release()
    assert w.story[-2:] == ["state", "commit"]


async def test_what_cannot_be_folded_is_journaled_and_the_partitions_are_taken_anew() -> None:
    w = await world()
    w.cores[0].poisonous_at = 1
    await w.fold(0, 1)
    assert w.story[-2:] == ["outcomes", "rejoin"]
    await w.fold(2)
    await w.ledger.release()
    assert w.cores[0].folded == [("predictions", 0)]
    assert "state" not in w.story
    await w.ledger.restore({0})
    await w.fold(0)
    await w.ledger.release()
    assert w.story[-2:] == ["state", "commit"]


async def test_what_a_snapshot_cannot_fold_is_journaled_and_nothing_more_is_published() -> None:
    w = await world()
    await w.fold(0, 1)
    w.cores[0].gathered = 0, 1
    with pytest.raises(FoldError, match="predictions offsets 0 to 1"):
        await w.ledger.release()
    assert w.story[-1] == "outcomes"
    await w.fold(2)
    await w.ledger.release()
    assert "state" not in w.story
    assert w.offsets.committed == {}


async def test_after_a_refused_output_nothing_is_committed() -> None:
    w = await world()
    w.cores[0].digests["m"] = control_digest(None, None)
    w.producer.failure = ConnectionError("refused")
    await w.fold(0)
    with pytest.raises(ConnectionError, match="refused"):
        await w.ledger.release()
    assert w.offsets.committed == {}


async def test_a_cancelled_checkpoint_marks_the_state_as_not_to_be_published() -> None:
    w = await world()
    w.cores[0].digests["m"] = control_digest(None, None)
    w.producer.held = []
    await w.fold(0)
    w.clock = 20
    checkpoint = asyncio.create_task(w.ledger.checkpoint_due())
    await asyncio.sleep(0)
    checkpoint.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checkpoint
    w.producer.confirm()
    await w.ledger.release()
    assert "state" not in w.story


async def test_a_snapshot_waits_for_ten_times_its_bytes_of_input_or_ten_seconds() -> None:
    w = await world()
    await w.ledger.release()
    await w.ledger.restore({0})
    w.cores[0].digests["m"] = control_digest(None, None)
    taken: list[float] = []
    for tick in range(1, 26):
        w.clock = tick * 0.5
        await w.ledger.fold("predictions", 0, w.fetch([Row(tick, value=b"x" * 10)]))
        before = w.story.count("state")
        await w.ledger.checkpoint_due()
        if w.story.count("state") > before:
            taken.append(w.clock)
    assert taken == [10.0]  # 25 rows of 10 bytes are not worth a snapshot of 100 bytes
    await w.ledger.fold("predictions", 0, w.fetch([Row(99, value=b"x" * 10_000)]))
    w.clock += 0.5
    await w.ledger.checkpoint_due()
    assert w.story[-2:] == ["state", "commit"]


async def test_a_partition_without_rows_for_a_second_is_snapshotted() -> None:
    w = await world()
    w.cores[0].digests["m"] = control_digest(None, None)
    w.clock = 1.0
    await w.fold(0)
    w.clock = 1.9
    await w.ledger.checkpoint_due()
    assert "state" not in w.story
    w.clock = 2.0
    await w.ledger.checkpoint_due()
    assert w.story[-2:] == ["state", "commit"]


async def test_labels_wait_for_a_backlog_of_predictions_as_long_as_it_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = await world()
    w.cores[0].digests["m"] = control_digest(None, None)
    w.offsets.ends["predictions"] = 8
    monkeypatch.setattr(ledger, "PREDICTIONS_WITHIN_S", 0.2)
    monkeypatch.setattr(ledger, "POLL_S", 0.01)
    labels = asyncio.create_task(w.ledger.fold("labels", 0, w.fetch(rows(0))))
    for end in range(8):
        await asyncio.sleep(0.05)  # in all twice the time they may stand still
        assert not labels.done()
        await w.fold(end)
    await labels
    assert w.cores[0].folded[-1] == ("labels", 0)


async def test_labels_wait_until_the_predictions_before_them_are_folded() -> None:
    w = await world()
    w.cores[0].digests["m"] = control_digest(None, None)
    w.offsets.ends["predictions"] = 3
    labels = asyncio.create_task(w.ledger.fold("labels", 0, w.fetch(rows(0))))
    for end in range(3):
        await asyncio.sleep(0)
        assert not labels.done()
        await w.fold(end)
    await labels
    assert [source for source, _ in w.cores[0].folded] == ["predictions"] * 3 + ["labels"]


async def test_offsets_without_records_are_not_waited_for() -> None:
    w = await world()
    w.offsets.ends["predictions"] = 1  # a transaction's marker
    w.offsets.drained = True
    await w.ledger.fold("labels", 0, w.fetch(rows(0)))
    assert w.cores[0].folded == [("labels", 0)]


async def test_labels_that_waited_through_a_rebalance_are_left_out() -> None:
    w = await world()
    w.offsets.ends["predictions"] = 3
    labels = asyncio.create_task(w.ledger.fold("labels", 0, w.fetch(rows(0))))
    await asyncio.sleep(0)
    before = w.cores[0]
    await w.ledger.restore({0})
    await labels
    assert before.folded == w.cores[0].folded == []


async def test_a_restore_that_a_rebalance_overtakes_leaves_nothing_behind() -> None:
    w = World()
    restoring = asyncio.create_task(w.ledger.restore({0}))
    await asyncio.sleep(0)
    await w.ledger.release()
    await restoring
    assert w.ledger.partitions == frozenset()


async def test_outputs_leave_in_their_order_though_several_tasks_send_them() -> None:
    w = await world()
    send, pauses = w.producer.send, iter([5, 0, 3, 0])

    async def send_slowly(*args: Any) -> Any:
        for _ in range(next(pauses)):
            await asyncio.sleep(0)
        return await send(*args)

    w.producer.send = send_slowly  # type: ignore[method-assign, assignment]  # a slower one
    w.outbox.put(0, [Output("windows", b"m", b"%d" % number) for number in range(4)])
    await asyncio.gather(w.outbox.send(), w.outbox.send(), w.outbox.settled())
    sent = [record.value for record in w.producer.log("windows").records]
    assert sent == [b"0", b"1", b"2", b"3"]


async def test_the_clock_closes_windows_once_it_is_journaled_and_all_rows_are_folded() -> None:
    w = await world()
    await w.fold(0, 1)
    del w.story[:]
    w.cores[0].ends_ms = 5000
    w.wall = 4.0
    await w.ledger.tick()
    assert w.story == []
    w.wall, w.offsets.ends["predictions"] = 6.0, 3
    await w.ledger.tick()
    assert w.story == []  # a row is still to come
    w.offsets.ends["predictions"] = 2
    await w.ledger.tick()
    await w.ledger.tick()
    assert w.story == ["outcomes", "windows"]
    assert w.producer.log("windows").records[-1].value == b"tick 6000"
