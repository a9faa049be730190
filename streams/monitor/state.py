"""All that one partition holds: what folds it, takes snapshots of it and restores it has this."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tidegauge.schemas.monitors import MonitorSpec, milliseconds
from tidegauge.schemas.outcomes import Tick
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.join.corrected import Corrected
from tidegauge.streams.monitor.join.join import MAX_BYTES, Join
from tidegauge.streams.monitor.join.labels import LabelReader
from tidegauge.streams.monitor.join.pairs import Pairs
from tidegauge.streams.monitor.join.siphash import KEY_BYTES
from tidegauge.streams.monitor.journal.journal import JournalWriter, Position
from tidegauge.streams.monitor.journal.poison import Poisons
from tidegauge.streams.monitor.outcomes import OutcomeMonitors
from tidegauge.streams.monitor.records import SOURCES, Source, Tally
from tidegauge.streams.monitor.rows import RowMonitors
from tidegauge.streams.monitor.verdict.readability import Readability
from tidegauge.streams.monitor.verdict.retraining import Retraining
from tidegauge.streams.monitor.versions import Versions
from tidegauge.streams.monitor.windows.metrics import needs_all_classes

Input = Literal["predictions", "features", "labels"]
ROW_SOURCES: tuple[RowSource, ...] = ("predictions", "features")
INPUTS: tuple[Input, ...] = ("predictions", "features", "labels")


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """What the core must know of the deployment."""

    topics: Mapping[Source, str]  # names, for evidence and dead letters
    partitions: int  # of each source topic
    join_bytes: int = MAX_BYTES  # of predictions and labels that wait in a partition, at most
    join_key: bytes = bytes(KEY_BYTES)  # that no producer can guess


class PartitionState:
    """The parts of one partition number, over all source topics; new ones hold nothing."""

    def __init__(self, number: int, settings: PartitionSettings) -> None:
        topics, partitions = settings.topics, settings.partitions
        self.number, self.settings = number, settings
        self.next_offset: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self.tallies: dict[Source, Tally] = {source: Tally() for source in SOURCES}
        self.rows: dict[RowSource, RowMonitors] = {
            source: RowMonitors(source, topics[source], number, partitions)
            for source in ROW_SOURCES
        }
        self.versions = Versions(self.rows)
        self.join = Join(settings.join_bytes, settings.join_key)
        self.labels = LabelReader(settings.join_key)
        self.writer = JournalWriter()
        self.position = Position()  # of ``outcomes`` in the journal
        self.outcomes = OutcomeMonitors(topics, number, partitions, self.versions.spread)
        self.readability: dict[Source, Readability] = {
            source: Readability(source, topics[source], number) for source in INPUTS
        }
        self.retraining = Retraining()
        self.poisons = Poisons()
        self.owed: list[
            tuple[str, list[Pairs | Corrected]]
        ] = []  # found by a restore, not in the journal
        self.changed: set[Key] = set()  # since the last snapshot, where no part says so itself

    @property
    def moved(self) -> set[Key]:
        """The model versions of which something has changed since the last snapshot."""
        return set().union(*self.moved_sets())

    def moved_sets(self) -> list[set[Key]]:
        """Return where each part notes what has changed of since the last snapshot."""
        return [
            self.changed,
            self.join.moved,
            self.outcomes.moved,
            *(own.moved for own in self.rows.values()),
            *(own.moved for own in self.readability.values()),
        ]

    @property
    def rebuild_from(self) -> dict[Source, int]:
        """Where a restore must start to read the logs again for the join."""
        point = self.join.restore_points[0]
        return {
            "predictions": point.predictions,
            "labels": point.labels,
            "outcomes": point.outcomes,
        }

    def is_wide(self, model: str) -> bool:
        """Return whether metrics, or revised ones, need the probabilities of all classes."""
        specs = self.rows["predictions"].specs.get(model, {}).values()
        return self.is_corrected(model) or any(map(needs_all_classes, specs))

    def is_corrected(self, model: str) -> bool:
        """Return whether corrected labels revise reports."""
        specs = self.rows["predictions"].specs.get(model, {}).values()
        return any(spec.labels.corrections is not None for spec in specs)

    def take_tick(self, entry: Tick) -> None:
        """Let a tick take effect at the offsets it names."""
        key = entry.model, entry.version
        self.rows["predictions"].tick(entry.predictions_offset, key, entry.now_ms)
        self.rows["features"].tick(entry.features_offset, key, entry.now_ms)

    def horizon_ms(self, model: str) -> int:
        """Return how far a prediction and its label may lie apart: the most of all versions."""
        specs = self.rows["predictions"].specs.get(model, {}).values()
        return max(
            milliseconds(spec.labels.horizon) for spec in specs or [MonitorSpec(model=model)]
        )
