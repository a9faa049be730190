"""Workers that join, leave and die: whoever is left holds all partitions, and says why it ends."""

from pathlib import Path

import pytest

from tests.end_to_end.workers import Group, Sender, Worker, group, until
from tests.streams.monitor.logs import NOON_MS, row
from tidegauge.schemas.topics import FOREVER_MS, TopicNames
from tidegauge.streams.runtime.topics import create_topics

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 2
STORMS = 3
# Its consumer's thread does not come back from the first rows that it fetches.
HANGS = """
import time
from tidegauge.streams.runtime.consumer import ConsumerThread

fetch = ConsumerThread._fetch_records

async def hang(self, *args, **kwargs):
    fetched = await fetch(self, *args, **kwargs)
    if fetched:
        time.sleep(1000)
    return fetched

ConsumerThread._fetch_records = hang
from tidegauge.streams.cli import main
main()
"""


@pytest.fixture
def topics(brokers: str, prefix: str) -> TopicNames:
    """All topics, with fewer partitions than there will be workers."""
    names = TopicNames.prefixed(prefix)
    create_topics(brokers, names, partitions=PARTITIONS, retention_ms=FOREVER_MS)
    return names


def until_connected(joining: list[Worker]) -> None:
    """Wait until workers are about to join; a signal before just ends Python."""
    until(lambda: all("ConsumerThread" in w.told() for w in joining), "expected them to connect")


def until_rows_flow(workers: Group, sender: Sender) -> None:
    """Send rows to every partition; return when they are folded and committed."""
    for partition in range(PARTITIONS):
        value = row("m", f"r{partition}", NOON_MS, {"amount": 1.0}, 0.5)
        sender.send(workers.topics.predictions, value, b"m", partition)
    sender.flush()
    workers.until_settled()


def test_after_storms_of_joins_leaves_and_kills_all_partitions_move_on(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    sender = Sender(brokers)
    with group(brokers, prefix, tmp_path, partition_count=PARTITIONS) as workers:
        alive = [workers.start(f"w{number}", static=False) for number in range(3)]
        workers.until_ready(*alive)
        until_rows_flow(workers, sender)
        for storm in range(STORMS):  # each while the one before is still being settled
            joining = [workers.start(f"s{storm}{number}", static=False) for number in range(2)]
            until_connected(joining)
            alive += joining
            alive.pop(0).kill()
            leaving = alive.pop(0)
            assert leaving.terminate()[0] == 0, leaving.told()
        workers.until_ready(*alive)
        until_rows_flow(workers, sender)
        spares = [worker for worker in alive if not worker.held]
        assert spares
        for worker in set(alive) - set(spares):
            worker.kill()
        workers.until_ready(*spares)
        until_rows_flow(workers, sender)
        assert all(worker.terminate()[0] == 0 for worker in spares)


def test_of_two_workers_with_one_name_the_newer_goes_on_and_the_older_says_why_it_ends(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    sender = Sender(brokers)
    with group(brokers, prefix, tmp_path, partition_count=PARTITIONS) as workers:
        older = workers.start("same")
        workers.until_ready(older)
        newer = workers.start("same")
        until(lambda: not older.is_alive, "expected the older worker to end")
        workers.workers.remove(older)
        assert older.process.returncode == 2, older.told()
        assert "another worker was started with the instance name 'same'" in older.told()
        assert "Traceback" not in older.told()
        workers.until_ready(newer)
        until_rows_flow(workers, sender)
        newer.kill()
        until_back(workers, workers.start("same"))
        until_rows_flow(workers, sender)


def until_back(workers: Group, restarted: Worker) -> None:
    """Wait for a worker that takes its own name back; the dead one must not be in its way."""
    workers.until_ready(restarted)
    assert restarted.is_alive


def test_a_worker_whose_consumer_hangs_ends_itself_and_another_goes_on(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    with group(brokers, prefix, tmp_path, partition_count=PARTITIONS) as workers:
        options = ["--stalled-after", "5s"]
        hanging = workers.start("same", options=options, program=("-c", HANGS))
        workers.until_ready(hanging)
        sender = Sender(brokers)
        value = row("m", "r", NOON_MS, {"amount": 1.0}, 0.5)
        sender.send(topics.predictions, value, b"m", 0)
        sender.flush()
        until(lambda: not hanging.is_alive, "expected the hanging worker to end")
        workers.workers.remove(hanging)
        assert hanging.process.returncode == 1, hanging.told()
        assert "nothing read for 5 s though there is more" in hanging.told()
        workers.until_ready(workers.start("same"))
        until_rows_flow(workers, sender)
