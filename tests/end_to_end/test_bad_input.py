"""Whatever comes: it is in ``rejected`` as it came, the good rows are kept, the worker lives."""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from tests.end_to_end.workers import Headers, Message, Sender, Sent, bodies, everything, group
from tests.streams.monitor.logs import NOON_MS, label, row
from tests.streams.monitor.test_bad_input import BAD_ANYWHERE, BAD_LABELS, BAD_ROWS, good
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.rejected import PREFIX
from tidegauge.schemas.topics import FOREVER_MS, PARTITIONS, TopicNames
from tidegauge.streams.monitor.intake.rejections import FIRST_BYTES, rows_in
from tidegauge.streams.runtime.topics import create_topics

pytestmark = pytest.mark.timeout(600)

HEADERS: Headers = [("trace", b"7"), ("empty", None), ("trace", b"8"), ("bytes", b"\xff\x00")]
MEGABYTES = b"x" * 3_000_000
FIRST_GOOD = 120  # rows; after 100 the worker knows their types
BAD_FEATURES: dict[str, tuple[bytes | None, str]] = BAD_ANYWHERE | {
    "no features": (b'{"model": "m", "id": "x", "ts_ms": 5}', "missing required field `features`"),
    "features as a number": (
        b'{"model": "m", "id": "x", "ts_ms": 5, "features": 7}',
        "got `int` - at `$.features`",
    ),
    "object as a feature": (
        b'{"model": "m", "id": "x", "ts_ms": 5, "features": {"a": {"b": 1}}}',
        r"got `object` - at `\$\.features(\.a|\[\.\.\.\])`",
    ),
    "a label": (label("m", "x", 5, 1.0), "missing required field `features`"),
}


