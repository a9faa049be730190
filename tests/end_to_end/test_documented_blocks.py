"""Runs the shell and Python blocks of README and docs as they are written.

What follows the language says how: nothing, to its end; ``follows``, until it has told what it is
for, as it never ends; ``elsewhere``, not here.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import confluent_kafka
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.end_to_end.workers import PATIENCE_S, everything, until
from tests.streams.cli.test_events import ALERT, REQUEST
from tests.test_docs import Block, blocks
from tidegauge.schemas import cloudevents
from tidegauge.schemas.alerts import ALERT_TYPE
from tidegauge.schemas.retraining import RETRAIN_TYPE
from tidegauge.schemas.topics import FOREVER_MS, TopicNames
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.runtime.broker import embedded_broker, free_port
from tidegauge.streams.runtime.topics import create_topics

ELSEWHERE = {  # how a block begins, and why it is not run here
    "make demo\n": "the tests themselves, and the demo, which test_demo.py runs",
    ".venv/bin/python -m pytest": "the tests themselves",
    "docker compose": "needs a container engine; test_image.py does what can be done without",
    "test -n": "needs the file of a worker; test_image.py has one",
    "echo 'fraud|": "needs the command-line tools of a Kafka distribution",
    "kafka-console-consumer.sh": "needs the command-line tools of a Kafka distribution",
}
# The tests run in an environment that has it installed; test_image.py installs it anew.
INSTALL = re.compile(r"^python3? -m (venv|pip) .*$", re.MULTILINE)
# One broker on a port that is free here, in place of the usual address and of a cluster of several.
PLACES = {
    "kafka-1:9092,kafka-2:9092": "{address}",
    "127.0.0.1:9092": "{address}",
    "--replication 3": "--replication 1",
}
DAY_MS = 86_400_000
HELD = "Holds partitions [0, "

RUN = [block for block in blocks() if block.language in ("sh", "python")]
BLOCKS = [block for block in RUN if block.claim != "elsewhere"]


def name(block: Block) -> str:
    return f"{block.page} {block.text.strip().splitlines()[-1]}"


def test_a_block_that_is_not_run_has_its_reason() -> None:
    left = [block for block in RUN if block.claim == "elsewhere"]
    assert [b.text for b in left if not b.text.startswith(tuple(ELSEWHERE))] == []
    assert [how for how in ELSEWHERE if not any(b.text.startswith(how) for b in left)] == []
    assert {block.claim for block in RUN} == {"", "follows", "elsewhere"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A broker whose topics have their usual names, as blocks in Python spell them out."""
    with embedded_broker() as broker:
        create_topics(broker.address, TopicNames(), retention_ms=FOREVER_MS)
        yield broker.address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader is: with a monitors file, files of rows, a script to retrain with."""
    (spec,) = [b for b in blocks() if (b.page, b.language) == ("README.md", "yaml")]
    (tmp_path / "monitors.yaml").write_text(spec.text)
    rows, now_ms = 2000, time.time_ns() // 1_000_000
    at = pa.array(now_ms - 90 * DAY_MS + 360_000 * np.arange(rows), pa.timestamp("ms"))
    score = np.random.default_rng(1).permutation(np.linspace(0, 1, rows))
    columns = {"at": at, "score": score, "chargeback": np.arange(rows) % 2}
    for file in ("good", "rows"):
        parquet.write_table(pa.table({**columns, "amount": np.sin(np.arange(rows))}),
                            tmp_path / f"{file}.parquet")  # fmt: skip
    script = tmp_path / "retrain.sh"
    script.write_text("#!/bin/sh\nexec cat\n")
    script.chmod(0o755)
    return tmp_path


@contextlib.contextmanager
def begun(
    block: Block, folder: Path, address: str, variables: Mapping[str, str]
) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[], str]]]:
    """Run a block in a session of its own; yield it and what it has told so far."""
    text = block.text
    for usual, here in PLACES.items():
        text = text.replace(usual, here.format(address=address))
    text = INSTALL.sub(":", text)
    command = {"sh": ["bash", "-e", "-c", text], "python": [sys.executable, "-c", text]}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGAUGE_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more = {"TIDEGAUGE_BROKERS": address, "PATH": path, "PYTHONUNBUFFERED": "1", **variables}
    log = folder / "told.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command[block.language],
            cwd=folder,
            env=clean | more,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield process, log.read_text
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def publish(address: str) -> None:
    """Publish an alert and a request to retrain that nobody has seen yet."""
    producer = confluent_kafka.Producer({"bootstrap.servers": address})
    for topic, type, body in (
        ("tidegauge.alerts", ALERT_TYPE, ALERT),
        ("tidegauge.retraining", RETRAIN_TYPE, REQUEST),
    ):
        head = cloudevents.headers(
            id=uuid.uuid4().hex, type=type, source="s", subject="fraud", time_ms=ALERT.told_ms
        )
        producer.produce(topic, msgspec.json.encode(body), b"fraud", headers=list(head))
    assert producer.flush(30) == 0


def records(address: str) -> int:
    """Return how many records the inputs have."""
    return sum(
        len(everything(address, f"tidegauge.{topic}")) for topic in ("predictions", "labels")
    )


@pytest.mark.parametrize("block", [b for b in BLOCKS if not b.claim], ids=name)
def test_a_block_runs_to_its_end_as_written(block: Block, address: str, folder: Path) -> None:
    fresh = {"TIDEGAUGE_PREFIX": f"test-{uuid.uuid4().hex[:12]}."}
    before = records(address)
    with begun(block, folder, address, fresh if "topics create" in block.text else {}) as (
        process, told,
    ):  # fmt: skip
        code = process.wait(PATIENCE_S)
        assert code == 0, f"{name(block)}: exit code {code}:\n{told()}"
    if "roducer" in block.text:
        assert records(address) > before, f"{name(block)} has sent nothing:\n{told()}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.claim == "follows"], ids=name)
def test_a_block_that_never_ends_tells_what_it_is_for(
    block: Block, address: str, folder: Path
) -> None:
    variables = {}
    if "tidegauge broker" in block.text:  # it brings its own
        address = f"127.0.0.1:{free_port()}"
        variables["TIDEGAUGE_BROKER_PORT"] = address.partition(":")[2]
    elif "topics create" in block.text:
        variables["TIDEGAUGE_PREFIX"] = f"test-{uuid.uuid4().hex[:12]}."
    with begun(block, folder, address, variables) as (process, told):

        def has_told(what: str) -> bool:
            assert process.poll() is None, f"{name(block)} has ended:\n{told()}"
            return what in told()

        def has_passed_on_an_alert() -> bool:
            publish(address)
            time.sleep(0.5)
            return has_told(ALERT.title)

        if "tidegauge worker" in block.text:
            until(lambda: has_told(HELD), told)
        if "alerts" in block.text:
            until(has_passed_on_an_alert, told)


MESSAGES: dict[str, Source] = {
    "Prediction": "predictions", "PredictionFrame": "predictions", "Label": "labels",
    "LabelFrame": "labels", "Features": "features", "FeatureFrame": "features",
}  # fmt: skip


@pytest.mark.parametrize(
    "block", [b for b in blocks() if b.language == "json" and b.claim in MESSAGES], ids=name
)
def test_a_message_shown_is_accepted(block: Block) -> None:
    log = OfflineLog()
    log.append(MESSAGES[block.claim], b"fraud", block.text.encode())
    assert [o for o in log.outputs if o.topic == "rejected"] == []
