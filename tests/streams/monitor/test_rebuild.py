"""A restore gives the join the predictions it had, whatever has changed since they came."""

import contextlib
import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.join import Event, Found, pairs
from tests.streams.monitor.crashes import PLACES, Broker, CrashError, Place, Worker, script
from tests.streams.monitor.driver import SETTINGS, Driver
from tests.streams.monitor.logs import NOON_MS, Logs, frame, label, row
from tidegauge.schemas.monitors import FeatureSpec, LabelSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.held import NOTHING
from tidegauge.streams.monitor.join.siphash import KEY_BYTES, hashes
from tidegauge.streams.monitor.join.store import Store
from tidegauge.streams.monitor.journal.journal import Position, read_entry
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import LoggedRecord, OfflineLog
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Source

JOINED: tuple[Source, ...] = ("predictions", "labels")
PLAIN = MonitorSpec(model="m", windows=WindowSpec(rows=50))


def spec(kind: Any) -> MonitorSpec:
    return MonitorSpec(
        model="m", windows=WindowSpec(rows=50), features={"note": FeatureSpec(type=kind)}
    )


def prediction(n: int, note: Any) -> bytes:
    return row("m", str(n), n, {"a": float(n), "note": note}, 0.5)


@pytest.mark.parametrize(
    ("before", "after"), [(PLAIN, spec("ignore")), (spec("ignore"), spec("numeric"))]
)
@pytest.mark.parametrize("later", [40, 140])
def test_predictions_survive_a_restore_after_a_change_of_features(
    before: MonitorSpec, after: MonitorSpec, later: int
) -> None:
    log = OfflineLog(Lookup([before]))
    records = []

    def send(numbers: range, note: Any) -> None:
        for n in numbers:
            value = prediction(n, note)
            records.append(LoggedRecord(n, 1 << 48, b"m", value))
            log.append("predictions", b"m", value)

    send(range(150), "text")
    change = log.partition.control_change("m", "", choose(after, None))
    log.partition.apply_change(change)
    log._publish([change])  # noqa: SLF001 - as the worker appends it
    assert log.partition.known()["m", ""] == control_digest(after, None)
    send(range(150, 150 + later), 1.0)
    settings, number = log.partition.settings, log.partition.number
    restored = Partition.restore(number, settings, log.partition.snapshot())
    start = restored.rebuild_from["predictions"]
    restored.rebuild_join("predictions", records[start:])
    folded = restored.fold(
        "labels",
        [LoggedRecord(n, 1 << 48, b"m", label("m", str(n), 1000, 1.0)) for n in range(150)],
    )
    assert folded.outputs
    assert restored.join.counts.pairs == 150


# --- pairs, whatever crashed ------------------------------------------------------------------

DAY_MS = 86_400_000
TWO = MonitorSpec(model="fraud", windows=WindowSpec(rows=50), labels=LabelSpec(horizon="1d"))


