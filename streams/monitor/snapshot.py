"""What a partition remembers, in parts: its own, and one for each model version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tidegauge.schemas.outcomes import Poison
from tidegauge.streams.monitor.control.control import Control
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.intake.decoding import Key
from tidegauge.streams.monitor.join.join import JoinCounts, Mark, StoreState
from tidegauge.streams.monitor.journal.journal import JournalWriter, Position
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.rows import VersionRows
from tidegauge.streams.monitor.verdict.label_watch import LabelWatchState
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeState
from tidegauge.streams.monitor.verdict.readability import ReadState

LAYOUT = 3
RETRAINING: Key = ("", "retraining")  # of what is keyed by model alone; no model has this name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A root and parts: the root, with the latest of every part so far, is all of the state."""

    root: bytes
    parts: Mapping[Any, bytes]  # by what tells one from another


class Tally(msgspec.Struct):
    """What became of one source's records: rows = observed + rejected + waiting."""

    records: int = 0
    observed: int = 0
    rejected: int = 0


class RootState(msgspec.Struct):
    """The partition's own state. It is in every snapshot: nothing here grows with the models."""

    layout: int
    next_offset: dict[Source, int]
    tallies: dict[Source, Tally]
    marks: list[Mark]
    join: JoinCounts
    writer: JournalWriter
    position: Position
    nobody: dict[Source, ReadState | None] = {}  # how well records could be read that name no model
    poison: list[Poison] = []  # of records that are still to be folded


class VersionState(msgspec.Struct, tag="version"):
    """What is remembered of one model version."""

    key: Key
    controls: list[Control]  # each once; the others name places in this table
    digest: str | None
    spread: bool | None
    rows: dict[RowSource, VersionRows]
    outcome_control: int | None
    performance: OutcomeState | None
    readability: dict[Source, ReadState | None] = {}
    # Of all versions of the model, with that of no name:
    join: StoreState | None = None
    labels: LabelWatchState | None = None


class RetrainingState(msgspec.Struct, tag="retraining"):
    """Until when which model's retraining is not to be asked for again."""

    quiet_until_ms: dict[str, int]


Part = VersionState | RetrainingState
