"""Two workers, many kills and rebalances, and still exactly what an undisturbed worker says."""

import json
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.end_to_end.workers import (
    Group,
    Message,
    Pair,
    Sender,
    Worker,
    bodies,
    by_id,
    everything,
    group,
    pairs,
)
from tests.streams.monitor.arrow import TYPE, stream
from tests.streams.monitor.logs import JUNK, NOON_MS, frame, label, row
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import (
    LabelSpec,
    MonitorSpec,
    ReferenceSpec,
    RetrainingSpec,
    WindowSpec,
)
from tidegauge.schemas.outcomes import LabelCounts
from tidegauge.schemas.topics import FOREVER_MS, PARTITIONS, TopicNames
from tidegauge.streams.monitor.intake.arrow_frames import BEGIN
from tidegauge.streams.monitor.join.label_tally import LabelTally
from tidegauge.streams.monitor.layouts.layouts import read_snapshot
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.snapshot import RetrainingState, Snapshot
from tidegauge.streams.runtime.topics import create_topics

pytestmark = pytest.mark.timeout(900)

SEED = int(os.environ.get("TIDEGAUGE_TEST_SEED", "20261124"))
TICKS = 420
TICK_S = 0.06  # a modest rate: some 250 rows a second
KILLS = 12
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")  # in turn, as of five producers
INPUTS: tuple[Source, ...] = ("predictions", "features", "labels")
EVENTS = ("windows", "alerts", "retraining")
DRIFT, FAULT, JUNKED = range(200, 250), range(230, 270), range(120, 160)  # ticks

HORIZON = LabelSpec(horizon="1d")
SHORT = {"windows": WindowSpec(rows=20), "reference": ReferenceSpec(windows=5), "labels": HORIZON}
ON_DRIFT = RetrainingSpec(on=("drift",), cooldown="10s", blatant=True)
ON_LOSS = RetrainingSpec(blatant=True)
SPECS = (
    MonitorSpec(model="fraud", retraining=ON_LOSS, **SHORT),  # type: ignore[arg-type] # of several
    MonitorSpec(model="house", windows=WindowSpec(rows=50), labels=HORIZON, retraining=ON_LOSS),
    MonitorSpec(model="apart", retraining=ON_DRIFT, **SHORT),  # type: ignore[arg-type] # as above
    MonitorSpec(model="spread", retraining=ON_DRIFT, **SHORT),  # type: ignore[arg-type] # as above
)


class Outgoing(NamedTuple):
    """A record to send, and how many good and bad rows it holds."""

    source: Source
    partition: int
    key: bytes | None
    value: bytes | None
    good: int = 1
    bad: int = 0


def as_arrow(frame: bytes) -> bytes:
    """Return a JSON frame of predictions as an Arrow stream."""
    said = json.loads(frame)
    columns = {"id": said["ids"], "ts_ms": said["ts_ms"], "prediction": said["predictions"]}
    columns |= {f"features.{name}": values for name, values in said["features"].items()}
    return stream(columns, {"model": said["model"]})


@dataclass
class Scored:
    """A good prediction that was sent: what its label will name."""

    partition: int
    model: str
    version: str
    id: str
    ts_ms: int
    truth: float


