import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import confluent_kafka
import msgspec
import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata
from typer.testing import CliRunner

from tests.streams.cli.test_events import REQUEST, WINDOW
from tidegauge.schemas import cloudevents, rejected
from tidegauge.schemas.retraining import RETRAIN_TYPE
from tidegauge.schemas.topics import TopicNames
from tidegauge.schemas.windows import WINDOW_TYPE
from tidegauge.streams.cli import app
from tidegauge.streams.cli.clients import reading
from tidegauge.streams.cli.reading import BEFORE, EARLIEST_MS, Reader

invoke = CliRunner().invoke
BODIES: dict[str, tuple[str, Any]] = {
    RETRAIN_TYPE: ("retraining", REQUEST),
    WINDOW_TYPE: ("windows", WINDOW),
}


class Topics:
    """Writes events as a worker does, and runs the command on them."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.brokers, self.prefix = brokers, prefix
        self._producer = confluent_kafka.Producer({"bootstrap.servers": brokers})

    def tell(self, *ids: str, type: str = RETRAIN_TYPE, partition: int = 0) -> None:
        """Write an event for each id; its model is its id."""
        topic, body = BODIES[type]
        for id in ids:
            head = cloudevents.headers(id=id, type=type, source="s", subject=id, time_ms=0)
            value = msgspec.json.encode(msgspec.structs.replace(body, model=id))
            name = self.prefix + topic
            self._producer.produce(name, value, b"k", partition, headers=list(head))
            assert self._producer.flush(30) == 0

    def words(self, *arguments: object) -> list[str]:
        return [
            *("alerts", "--topic", "retraining", "--json", *map(str, arguments)),
            *("--brokers", self.brokers, "--prefix", self.prefix),
        ]

    def ids(self, *arguments: object) -> list[str]:
        """Return the ids of what the command tells."""
        result = invoke(app, self.words(*arguments))
        assert result.exit_code == 0, result.output
        return [json.loads(line)["id"] for line in result.stdout.splitlines()]

    @contextlib.contextmanager
    def following(self, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
        command = [sys.executable, "-m", "tidegauge", *self.words("--follow", *arguments)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def written(brokers: str, prefix: str, topics: TopicNames) -> Topics:
    return Topics(brokers, prefix)


def next_id(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    id: str = json.loads(process.stdout.readline())["id"]
    return id


def test_a_group_goes_on_where_it_stopped(written: Topics) -> None:
    written.tell("a", "b")
    written.tell("c", partition=2)
    assert written.ids("--group", "pager") == ["a", "b", "c"]
    assert written.ids("--group", "pager") == []
    written.tell("d")
    written.tell("e", partition=1)
    assert written.ids("--group", "pager") == ["d", "e"]
    assert written.ids("--group", "other") == ["a", "b", "c", "d", "e"]


def forget(brokers: str, group: str) -> None:
    """Let the brokers drop a group's places, as they do a week after the last was written."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=brokers)) as admin:
        admin.delete_groups([group])


def test_a_reader_goes_on_where_the_brokers_forgot_its_place(written: Topics, prefix: str) -> None:
    written.tell("a")
    with written.following("--group", f"{prefix}retrain") as process:
        assert next_id(process) == "a"
        written.tell("b")
        assert next_id(process) == "b"  # the place beyond a is written
        forget(written.brokers, f"{prefix}retrain")
        written.tell("c", "d")
        assert [next_id(process), next_id(process)] == ["c", "d"]


def test_a_reader_writes_its_places_again_though_nothing_has_moved(
    written: Topics, prefix: str, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(written.brokers, f"{prefix}retrain") as consumer:
        reader = Reader(consumer, topics.retraining, [0], EARLIEST_MS, f"{prefix}retrain")
        forget(written.brokers, f"{prefix}retrain")
        reader.commit()
        place = TopicPartition(topics.retraining, 0)
        assert consumer.committed(place) is None, "an hour is not over"
        monkeypatch.setattr("tidegauge.streams.cli.reading.COMMIT_AGAIN_S", 0.0)
        reader.commit()
        assert consumer.committed(place) == 0


def test_a_place_beyond_the_end_of_a_topic_made_anew_hides_nothing(
    written: Topics, prefix: str, topics: TopicNames
) -> None:
    with reading(written.brokers, f"{prefix}retrain") as consumer:
        consumer.commit({TopicPartition(topics.retraining, 0): OffsetAndMetadata(9, "", -1)})
    written.tell("a", "b")
    result = invoke(app, written.words("--group", f"{prefix}retrain"))
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["a", "b"]
    assert f"{topics.retraining}[0] ends at 2, and group {prefix}retrain had read up to 9" in (
        result.stderr
    )


def test_a_group_that_begins_now_misses_nothing_from_then_on(written: Topics) -> None:
    written.tell("past")
    begins = ("--group", "retrain", "--since", "now")
    assert written.ids(*begins) == []
    written.tell("while it was away")
    assert written.ids(*begins) == ["while it was away"]


def test_a_reader_that_is_killed_repeats_one_line_at_most(written: Topics) -> None:
    """The documented pipe: what was told is not told again when it starts anew."""
    written.tell(*"abcdef")
    with written.following("--group", "retrain") as process:
        told = [next_id(process) for _ in range(4)]
        process.kill()
        assert process.stdout is not None
        told += [json.loads(line)["id"] for line in process.stdout if line.endswith("\n")]
    rest = written.ids("--group", "retrain")
    assert rest in (list("abcdef")[len(told) :], list("abcdef")[len(told) - 1 :])


def test_an_event_is_told_once_however_often_it_was_delivered(written: Topics) -> None:
    written.tell("a", "b", "a")
    assert written.ids("--group", "pager") == ["a", "b"]
    written.tell("b", "c")
    assert written.ids("--group", "pager") == ["c"], "also where the copy comes after a restart"
    with written.following("--group", "pager") as process:
        written.tell("c", "a", "d")
        assert next_id(process) == "d"


def test_what_is_older_than_a_second_delivery_is_forgotten(written: Topics) -> None:
    written.tell("old", *[f"n{n}" for n in range(BEFORE)])
    assert len(written.ids("--group", "pager")) == BEFORE + 1
    written.tell("n0", "old")
    assert written.ids("--group", "pager") == ["old"]


def test_since_takes_what_was_written_from_then_on(written: Topics) -> None:
    written.tell("before")
    time.sleep(1.1)
    middle = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time()))
    written.tell("after")
    assert written.ids("--since", middle) == ["after"]
    assert written.ids("--since", "1h") == ["before", "after"]
    assert written.ids("--since", "2099-01-01") == []
    assert written.ids("--since", "1960-01-01") == ["before", "after"]
    assert written.ids("--since", "30000d") == ["before", "after"]


