import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import msgspec
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from typer.testing import CliRunner

from tests.streams.cli.test_events import ALERT
from tidegauge.schemas import cloudevents
from tidegauge.schemas.alerts import ALERT_TYPE
from tidegauge.schemas.events import LabelFrame, PredictionFrame
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.references import Reference
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.cli import app
from tidegauge.streams.runtime.broker import EmbeddedBroker
from tidegauge.streams.runtime.topics import create_topics

TIDEGAUGE = [sys.executable, "-m", "tidegauge"]
ROWS = 1200
NEW_YEAR_MS = 1_356_998_400_000
invoke = CliRunner().invoke


def run(brokers: str, prefix: str, *arguments: object) -> Any:
    words = [str(argument) for argument in arguments]
    return invoke(app, [*words, "--brokers", brokers, "--prefix", prefix])


def consumed(brokers: str, topic: str, count: int | None = None) -> list[confluent_kafka.Message]:
    """Return a topic's messages by a client that is not the one that sent them."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    with contextlib.closing(consumer):
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign(
            [
                confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING)
                for p in partitions
            ]
        )
        found: list[confluent_kafka.Message] = []
        ended = 0
        while ended < len(partitions):
            message = consumer.poll(30)
            assert message is not None
            if message.error() is None:
                found.append(message)
            else:
                ended += 1
    assert count in (None, len(found))
    return found


def write_rows(path: Path) -> Path:
    table = pa.table(
        {
            "id": [f"r{row}" for row in range(ROWS)],
            "at": [NEW_YEAR_MS + 60_000 * row for row in range(ROWS)],
            "score": [0.5] * ROWS,
            "late": [row % 2 if row % 3 else None for row in range(ROWS)],
            "amount": [row / 7 for row in range(ROWS)],
        }
    )
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    else:
        parquet.write_table(table, path)
    return path


COLUMNS = (
    *("--id-column", "id", "--time-column", "at", "--prediction-column", "score"),
    *("--label-column", "late", "--label-delay", "1h"),
)


def publish_alerts(brokers: str, topic: str, *values: bytes) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers})
    for value in values:
        head = cloudevents.headers(
            id=uuid.uuid4().hex, type=ALERT_TYPE, source="s", subject="fraud", time_ms=ALERT.told_ms
        )
        producer.produce(topic, value, key=b"fraud", headers=list(head))
    assert producer.flush(30) == 0


@contextlib.contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*TIDEGAUGE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def test_topics_are_created_and_then_found(brokers: str, prefix: str) -> None:
    first = run(brokers, prefix, "topics", "create", "--partitions", 2, "--retention", "forever")
    assert first.exit_code == 0, first.output
    assert f"created   {prefix}predictions\n" in first.output
    second = run(brokers, prefix, "topics", "create", "--partitions", 2)
    assert second.exit_code == 0
    assert {line.split()[0] for line in second.output.splitlines()} == {"exists"}
    third = run(brokers, prefix, "topics", "create", "--partitions", 4)
    assert third.exit_code == 2
    assert f"expected topics with 4 partitions, got {prefix}features 2, " in third.stderr
    assert "Traceback" not in third.stderr
    fourth = run(brokers, prefix, "topics", "create", "--retention", "7d")
    assert fourth.exit_code == 2
    assert f"mismatch  {prefix}labels: expected retention.ms=604800000, got -1" in fourth.output


def test_topics_that_cannot_be_created_are_a_failure(brokers: str, prefix: str) -> None:
    result = run(brokers, prefix, "topics", "create", "--replication", 9)
    assert result.exit_code == 1
    assert "InvalidReplicationFactor" in result.output


def test_specs_are_applied_and_removed(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file = tmp_path / "monitors.yaml"
    file.write_text("monitors: [{model: fraud, windows: {every: 1d}}, {model: churn}]")
    applied = run(brokers, prefix, "apply", file)
    assert (applied.exit_code, applied.output) == (0, "fraud: applied\nchurn: applied\n")
    assert run(brokers, prefix, "apply", "--remove", "churn").output == "churn: removed\n"
    found = [(message.key(), message.value()) for message in consumed(brokers, topics.monitors, 3)]
    assert found[2] == (b"churn", None)
    specs = [msgspec.json.decode(value or b"", type=MonitorSpec) for _, value in found[:2]]
    assert [key for key, _ in found[:2]] == [b"fraud", b"churn"]
    assert specs == [
        MonitorSpec(model="fraud", windows=WindowSpec(every="1d")),
        MonitorSpec(model="churn"),
    ]


def test_a_dry_run_publishes_nothing(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file = tmp_path / "monitors.yaml"
    file.write_text("monitors: [{model: fraud}]")
    assert run(brokers, prefix, "apply", file, "--dry-run").exit_code == 0
    consumed(brokers, topics.monitors, 0)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize("form", ["single", "frames"])
def test_a_replay_sends_every_row_and_label(
    name: str, form: str, brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / name)
    result = run(brokers, prefix, "replay", file, "-m", "fraud", "--rows", form, *COLUMNS)
    assert result.exit_code == 0, result.output
    labelled = [row for row in range(ROWS) if row % 3]
    assert result.output.startswith(f"sent {ROWS:,} rows and {len(labelled)} labels in ")
    frames = form == "frames"
    rows = consumed(brokers, topics.predictions, 3 if frames else ROWS)
    assert {message.key() for message in rows} == {b"fraud"}
    assert len({message.partition() for message in rows}) == 1
    bodies = [json.loads(message.value() or b"") for message in rows]
    ids = [id for body in bodies for id in (body["ids"] if frames else [body["id"]])]
    assert ids == [f"r{row}" for row in range(ROWS)]
    amounts = [body["features"]["amount"] for body in bodies]
    flat = [a for column in amounts for a in column] if frames else amounts
    assert flat == pytest.approx([row / 7 for row in range(ROWS)])
    labels = _all(brokers, topics.labels, labelled, frames)
    assert labels == {
        f"r{row}": (NEW_YEAR_MS + 60_000 * row + 3_600_000, row % 2) for row in labelled
    }


def _all(brokers: str, topic: str, labelled: list[int], frames: bool) -> dict[str, tuple[int, int]]:
    if not frames:
        bodies = [json.loads(m.value() or b"") for m in consumed(brokers, topic, len(labelled))]
        return {body["id"]: (body["ts_ms"], body["label"]) for body in bodies}
    found: dict[str, tuple[int, int]] = {}
    for message in consumed(brokers, topic):
        frame = msgspec.json.decode(message.value() or b"", type=LabelFrame)
        for id, ts_ms, label in zip(frame.ids, frame.ts_ms, frame.labels, strict=True):
            found[id] = (ts_ms, int(label))
    return found


def test_a_rate_is_kept_and_times_are_made_up(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("score,amount\n" + "0.5,1\n" * 30)
    begun_ms = 1000 * time.time()
    arguments = ("replay", file, "-m", "fraud", "--prediction-column", "score")
    result = run(brokers, prefix, *arguments, "--rate", 100, "--rows", "frames", "--frame-rows", 10)
    assert result.exit_code == 0
    assert 1000 * time.time() - begun_ms >= 200, "the third frame was sent too early"
    frames = [
        msgspec.json.decode(message.value() or b"", type=PredictionFrame)
        for message in consumed(brokers, topics.predictions, 3)
    ]
    times = [ts_ms for frame in frames for ts_ms in frame.ts_ms]
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {10}
    assert begun_ms <= times[0] <= 1000 * time.time()


@contextlib.contextmanager
def read_from_the_start(brokers: str, topic: str) -> Iterator[confluent_kafka.Consumer]:
    """Yield a consumer of what is in a topic and of what comes."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": brokers, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    with contextlib.closing(consumer):
        consumer.subscribe([topic])
        yield consumer


