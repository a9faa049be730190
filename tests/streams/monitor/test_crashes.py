"""Whatever crashes, whoever goes on unaware: the same windows, alerts and pairs come out."""

import json
import random
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.crashes import (
    PLACES,
    Broker,
    CrashError,
    Place,
    Step,
    Worker,
    script,
    undisturbed,
)
from tests.streams.monitor.driver import SETTINGS, Driver, assert_equal
from tests.streams.monitor.logs import SPECS, Logs, busy_logs, label, row
from tidegauge.schemas.monitors import EffectSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.journal.journal import Position, read_entry
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Output, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.monitor.state import PartitionSettings

SEED = 1
CHANGES = {
    14: {"fraud": msgspec.structs.replace(SPECS["fraud"], effect=EffectSpec(features=0.3))},
    20: {"house": msgspec.structs.replace(SPECS["house"], windows=WindowSpec(rows=15))},
}


@cache
def story() -> tuple[Logs, list[Step], Broker]:
    """Return logs in which each label follows its prediction, a script, and what comes of it."""
    logs = busy_logs(SEED)
    # each label comes after its prediction, so that pairs have one order: that of the labels
    logs.runs = [run for run in logs.runs if run[0] != "labels"] + [logs.runs[-1]]
    runs: list[tuple[Source, int]] = []
    for turn in range(9):
        part = busy_logs(SEED, turn + 1).records
        at = {source: len(part[source]) for source in ("predictions", "features", "labels")}
        runs += [("predictions", at["predictions"]), ("features", at["features"])]
        runs += [("labels", at["labels"])]
    logs.runs = runs
    steps = script(logs, CHANGES)
    return logs, steps, undisturbed(logs, steps, SPECS)


def by_id(outputs: list[Output], topic: str) -> dict[bytes, Output]:
    """Return the events of a topic by their id; a second delivery must be equal."""
    found: dict[bytes, Output] = {}
    for output in outputs:
        if output.topic == topic:
            id_ = dict(output.headers)["ce_id"]
            assert id_ is not None
            same = found.setdefault(id_, output) == output
            assert same, f"one id, two contents: {output.value!r} {found[id_].value!r}"
    return found


