"""A producer stops: that is told while nothing is sent, and a replay of the logs tells the same."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.workers import Sender, everything, group
from tests.streams.monitor.logs import row
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.state import PartitionSettings

pytestmark = pytest.mark.timeout(300)

HOUR_MS, HOURS, PER_HOUR = 3_600_000, 40, 30


def test_silence_is_told_while_nothing_is_sent_and_a_replay_tells_the_same_bytes(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    first_ms = (int(1000 * time.time()) // HOUR_MS - HOURS - 3) * HOUR_MS
    records: list[LoggedRecord] = []
    for n in range(HOURS * PER_HOUR):  # which end three hours ago
        ts_ms = first_ms + n * HOUR_MS // PER_HOUR
        value = row("m", f"{n}", ts_ms, {"x": n % 7}, n % 10 / 10)
        records.append(LoggedRecord(n, ts_ms + 500, b"m", value))
    sender = Sender(brokers)
    sender.apply(topics, MonitorSpec(model="m", windows=WindowSpec(every="1h")))
    for record in records:
        sender.send(topics.predictions, record.value, b"m", timestamp=record.timestamp)
    sender.flush()

    def told() -> list[dict[str, Any]]:
        return [json.loads(m.value or b"") for m in everything(brokers, topics.alerts)]

    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only")
        workers.until(
            lambda: any("0 rows come in a window" in alert["title"] for alert in told()),
            "expected silence to be told while nothing is sent",
        )
        workers.until_settled()
        worker.kill()
        again = workers.start("only")  # and tells nothing twice
        workers.until_ready(again)
        workers.until_settled()
        assert again.terminate()[0] == 0, again.told()
        own = PartitionSettings(workers.sources, workers.partition_count)

    journal = [
        LoggedRecord(m.offset, 0, m.key, m.value, m.headers)
        for m in everything(brokers, topics.outcomes)
        if m.partition == 0
    ]
    assert any(json.loads(entry.value or b"")["kind"] == "tick" for entry in journal)
    replay = Partition(0, own)
    replay.read_journal(journal)
    replay.fence()
    outputs = [*replay.fold("predictions", records).outputs, *replay.apply_ticks()]
    for name, topic in (("alerts", topics.alerts), ("windows", topics.windows)):
        published = {m.ce_id: m.value for m in everything(brokers, topic)}
        own_ids = [(dict(o.headers)["ce_id"], o) for o in outputs if o.topic == name]
        assert {(key or b"").decode(): o.value for key, o in own_ids} == published
