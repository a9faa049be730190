"""Snapshots as earlier versions wrote them, and a worker that goes on from one."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from tests.streams.monitor.driver import FED_BACK, SETTINGS, Driver
from tests.streams.monitor.logs import NOON_MS, label, row
from tests.streams.runtime.memory import MemoryLog, Row
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.loading import load
from tidegauge.streams.runtime.state_log import SNAPSHOT_KEY

GOLDEN = Path(__file__).parents[2] / "golden"
LATER_MS = NOON_MS + 3_600_000


async def golden(layout: int) -> Snapshot:
    """Return the snapshot of an earlier layout."""
    data = (GOLDEN / f"state-layout-{layout}.bin").read_bytes()
    rows = [Row(0, SNAPSHOT_KEY, data)]
    if layout == 2:
        records = msgspec.msgpack.decode(data, type=list[tuple[int, bytes, bytes]])
        rows = [Row(*record) for record in records]
    found = (await load(MemoryLog(records=[*rows], end=rows[-1].offset + 1))).snapshot
    assert found is not None
    return found


class Upgraded(Driver):
    """A worker of today in the place of one of then, and models that behave as they had learned."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.partition, self.outputs = Partition.restore(0, SETTINGS, snapshot), []
        for source in FED_BACK:  # what was folded then is not asked for again
            log = range(self.partition.next_offset[source])
            self.fed_back[source] = [LoggedRecord(n, NOON_MS, None, None) for n in log]
        self.publish([self.partition.fence()])
        self.rng, self.sent = np.random.default_rng(7), 0

    def send(self, source: Source, values: Sequence[bytes]) -> None:
        """Fold rows behind those that were folded, and what follows from them."""
        at = self.partition.next_offset[source]
        records = [LoggedRecord(at + n, LATER_MS, b"m", value) for n, value in enumerate(values)]
        self.fold(source, records)
        self.feed_back()

    def go_on(self, rounds: int, *, moved: bool = False, off: float = 224) -> "Upgraded":
        """Send so many rows and labels of each model that was watched.

        Of those that had ``moved`` then, they are as they were then: of one, labels are ``off``.
        """
        for _ in range(rounds):
            self.sent += 1
            self._send_round(moved, off)
        return self

    def _send_round(self, moved: bool, off: float) -> None:
        id_, ts_ms = f"later-{self.sent}", LATER_MS + 50 * self.sent
        rng, even = self.rng, self.sent % 2 == 0
        amount = None if moved else rng.normal(10.4, 2.1)
        fraud = {"amount": amount, "country": "DE" if even else "PL", "vip": rng.random() < 0.4}
        plan = "gold" if moved else "plus" if even else "basic"
        churn = {"tenure": rng.normal(55 if moved else 24.2, 6), "plan": plan}
        price, score = rng.normal(306, 28), rng.beta(2, 5)
        rows = [
            row("fraud", id_, ts_ms, fraud, rng.uniform(0, 0.9), "2"),
            row("house", id_, ts_ms, {"area": price / 3}, price),
            row("churn", id_, ts_ms, churn, score, "7"),
        ]
        self.send("predictions", rows)
        labels = [
            label("house", id_, ts_ms, price + (off if moved else 2)),
            label("churn", id_, ts_ms, float(rng.random() < score + (0.3 if moved else 0))),
        ]
        self.send("labels", labels)
        fraud = {"balance": rng.normal(0.1, 0.9), "tier": "a" if even else "b"}
        self.send("features", [row("fraud", id_, ts_ms, fraud, version="1")])