def accepted(journal: list[LoggedRecord]) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Return the pairs a reader of the journal takes, by model version, with label offsets."""
    position = Position()
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for record in journal:
        entry = read_entry(record.value)
        if position.accepts(entry) and isinstance(entry, Outcomes):
            rows = zip(entry.ids, entry.label_offsets, strict=True)
            found.setdefault((entry.model, entry.version), []).extend(rows)
    return found


def assert_same(found: Broker, expected: Broker, labels: bool = True) -> None:
    """Assert that two runs told the same; of how many labels paired only where asked for."""
    pairs = accepted(found.logs["outcomes"])
    assert_equal(pairs, accepted(expected.logs["outcomes"]))
    for own in pairs.values():
        assert len({id_ for id_, _ in own}) == len(own)
    for topic in ("windows", "alerts", "retraining"):
        events, wanted = by_id(found.outputs, topic), by_id(expected.outputs, topic)
        assert_equal(_listed(events, labels), _listed(wanted, labels))
    assert_equal({0: dead_letters(found)}, {0: dead_letters(expected)})


def _listed(events: dict[bytes, Output], labels: bool) -> dict[bytes, list[Any]]:
    found: dict[bytes, list[Any]] = {}
    for id_, event in events.items():
        body = json.loads(event.value or b"")
        counts = body.pop("labels", None)
        told = body.get("series", []) if event.topic == "alerts" else []
        if labels or not any(one["statistic"] in ("unpaired", "duplicate") for one in told):
            found[id_] = [event.key, event.headers, body, counts if labels else None]
    return found


def dead_letters(broker: Broker) -> list[str]:
    return sorted({repr(output) for output in broker.outputs if output.topic == "rejected"})


def live(crashes: list[tuple[int, Place]], seed: int, broker: Broker, steps: list[Step]) -> Worker:
    """Let owner after owner crash, and the last one finish."""
    chance = random.Random(seed)
    for batch, place in crashes:
        try:
            Worker(broker, steps, SPECS, chance, {batch: place}).run()
        except CrashError:
            pass
    last = Worker(broker, steps, SPECS, chance)
    last.run()
    return last


def fresh(logs: Logs) -> Broker:
    return Broker({source: list(logs.records[source]) for source in SOURCES})


def test_the_undisturbed_story_is_worth_telling() -> None:
    _, _, broker = story()
    alerts = [json.loads(o.value or b"") for o in broker.outputs if o.topic == "alerts"]
    assert {alert["kind"] for alert in alerts} >= {"quality", "performance"}
    assert any("new spec or reference" in alert["title"] for alert in alerts)
    assert by_id(broker.outputs, "retraining")
    assert sum(len(own) for own in accepted(broker.logs["outcomes"]).values()) > 300


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(batches=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_crashes_change_nothing(place: Place, batches: list[int], seed: int) -> None:
    logs, steps, expected = story()
    broker = fresh(logs)
    live([(batch, place) for batch in batches], seed, broker, steps)
    assert_same(broker, expected)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    crashes=st.lists(st.tuples(st.integers(1, 50), st.sampled_from(PLACES)), max_size=8),
    seed=st.integers(0, 99),
)
def test_any_mix_of_crashes_changes_nothing(crashes: list[tuple[int, Place]], seed: int) -> None:
    logs, steps, expected = story()
    broker = fresh(logs)
    last = live(crashes, seed, broker, steps)
    assert_same(broker, expected)
    for source in ("predictions", "features", "labels"):
        assert last.partition.next_offset[source] == len(logs.records[source])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    first=st.integers(1, 12), further=st.integers(1, 6), late=st.booleans(), seed=st.integers(0, 99)
)
def test_an_owner_that_has_not_noticed_changes_nothing(
    first: int, further: int, late: bool, seed: int
) -> None:
    logs, steps, expected = story()
    broker, chance = fresh(logs), random.Random(seed)
    zombie = Worker(broker, steps, SPECS, chance)
    zombie.run(until=first)
    owner = Worker(broker, steps, SPECS, chance)
    zombie.run(until=min(first + further, *CHANGES))  # before any change of control
    if late:
        zombie.checkpoint()
        owner = Worker(broker, steps, SPECS, chance)  # starts from the zombie's snapshot
    owner.run()
    # Its reports of labels are void; the next one says what they would have said.
    assert_same(broker, expected, labels=False)


def pair_logs() -> Logs:
    """Return 120 predictions, then their labels."""
    logs = Logs()
    for n in range(120):
        logs.add("predictions", row("fraud", str(n), n, {"a": n % 7}, 0.5), at=n)
    logs.run("predictions")
    for n in range(120):
        logs.add("labels", label("fraud", str(n), n + 1, n % 2), at=n)
    logs.run("labels")
    return logs


def test_pairs_that_only_a_superseded_owner_wrote_are_written_again() -> None:
    logs = pair_logs()
    steps = script(logs, {})
    broker, chance = fresh(logs), random.Random(3)
    zombie = Worker(broker, steps, SPECS, chance)
    zombie.run(until=1)
    Worker(broker, steps, SPECS, chance)  # a new owner, which crashes at once
    zombie.run()  # its pairs are void
    zombie.checkpoint()
    assert accepted(broker.logs["outcomes"]) == {}
    last = Worker(broker, steps, SPECS, chance)
    broker.logs["labels"].append(LoggedRecord(120, 0, None, label("fraud", "0", 1, 0.0)))
    last.steps = [*steps, ("labels", 121)]
    last.run()
    found = accepted(broker.logs["outcomes"])
    assert found == {("fraud", ""): [(str(n), n) for n in range(120)]}


def test_labels_that_wait_at_a_snapshot_still_find_their_predictions() -> None:
    logs = pair_logs()
    logs.runs.reverse()  # labels first
    restart_before_the_predictions(logs)


def test_the_first_labels_of_a_model_wait_across_a_restart_however_few_they_are() -> None:
    logs = pair_logs()
    del logs.records["labels"][50:]
    logs.runs = [("labels", 50), ("predictions", 120)]
    restart_before_the_predictions(logs)


def restart_before_the_predictions(logs: Logs) -> None:
    steps, broker = script(logs, {}), fresh(logs)
    worker = Worker(broker, steps, SPECS, random.Random(1))
    worker.run(until=1)
    for _ in range(2):  # the first snapshot's mark makes way for the second's
        worker.checkpoint()
    Worker(broker, steps, SPECS, random.Random(2)).run()
    expected = [(str(n), n) for n in range(len(logs.records["labels"]))]
    assert accepted(broker.logs["outcomes"]) == {("fraud", ""): expected}


def test_rows_that_waited_for_their_types_at_a_snapshot_still_find_their_labels() -> None:
    logs = Logs()
    for n in range(260):  # version 1 is rare: its types are known long after those of version 2
        version = "1" if n < 10 or n % 5 == 0 or n > 200 else "2"
        logs.add("predictions", row("fraud", str(n), n, {"a": n % 7}, 0.5, version), at=n)
        if n in (9, 180, 259):
            logs.run("predictions")
    for n in range(260):
        logs.add("labels", label("fraud", str(n), n + 1, n % 2), at=n)
    logs.run("labels")
    steps, broker = script(logs, {}), fresh(logs)
    for until in (1, 2, 3):
        worker = Worker(broker, steps, SPECS, random.Random(until))
        worker.run(until=until)
        worker.checkpoint()
    Worker(broker, steps, SPECS, random.Random(9)).run()
    found = accepted(broker.logs["outcomes"])
    assert sum(len(own) for own in found.values()) == 260


def test_a_restore_reads_no_more_than_it_must_and_still_knows_what_was_paired() -> None:
    logs, later = pair_logs(), 1 << 40
    for at in (later, later + 60 * 86_400_000):
        for n in range(300):
            value = row("fraud", f"{at}-{n}", at, {"a": 1}, 0.5)
            logs.add("predictions", value, at=at)
        logs.run("predictions")
        for n in range(300):
            logs.add("labels", label("fraud", f"{at}-{n}", at, 1), at=at)
        logs.run("labels")
    steps, broker = script(logs, {}), fresh(logs)
    worker = Worker(broker, steps, SPECS, random.Random(1))
    worker.run(until=2)
    worker.checkpoint()
    assert worker.partition.rebuild_from["predictions"] == 0  # a label may come a second time
    worker.run(until=5)
    worker.checkpoint()
    worker.run()
    worker.checkpoint()
    start = worker.partition.rebuild_from
    assert (start["predictions"], start["labels"]) == (120, 120)  # where a snapshot was
    assert start["outcomes"] > 1
    twice = [label("fraud", f"{later + 60 * 86_400_000}-{n}", later, 0) for n in range(300)]
    broker.logs["labels"] += [LoggedRecord(720 + n, later, None, v) for n, v in enumerate(twice)]
    steps.append(("labels", 1020))
    before = accepted(broker.logs["outcomes"])
    Worker(broker, steps, SPECS, random.Random(2)).run()
    assert accepted(broker.logs["outcomes"]) == before
    assert len(before["fraud", ""]) == 720


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\xc1", b"nonsense"])
def test_a_snapshot_that_cannot_be_read_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):
        Partition.restore(0, SETTINGS, Snapshot(damage, {}))
    driver = Driver(SPECS).run(busy_logs(SEED, 1))
    whole = driver.partition.snapshot()
    with pytest.raises(ValueError):
        Partition.restore(0, SETTINGS, Snapshot(whole.root[:-1], whole.parts))
    for key in whole.parts:
        with pytest.raises(ValueError):
            Partition.restore(0, SETTINGS, Snapshot(whole.root, {**whole.parts, key: damage}))
    other = msgspec.msgpack.encode(msgspec.msgpack.decode(whole.root) | {"layout": 99})
    with pytest.raises(ValueError, match="snapshot: expected layout 1 to 3, got 99"):
        Partition.restore(0, SETTINGS, Snapshot(other, whole.parts))


def test_a_restored_partition_gives_the_same_snapshot() -> None:
    logs, steps, _ = story()
    broker = fresh(logs)
    worker = Worker(broker, steps, SPECS, random.Random(5))
    worker.run()
    worker.checkpoint()
    restored = Worker(broker, steps, SPECS, random.Random(6)).partition
    restored.writer = worker.partition.writer  # but for its epoch
    same = restored.snapshot() == broker.state[-1]
    assert same


def test_a_model_may_be_given_a_spec_before_its_first_row() -> None:
    spec = MonitorSpec(model="fraud", windows=WindowSpec(rows=10))
    partition = Partition(0, SETTINGS)
    partition.fence()
    partition.apply_change(partition.control_change("fraud", "", choose(spec, None)))
    folded = partition.fold("predictions", pair_logs().records["predictions"])
    assert folded.unknown is None
    assert sum(output.topic == "windows" for output in folded.outputs) == 12


def test_the_outcomes_budget_of_spread_rows_does_not_depend_on_which_log_is_read_first() -> None:
    spread = PartitionSettings(SETTINGS.topics, partitions=4)
    logs = pair_logs()
    for log in logs.records.values():
        log[:] = [LoggedRecord(r.offset, r.timestamp, b"another", r.value) for r in log]
    broker = fresh(logs)
    first = Worker(broker, script(logs, {}), SPECS, random.Random(1), settings=spread)
    first.run()
    broker.state.clear()  # as if it had crashed before its first snapshot
    second = Worker(broker, [], SPECS, random.Random(2), settings=spread)
    second.run()
    second.partition.fold("outcomes", broker.logs["outcomes"])  # before any prediction
    monitors = [worker.partition.outcomes.monitors["fraud", ""] for worker in (first, second)]
    assert [monitor.budget for monitor in monitors] == [0.25 / 2, 0.25 / 2]
