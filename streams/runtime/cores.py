"""What the shell asks of the pure core; ``streams.monitor.partition.Partition`` is it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from schemas.monitors import MonitorSpec
from schemas.references import Reference
from streams.monitor.records import Folded, Output, Record, Source

Rebuilt = Literal["predictions", "labels"]


class Core(Protocol):
    """All the state of one partition number; pure and synchronous."""

    @property
    def next_offset(self) -> Mapping[Source, int]: ...
    @property
    def rebuild_from(self) -> Mapping[Source, int]: ...
    @property
    def epoch(self) -> int: ...

    def fold(self, source: Source, records: Sequence[Record]) -> Folded: ...
    def control_change(
        self, model: str, version: str, spec: MonitorSpec | None, reference: Reference | None
    ) -> Output: ...
    def apply_change(self, output: Output) -> None: ...
    def known(self) -> Mapping[tuple[str, str], str]: ...
    def awaits_predictions(self, records: Sequence[Record]) -> bool: ...
    def read_journal(self, records: Sequence[Record]) -> None: ...
    def fence(self) -> Output: ...
    def rebuild_join(self, source: Rebuilt, records: Sequence[Record]) -> None: ...
    def snapshot(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Cores:
    """How to get the core of a partition: new, or from the bytes of its snapshot."""

    create: Callable[[int], Core]
    restore: Callable[[int, bytes], Core]  # ValueError if the bytes cannot be read
