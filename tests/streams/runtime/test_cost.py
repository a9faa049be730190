"""What snapshots cost when there are many models and few rows, with the real core."""

import random
from collections.abc import Callable

import pytest

from tests.streams.monitor.logs import NOON_MS, frame, row
from tests.streams.runtime.memory import MemoryControl, MemoryOffsets, MemoryProducer, Row
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Source
from tidegauge.streams.monitor.state import PartitionSettings
from tidegauge.streams.runtime.ledger import Fetch, Ledger
from tidegauge.streams.runtime.loading import load
from tidegauge.streams.runtime.outbox import Outbox
from tidegauge.streams.runtime.restore import Restored

TICK_S = 0.5
SETTINGS = PartitionSettings({source: source for source in SOURCES}, 1)


def a_row(model: int, chance: random.Random) -> bytes:
    features = {f"feature {n}": chance.random() for n in range(10)}
    return row(f"model {model}", f"{chance.getrandbits(64)}", NOON_MS, features, chance.random())


@pytest.mark.parametrize(
    ("models", "rows", "frames"), [(2000, 20, 1), (200, 100, 6)], ids=["waiting", "learning"]
)
async def test_many_models_and_a_trickle_cost_less_than_a_megabyte_a_minute(
    models: int, rows: int, frames: int
) -> None:
    clock, chance = 0.0, random.Random(1)
    producer = MemoryProducer([])
    outbox = Outbox({topic: topic for topic in (*SOURCES, "windows", "rejected", "state")})
    outbox.start(producer)
    core = Partition(0, SETTINGS)
    core.fence()

    async def restore(_: set[int], __: Callable[[], bool]) -> dict[int, Restored]:
        return {0: Restored(core, dict.fromkeys(SOURCES, 0), 0, set())}

    ledger = Ledger(outbox, MemoryControl(), lambda: MemoryOffsets([]), restore, lambda: clock)
    await ledger.restore({0})
    sources: tuple[Source, ...] = ("predictions", "features")

    async def fold(model: int, value: bytes) -> None:
        source = sources[model % 2]  # a partition takes 1,000 model versions of each
        record = Row(core.next_offset[source], b"m", value, NOON_MS)
        await ledger.fold(source, 0, Fetch(ledger.flow, [record]))

    for model in range(models):
        for _ in range(frames):
            await fold(model, frame([a_row(model, chance) for _ in range(rows)]))
    clock += 10
    await ledger.checkpoint_due()
    state = producer.log("state")
    everything = sum(len(record.value or b"") for record in state.records)
    state_before = len(state.records)
    for tick in range(120):  # a minute
        clock += TICK_S
        if tick % 4 == 0:
            model = chance.randrange(models)
            await fold(model, a_row(model, chance))
        await ledger.checkpoint_due()
    minute = sum(len(record.value or b"") for record in state.records[state_before:])
    print(f"{everything:,} bytes of state, {minute:,} bytes in a minute")
    assert sum(r.key == b"root-1" for r in state.records[state_before:]) >= 6
    assert minute < 1_000_000
    await ledger.release()
    found = (await load(state)).snapshot
    assert found is not None
    restored, whole = Partition.restore(0, SETTINGS, found).snapshot(), core.snapshot()
    assert [key for key, part in whole.parts.items() if restored.parts[key] != part] == []
