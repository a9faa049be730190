"""Snapshots of layout 2, a part a model version, are still read.

``tests/golden/state-layout-2.bin`` holds the records of ``state`` (offset, key, value) as the code
of commit 21265b7 wrote them for its second owner: rows and pairs that wait for their types,
references learned, being learned and published, detectors chosen in a spec, changes that wait for
their offsets, a batch that could not be folded, open incidents of every source, and retraining
cool-downs.
"""

import json

import pytest

from tests.streams.monitor.driver import SETTINGS
from tests.streams.monitor.logs import NOON_MS, row
from tests.streams.runtime.goldens import golden
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Output, Source
from tidegauge.streams.monitor.status import model_statuses, unattributed

# Of each model version: of each source rows, closed windows and windows of the reference (or rows
# while types are unknown). What was half learned is learned anew.
STANDS = {
    ("churn", "7"): {"predictions": (575, 23, 40), "outcomes": (575, 23, 40)},
    ("fraud", ""): {},
    ("fraud", "1"): {"predictions": (91, 0, 91), "features": (221, 11, 3)},
    ("fraud", "2"): {"predictions": (230, 11, 3), "outcomes": (0, 0, 3)},
    ("house", ""): {"predictions": (173, 13, 5), "outcomes": (127, 13, 5)},
    ("lost", ""): {},
    ("rare", ""): {"predictions": (37, 0, 37), "features": (12, 0, 12)},
    ("slow", ""): {"predictions": (155, 15, 0), "outcomes": (130, 13, 0)},
    ("visits", ""): {"predictions": (180, 0, 0), "outcomes": (30, 0, 0)},
}
INPUTS_INCIDENT = "1cc90d5e02a7cfc826d310b21b6ddf29"  # of churn
OUTCOMES_INCIDENT = "fdca2d9d963e4c361c36adf5867a8e5d"
INCIDENTS = {
    ("churn", "7"): {INPUTS_INCIDENT, OUTCOMES_INCIDENT},
    ("fraud", "2"): {"c8524ae54265598d4f171d95e26852e4"},
    ("house", ""): {"08af083cbe9ff1cff2dddb7b861cab7c"},
    ("visits", ""): {"04cc40bf49f8c0e09a6faffb28d5f11f"},  # of rows that cannot be read
}
LABEL_INCIDENTS = {
    "fraud": {"302b5342d030c4150afe2a56713a01f6", "edd04a52c56e64c8c1af913428074ab4"},
    "lost": {"d0eb25e81017428aa9398c8e7aa43ad5"},
}


@pytest.fixture
async def restored() -> Partition:
    return Partition.restore(0, SETTINGS, await golden(2))


def test_offsets_counts_and_versions_are_restored(restored: Partition) -> None:
    at = {"predictions": 702, "features": 246, "labels": 279, "outcomes": 71, "alerts": 11}
    assert restored.next_offset == at
    found = {s: (t.records, t.observed, t.rejected) for s, t in restored.tallies.items()}
    assert found == {
        "predictions": (702, 1313, 80),
        "features": (246, 221, 13),
        "labels": (279, 1506, 32),
        "outcomes": (71, 1027, 0),
        "alerts": (11, 0, 0),
    }
    assert restored.epoch == 2
    assert restored.rebuild_from == {"predictions": 0, "labels": 0, "outcomes": 0}
    counts = restored.join.counts
    assert (counts.pairs, counts.duplicate_predictions, counts.forgotten) == (1027, 13, 0)
    assert restored.known() == {
        ("churn", "7"): "69b04c9958c902a6",
        ("fraud", ""): "4d296e0242dd7bc6",
        ("fraud", "1"): "4d296e0242dd7bc6",
        ("fraud", "2"): "ca39ba7deabddfbf",
        ("house", ""): "d76eabf6b10dd099",
        ("rare", ""): "95cb9b4f84ceff13",
        ("slow", ""): "161d5bfb01282917",
        ("visits", ""): "95cb9b4f84ceff13",
    }
    assert restored.retraining.quiet_until_ms == {"house": 1700604810980, "churn": 1700605300500}
    nobodys = unattributed(restored)
    assert (nobodys.rejected, nobodys.reason) == (26, "Input data was truncated")
    assert restored.outcomes.monitors["slow", ""].labels.paired == 130  # since the last window
    watch = restored.outcomes.label_watches["fraud"]
    assert (watch.counts.labels, watch.last_offset) == (206, 183)
    bounds = watch.monitor.bounds
    assert (bounds.index, bounds.rows, bounds.first_offset, bounds.last_offset) == (1, 65, 86, 183)
    moved = restored.moved  # everything is written again, as the layout is now
    assert len(moved) == 11
    assert restored.snapshot(only_moved=True).parts.keys() == moved


def test_every_model_version_stands_as_it_stood(restored: Partition) -> None:
    statuses = {status.key: status for status in model_statuses(restored)}
    assert STANDS == {
        key: {stream.source: (stream.rows, stream.windows, stream.gathered) for stream in s.streams}
        for key, s in statuses.items()
    }
    for key, status in statuses.items():
        expected = INCIDENTS.get(key, set()) | LABEL_INCIDENTS.get(key[0], set())
        assert {incident.id for incident in status.open} == expected
    learned = {stream.source: stream.is_learned for stream in statuses["churn", "7"].streams}
    assert learned["predictions"] is False
    assert all(s.is_learned for key in STANDS if key[0] != "churn" for s in statuses[key].streams)
    labels = statuses["fraud", "1"].labels
    assert (labels["labels"], labels["paired"], labels["unpaired"]) == (273, 108, 88)
    assert (statuses["visits", ""].read, statuses["visits", ""].rejected) == (246, 36)


def fold(partition: Partition, source: Source, value: bytes | None) -> list[Output]:
    at = partition.next_offset[source]
    folded = partition.fold(source, [LoggedRecord(at, NOON_MS, b"m", value)])
    assert folded.unknown is None
    return folded.outputs


def test_incidents_of_then_are_closed_under_their_ids(restored: Partition) -> None:
    change = restored.control_change("churn", "7", choose(MonitorSpec(model="churn"), None))
    restored.apply_change(change)
    features = {"tenure": 24.5, "plan": "basic"}
    outputs = fold(restored, "predictions", row("churn", "n", NOON_MS, features, 0.5, "7"))
    outputs += fold(restored, "outcomes", change.value)
    alerts = [json.loads(o.value or b"") for o in outputs if o.topic == "alerts"]
    assert {alert["incident"] for alert in alerts} == {INPUTS_INCIDENT, OUTCOMES_INCIDENT}
    assert {alert["status"] for alert in alerts} == {"resolved"}
    assert {alert["revision"] for alert in alerts} == {2}


def test_a_change_that_waited_takes_effect_at_its_offset(restored: Partition) -> None:
    before = restored.known()["fraud", "2"]
    restored.next_offset["predictions"] = 1336
    features = {"amount": 10.0, "country": "DE", "vip": True}
    told = [fold(restored, "predictions", row("fraud", "n", NOON_MS, features, 0.5, "2"))]
    assert restored.next_offset["predictions"] == 1337
    told += [fold(restored, "predictions", row("fraud", "o", NOON_MS, features, 0.5, "2"))]
    alerts = [[o for o in outputs if o.topic == "alerts"] for outputs in told]
    assert [len(own) for own in alerts] == [0, 1]  # what was open is closed
    assert restored.known()["fraud", "2"] == before
