"""The runtime's contract in small: logs as lists, a worker that crashes and is restored.

What a worker appends to a log stays there; what it only knew is lost. A script of steps says in
which order it meets the logs; a restored worker goes through it again from the start, and does
only what its offsets say is not yet done.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.streams.monitor.driver import SETTINGS
from tests.streams.monitor.logs import NOON_MS, Logs
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Output, Record, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.monitor.state import ROW_SOURCES, PartitionSettings

Place = Literal["fold", "publish", "snapshot", "committed", "journal"]
PLACES: tuple[Place, ...] = ("fold", "publish", "snapshot", "committed")
MOST_BATCH = 120
SNAPSHOT_EVERY = 5  # batches


class CrashError(Exception):
    """The worker is gone."""


@dataclass
class Change:
    """A step of the script: from here on the models have these specs."""

    specs: dict[str, MonitorSpec]


Step = tuple[Source, int] | Change


@dataclass
class Broker:
    """What outlives a worker."""

    logs: dict[Source, list[LoggedRecord]]
    outputs: list[Output] = field(default_factory=list)
    state: list[Snapshot] = field(default_factory=list)  # each whole
    adopted: int = 0  # changes of the script that the journal holds
    reached: dict[Source, int] = field(default_factory=lambda: dict.fromkeys(SOURCES, 0))

    def append(self, output: Output, twice: bool = False) -> None:
        """Append an output, twice where a producer's retry is not recognised."""
        for _ in range(1 + twice):
            self.outputs.append(output)
            if output.topic in ("outcomes", "alerts"):
                log = self.logs[output.topic]
                log.append(LoggedRecord(len(log), NOON_MS, output.key, output.value))


def script(logs: Logs, changes: dict[int, dict[str, MonitorSpec]]) -> list[Step]:
    """Return the steps of the logs' runs; ``changes`` come before the run of that number."""
    steps: list[Step] = []
    for number, run in enumerate(logs.runs):
        if number in changes:
            steps.append(Change(changes[number]))
        steps.append(run)
    return steps


@dataclass
class Worker:
    """One owner of the partition, from restore to crash."""

    broker: Broker
    steps: list[Step]
    specs: dict[str, MonitorSpec]
    chance: random.Random
    crash_at: dict[int, Place] = field(default_factory=dict)  # batch: where in it
    settings: PartitionSettings = SETTINGS
    batches: int = 0

    def __post_init__(self) -> None:
        """Restore by the protocol of the runtime."""
        self.specs = dict(self.specs)
        state, self.parts = self.broker.state, dict[object, bytes]()
        self.partition = (
            Partition.restore(0, self.settings, state[-1]) if state else Partition(0, self.settings)
        )
        self._owed: list[Output] = []
        at = self.partition.rebuild_from["outcomes"]
        journal = self.broker.logs["outcomes"]
        end = len(journal)
        self._in_batches(journal[at:end], self.partition.read_journal)
        self.broker.append(self.partition.fence())
        self._in_batches(journal[end:], self.partition.read_journal)
        reached = self.broker.reached  # all there was in the logs
        self.partition.changes_from({s: reached[s] for s in ROW_SOURCES})
        for source in ("predictions", "labels"):
            start, stop = self.partition.rebuild_from[source], self.partition.next_offset[source]
            for batch in self._cut(self.broker.logs[source][start:stop]):
                self.partition.rebuild_join(source, RecordBatch.of(batch))

    def run(self, until: int | None = None) -> None:
        """Go through the script; raises CrashError where it is told to."""
        changes = 0
        for step in self.steps[:until]:
            if isinstance(step, Change):
                changes += 1
                self.specs |= step.specs
                if changes > self.broker.adopted:
                    self.adopt()
                    self.broker.adopted = changes
                continue
            source, end = step
            self._fold_up_to(source, end)
            self._fold_up_to("outcomes", None)
            self._fold_up_to("alerts", None)

    def checkpoint(self) -> None:
        """Write a snapshot; all outputs are acknowledged."""
        snapshot = self.partition.snapshot(only_moved=True)
        self.parts |= snapshot.parts
        self.broker.state.append(Snapshot(snapshot.root, dict(self.parts)))

    def adopt(self) -> None:
        """Journal what has changed for the model versions that are known."""
        for (model, version), digest in self.partition.known().items():
            spec = self.specs.get(model)
            if control_digest(spec, None) != digest:
                self._change(model, version)

    def _change(self, model: str, version: str) -> None:
        change = self.partition.control_change(model, version, choose(self.specs.get(model), None))
        self.broker.append(change)
        if self.crash_at.get(self.batches) == "journal":
            raise CrashError
        self.partition.apply_change(change)

    def _fold_up_to(self, source: Source, end: int | None) -> None:
        while True:
            start = self.partition.next_offset[source]
            log = self.broker.logs[source][start:end]
            self.broker.reached[source] = max(self.broker.reached[source], start + len(log))
            if not log:
                return
            records: list[Record] = list(log[: self.chance.randint(1, MOST_BATCH)])
            self.fold_batch(source, records)

    def fold_batch(self, source: Source, records: list[Record]) -> None:
        """Fold a batch, publish what comes of it, and perhaps write a snapshot."""
        self.batches += 1
        place = self.crash_at.get(self.batches)
        rest: Sequence[Record] = RecordBatch.of(records)
        while rest:
            folded = self.partition.fold(source, rest)
            if place == "fold":
                raise CrashError
            for at, output in enumerate(folded.outputs):
                if place == "publish" and at == len(folded.outputs) // 2:
                    raise CrashError
                self.broker.append(output, twice=self.chance.random() < 0.2)
            rest = folded.rest
            if folded.unknown is not None:
                self._change(*folded.unknown)
        if place == "snapshot":
            raise CrashError
        if self.batches % SNAPSHOT_EVERY == 0 or place == "committed":
            self.checkpoint()
        if place == "committed":
            raise CrashError

    def _cut(self, records: list[LoggedRecord]) -> list[list[LoggedRecord]]:
        size = self.chance.randint(1, MOST_BATCH)
        return [records[i : i + size] for i in range(0, len(records), size)]

    def _in_batches(self, records: list[LoggedRecord], take: object) -> None:
        assert callable(take)
        for batch in self._cut(records):
            take(batch)


def undisturbed(logs: Logs, steps: list[Step], specs: dict[str, MonitorSpec]) -> Broker:
    """Return what one worker makes of the script that never crashes."""
    broker = Broker({source: list(logs.records[source]) for source in SOURCES})
    Worker(broker, steps, specs, random.Random(0)).run()
    return broker
