"""Specs that change at any moment, also while no worker is there, and workers that are killed."""

import random
from collections import Counter

import msgspec
import pytest

from tests.streams.monitor.crashes import PLACES, Broker, CrashError, Place, Worker
from tests.streams.monitor.driver import SETTINGS, Driver, assert_equal, pairs, pieces
from tests.streams.monitor.logs import NOON_MS, busy_logs, label, row
from tests.streams.monitor.test_crashes import by_id, dead_letters
from tidegauge.schemas.monitors import (
    EffectSpec,
    FeatureSpec,
    LabelSpec,
    MonitorSpec,
    ReferenceSpec,
    WindowSpec,
)
from tidegauge.streams.monitor.control.control import control, control_digest
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Record, Source
from tidegauge.streams.monitor.rows import Change

INPUTS: tuple[Source, ...] = ("predictions", "features", "labels")
CHANGES, KILLS, FOLDS, GROWTHS = 100, 75, 900, 300  # some kills come before the one before


def a_spec(model: str, chance: random.Random) -> MonitorSpec:
    """Return a spec that keeps what was learned, or not, with another horizon of the labels."""
    return MonitorSpec(
        model=model,
        windows=WindowSpec(rows=chance.choice([10, 12, 15])),
        reference=ReferenceSpec(windows=5),
        effect=EffectSpec(features=round(chance.uniform(0.1, 0.9), 3)),
        features=chance.choice([{}, {}, {"country": FeatureSpec(type="ignore")}]),
        labels=LabelSpec(horizon=chance.choice(["10ms", "3s", "30d"])),
    )


