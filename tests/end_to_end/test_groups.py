import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest

from tests.end_to_end.workers import group, until
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.runtime.topics import create_topics

# As it starts it sees no other group, as where both start together.
UNSEEN = """
from tidegauge.streams.runtime import worker
worker.check_group = lambda *_: None
from tidegauge.streams.cli import main
main()
"""


def worker(brokers: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a worker that is to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "tidegauge", "worker", "--brokers", brokers, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


@contextlib.contextmanager
def subscribed(brokers: str, group_id: str, *topics: str) -> Iterator[None]:
    """Read these topics in a group, as other programs may."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": brokers, "group.id": group_id})
    with contextlib.closing(consumer):
        consumer.subscribe(list(topics))
        while not consumer.assignment():
            consumer.poll(0.1)
        yield


def test_a_second_group_on_the_same_topics_is_refused_and_names_the_first(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    with group(brokers, prefix, tmp_path) as workers:
        workers.until_ready(workers.start("first"))
        done = worker(brokers, "--prefix", prefix, "--group", f"{prefix}second")
    assert done.returncode == 2
    assert f"got {workers.group} besides {prefix}second: first at 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_group_that_reads_other_topics_is_not_joined(brokers: str, prefix: str) -> None:
    others, own = f"{prefix}others.", f"{prefix}own."
    create_topics(brokers, TopicNames.prefixed(own))
    create_topics(brokers, TopicNames.prefixed(others))
    with subscribed(brokers, "shared", f"{others}predictions"):
        done = worker(brokers, "--prefix", own, "--group", "shared")
    assert done.returncode == 2
    assert "group shared is taken: rdkafka-" in done.stderr
    assert f"reads {others}predictions; give --group another name" in done.stderr


def test_whoever_else_reads_the_same_topics_is_no_second_group(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    """A copy of all topics to elsewhere, say; and workers that share inputs but no output."""
    inputs = {"predictions": topics.predictions, "labels": topics.labels}
    apart = f"{prefix}apart."
    create_topics(brokers, TopicNames.prefixed(apart, inputs))
    (tmp_path / "apart").mkdir()
    with (
        subscribed(brokers, f"{prefix}copy", *topics.by_topic().values()),
        group(brokers, prefix, tmp_path) as workers,
        group(brokers, apart, tmp_path / "apart", inputs) as sharing,
    ):
        workers.until_ready(workers.start("first"))
        sharing.until_ready(sharing.start("apart"))


def test_a_killed_worker_of_another_group_is_waited_for(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    with (
        group(brokers, prefix, tmp_path) as old,
        group(brokers, prefix, tmp_path / "second") as new,
    ):
        new.group = f"{prefix}second"
        first = old.start("first")
        old.until_ready(first)
        first.kill()
        second = new.start("second")
        new.until_ready(second)
    assert "Waiting for" in second.log.read_text()


@pytest.mark.parametrize("first_by_name", [True, False])
def test_of_two_groups_that_start_together_the_later_by_name_ends(
    first_by_name: bool, brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    (tmp_path / "later").mkdir()
    with (
        group(brokers, prefix, tmp_path) as early,
        group(brokers, prefix, tmp_path / "later") as late,
    ):
        early.group, late.group = f"{prefix}a", f"{prefix}b"
        both = (early, late) if first_by_name else (late, early)
        for starting in both:
            starting.start("one", program=("-c", UNSEEN))
        (stays,), (ends,) = early.workers, late.workers
        until(lambda: not ends.is_alive, ends.told)
        assert ends.process.returncode == 2, ends.told()
        assert f"got {early.group} besides {late.group}: one at 127.0.0.1" in ends.told()
        assert "Traceback" not in ends.told()
        early.until_ready(stays)
        assert stays.terminate()[0] == 0, stays.told()