@pytest.fixture
def topics(brokers: str, prefix: str) -> TopicNames:
    """All topics; that of predictions was there before and takes megabytes."""
    names = TopicNames.prefixed(prefix)
    large = {"max.message.bytes": "8000000"}
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=brokers)) as admin:
        own = {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": large}
        admin.create_topics({names.predictions: own})
    create_topics(brokers, names, retention_ms=FOREVER_MS)
    return names


class Mix:
    """Sends good and bad records, and remembers what is to be said of the bad ones."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.rows: dict[str, int] = {}  # good rows by topic
        self.bad: list[tuple[Sent, str]] = []

    def good(self, topic: str, value: bytes, key: bytes | None = b"m") -> None:
        self.sender.send(topic, value, key, 0, HEADERS)
        self.rows[topic] = self.rows.get(topic, 0) + 1

    def spoil(self, topic: str, value: bytes | None, reason: str, key: bytes | None = b"m") -> Sent:
        sent = self.sender.send(topic, value, key, 0, HEADERS)
        self.bad.append((sent, reason))
        return sent

    def corpus(self, topic: str, bad: Mapping[str, tuple[bytes | None, str]], fine: bytes) -> None:
        """Send each bad value between good ones."""
        for value, reason in bad.values():
            self.spoil(topic, value, reason)
            self.good(topic, fine)

    def settle(self) -> None:
        self.sender.flush()


def origin(letter: Message) -> tuple[str, int, int]:
    headers = dict(letter.headers)
    topic, partition, offset = (headers[PREFIX + n] for n in ("topic", "partition", "offset"))
    return (topic or b"").decode(), int(partition or b""), int(offset or b"")


def check_letter(letter: Message, sent: Sent, told: str) -> None:
    """Assert that a letter is the original, with Connect's headers, a true reason among them."""
    assert (letter.partition, letter.key) == (sent.partition, sent.key)
    assert (letter.value or b"") == (sent.value or b"")
    assert letter.headers[: len(HEADERS)] == HEADERS
    added = dict(letter.headers[len(HEADERS) :])
    assert all(name.startswith(PREFIX) for name in added)
    assert added[PREFIX + "stage"] == b"VALUE_CONVERTER"
    assert added[PREFIX + "exception.class.name"]
    reason = (added[PREFIX + "exception.message"] or b"").decode()
    assert told in reason or re.search(told, reason), (reason, sent)


def test_bad_records_arrive_as_they_came_and_good_ones_are_kept(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    predictions, features, labels = topics.predictions, topics.features, topics.labels
    plain = row("m", "x", 5, {"a": 1.5, "c": "DE"})
    mix = Mix(Sender(brokers))
    mix.corpus(predictions, BAD_ANYWHERE, good(0))  # types are not known yet
    mix.corpus(features, BAD_FEATURES, plain)
    for n in range(FIRST_GOOD):
        mix.good(predictions, good(n))
        mix.good(features, plain)
    mix.corpus(predictions, BAD_ROWS, good(1))
    mix.corpus(features, BAD_FEATURES, plain)
    mix.corpus(labels, BAD_LABELS, label("m", "g1", 5, 1.0))
    mix.good(predictions, good(2), key=None)
    mix.spoil(predictions, b"{", "truncated", key=None)
    mix.spoil(labels, None, "no value", key=None)  # not even this is lost
    mix.good(predictions, good(3)[:-1] + b', "note": "' + MEGABYTES + b'"}')
    mix.settle()
    heavy = mix.sender.send(predictions, b'{"note": "' + MEGABYTES, b"m", 0, HEADERS)
    mix.good(predictions, good(4))
    mix.settle()

    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only")
        workers.until_settled()
        assert worker.terminate()[0] == 0, worker.told()
        partition = workers.partitions()[0]

    letters = everything(brokers, topics.rejected)
    found = {origin(letter): letter for letter in letters}
    assert len(found) == len(letters)
    named = found.pop((heavy.topic, heavy.partition, heavy.offset))
    for sent, told in mix.bad:
        check_letter(found.pop((sent.topic, sent.partition, sent.offset)), sent, told)
    assert found == {}
    assert (named.key, named.value) == (b"m", (heavy.value or b"")[:FIRST_BYTES])
    size = int(dict(named.headers)["tidegauge.truncated"] or b"")
    assert size >= len(MEGABYTES)
    for source, topic in (("predictions", predictions), ("features", features), ("labels", labels)):
        tally = partition.tallies[source]  # type: ignore[index] # these are sources
        all_bad = [sent for sent, _ in [*mix.bad, (heavy, "")] if sent.topic == topic]
        bad = sum(rows_in(sent.value or b"") for sent in all_bad)
        assert (tally.observed, tally.rejected) == (mix.rows[topic], bad), topic


def test_a_mostly_bad_stream_is_told_and_told_again_when_it_is_over(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    sender = Sender(brokers)

    def send(values: list[bytes]) -> None:
        for value in values:
            sender.send(topics.labels, value, b"m", 2)
        sender.flush()

    def alerts() -> list[Alert]:
        told = bodies(brokers, topics.alerts, Alert)
        return [alert for alert in told if alert.series[0].series == "rejected"]

    fine = [label("m", f"r{n}", NOON_MS, 1.0) for n in range(100)]
    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only")
        send([*fine, *([b"{"] * 60), *fine[:40]])
        workers.until(lambda: len(alerts()) == 1, "expected an alert")
        send([b"{"] * 100)  # goes on: nothing to add
        send(fine * 14)
        workers.until(lambda: len(alerts()) == 2, "expected its resolution")
        assert worker.is_alive
        workers.until_settled()
        assert worker.terminate()[0] == 0, worker.told()

    told, over = alerts()
    assert (told.kind, told.status, told.severity) == ("quality", "firing", "critical")
    assert f"{topics.labels}[2]" in told.title
    assert told.series[0].value.current == 0.6
    assert (told.evidence.topic, told.evidence.partition) == (topics.labels, 2)
    assert (told.evidence.first_offset, told.evidence.last_offset) == (100, 199)
    assert (over.incident, over.status) == (told.incident, "resolved")
    assert over.evidence.last_offset == 1699