class Life:
    """Logs that grow, specs that change, and workers of which one at a time is alive."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.logs = busy_logs(seed, 30)
        self.broker = Broker({source: [] for source in SOURCES})
        self.specs: dict[str, MonitorSpec] = {}
        self.worker: Worker | None = None
        self.happened = Counter[str]()

    def run(self) -> Partition:
        """Let it all happen in any order; then let a last worker finish."""
        growth = {source: len(log) // GROWTHS + 1 for source, log in self.logs.records.items()}
        acts = ["change"] * CHANGES + ["kill"] * KILLS + ["fold"] * FOLDS + ["grow"] * GROWTHS
        self.chance.shuffle(acts)
        for act in acts:
            if act == "change":
                self._change()
            elif act == "grow":
                for source in INPUTS:
                    self._grow(source, growth[source])
            elif act == "kill":
                self._kill()
            elif self.worker is not None or self.chance.random() < 0.3:
                self._fold(self.chance.choice(SOURCES))
        for source in INPUTS:
            self._grow(source, len(self.logs.records[source]))
        last = self._start()
        last.crash_at = {}
        last.adopt()
        while any(self._fold(source) for source in SOURCES):
            pass
        return last.partition

    def _change(self) -> None:
        model = self.chance.choice(["fraud", "house"])
        if self.chance.random() < 0.1:
            self.specs.pop(model, None)
        else:
            self.specs[model] = a_spec(model, self.chance)
        self.happened["changes while no worker is there"] += self.worker is None

    def _grow(self, source: Source, count: int) -> None:
        log = self.broker.logs[source]
        log += self.logs.records[source][len(log) : len(log) + count]
        self.broker.reached[source] = len(log)

    def _kill(self) -> None:
        """End the worker at once, or in the middle of what it does next."""
        worker = self._start()
        if worker.crash_at or self.chance.random() < 0.4:
            self._dies()
            return
        places: tuple[Place, ...] = (*PLACES, "journal")
        place = self.chance.choice(places)
        worker.crash_at = {worker.batches + (place != "journal"): place}

    def _dies(self) -> None:
        self.worker = None
        self.happened["kills"] += 1

    def _start(self) -> Worker:
        """Return the worker, a new one if there is none."""
        if self.worker is None:
            self.worker = Worker(self.broker, [], {}, self.chance)
            self.worker.specs = self.specs
        return self.worker

    def _fold(self, source: Source) -> bool:
        """Let the worker fold a batch; return whether there was one."""
        worker = self._start()
        start = worker.partition.next_offset[source]
        rest: list[Record] = list(self.broker.logs[source][start:])
        if not rest:
            return False
        try:
            worker.adopt()
            worker.fold_batch(source, rest[: self.chance.randint(1, 40)])
        except CrashError:
            self._dies()
        return True


def replay(broker: Broker) -> Broker:
    """Return what one core makes of the same logs, the journal included."""
    found = Broker({source: list(log) for source, log in broker.logs.items()})
    partition = Partition(0, SETTINGS)
    partition.read_journal(found.logs["outcomes"])
    for source in SOURCES:
        folded = partition.fold(source, found.logs[source])
        assert folded.unknown is None
        found.outputs += [output for output in folded.outputs if output.topic != "outcomes"]
    return found


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_hundred_changes_and_fifty_kills_give_what_the_logs_say(seed: int) -> None:
    life = Life(seed)
    partition = life.run()
    print(dict(life.happened))
    assert life.happened["kills"] >= 50
    assert life.happened["changes while no worker is there"] > 5
    expected = replay(life.broker)
    for topic in ("windows", "alerts", "retraining"):
        found, wanted = by_id(life.broker.outputs, topic), by_id(expected.outputs, topic)
        assert_equal({k: [v] for k, v in found.items()}, {k: [v] for k, v in wanted.items()})
    assert len(by_id(expected.outputs, "windows")) > 100
    assert_equal({0: dead_letters(life.broker)}, {0: dead_letters(expected)})
    for (model, version), digest in partition.known().items():
        newest = life.specs.get(model)
        assert digest == control_digest(newest, None)
        assert in_force(partition, model, version) == control(model, newest, None).spec


def in_force(partition: Partition, model: str, version: str) -> MonitorSpec:
    """Return the spec by which the next prediction of a model version will be watched."""
    rows = partition.rows["predictions"]
    changes = [c for c in rows.changes if isinstance(c, Change)]
    waiting = [c.control.spec for c in changes if c.key == (model, version)]
    return [rows.controls[model, version].spec, *waiting][-1]


def a_log(count: int) -> list[LoggedRecord]:
    values = [row("m", str(n), n, {"a": n % 7}, 0.5) for n in range(count)]
    return [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]


def of_rows(rows: int) -> MonitorSpec:
    return MonitorSpec(model="m", windows=WindowSpec(rows=rows))


def test_a_change_between_a_kill_and_a_restart_leaves_what_was_told() -> None:
    records = a_log(400)
    broker = Broker({source: [] for source in SOURCES})
    broker.logs["predictions"] = records
    first = Worker(broker, [], {"m": of_rows(20)}, random.Random(1))
    first.fold_batch("predictions", list(records[:150]))
    first.checkpoint()
    first.fold_batch("predictions", list(records[150:250]))  # told, but in no snapshot
    broker.reached["predictions"] = 250
    second = Worker(broker, [], {"m": of_rows(50)}, random.Random(1))
    second.adopt()
    second.fold_batch("predictions", list(records[150:]))
    reports = by_id(broker.outputs, "windows")  # whose contents agree where they have one id
    windows = sorted(
        (body["first_offset"], body["rows"])
        for body in (msgspec.json.decode(o.value or b"") for o in reports.values())
    )
    assert windows == [*((n, 20) for n in range(0, 240, 20)), (250, 50), (300, 50), (350, 50)]


def test_of_two_changes_that_cross_a_kill_the_newer_wins() -> None:
    records = a_log(400)
    broker = Broker({source: [] for source in SOURCES})
    broker.logs["predictions"] = records
    first = Worker(broker, [], {"m": of_rows(20)}, random.Random(1))
    first.fold_batch("predictions", list(records[:150]))
    first.checkpoint()
    first.fold_batch("predictions", list(records[150:250]))
    broker.reached["predictions"] = 250
    first.specs["m"] = of_rows(30)
    first.adopt()  # journaled for offset 250, and then it is killed
    second = Worker(broker, [], {"m": of_rows(50)}, random.Random(1))
    second.partition.changes_from({})  # as if all it knew of offset 250 was the first change
    second.adopt()
    second.fold_batch("predictions", list(records[150:]))
    assert (
        second.partition.rows["predictions"].controls["m", ""].spec.windows == of_rows(50).windows
    )
    assert second.partition.rows["predictions"].changes == []


def test_changes_that_an_earlier_version_journaled_crosswise_end_with_the_newest() -> None:
    driver = Driver({"m": of_rows(20)})
    driver.fold("predictions", a_log(100))
    rows = driver.partition.rows["predictions"]
    rows.schedule(150, ("m", ""), control("m", of_rows(30), None))
    rows.schedule(120, ("m", ""), control("m", of_rows(50), None))
    assert rows.changes == [Change(150, ("m", ""), control("m", of_rows(50), None))]


def horizon(length: str) -> MonitorSpec:
    return MonitorSpec(model="m", labels=LabelSpec(horizon=length))


def labels_two_days_late(count: int) -> list[LoggedRecord]:
    values = [label("m", str(n), n + 2 * 86_400_000, n % 2) for n in range(count)]
    return [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]


@pytest.mark.parametrize("cuts", [(), (0,), (10, 20, 30, 40)])
def test_a_change_of_the_horizon_holds_from_its_offset_wherever_batches_are_cut(
    cuts: tuple[int, ...],
) -> None:
    driver = Driver({"m": horizon("1d")})
    driver.fold("predictions", a_log(100))
    driver.fold("labels", labels_two_days_late(400))
    driver.change("m", "", horizon("30d"))  # at offset 100
    change = driver.partition.writer.change(("m", ""), choose(horizon("1d"), None), (250, 0), False)
    driver.publish([change])
    driver.partition.apply_change(change)
    for batch in pieces(a_log(400)[100:], cuts):
        driver.fold("predictions", batch)
    assert [at[5] for at in pairs(driver.outputs)["m", ""]] == list(range(100, 250))


@pytest.mark.parametrize(("before", "after", "found"), [("1d", "30d", 50), ("30d", "1d", 100)])
def test_a_restore_judges_labels_by_the_horizon_of_their_time(
    before: str, after: str, found: int
) -> None:
    broker = Broker({source: [] for source in SOURCES})
    broker.logs["predictions"] = a_log(200)
    broker.logs["labels"] = labels_two_days_late(200)
    worker = Worker(broker, [], {"m": horizon(before)}, random.Random(1))
    worker.fold_batch("predictions", list(broker.logs["predictions"][:150]))
    worker.fold_batch("labels", list(broker.logs["labels"][:100]))
    worker.specs["m"] = horizon(after)
    worker.adopt()
    worker.fold_batch("predictions", list(broker.logs["predictions"][150:180]))
    worker.fold_batch("labels", list(broker.logs["labels"][100:150]))
    for _ in range(2):
        worker.checkpoint()
        worker = Worker(broker, [], worker.specs, random.Random(1))
        worker.fold_batch("predictions", list(broker.logs["predictions"][180:]))
    assert worker.partition.join.counts.pairs == found
    told = pairs(broker.outputs).values()  # by chance a record is delivered twice
    assert len({pair for own in told for pair in own}) == found