@dataclass
class Traffic:
    """What producers send in the course of the test; follows from the seed alone."""

    rng: random.Random
    ticks: list[list[Outgoing]] = field(default_factory=list)  # predictions and features
    labels: list[list[Outgoing]] = field(default_factory=list)  # of predictions of earlier ticks
    pairs: dict[tuple[int, str, str], list[tuple[str, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _paired: set[str] = field(default_factory=set)
    _unlabelled: list[Scored] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make it all."""
        for tick in range(TICKS):
            self.labels.append(self._labels(tick))
            self.ticks.append(self._mixed(self._rows(tick), tick))

    def count(self, source: Source, partition: int) -> tuple[int, int]:
        """Return how many good and bad rows a partition gets."""
        sent = [o for tick in (*self.ticks, *self.labels) for o in tick]
        own = [o for o in sent if o.source == source and o.partition == partition]
        return sum(o.good for o in own), sum(o.bad for o in own)

    def _rows(self, tick: int) -> list[Outgoing]:
        found = [self._fraud(tick, n) for n in range(3)]
        found.append(self._house(tick))
        for n in range(2):
            shift = 9.0 if tick in DRIFT else 0.0
            id_, ts_ms = f"a{tick}-{n}", NOON_MS + 1000 * tick
            features = {"balance": shift + self.rng.random(), "tier": self.rng.choice("abc")}
            found.append(Outgoing("features", 2, b"apart", row("apart", id_, ts_ms, features)))
            value = row("apart", id_, ts_ms, {}, self.rng.random())
            found.append(Outgoing("predictions", 2, b"apart", value))
        for partition in range(PARTITIONS):
            features = {"x": self.rng.random() + (9.0 if tick in DRIFT else 0.0)}
            value = row("spread", f"s{tick}-{partition}", NOON_MS + tick, features, 0.5)
            found.append(Outgoing("predictions", partition, None, value))
        if tick in (7, 307):  # too few for its types to be known
            value = row("rare", f"r{tick}", NOON_MS, {"x": 1.0}, 0.5)
            found.append(Outgoing("predictions", 1, b"rare", value))
        return found

    def _fraud(self, tick: int, n: int) -> Outgoing:
        rng, version = self.rng, "2" if n == 2 else "1"
        features: dict[str, Any] = {
            "amount": round(rng.uniform(5, 15), 3),
            "vip": rng.random() < 0.3,
        }
        features["country"] = rng.choice(["DE", "FR", "PL"])
        if tick in DRIFT:
            features["amount"] = None if version == "2" else features["amount"] + 20
        score = round(rng.uniform(0.05, 0.95), 3)
        truth = float(rng.random() < (1 - score) ** 3) if tick in FAULT else float(score > 0.5)
        one = Scored(0, "fraud", version, f"f{tick}-{n}", NOON_MS + 1000 * tick + n, truth)
        self._unlabelled.append(one)
        value = row("fraud", one.id, one.ts_ms, features, score, version)
        return Outgoing("predictions", 0, b"fraud", value)

    def _house(self, tick: int) -> Outgoing:
        rows: list[bytes] = []
        for n in range(10):
            price = round(self.rng.gauss(300, 30), 2)
            area = price / 3 + (12.0 if tick in DRIFT else 0.0)
            truth = price + self.rng.gauss(60 if tick in FAULT else 0, 10)
            one = Scored(1, "house", "", f"h{tick}-{n}", NOON_MS + 1000 * tick + n, truth)
            self._unlabelled.append(one)
            rows.append(row("house", one.id, one.ts_ms, {"area": area}, price))
        value = frame(rows)
        if self.rng.random() < 0.9:
            value = value if tick % 2 else as_arrow(value)
            return Outgoing("predictions", 1, b"house", value, good=10)
        spoilt = json.loads(value)
        spoilt["ts_ms"][4] = "then"
        self._unlabelled.pop(-6)  # the fifth of its ten rows
        return Outgoing("predictions", 1, b"house", json.dumps(spoilt).encode(), good=9, bad=1)

    def _labels(self, tick: int) -> list[Outgoing]:
        """Return labels of what was predicted in earlier ticks, and some of nothing."""
        known, self._unlabelled = self._unlabelled, []
        self.rng.shuffle(known)
        late = len(known) // 4 if tick < TICKS - 1 else 0
        self._unlabelled, known = known[:late], known[late:]
        known = [one for one in known if self.rng.random() < 0.95]
        found = []
        for one in known:
            self._pair(one)
            if one.model == "fraud":
                value = label(one.model, one.id, one.ts_ms + 1500, one.truth)
                found.append(Outgoing("labels", one.partition, b"fraud", value))
        houses = [
            label(one.model, one.id, one.ts_ms + 1500, one.truth)
            for one in known
            if one.model == "house"
        ]
        if houses:
            found.append(Outgoing("labels", 1, b"house", frame(houses), good=len(houses)))
        if self.rng.random() < 0.05:
            value = label("fraud", f"nobody-{tick}", NOON_MS + 1000 * tick, 1.0)
            found.append(Outgoing("labels", 0, b"fraud", value))
        return self._mixed(found, tick)

    def _pair(self, one: Scored) -> None:
        if one.id not in self._paired:
            self._paired.add(one.id)
            self.pairs[one.partition, one.model, one.version].append((one.id, one.truth))

    def _mixed(self, records: list[Outgoing], tick: int) -> list[Outgoing]:
        """Return records with some of them twice and junk between them."""
        found: list[Outgoing] = []
        for record in records:
            found += [record] * (2 if self.rng.random() < 0.03 else 1)
            if self.rng.random() < 0.02:
                junk = self.rng.choice(JUNK)
                found.append(Outgoing(record.source, record.partition, b"?", junk, good=0, bad=1))
        if tick in JUNKED and found:
            values = [self.rng.choice(JUNK) for _ in range(10)]
            found += [Outgoing(found[0].source, 3, b"?", value, good=0, bad=1) for value in values]
        return found


@dataclass
class Trouble:
    """Sends the traffic and makes trouble for two workers in the course of it."""

    senders: Sequence[Sender]
    workers: Group
    traffic: Traffic
    rng: random.Random
    tick: int = 0
    killed: list[str] = field(default_factory=list)
    behind: int = 0  # kills while records were not yet committed

    def run(self) -> None:
        """Kill and restart, stop, let others join and leave, while rows flow to the end."""
        pair = [self.workers.start("one"), self.workers.start("two")]
        self.workers.until_ready(*pair)
        guests: list[Worker] = []
        for turn in range(KILLS):
            at = self.rng.randrange(2)
            if turn % 3 != 2:  # else again at once: perhaps while it restores
                self.workers.until_ready(*pair, *guests)
            if turn in (3, 8):
                guests.append(self.workers.start("guest", static=False))  # it joins meanwhile
            self.flow(self.rng.randint(10, 35))
            self._kill(pair[at])
            self.flow(self.rng.randint(0, 8))
            pair[at] = self.workers.start(pair[at].name)
            if turn in (5, 10):
                self._stop(guests.pop())
            if turn == 6:
                self._stop(pair[1 - at])
                pair[1 - at] = self.workers.start(pair[1 - at].name)
        self.flow(TICKS)
        self.workers.until_settled()
        for worker in pair:
            self._stop(worker)

    def flow(self, ticks: int) -> None:
        """Send this many ticks of the traffic at its rate."""
        until = min(TICKS, self.tick + ticks)
        for tick in range(self.tick, until):
            # labels of earlier predictions only, which the broker has: one order for both runs
            sender = self.senders[tick % len(self.senders)]
            self.send(sender, self.traffic.labels[tick])
            self.send(sender, self.traffic.ticks[tick])
            sender.flush()
            time.sleep(self.rng.uniform(0, 2 * TICK_S))
        self.tick = until

    def send(self, sender: Sender, records: Sequence[Outgoing]) -> None:
        """Send records of one tick."""
        names = self.workers.topics.by_topic()
        for record in records:
            trace = [("trace", b"7")]
            trace += [TYPE] if (record.value or b"").startswith(BEGIN) else []
            sender.send(names[record.source], record.value, record.key, record.partition, trace)

    def _kill(self, worker: Worker) -> None:
        self.behind += bool(self.workers.backlog())
        worker.kill()
        self.killed.append(f"{worker.name}@{self.tick}")

    def _stop(self, worker: Worker) -> None:
        """End a worker; one that has said nothing yet does not know how to end by itself."""
        self.workers.until(lambda: "Starting" in worker.told(), "expected it to start")
        code, _ = worker.terminate()
        assert code == 0, worker.told()


@dataclass
class Found:
    """What a run left in its topics."""

    events: dict[str, dict[str, Message]]
    copies: Counter[str]
    pairs: dict[tuple[int, str, str], list[Pair]]
    letters: dict[tuple[bytes | None, ...], set[str]]
    partitions: list[Partition]
    state: dict[int, tuple[bytes, list[bytes]]]


def found(workers: Group) -> Found:
    """Read what a run left."""
    names = workers.topics.by_topic()
    copies: Counter[str] = Counter()
    events = {}
    for topic in EVENTS:
        messages = everything(workers.brokers, names[topic])
        events[topic] = by_id(messages)
        copies[topic] = len(messages) - len(events[topic])
    letters: dict[tuple[bytes | None, ...], set[str]] = defaultdict(set)
    for message in everything(workers.brokers, names["rejected"]):
        headers = dict(message.headers)
        origin = tuple(headers[f"__connect.errors.{n}"] for n in ("topic", "partition", "offset"))
        copies["rejected"] += origin in letters
        letters[origin].add(repr(message[2:]))
    return Found(
        events,
        copies,
        pairs(everything(workers.brokers, names["outcomes"])),
        letters,
        workers.partitions(),
        {number: comparable(body) for number, body in workers.snapshots().items()},
    )


def comparable(snapshot: Snapshot) -> tuple[bytes, list[bytes]]:
    """Return a snapshot without what tells of owners, of batches and of second deliveries.

    Nor of where one topic stood when a control change was found by rows of another; their digests
    stay.
    """
    root, parts = read_snapshot(snapshot)
    for source in ("outcomes", "alerts"):
        del root.next_offset[source]
        root.tallies[source].records = root.tallies[source].observed = 0
    root.writer.epoch = root.writer.sequence = 0
    root.position.epoch = root.position.sequence = 0
    root.restore_points = []
    root.join.pairs = 0  # a restore may miss some that came while a version's types were unknown
    for part in parts:
        if isinstance(part, RetrainingState):
            for name in RetrainingState.__struct_fields__:  # in whatever order models were told of
                setattr(part, name, dict(sorted(getattr(part, name).items())))
            continue
        part.controls, part.outcome_control = [], None
        # How many waited when they were counted, depends on who read what first.
        part.labels = part.predictions = None
        if part.join is not None:
            part.join.tally = LabelTally()
        if part.performance is not None:
            part.performance.labels = LabelCounts()
        for rows in part.rows.values():
            rows.control, rows.changes = None, []
    return msgspec.msgpack.encode(root), sorted(msgspec.msgpack.encode(part) for part in parts)


def in_order(events: dict[str, Message]) -> dict[tuple[Any, ...], list[tuple[str, Message]]]:
    """Return events by what gave them, in their order; between two monitors there is none."""
    result: dict[tuple[Any, ...], list[tuple[str, Message]]] = defaultdict(list)
    for id_, message in events.items():
        body = json.loads(message.value or b"")
        key = (message.partition, dict(message.headers)["ce_source"], body["model"])
        body.pop("labels", None)  # as in ``comparable``
        told = {alarm["series"] for alarm in body.get("series", ()) if "incident" in body}
        if not told & {"unpaired", "duplicate"}:
            value = json.dumps(body).encode()
            result[*key, body["version"]].append((id_, message._replace(offset=0, value=value)))
    return result


def check_against_the_traffic(run: Found, traffic: Traffic) -> None:
    """Rows in = rows observed + rejected (+ waiting for types); pairs are the true ones."""
    waiting = Counter[str]()
    for partition in run.partitions:
        for source in INPUTS:
            tally = partition.tallies[source]
            rows = partition.rows.get(source)  # type: ignore[arg-type] # None for labels
            held = rows.waiting() if rows else 0
            good, bad = traffic.count(source, partition.number)
            assert (tally.observed + held, tally.rejected) == (good, bad), (source, partition)
            waiting[source] += held
    rare = sum(record.key == b"rare" for tick in traffic.ticks for record in tick)
    assert +waiting == {"predictions": rare}
    seen = {key: [(pair[0], pair[4]) for pair in own] for key, own in run.pairs.items()}
    assert seen == traffic.pairs


def check_that_much_happened(run: Found, brokers: str, topics: TopicNames) -> None:
    """Let no equality below be one of nothing."""
    alerts = bodies(brokers, topics.alerts, Alert)
    told = {(alert.model, alert.kind, alert.status) for alert in alerts}
    kinds = {"fraud": "quality performance", "house": "drift performance"}
    kinds |= {"apart": "quality", "spread": "quality", "": "quality"}  # far out of range
    for model, expected in kinds.items():
        assert {(model, kind, "firing") for kind in expected.split()} <= told
    for model, kind in (("house", "drift"), ("house", "performance")):
        assert (model, kind, "resolved") in told
    wanted = {dict(m.headers)["ce_subject"] for m in run.events["retraining"].values()}
    assert wanted == {b"house"}  # what else was told is to be mended


def test_kills_and_rebalances_lose_nothing_and_double_nothing(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    traffic = Traffic(random.Random(SEED))
    senders = [Sender(brokers, codec) for codec in CODECS]
    senders[0].apply(topics, *SPECS)
    with group(brokers, prefix, tmp_path) as workers:
        trouble = Trouble(senders, workers, traffic, random.Random(SEED + 1))
        began = time.monotonic()
        trouble.run()
        disturbed = found(workers)
        print(f"{time.monotonic() - began:.0f} s; killed {trouble.killed}, {trouble.behind} behind")
        print(f"sent again: {dict(disturbed.copies)}")
        print({topic: len(events) for topic, events in disturbed.events.items()})

    assert len(trouble.killed) >= 10
    assert trouble.behind >= 10
    check_against_the_traffic(disturbed, traffic)
    check_that_much_happened(disturbed, brokers, topics)

    shared = {t: n for t, n in topics.by_topic().items() if t in (*INPUTS, "monitors")}
    quiet = prefix + "undisturbed."
    create_topics(brokers, TopicNames.prefixed(quiet, shared), retention_ms=FOREVER_MS)
    with group(brokers, quiet, tmp_path, shared) as workers:
        alone = workers.start("alone")
        workers.until_settled()
        assert alone.terminate()[0] == 0, alone.told()
        undisturbed = found(workers)

    assert sum(undisturbed.copies.values()) == 0
    for topic in EVENTS:
        assert in_order(disturbed.events[topic]) == in_order(undisturbed.events[topic]), topic
    assert disturbed.pairs == undisturbed.pairs
    assert disturbed.letters == undisturbed.letters
    assert disturbed.state == undisturbed.state
