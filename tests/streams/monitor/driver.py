"""Drives a partition over logs cut into batches, and tells what it gave in comparable form."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.streams.monitor.logs import NOON_MS, Logs
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Output, Record, Source
from tidegauge.streams.monitor.snapshot import RootState, Snapshot
from tidegauge.streams.monitor.state import PartitionSettings

SETTINGS = PartitionSettings({source: source for source in SOURCES}, 1)
FED_BACK: tuple[Source, ...] = ("outcomes", "alerts")


@dataclass
class Driver:
    """A worker without a broker: outputs are fed back after each run of a source."""

    specs: Mapping[str, MonitorSpec] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    settings: PartitionSettings = SETTINGS
    as_objects: bool = False  # records of one batch, instead of arrays over their bytes
    outputs: list[Output] = field(default_factory=list)
    fed_back: dict[str, list[LoggedRecord]] = field(
        default_factory=lambda: {source: [] for source in FED_BACK}
    )

    def __post_init__(self) -> None:
        self.partition = Partition(0, self.settings)
        self.publish([self.partition.fence()])

    def publish(self, outputs: Sequence[Output]) -> None:
        """Append outputs to their logs."""
        self.outputs += outputs
        for output in outputs:
            if output.topic in self.fed_back:
                log = self.fed_back[output.topic]
                log.append(LoggedRecord(len(log), NOON_MS, output.key, output.value))

    def fold(self, source: Source, records: Sequence[Record]) -> None:
        """Fold one batch, journaling the control of each model version that is met."""
        records = records if self.as_objects else batch_of(records)
        while records:
            folded = self.partition.fold(source, records)
            self.publish(folded.outputs)
            records = folded.rest
            if folded.unknown is not None:
                model, version = folded.unknown
                self.change(model, version, self.specs.get(model), self.references.get(model))

    def change(
        self, model: str, version: str, spec: MonitorSpec | None, reference: Reference | None = None
    ) -> None:
        """Journal a change of control and let it take effect."""
        change = self.partition.control_change(model, version, choose(spec, reference))
        self.publish([change])
        self.partition.apply_change(change)

    def feed_back(self, cuts: Sequence[int] = ()) -> None:
        """Fold what was published to ``outcomes`` and ``alerts`` since the last time."""
        for source in FED_BACK:
            start = self.partition.next_offset[source]
            for batch in pieces(self.fed_back[source][start:], cuts):
                self.fold(source, batch)

    def run(self, logs: Logs, cuts: Sequence[int] = ()) -> "Driver":
        """Fold all of the logs in the order of their runs, each cut at ``cuts``."""
        for source, end in logs.runs:
            start = self.partition.next_offset[source]
            self.fold_each(source, pieces(logs.records[source][start:end], cuts))
            self.feed_back(cuts)
        return self

    def fold_each(self, source: Source, batches: Iterable[Sequence[Record]]) -> None:
        """Fold batches; each is read ahead while those before it are not yet folded."""
        before: Sequence[Record] = ()
        for batch in batches:
            ahead = batch if self.as_objects else batch_of(batch)
            ahead = self.partition.read_ahead(source, ahead)
            self.fold(source, before)
            before = ahead
        self.fold(source, before)


def batch_of(records: Sequence[Record]) -> RecordBatch:
    """Return records as arrays over their bytes."""
    return records if isinstance(records, RecordBatch) else RecordBatch.of(records)


def pieces(records: Sequence[LoggedRecord], cuts: Sequence[int]) -> Iterator[list[LoggedRecord]]:
    """Yield records as batches, cut before each offset that is in ``cuts`` modulo 50."""
    batch: list[LoggedRecord] = []
    places = set(cuts)
    for record in records:
        if batch and record.offset % 50 in places:
            yield batch
            batch = []
        batch.append(record)
    if batch:
        yield batch


def published(outputs: Sequence[Output], topic: str) -> list[Any]:
    """Return the bodies of the outputs to a topic."""
    return [json.loads(o.value or b"null") for o in outputs if o.topic == topic]


def by_monitor(outputs: Sequence[Output]) -> dict[tuple[str, ...], list[Output]]:
    """Return windows, alerts and retraining requests by topic, model version and source.

    Two versions' windows may come in either order, as a batch is folded version by version.
    """
    found: dict[tuple[str, ...], list[Output]] = {}
    for output in outputs:
        if output.topic in ("windows", "alerts", "retraining"):
            body, source = json.loads(output.value or b""), dict(output.headers)["ce_source"]
            key = (output.topic, body["model"], body["version"], str(source))
            found.setdefault(key, []).append(output)
    return found


def rejected(outputs: Sequence[Output]) -> list[str]:
    """Return the dead letters, sorted: their order says nothing."""
    return sorted(repr(output) for output in outputs if output.topic == "rejected")


def pairs(outputs: Sequence[Output]) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """Return the pairs that were journaled, by model version, in their order."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for output in outputs:
        if output.topic == "outcomes":
            entry = read_entry(output.value)
            if isinstance(entry, Outcomes):
                columns = (
                    entry.ids, entry.ts_ms, entry.prediction_ts_ms, entry.predictions,
                    entry.labels, entry.prediction_offsets, entry.label_offsets,
                )  # fmt: skip
                found.setdefault((entry.model, entry.version), []).extend(
                    zip(*columns, strict=True)
                )
    return found


def assert_equal(found: Mapping[Any, Sequence[Any]], expected: Mapping[Any, Sequence[Any]]) -> None:
    """Assert equality, and name the first difference alone: pytest's own takes minutes here."""
    missing = [key for key in expected if key not in found]
    further = [key for key in found if key not in expected]
    assert not missing and not further, f"missing {missing[:3]}, further {further[:3]}"
    for key, own in expected.items():
        for at, pair in enumerate(zip(found[key], own, strict=False)):
            assert pair[0] == pair[1], f"{key}, number {at}"
        assert len(found[key]) == len(own), f"{key}: expected {len(own)}, got {len(found[key])}"


def comparable(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot without places in the journal, whose pairs a cut may group otherwise."""
    root = msgspec.msgpack.decode(snapshot.root, type=RootState)
    del root.next_offset["outcomes"]
    root.tallies["outcomes"].records = 0
    points = root.restore_points
    root.restore_points = [msgspec.structs.replace(p, outcomes=0, sequence=0) for p in points]
    root.writer.sequence = root.position.sequence = 0
    return Snapshot(msgspec.msgpack.encode(root), snapshot.parts)
