"""SIGTERM while rows flow: all that was read is published and committed, and nothing repeated."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from tests.end_to_end.workers import Group, Sender, everything, group, repeated
from tests.streams.monitor.logs import NOON_MS, label, row
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, RetrainingSpec, WindowSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.schemas.topics import FOREVER_MS, PARTITIONS, TopicNames
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.runtime.broker import EmbeddedBroker
from tidegauge.streams.runtime.topics import create_topics

pytestmark = pytest.mark.timeout(600)

PROMISED_S = 10.0
AT_MOST_S = 15.0  # whatever the brokers do
STEP = 25  # rows of each model sent at once
PACE_S = 0.05
BAD_EVERY = 50
SPECS = [
    MonitorSpec(
        model=f"m{partition}",
        windows=WindowSpec(rows=20),
        reference=ReferenceSpec(windows=5),
        retraining=RetrainingSpec(on=("drift",), cooldown="1ms", blatant=True),
    )
    for partition in range(PARTITIONS)
]

# Sends itself SIGTERM where it calls what is named.
SIGNALLED = """
import os, signal
from tidegauge.streams.runtime import worker

where, name = {where}, "{name}"
call = getattr(where, name)

def signalled(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGTERM)
    return call(*args, **kwargs)

setattr(where, name, signalled)
from tidegauge.streams.cli import main
main()
"""


def send_rows(sender: Sender, topics: TopicNames, numbers: range) -> None:
    """Send rows and their labels for a model in each partition, and now and then a bad one."""
    for partition in range(PARTITIONS):
        model = f"m{partition}"
        for n in numbers:
            amount = float(n % 17) + (100.0 if n % 1000 > 800 else 0.0)
            value = row(model, f"{model}-{n}", NOON_MS + n, {"amount": amount}, (n % 10) / 10)
            bad = n % BAD_EVERY == 0
            sender.send(topics.predictions, b"{" if bad else value, model.encode(), partition)
    sender.flush()
    for partition in range(PARTITIONS):
        model = f"m{partition}"
        for n in numbers:
            value = label(model, f"{model}-{n}", NOON_MS + n, float(n % 3 == 0))
            sender.send(topics.labels, value, model.encode(), partition)
    sender.flush()


@contextlib.contextmanager
def load(sender: Sender, topics: TopicNames) -> Iterator[list[int]]:
    """Send on and on; gives a list whose last element is how many rows a model has had."""
    sent, enough = [0], threading.Event()

    def flow() -> None:
        while not enough.wait(PACE_S):
            numbers = range(sent[-1], sent[-1] + STEP)
            send_rows(sender, topics, numbers)
            sent.append(numbers.stop)

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield sent
    finally:
        enough.set()
        thread.join()


def test_a_worker_told_to_stop_under_load_leaves_in_time_and_its_heir_repeats_nothing(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    sender = Sender(brokers)
    sender.apply(topics, *SPECS)
    with group(brokers, prefix, tmp_path) as workers:
        with load(sender, topics) as sent:
            for how in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                stop_under_load(workers, how, sent)
        last = workers.start("only")
        workers.until_settled()
        assert last.terminate()[0] == 0, last.told()
        check_all_is_observed(workers, sent[-1])
    check_nothing_is_there_twice(brokers, topics)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_worker_told_to_stop_leaves_in_time_though_no_broker_answers(
    fault: str, tmp_path: Path
) -> None:
    broker = EmbeddedBroker()
    broker.start()
    try:
        create_topics(broker.address, TopicNames.prefixed("gone."), retention_ms=FOREVER_MS)
        with group(broker.address, "gone.", tmp_path) as workers:
            worker = workers.start("only")
            workers.until_ready(worker)  # its first snapshot is not written yet
            with broken(broker, fault):
                code, seconds = worker.terminate()
            print(f"{fault}: exit code {code} in {seconds:.1f} s")
            unconfirmed = "Left without a checkpoint" in worker.told()
            assert code == unconfirmed, worker.told()
            assert seconds < AT_MOST_S, worker.told()
            assert "Traceback" not in worker.log.read_text()
    finally:
        broker.close()


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("worker", "create_app"),
        ("worker.LimitedWorker", "on_execute"),  # before Faust listens to signals
        ("worker.MonitorApp", "on_start"),
    ],
)
def test_a_worker_told_to_stop_while_it_starts_ends_like_any_other(
    where: str, name: str, brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    with group(brokers, prefix, tmp_path) as workers:
        program = ("-c", SIGNALLED.format(where=where, name=name))
        worker = workers.start("only", program=program)
        assert worker.process.wait(AT_MOST_S + 15) == 0, worker.told()
    assert "Traceback" not in worker.log.read_text(), worker.told()
    assert "never awaited" not in worker.log.read_text(), worker.told()


@contextlib.contextmanager
def broken(broker: EmbeddedBroker, fault: str) -> Iterator[None]:
    """Take a broker away, or let it hang until the end of the block."""
    if fault == "killed":
        broker.kill()
        yield
        return
    process = broker._process  # noqa: SLF001 (it leads a process group, and no user freezes one)
    assert process is not None
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def stop_under_load(workers: Group, how: signal.Signals, sent: list[int]) -> None:
    worker = workers.start("only")
    before = len(everything(workers.brokers, workers.topics.windows))
    workers.until(
        lambda: len(everything(workers.brokers, workers.topics.windows)) > before,
        "expected the worker to get going",
    )
    rows = sent[-1]
    workers.until(lambda: sent[-1] > rows, "expected rows to flow")
    code, seconds = worker.terminate(how)
    print(f"{how.name} after {sent[-1]} rows of each model: exit code {code} in {seconds:.1f} s")
    assert code == 0, worker.told()
    assert seconds < PROMISED_S
    committed = workers.committed()
    for partition in workers.partitions():
        for source, topic in workers.sources.items():
            offset = committed[TopicPartition(topic, partition.number)]
            assert offset == partition.next_offset[source], (source, partition.number)


def check_all_is_observed(workers: Group, rows: int) -> None:
    bad = len(range(0, rows, BAD_EVERY))
    for partition in workers.partitions():
        tallies = partition.tallies
        assert (tallies["predictions"].observed, tallies["predictions"].rejected) == (
            rows - bad,
            bad,
        )
        assert tallies["labels"].observed == rows
        assert partition.join.counts.pairs == rows - bad


def check_nothing_is_there_twice(brokers: str, topics: TopicNames) -> None:
    for topic in (topics.windows, topics.alerts, topics.retraining):
        ids = [message.ce_id for message in everything(brokers, topic)]
        assert ids or topic == topics.retraining  # what is broken asks for nothing
        assert repeated(ids) == []
    letters = everything(brokers, topics.rejected)
    assert repeated([repr(sorted(m.headers)) for m in letters]) == []  # their origin is in there
    entries = [read_entry(message.value) for message in everything(brokers, topics.outcomes)]
    ids = [id_ for entry in entries if isinstance(entry, Outcomes) for id_ in entry.ids]
    assert ids
    assert repeated(ids) == []
