import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.traffic import REFERENCE, Rows, new_country, traffic
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES
from tidegauge.streams.monitor.state import PartitionSettings
from tidegauge.streams.monitor.status import (
    ModelStatus,
    StreamStatus,
    merge,
    model_statuses,
    unattributed,
)

SPEC = MonitorSpec(
    model="fraud",
    windows=WindowSpec(rows=100),
    reference=ReferenceSpec(windows=40),
    features={"secret": FeatureSpec(type="ignore")},
)


def log() -> OfflineLog:
    settings = PartitionSettings({source: source for source in SOURCES}, 1)
    return OfflineLog(Lookup([SPEC]), partition=Partition(0, settings))


def rows(log: OfflineLog, numbers: Sequence[int], factor: float = 1.0, version: str = "3") -> None:
    """Append rows as a frame; the amount is what moves."""
    frame = {
        "model": "fraud",
        "version": version,
        "ids": [f"{version}-{number}" for number in numbers],
        "ts_ms": [1000 * number for number in numbers],
        "predictions": [(number * 7 % 10) / 10 for number in numbers],
        "features": {
            "amount": [factor * (100 + number * 13 % 97) for number in numbers],
            "zip": [f"z{number}" for number in numbers],
            "secret": ["x" for _ in numbers],
        },
    }
    log.append("predictions", b"fraud", json.dumps(frame).encode())


def labels(log: OfflineLog, numbers: Sequence[int], version: str = "3") -> None:
    frame = {
        "model": "fraud",
        "ids": [f"{version}-{number}" for number in numbers],
        "ts_ms": [1000 * number for number in numbers],
        "labels": [number * 7 % 10 > 4 for number in numbers],
    }
    log.append("labels", b"fraud", json.dumps(frame).encode())


def only(log: OfflineLog) -> ModelStatus:
    (found,) = model_statuses(log.partition)
    return found


def stream(log: OfflineLog, source: str = "predictions") -> StreamStatus:
    (found,) = [one for one in only(log).streams if one.source == source]
    return found


def stage(found: StreamStatus) -> tuple[Any, ...]:
    return found.state, found.gathered, found.needed


def test_a_model_goes_from_its_first_rows_over_learning_to_judging() -> None:
    given = log()
    rows(given, range(60))
    assert stage(stream(given)) == ("typing", 60, 100)
    rows(given, range(60, 1250))
    found = stream(given)
    assert stage(found) == ("learning", 12, 40)
    assert (found.rows, found.windows, found.open_rows) == (1250, 12, 50)
    assert found.newest_ms == 1_249_000
    assert found.watched == ["amount", "zip"]
    rows(given, range(1250, 4000))
    assert stage(stream(given)) == ("provisional", 40, 0)


def test_rows_that_wait_until_their_windows_are_chosen_have_a_newest_one() -> None:
    given = OfflineLog()
    rows(given, range(300))
    found = stream(given)
    assert (found.rows, found.windows, found.open_rows) == (300, 0, 300)
    assert found.newest_ms == 299_000


def test_pairs_are_a_stream_of_their_own() -> None:
    given = log()
    rows(given, range(300))
    labels(given, range(60))
    assert stage(stream(given, "outcomes")) == ("learning", 0, 40)
    labels(given, range(60, 300))
    found = stream(given, "outcomes")
    assert stage(found) == ("learning", 3, 40)
    assert (found.rows, found.windows, found.open_rows) == (300, 3, 0)


def test_an_open_incident_has_the_words_of_its_alert() -> None:
    given = log()
    rows(given, range(4000))
    assert only(given).open == []
    rows(given, range(4000, 6000), factor=3.0)
    alerts = [json.loads(o.value or b"") for o in given.outputs if o.topic == "alerts"]
    told = {(alert["incident"], alert["since_ms"], alert["severity"]) for alert in alerts}
    found = only(given).open
    assert found
    assert {(one.id, one.since_ms, one.severity) for one in found} == told
    assert all("amount" in one.title and one.title.startswith("fraud@3: since") for one in found)


def test_an_incident_stays_open_while_a_late_feature_has_just_been_learned() -> None:
    def no_age(frame: Rows, rng: np.random.Generator) -> None:
        frame.age[:] = None

    stream = traffic(3).send(REFERENCE, no_age).send(REFERENCE - 5).send(5, new_country)
    monitor = stream.log.partition.rows["predictions"].monitors["m", ""]
    told = stream.alerts()[-1]  # behind that age comes
    assert [cohort.gathered for cohort in monitor.inputs] == [REFERENCE, REFERENCE]
    assert [one.id for one in only(stream.log).open] == [told["incident"]]
    (closed,) = monitor.supersede()
    assert json.loads(closed.value or b"")["incident"] == told["incident"]


def test_features_that_are_not_watched_are_named_with_the_reason() -> None:
    given = log()
    rows(given, range(4100))
    assert stream(given).not_watched == {
        "secret": "the spec ignores it",
        "zip": "more than 1,000 values, or none: only gaps are watched",
    }