def two_versions(seed: int) -> Logs:
    """Return frames of two versions over 24 days; labels come late, out of order, some twice."""
    chance, logs = random.Random(seed), Logs()
    waiting: list[tuple[int, str, int]] = []  # when it is sent, id, event time
    for turn in range(48):
        now_ms = turn * DAY_MS // 2
        names = [f"{turn}-{n}" for n in range(chance.randint(40, 90))]
        for version in "12":
            own = [x for x in names if chance.random() < 0.8] or names
            own += [chance.choice(own)] * (chance.random() < 0.3)
            rows = [row("fraud", x, now_ms + n, {"a": 1}, 0.5, version) for n, x in enumerate(own)]
            logs.add("predictions", frame(rows), at=now_ms)
        for n, name in enumerate(names):
            known_ms = now_ms + n + chance.randint(0, DAY_MS)
            far = chance.random() < 0.05
            waiting.append((known_ms + chance.randint(0, DAY_MS // 2), name, known_ms))
            waiting += [(known_ms + DAY_MS, name, known_ms + 5)] * (chance.random() < 0.1)
            waiting += [(known_ms, f"{name} of none", known_ms + 9 * DAY_MS * far)] * far
        due = sorted(one for one in waiting if one[0] <= now_ms)
        waiting = [one for one in waiting if one[0] > now_ms]
        values = [label("fraud", name, known_ms, 1) for _, name, known_ms in due]
        for start in range(0, len(values), 20):
            logs.add("labels", frame(values[start : start + 20]), at=now_ms)
        order: list[Source] = ["predictions", "labels"]
        chance.shuffle(order)
        if chance.random() < 0.7:
            logs.run(*order)
    logs.run("labels", "predictions")
    return logs


def events_of(logs: Logs) -> list[Event]:
    """Return what is in the logs, row by row."""
    events = []
    for source in ("predictions", "labels"):
        for record in logs.records[source]:
            body = json.loads(record.value or b"")
            events += [
                Event(source == "labels", id_, ts_ms, record.offset, body.get("version", ""))
                for id_, ts_ms in zip(body["ids"], body["ts_ms"], strict=True)
            ]
    return events


def known_labels(store: Store, ids: Texts) -> set[tuple[str, int, frozenset[str | None]]]:
    labels, places = store.labels, store.labels.find(hashes(ids, bytes(KEY_BYTES)))
    known = places[places != NOTHING]
    assert len(known) == len(labels)
    names = [id_ for id_, place in zip(ids, places, strict=True) if place != NOTHING]
    met = [frozenset(labels.met(place)) for place in known]
    return {*zip(names, labels.at(known)[0].tolist(), met, strict=True)}


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), crashes=st.lists(st.integers(1, 25), max_size=4))
def test_the_pairs_are_those_of_the_logs_whatever_crashed_and_however_they_were_read(
    place: Place, seed: int, crashes: list[int]
) -> None:
    logs, chance = two_versions(seed), random.Random(seed)
    broker = Broker({source: list(logs.records[source]) for source in SOURCES})
    for batch in crashes:
        with contextlib.suppress(CrashError):
            Worker(broker, script(logs, {}), {"fraud": TWO}, chance, {batch: place}).run()
    last = Worker(broker, script(logs, {}), {"fraud": TWO}, chance)
    last.run()
    position, found = Position(), list[Found]()
    for record in broker.logs["outcomes"]:
        entry = read_entry(record.value)
        if position.accepts(entry) and isinstance(entry, Outcomes):
            rows = zip(entry.ids, entry.prediction_offsets, entry.label_offsets, strict=True)
            found += [Found(entry.version, *own) for own in rows]
    assert sorted(found) == sorted(pairs(events_of(logs), DAY_MS))
    store = last.partition.join.stores["fraud"]
    assert store.predictions_log.forgotten > 20  # nor what was forgotten meanwhile
    last.checkpoint()
    restored = Worker(broker, [], {"fraud": TWO}, chance).partition.join.stores["fraud"]
    texts = Texts.of(sorted({event.id for event in events_of(logs)}))
    names = hashes(texts, bytes(KEY_BYTES))
    assert {
        v: (own.find(names) != NOTHING).tolist()
        for v, own in restored.predictions.items()
        if len(own)
    } == {
        v: (own.find(names) != NOTHING).tolist() for v, own in store.predictions.items() if len(own)
    }
    first = {event.id: event.offset for event in reversed(events_of(logs)) if event.is_label}
    known, again = (known_labels(one, texts) for one in (store, restored))
    assert known <= again
    # The second label of an id may be taken for the first where that is forgotten.
    assert all(first[id_] < store.labels_log.forgotten for id_, *_ in again - known)


def test_a_restore_reads_by_the_kernel_what_was_read_before() -> None:
    driver = Driver(as_objects=True)
    records = [
        LoggedRecord(n, NOON_MS, b"m", row("m", str(n), NOON_MS, {"a": n, "b": "x"}, n / 7))
        for n in range(200)
    ]
    driver.fold("predictions", records)
    monitors, bytes_ = driver.partition.rows["predictions"], RecordBatch.of(records)
    one, other = (
        [block for batch in monitors.again(some) for _, block in batch.blocks]
        for some in (records, bytes_)
    )
    assert [block.ids.buffer is bytes_.buffer for block in other] == [True]
    assert [list(block.ids) for block in one] == [list(block.ids) for block in other]
    assert all(np.array_equal(a.numbers, b.numbers) for a, b in zip(one, other, strict=True))


def test_a_snapshot_before_rows_come_again_forgets_no_pair_that_the_journal_has() -> None:
    """The journal may be read again first, and a snapshot be due before any row is."""
    rows = [row("m", str(n), NOON_MS + n, {"a": n % 7}, 0.5) for n in range(400)]
    labels = [label("m", str(n), NOON_MS + n, 1) for n in range(400)]
    logs: dict[Source, list[LoggedRecord]] = {
        source: [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
        for source, values in zip(JOINED, (rows, labels), strict=True)
    }
    driver = Driver({"m": PLAIN})
    for source, records in logs.items():
        driver.fold(source, records)
        driver.feed_back()
    journal = driver.fed_back["outcomes"]
    assert any(isinstance(read_entry(record.value), Outcomes) for record in journal)
    second = Partition(0, SETTINGS)
    second.read_journal(journal)
    second.fence()
    second.fold("outcomes", journal)
    driver.partition = Partition.restore(0, SETTINGS, second.snapshot())
    driver.partition.read_journal(journal[driver.partition.rebuild_from["outcomes"] :])
    driver.partition.fence()
    told = len(driver.outputs)
    for source, records in logs.items():
        driver.fold(source, records)
    again = [output.message for output in driver.outputs[told:]]
    assert not any(isinstance(message, Outcomes) for message in again)