def test_events_of_several_partitions_are_told_in_order_of_time(written: Topics) -> None:
    ids = [f"n{number}" for number in range(40)]
    for number, id in enumerate(ids):
        written.tell(id, partition=number % 3)
        time.sleep(0.002)  # the brokers' clock counts milliseconds
    assert written.ids() == ids


@pytest.mark.timeout(90)
def test_all_there_is_is_read_however_many_and_wherever_they_lie(
    brokers: str, topics: TopicNames
) -> None:
    draw = random.Random(1)
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers})
    for topic in (topics.alerts, topics.retraining, topics.windows, topics.rejected):
        counts = [draw.choice([0, 1, 500, 501, 1999, 5000]) for _ in range(3)] + [1001]
        waiting = [partition for partition, count in enumerate(counts) for _ in range(count)]
        draw.shuffle(waiting)
        for partition in waiting:
            producer.produce(topic, bytes(draw.choice([10, 1000])), None, partition)
        assert producer.flush(30) == 0
        with reading(brokers) as consumer:
            found = list(Reader(consumer, topic, range(4), EARLIEST_MS).backlog())
        times = [record.timestamp for record in found]
        assert times == sorted(times)
        for partition, count in enumerate(counts):
            offsets = [record.offset for record in found if record.partition == partition]
            assert offsets == list(range(count)), counts


@pytest.mark.timeout(60)
def test_a_group_that_follows_reads_a_long_past_and_then_what_comes(written: Topics) -> None:
    past = [f"n{n}" for n in range(1500)]
    for partition in (0, 1):
        written.tell(*past[partition::2], partition=partition)
    with written.following("--group", "pager") as process:
        assert sorted(next_id(process) for _ in past) == sorted(past)
        written.tell("new", partition=1)
        assert next_id(process) == "new"
    written.tell("newer")
    assert written.ids("--group", "pager")[-1:] == ["newer"]


def test_two_readers_of_one_name_are_told_of_it(written: Topics) -> None:
    with written.following("--group", "pager") as first:
        written.tell("a")
        assert next_id(first) == "a"
        with written.following("--group", "pager") as second:
            deadline = time.monotonic() + 30
            while 2 not in (first.poll(), second.poll()) and time.monotonic() < deadline:
                written.tell(f"more {time.monotonic()}")
                time.sleep(0.2)
            (loser,) = [process for process in (first, second) if process.poll() == 2]
            assert loser.stderr is not None
            assert "somebody else reads as group pager" in loser.stderr.read()


def test_a_group_of_running_consumers_is_refused(written: Topics, topics: TopicNames) -> None:
    written.tell("a")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": written.brokers, "group.id": "busy"})
    with contextlib.closing(consumer):
        consumer.subscribe([topics.retraining])
        while not consumer.assignment():
            consumer.poll(0.1)
        result = invoke(app, written.words("--group", "busy"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "somebody else reads as group busy" in result.stderr


def test_windows_and_dead_letters_are_lines_too(written: Topics, topics: TopicNames) -> None:
    written.tell("fraud", "fraud", type=WINDOW_TYPE)
    producer = confluent_kafka.Producer({"bootstrap.servers": written.brokers})
    head = rejected.headers(topic="t", partition=0, offset=7, reason="why", error="E")
    for _ in range(2):
        producer.produce(topics.rejected, b"secret", b"fraud", headers=list(head))
    assert producer.flush(30) == 0
    words = ["alerts", "--brokers", written.brokers, "--prefix", written.prefix, "--topic"]
    (window,) = invoke(app, [*words, "windows"]).stdout.splitlines()
    assert "fraud@3 outcomes window 47 (provisional): 1,000 labelled rows" in window
    event = json.loads(invoke(app, [*words, "windows", "--json"]).stdout)
    assert (event["type"], event["specversion"], event["data"]["window"]) == (
        WINDOW_TYPE,
        "1.0",
        47,
    )
    (letter,) = invoke(app, [*words, "rejected", "--model", "fraud"]).stdout.splitlines()
    assert letter.endswith("t[0] offset 7, key fraud: why")