def test_an_interrupted_replay_says_how_far_it_was(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file = str(write_rows(tmp_path / "rows.csv"))
    options = ("-m", "fraud", "--rate", "2", "-b", brokers, "--prefix", prefix, *COLUMNS)
    with (
        read_from_the_start(brokers, topics.predictions) as consumer,
        started("replay", file, *options) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert consumer.poll(30) is not None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        rows = re.match(r"stopped: (\d+) of (\d+) rows and ", process.stderr.read())
        assert rows is not None
        assert int(rows[1]) == int(rows[2]) > 0, "what was under way is waited for"
        assert process.stdout.read() == ""


def test_a_replay_whose_brokers_freeze_says_what_they_have(prefix: str, tmp_path: Path) -> None:
    impatient = """
from tidegauge.streams.cli import clients, main
clients.ACKNOWLEDGED_WITHIN_MS = 3000
main()
"""
    file, broker = tmp_path / "rows.csv", EmbeddedBroker()
    file.write_text("score\n" + "0.5\n" * 1000)
    words = ["replay", str(file), "-m", "fraud", "--prediction-column", "score", "--rate", "20"]
    broker.start()
    leader = broker._process  # noqa: SLF001 (of a process group: no user freezes one)
    assert leader is not None
    with contextlib.closing(broker):
        names = TopicNames.prefixed(prefix)
        create_topics(broker.address, names)
        words += ["--brokers", broker.address, "--prefix", prefix]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [sys.executable, "-c", impatient, *words], stdout=pipe, stderr=pipe, text=True
        ) as process:
            with read_from_the_start(broker.address, names.predictions) as consumer:
                for _ in range(10):
                    assert consumer.poll(30) is not None
            os.killpg(leader.pid, signal.SIGSTOP)
            try:
                out, told = process.communicate(timeout=30)
            finally:
                os.killpg(leader.pid, signal.SIGCONT)
    assert (process.returncode, out) == (3, ""), told
    stopped, unreachable = told.splitlines()
    rows = re.fullmatch(r"stopped: (\d+) of \d+ rows and 0 of 0 labels are acknowledged", stopped)
    assert rows is not None
    assert 10 <= int(rows[1]) < 1000
    assert "no Kafka broker answers" in unreachable


@pytest.mark.parametrize("command", [("replay",), ("reference", "publish")])
def test_a_file_with_rows_that_a_worker_would_reject_sends_nothing_unless_told_to(
    command: tuple[str, ...], brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file, monitors = tmp_path / "rows.csv", tmp_path / "monitors.yaml"
    file.write_text("score,amount\n" + "0.5,1\n" * 700 + "0.5,1e150\n" * 300 + "0.5,2\n" * 250)
    monitors.write_text("monitors: [{model: fraud, windows: {rows: 100}}]")
    topic = topics.predictions if command == ("replay",) else topics.references
    arguments = (*command, file, "-m", "fraud", "--prediction-column", "score")
    refused = run(brokers, prefix, *arguments, "--monitors", monitors)
    assert refused.exit_code == 2
    assert refused.stderr.splitlines() == [
        "tidegauge: 300 of 1,250 rows cannot be used: a worker would reject: "
        "Expected `float` <= 1e+100 - at `$.features.amount`, in row 701 and 299 more",
        "tidegauge: nothing was sent: mend the file, or leave these out with --skip-bad",
    ]
    consumed(brokers, topic, 0)
    done = run(brokers, prefix, *arguments, "--monitors", monitors, "--skip-bad")
    assert done.exit_code == 0
    assert "left out: 300 of 1,250 rows cannot be used" in done.stderr
    if command == ("replay",):
        consumed(brokers, topic, 950)
        assert "sent 950 rows" in done.stdout
    else:
        consumed(brokers, topic, 1)
        assert "reference of 900 rows" in done.stdout
        assert "50 rows after the last full window are not in the reference" in done.stderr


def test_what_a_spec_declares_rules_what_a_replay_sends(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file, monitors = tmp_path / "rows.csv", tmp_path / "monitors.yaml"
    file.write_text("score,branch,amount\n0.5,12,007\n0.5,,NA\n")
    monitors.write_text(
        "monitors: [{model: fraud, features: {branch: {type: categorical}, "
        "amount: {type: numeric}, gone: {type: numeric}}}]"
    )
    arguments = ("replay", file, "-m", "fraud", "--prediction-column", "score")
    done = run(brokers, prefix, *arguments, "--monitors", monitors)
    assert done.exit_code == 0
    assert done.stderr == "tidegauge: declared in --monitors, and not in the file: gone\n"
    bodies = [json.loads(m.value() or b"") for m in consumed(brokers, topics.predictions, 2)]
    assert [body["features"] for body in bodies] == [
        {"branch": "12", "amount": 7},
        {"branch": None, "amount": None},
    ]


@pytest.mark.parametrize(("version", "key"), [("", b"fraud"), ("3", b"fraud@3")])
def test_a_reference_is_learned_with_the_models_spec(
    version: str, key: bytes, brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "rows.parquet")
    monitors = tmp_path / "monitors.yaml"
    monitors.write_text("monitors: [{model: fraud, windows: {rows: 100}}]")
    arguments = ("reference", "publish", file, "-m", "fraud", "--version", version)
    result = run(brokers, prefix, *arguments, *COLUMNS, "--monitors", monitors)
    assert result.exit_code == 0, result.output
    (message,) = consumed(brokers, topics.references, 1)
    assert message.key() == key
    reference = msgspec.json.decode(message.value() or b"", type=Reference)
    assert (reference.version, reference.windows) == (version, WindowSpec(rows=100))
    assert set(reference.numeric) == {"amount", "score"}
    assert reference.outcomes["label"].shown == pytest.approx(0.5, abs=0.01)
    assert f"{key.decode()}: reference of {reference.rows:,} rows" in result.output


def test_a_reference_without_a_closed_window_is_refused(
    brokers: str, prefix: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("score,amount\n" + "0.5,1\n" * 30)
    arguments = ("reference", "publish", file, "-m", "fraud", "--prediction-column", "score")
    result = run(brokers, prefix, *arguments)
    assert result.exit_code == 2
    assert "expected rows that fill 3 windows or more" in result.stderr


def test_alerts_are_sentences_or_json_and_the_rest_is_skipped(
    brokers: str, prefix: str, topics: TopicNames
) -> None:
    other = msgspec.structs.replace(ALERT, model="churn", title="churn: moved")
    values = [msgspec.json.encode(ALERT), b"{}", msgspec.json.encode(other)]
    publish_alerts(brokers, topics.alerts, *values)
    told = run(brokers, prefix, "alerts")
    assert told.exit_code == 0
    first, second = told.stdout.splitlines()
    assert first.startswith("2 Jan 2013 01:00 UTC")
    assert "critical firing" in first
    assert "churn: moved" in second
    assert f"tidegauge: skipped {topics.alerts}[" in told.stderr
    assert "missing required field" in told.stderr
    one = run(brokers, prefix, "alerts", "--model", "churn", "--json")
    event = json.loads(one.stdout)
    assert (event["type"], event["data"]["model"]) == (ALERT_TYPE, "churn")
    assert run(brokers, prefix, "alerts", "--since", "now").stdout == ""


def test_following_prints_an_alert_at_once_and_leaves_quietly(
    brokers: str, prefix: str, topics: TopicNames
) -> None:
    publish_alerts(brokers, topics.alerts, msgspec.json.encode(ALERT))
    with started("alerts", "-f", "-b", brokers, "--prefix", prefix) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "amount moved up" in process.stdout.readline()
        later = msgspec.structs.replace(ALERT, title="it has come")
        publish_alerts(brokers, topics.alerts, msgspec.json.encode(later))
        assert "it has come" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_a_reader_who_has_had_enough_is_no_failure(
    brokers: str, prefix: str, topics: TopicNames
) -> None:
    publish_alerts(brokers, topics.alerts, *[msgspec.json.encode(ALERT)] * 2000)
    with started("alerts", "-b", brokers, "--prefix", prefix) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["alerts"],
        ["replay", "{rows}", "-m", "fraud"],
        ["apply", "--remove", "fraud"],
        ["worker"],
    ],
)
def test_a_missing_topic_is_exit_code_4(
    arguments: list[str], brokers: str, prefix: str, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "rows.csv")
    words = [word.format(rows=rows) for word in arguments]
    done = subprocess.run(
        [*TIDEGAUGE, *words, "-b", brokers, "--prefix", prefix],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TIDEGAUGE_WAIT": "0s"},
    )
    assert done.returncode == 4
    assert f"missing topics: {prefix}" in done.stderr
    assert "tidegauge topics create" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["alerts"], ["topics", "create"], ["worker"]],
)
def test_no_broker_is_exit_code_3_in_time(arguments: list[str]) -> None:
    done = subprocess.run(
        [*TIDEGAUGE, *arguments, "-b", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,  # 10 s for the broker, the rest for a machine under load
        env=os.environ | {"TIDEGAUGE_WAIT": "0s"},
    )
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_a_broker_leaves_when_told_to(how: signal.Signals) -> None:
    with started("worker", "-b", "127.0.0.1:1") as process:
        assert process.stderr is not None
        assert "waiting for up to 1" in process.stderr.readline()
        process.send_signal(how)
        assert process.wait(15) == 0
        assert process.stderr.read() == ""


def test_the_broker_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    arguments = ("broker", "--port", "0", "--data-dir", str(tmp_path), "--create-topics")
    with started(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().split()[3].rstrip(";")
        told = run(address, "tidegauge.", "alerts")
        assert (told.exit_code, told.stdout) == (0, "")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    host, port = address.split(":")
    with pytest.raises(OSError), socket.create_connection((host, int(port)), timeout=1):
        pass
    assert (tmp_path / "kafka.log").exists()


def test_the_broker_command_ends_with_a_word_when_its_kafka_has_died(tmp_path: Path) -> None:
    with started("broker", "--port", "0", "--data-dir", str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("Kafka answers")
        (kafka,) = children(*children(process.pid))  # behind the one that looks after it
        os.kill(kafka, signal.SIGKILL)
        assert process.wait(30) == 1
        told = process.stderr.read()
    assert told.startswith("tidegauge: Kafka has ended by itself, with exit code 137")
    assert str(tmp_path / "kafka.log") in told


def children(parent: int) -> list[int]:
    told = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [line.split() for line in told.stdout.splitlines()]
    return [int(pid) for pid, of in pairs if int(of) == parent]
