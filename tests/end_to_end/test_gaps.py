"""Rows deleted before they were read, from a worker that hangs and from one that is away."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.end_to_end.workers import Sender, bodies, group
from tests.streams.monitor.logs import NOON_MS, label
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.topics import TopicNames

pytestmark = pytest.mark.timeout(300)


def test_records_deleted_unread_are_told_with_their_offsets_while_running_and_after_a_restart(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    sender, admin = Sender(brokers), AdminClient({"bootstrap.servers": brokers})

    def send(numbers: range) -> None:
        for n in numbers:
            sender.send(topics.labels, label("m", f"r{n}", NOON_MS, 1.0), b"m", 0)
        sender.flush()

    def delete_up_to(offset: int) -> None:
        (done,) = admin.delete_records([TopicPartition(topics.labels, 0, offset)]).values()
        done.result()

    def told(count: int) -> Callable[[], bool]:
        return lambda: len(bodies(brokers, topics.alerts, Alert)) == 2 * count

    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only")
        send(range(10))
        workers.until_settled()
        os.kill(worker.process.pid, signal.SIGSTOP)
        send(range(10, 11))  # the answer to a fetch that is under way
        send(range(11, 100))
        delete_up_to(60)
        os.kill(worker.process.pid, signal.SIGCONT)
        workers.until(told(1), "expected the gap to be told")
        workers.until_settled()
        assert worker.terminate()[0] == 0, worker.told()
        send(range(100, 120))
        delete_up_to(115)
        worker = workers.start("only")
        workers.until(told(2), "expected the gap to be told")
        workers.until_settled()
        assert worker.terminate()[0] == 0, worker.told()
        partition = workers.partitions()[0]
    first, _, second, _ = (alert.evidence for alert in bodies(brokers, topics.alerts, Alert))
    assert first.last_offset == 59
    assert (second.first_offset, second.last_offset) == (100, 114)
    assert "records 100 to 114 were deleted before they were read" in worker.told()
    assert partition.tallies["labels"].observed == 120 - first.rows - second.rows
