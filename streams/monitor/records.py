"""What the pure core takes and gives: records of one partition in, records to publish out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.outcomes import JournalEntry

Source = Literal["predictions", "features", "labels", "outcomes", "alerts"]
Message = Alert | JournalEntry  # of the topics that the core reads back
Destination = Literal["alerts", "windows", "rejected", "outcomes", "retraining"]

SOURCES: tuple[Source, ...] = ("predictions", "features", "labels", "outcomes", "alerts")


class Record(Protocol):
    """A record of a log; aiokafka's ``ConsumerRecord`` is one."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """Its own time, UTC milliseconds."""

    @property
    def key(self) -> bytes | None:
        """Its key: the model, where the producer follows the convention."""

    @property
    def value(self) -> bytes | None:
        """Its value: JSON."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Its headers; Kafka allows one without a value."""


class Tally(msgspec.Struct):
    """What became of one source's records: rows = observed + rejected + waiting."""

    records: int = 0
    observed: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """A record to publish, in the partition it came from."""

    topic: Destination
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    message: Message | None = field(default=None, compare=False, repr=False)  # what the value says


@dataclass(frozen=True, slots=True)
class Returned:
    """A record that the core wrote and gets back from its own hand: no need to read it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    message: Message


@dataclass(frozen=True, slots=True)
class Folded:
    """What a fold published, and where it had to stop.

    It stops before the first record of a model version whose spec and reference are not yet
    journaled (``unknown``), or where outputs are many; ``rest`` are the records not folded then.
    """

    outputs: list[Output]
    rest: Sequence[Record] = ()
    unknown: tuple[str, str] | None = None
