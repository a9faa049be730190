import json
from pathlib import Path
from typing import Any

import confluent_kafka
from typer.testing import CliRunner

from tests.end_to_end.workers import Group, Sender, group
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.cli import app

invoke = CliRunner().invoke
SPEC = MonitorSpec(model="fraud", windows=WindowSpec(rows=100), reference=ReferenceSpec(windows=40))


def frame(numbers: range, factor: float = 1.0) -> bytes:
    body = {
        "model": "fraud",
        "version": "3",
        "ids": [str(number) for number in numbers],
        "ts_ms": [1000 * number for number in numbers],
        "predictions": [0.5 for _ in numbers],
        "features": {"amount": [factor * (100 + n * 13 % 97) for n in numbers]},
    }
    return json.dumps(body).encode()


def status(brokers: str, prefix: str, *arguments: str) -> Any:
    words = ["status", "--brokers", brokers, "--prefix", prefix, *arguments]
    return invoke(app, words)


def settle(workers: Group, topics: TopicNames, brokers: str, *frames: bytes) -> None:
    sender = Sender(brokers)
    for value in frames:
        sender.send(topics.predictions, value, b"fraud", partition=1)
    sender.flush()
    workers.until_settled()


def test_before_the_first_row_it_says_that_there_was_none(
    brokers: str, prefix: str, topics: TopicNames
) -> None:
    found = status(brokers, prefix)
    assert found.exit_code == 0, found.output
    assert "no model has sent a row yet" in found.stdout
    assert "no worker is in the group" in found.stdout


def test_it_tells_how_models_stand_and_what_stands_still(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    with group(brokers, prefix, tmp_path) as workers:
        Sender(brokers).apply(topics, SPEC)
        worker = workers.start("monitor-1")
        workers.until_ready(worker)
        settle(workers, topics, brokers, frame(range(1250)))
        learning = status(brokers, prefix)
        assert learning.exit_code == 0, learning.output
        assert "fraud@3  1,250  learning, 12 of 40  none yet" in learning.stdout
        assert "worker monitor-1 at 127.0.0.1 holds partitions 0, 1, 2, 3" in learning.stdout

        settle(workers, topics, brokers, frame(range(1250, 5000)), frame(range(5000, 7000), 3.0))
        block = status(brokers, prefix, "--model", "fraud", "--fail-on-incidents")
        assert block.exit_code == 6, block.output
        assert "7,000 rows: judging, provisionally: reference of 40 windows" in block.stdout
        assert "last window: 100 rows, 1 Jan 1970 01:55 UTC to 1 Jan 1970 01:56 UTC" in block.stdout
        assert "open          critical fraud@3: since 1 Jan 1970 01:" in block.stdout
        assert "amount moved up" in block.stdout

        unknown = status(brokers, prefix, "--model", "froud")
        assert unknown.exit_code == 2
        told = "no row of a model 'froud' was seen until some seconds ago; seen were fraud"
        assert unknown.stderr == f"tidegauge: {told}\n"

        assert worker.terminate()[0] == 0
        workers.workers.clear()
        sender = Sender(brokers)
        sender.send(topics.predictions, frame(range(10)), b"fraud", partition=1)
        sender.flush()
        workers.until(  # a static member's place is kept for it until its session ends
            lambda: status(brokers, prefix).exit_code == 5, "expected that nobody reads"
        )
        alone = status(brokers, prefix, "--json")
    body = json.loads(alone.stdout)
    (trouble,) = body["troubles"]
    assert "no worker holds partition 1, where " in trouble
    assert trouble in alone.stderr
    (model,) = body["models"]
    assert (model["streams"][0]["rows"], model["streams"][0]["windows"]) == (7000, 70)
    assert body["partitions"][1]["behind"]["predictions"] == 1
    assert body["workers"] == []


def test_alerts_of_a_model_that_was_never_seen_say_so(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    words = ["alerts", "--brokers", brokers, "--prefix", prefix, "--model"]
    with group(brokers, prefix, tmp_path) as workers:
        workers.until_ready(workers.start("monitor-1"))
        settle(workers, topics, brokers, frame(range(150)))
    misspelt, known = (invoke(app, [*words, model]) for model in ("froud", "fraud"))
    assert (misspelt.exit_code, misspelt.stdout) == (0, "")
    told = "no row of a model 'froud' was seen until some seconds ago; seen were fraud"
    assert misspelt.stderr == f"tidegauge: {told}\n"
    assert (known.exit_code, known.stdout, known.stderr) == (0, "", "")


def test_what_transactions_leave_at_the_end_is_no_lag(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    options = {"bootstrap.servers": brokers, "transactional.id": prefix}
    producer = confluent_kafka.Producer(options)
    producer.init_transactions(30)
    with group(brokers, prefix, tmp_path) as workers:
        workers.until_ready(workers.start("monitor-1"))
        for ending in (producer.commit_transaction, producer.abort_transaction, producer.flush):
            producer.begin_transaction()
            producer.produce(topics.predictions, frame(range(150)), b"fraud", partition=1)
            ending(30)  # the last stays open
        workers.until(
            lambda: "fraud@3" in status(brokers, prefix).stdout, "expected the rows to be folded"
        )
        found = json.loads(status(brokers, prefix, "--json").stdout)
    assert [partition["behind"] for partition in found["partitions"]] == [{}] * 4
    assert found["models"][0]["streams"][0]["rows"] == 150
    producer.abort_transaction(30)
