import logging
from dataclasses import dataclass, field
from typing import cast

import pytest

from tests.streams.runtime.memory import CORES, CountingCore, MemoryLog, MemoryProducer
from tidegauge.streams.monitor.records import SOURCES, Output, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.errors import StateError
from tidegauge.streams.runtime.outbox import Outbox
from tidegauge.streams.runtime.restore import Restored, Restorer, SupersededError
from tidegauge.streams.runtime.snapshots import SnapshotWriter


@dataclass
class World:
    """The logs of one partition; ``outcomes`` is where the fence goes."""

    wanted: bool = True
    logs: dict[str, MemoryLog] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.producer = MemoryProducer([])
        self.logs = {name: MemoryLog(name) for name in (*SOURCES, "state")}
        self.producer.logs = self.logs
        self.outbox = Outbox({"outcomes": "outcomes", "state": "state"})
        self.outbox.start(self.producer)

    def fill(self, topic: str, count: int) -> None:
        for _ in range(count):
            self.logs[topic].append(b"m", b"row")

    async def save(self, **offsets: int) -> None:
        core = CountingCore(0)
        core.next_offset.update(cast(dict[Source, int], offsets))
        core.epoch = 4
        await SnapshotWriter(self.logs["state"].append_state, 4, set()).write(core.snapshot())

    async def restore(self) -> Restored:
        cores = self.logs.__getitem__
        return await Restorer(0, CORES, self.outbox, cores, lambda: self.wanted).restore()


def core_of(restored: Restored) -> CountingCore:
    assert isinstance(restored.core, CountingCore)
    return restored.core


async def test_a_new_partition_starts_where_its_logs_start() -> None:
    w = World()
    w.fill("labels", 5)
    w.logs["labels"].first = 3
    restored = await w.restore()
    assert restored.starts == dict.fromkeys(SOURCES, 0) | {"labels": 3}
    assert [record.value for record in w.logs["outcomes"].records] == [b"fence 1"]


async def test_the_join_is_filled_again_with_what_lies_before_the_next_rows() -> None:
    w = World()
    w.fill("predictions", 5)
    w.fill("labels", 5)
    await w.save(predictions=3, labels=2)
    restored = await w.restore()
    expected = [("predictions", 0), ("predictions", 1), ("predictions", 2)]
    assert core_of(restored).rebuilt == [*expected, ("labels", 0), ("labels", 1)]
    assert restored.starts["predictions"] == 3
    assert core_of(restored).epoch == 5


async def test_what_an_old_owner_appends_before_the_fence_is_read_and_fenced_again() -> None:
    w = World()
    w.fill("outcomes", 2)
    send, late = w.producer.send, [b"late 1", b"late 2"]

    async def send_after_the_old_owner(*args: object) -> object:
        if late:
            w.logs["outcomes"].append(b"m", late.pop(0))
        return await send(*args)  # type: ignore[arg-type]  # passed on as it came

    w.producer.send = send_after_the_old_owner  # type: ignore[method-assign, assignment]  # a spy
    core = core_of(await w.restore())
    read = [record.value for record in core.journal]
    written = [record.value for record in w.logs["outcomes"].records]
    assert read == written[:-1]
    assert written[2:] == [b"late 1", b"fence 1", b"late 2", b"fence 2", b"fence 3"]
    assert core.epoch == 3


async def test_control_changes_wait_for_what_a_former_owner_may_have_told() -> None:
    w = World()
    w.fill("predictions", 5)
    w.fill("features", 3)
    first = core_of(await w.restore())
    assert first.told == {}  # there was none
    await w.save(predictions=2)
    assert core_of(await w.restore()).told == {"predictions": 5, "features": 3}


async def test_rows_deleted_before_they_were_read_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    w = World()
    w.fill("features", 9)
    w.logs["features"].first = 6
    await w.save(features=2)
    with caplog.at_level(logging.ERROR):
        restored = await w.restore()
    assert restored.starts["features"] == 6
    assert "features: records 2 to 5 were deleted before they were read" in caplog.text
    written = [record.value for record in w.logs["outcomes"].records]
    assert written == [b"fence 5", b"gap 2 to 5"]
    assert restored.core.next_offset["features"] == 6  # the next owner does not tell it again


async def test_a_log_shorter_than_its_state_is_refused() -> None:
    w = World()
    await w.save(features=2)
    with pytest.raises(StateError, match="features ends at 0, but its state goes on at 2"):
        await w.restore()


async def test_bytes_the_core_cannot_read_are_refused() -> None:
    w = World()
    await SnapshotWriter(w.logs["state"].append_state, 1, set()).write(Snapshot(b"{}", {}))
    with pytest.raises(StateError, match="state of partition 0: Object missing required field"):
        await w.restore()


async def test_a_superseded_restore_stops_between_batches() -> None:
    w = World(wanted=False)
    w.fill("outcomes", 1)
    with pytest.raises(SupersededError):
        await w.restore()


async def test_a_dead_letter_with_neither_key_nor_value_can_be_sent() -> None:
    w = World()
    assert await w.outbox.deliver(0, Output("outcomes", None, None)) == 0
    assert w.logs["outcomes"].records[0].value == b""
