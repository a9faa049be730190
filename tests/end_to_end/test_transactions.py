"""A producer with transactions: what it aborted never was, what it has not committed can wait."""

import subprocess
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from tests.end_to_end.workers import Sender, bodies, everything, group, pairs
from tests.streams.monitor.logs import NOON_MS, label, row
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.topics import TopicNames
from tidegauge.schemas.windows import WindowReport

pytestmark = pytest.mark.timeout(600)

STALLED_AFTER_S = 12  # two ticks of the watchdog


def send(producer: Any, topic: str, numbers: range, amount: float) -> None:
    """Send rows of a model within a transaction."""
    for n in numbers:
        value = row("m", f"r{n}", NOON_MS + n, {"amount": amount}, 0.5)
        producer.produce(topic, value, b"m", 0)
    assert producer.flush(60) == 0


def test_aborted_rows_are_never_folded_and_open_ones_only_once_they_are_committed(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    Sender(brokers).apply(topics, MonitorSpec(model="m", windows=WindowSpec(rows=100)))
    options = {"bootstrap.servers": brokers, "transactional.id": prefix}
    producer = confluent_kafka.Producer(options)
    producer.init_transactions(60)
    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only", options=["--stalled-after", f"{STALLED_AFTER_S}s"])
        for numbers, amount, end in (
            (range(1000), 999.0, producer.abort_transaction),
            (range(1000, 1500), 1.0, producer.commit_transaction),
        ):
            producer.begin_transaction()
            send(producer, topics.predictions, numbers, amount)
            end(60)

        def reports() -> list[WindowReport]:
            return bodies(brokers, topics.windows, WindowReport)

        workers.until(lambda: len(reports()) == 5, "expected the committed rows")
        producer.begin_transaction()
        send(producer, topics.predictions, range(1500, 1600), 2.0)
        sender = Sender(brokers)
        for n in (1000, 1500):  # the second names a row that cannot be read yet
            sender.send(topics.labels, label("m", f"r{n}", NOON_MS, 1.0), b"m", 0)
        sender.flush()

        def paired() -> set[str]:
            found = pairs(everything(brokers, topics.outcomes)).values()
            return {pair[0] for some in found for pair in some}

        workers.until(lambda: paired() == {"r1000"}, "expected the label not to wait")
        with pytest.raises(subprocess.TimeoutExpired):  # not called a stall
            worker.process.wait(2 * STALLED_AFTER_S)
        producer.commit_transaction(60)
        workers.until(lambda: len(reports()) == 6, "expected the rows committed last")
        workers.until(lambda: paired() == {"r1000", "r1500"}, "expected the pair committed last")
        assert worker.terminate()[0] == 0, worker.told()
        partition = workers.partitions()[0]
    assert partition.tallies["predictions"].observed == 600
    means = [report.columns["amount"].mean for report in reports()]
    assert means == [1.0] * 5 + [2.0]
