"""What the shell asks of the pure core; ``streams.monitor.partition.Partition`` is it."""

import contextlib
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tidegauge.streams.monitor.control.control import Choice
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.journal.poison import FoldError
from tidegauge.streams.monitor.records import Folded, Output, Record, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.errors import StateError

Rebuilt = Literal["predictions", "labels"]


class Core(Protocol):
    """All the state of one partition number; pure and synchronous."""

    @property
    def next_offset(self) -> Mapping[Source, int]:
        """Where each source goes on; records below are skipped."""

    @property
    def rebuild_from(self) -> Mapping[Source, int]:
        """Where a restore must begin to read predictions, labels and outcomes again."""

    @property
    def epoch(self) -> int:
        """The number of this owner; 0 before its fence."""

    def fold(self, source: Source, records: Sequence[Record]) -> Folded:
        """Fold records; stop before the first of a model version that is not known.

        Raises FoldError where it cannot be done; only ``poison`` may be asked of it then.
        """

    def read_ahead(self, source: Source, records: Sequence[Record]) -> Sequence[Record]:
        """Return records that are folded in less time; asked in another thread, beside a fold."""

    def control_change(self, model: str, version: str, choice: Choice) -> Output:
        """Return the journal entry that a control holds from the next rows not yet told on."""

    def apply_change(self, output: Output) -> None:
        """Let a control change take effect that the brokers have."""

    def over(self, now_ms: int) -> Sequence[tuple[str, str]]:
        """Return the model versions of which a window has ended by the clock, and no row came."""

    def tick(self, key: tuple[str, str], now_ms: int) -> Output:
        """Return the journal entry that says what time it is, before the row to be folded next."""

    def apply_ticks(self, output: Output | None = None) -> list[Output]:
        """Let a tick take effect that the brokers have, and any that a restore found."""

    def gap(self, source: Source, first: int, last: int) -> Output:
        """Return the journal entry that these offsets were deleted unread; go on behind them."""

    def poison(self, fault: FoldError) -> Output:
        """Return the journal entry that says what could not be folded."""

    def known(self) -> Mapping[tuple[str, str], str]:
        """Return the digest of spec and reference of each model version met so far."""

    def labels_are_read(self, are: bool) -> None:
        """Take note whether all labels were read that their log had a few seconds ago."""

    def awaits_predictions(self, records: Sequence[Record]) -> bool:
        """Tell whether labels name predictions that are not there."""

    def read_journal(self, records: Sequence[Record]) -> None:
        """Take what the journal holds, from ``rebuild_from`` on."""

    def changes_from(self, ends: Mapping[RowSource, int]) -> None:
        """Let no control change hold for rows below ``ends``: a former owner may have told them."""

    def fence(self) -> Output:
        """Take the next epoch; return the fence to append."""

    def rebuild_join(self, source: Rebuilt, records: Sequence[Record]) -> None:
        """Take rows below ``next_offset`` again, for the join alone."""

    @property
    def moved(self) -> Collection[Hashable]:
        """Which parts have changed since the last snapshot."""

    def snapshot(self, only_moved: bool = False) -> Snapshot:
        """Return all that is to be remembered, or what has changed of it since this was asked.

        Raises FoldError as ``fold`` does, where rows that were gathered cannot be folded.
        """


@dataclass(frozen=True, slots=True)
class Cores:
    """How to get the core of a partition: new, or from its snapshot."""

    create: Callable[[int], Core]
    restore: Callable[[int, Snapshot], Core]  # ValueError if it cannot be read


@contextlib.contextmanager
def restoring(number: int) -> Iterator[None]:
    """Let a core that cannot read its snapshot say which partition's: StateError."""
    try:
        yield
    except ValueError as error:
        raise StateError(f"state of partition {number}: {error}") from error