def test_rejected_rows_are_counted_with_the_main_reason() -> None:
    given = log()
    rows(given, range(200))
    for number in range(100):
        row = {"model": "fraud", "version": "3", "id": f"b{number}", "ts_ms": "x", "prediction": 1}
        given.append("predictions", b"fraud", json.dumps(row).encode())
    found = only(given)
    assert (found.rejected, found.read) == (100, 300)
    assert found.reason == "Expected `int`, got `str` - at `$.ts_ms`"
    assert [one.kind for one in found.incidents] == ["quality"]


def test_the_main_reason_is_that_of_all_that_was_rejected_and_not_of_the_latest() -> None:
    given = log()
    rows(given, range(200))
    told = {"model": "fraud", "version": "3", "id": "b", "prediction": 1}
    for number in range(30):  # too early for their records, each by its own time
        ahead = json.dumps(told | {"ts_ms": 10**9 + number}).encode()
        given.append("predictions", b"fraud", ahead, 0)
    for _ in range(70):
        given.append("predictions", b"fraud", json.dumps(told | {"ts_ms": "x"}).encode())
    rows(given, range(200, 310))
    given.append("predictions", b"fraud", json.dumps(told).encode())
    assert only(given).reason == "Expected `int`, got `str` - at `$.ts_ms`"


def test_labels_of_a_model_without_predictions_stand_alone_and_others_with_their_model() -> None:
    given = log()
    labels(given, range(10))
    alone = only(given)
    assert (alone.name, alone.streams, alone.read) == ("fraud", [], 10)
    rows(given, range(100))
    assert only(given).name == "fraud@3"
    assert only(given).read == 110


def test_records_of_no_model_are_counted_for_the_partition() -> None:
    given = log()
    rows(given, range(100))
    given.append("predictions", b"?", b"nonsense")
    found = unattributed(given.partition)
    assert (found.rejected, found.reason) == (1, "JSON is malformed: invalid character (byte 4)")


def test_what_became_of_labels_is_told_of_every_version() -> None:
    given = log()
    rows(given, range(100))
    rows(given, range(100), version="4")
    assert [one.labels for one in model_statuses(given.partition)] == [{}, {}]
    labels(given, range(50, 150))
    for status in model_statuses(given.partition):
        assert (status.labels["labels"], status.labels["paired"]) == (100, 50)


def test_an_incident_of_labels_is_open_with_every_version_of_their_model() -> None:
    given = log()
    for version in ("3", "4"):
        rows(given, range(100), version=version)
    for start in range(0, 700, 100):
        labels(given, range(start, start + 100), version="none")
    alerts = [msgspec.json.decode(o.value or b"") for o in given.outputs if o.topic == "alerts"]
    for status in model_statuses(given.partition):
        (incident,) = status.open
        assert "100% of the labels find no prediction" in incident.title
        assert {told["incident"] for told in alerts} == {incident.id}


def test_labels_in_a_partition_without_rows_are_told_with_the_versions_of_their_model() -> None:
    watched, elsewhere = log(), log()
    rows(watched, range(200))
    rows(watched, range(200), version="4")
    labels(watched, range(100))
    labels(elsewhere, range(400, 700))
    (alone,) = model_statuses(elsewhere.partition)
    moved = msgspec.structs.replace(alone, partitions=[1])
    assert (alone.version, alone.streams, len(alone.incidents)) == ("", [], 1)
    third, fourth = merge([*model_statuses(watched.partition), moved])
    assert (third.version, fourth.version) == ("3", "4")
    assert third.labels["labels"] == fourth.labels["labels"] == 400
    assert third.labels["paired"] == 100
    assert third.partitions == [0, 1]
    assert [one.kind for one in fourth.incidents] == ["quality"]
    assert merge([moved]) == [moved]


def test_a_model_in_several_partitions_is_told_once() -> None:
    first, second = log(), log()
    rows(first, range(1000))
    rows(second, range(300))
    labels(first, range(20))
    labels(second, range(10))
    parts = [*model_statuses(first.partition), *model_statuses(second.partition)]
    moved = msgspec.structs.replace(parts[1], partitions=[5])
    (found,) = merge([parts[0], moved])
    assert found.partitions == [0, 5]
    joined = found.streams[0]
    assert (joined.rows, joined.windows, joined.newest_ms) == (1300, 13, 999_000)
    assert stage(joined) == stage(parts[0].streams[0])
    assert found.read == 1330
    assert found.labels["paired"] == 30


@pytest.mark.parametrize("count", [60, 1250, 4100])
def test_a_restored_partition_says_the_same(count: int) -> None:
    given = log()
    rows(given, range(count))
    labels(given, range(count // 2))
    snapshot = given.partition.snapshot()
    restored = Partition.restore(0, given.partition.settings, snapshot)
    assert model_statuses(restored) == model_statuses(given.partition)
    assert unattributed(restored) == unattributed(given.partition)
