"""What this worker holds: the state of its partitions, and in which order it becomes public."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Protocol

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.references import version_name
from tidegauge.streams.monitor.intake.record_batch import size
from tidegauge.streams.monitor.journal.poison import FoldError
from tidegauge.streams.monitor.records import SOURCES, Output, Record, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.monitor.state import ROW_SOURCES
from tidegauge.streams.monitor.verdict.wording import log_line
from tidegauge.streams.runtime.control import ControlTables
from tidegauge.streams.runtime.cores import Core
from tidegauge.streams.runtime.outbox import Outbox
from tidegauge.streams.runtime.restore import LOST, Restored, SupersededError, lost
from tidegauge.streams.runtime.snapshots import SnapshotWriter

SNAPSHOT_AFTER_S = 0.5  # at the earliest
SNAPSHOT_WITHIN_S = 10.0  # at the latest, if anything was folded
CALM_S = 1.0  # without a row: then the committed offsets should be true, if it costs little
CALM_BYTES_PER_S = 5_000  # of snapshots then
INPUT_PER_SNAPSHOT = 10  # bytes of input for each byte of snapshot
PREDICTIONS_WITHIN_S = 5.0  # labels wait for predictions in the log before them while those move
LABELS_ASKED_S = 5.0  # between questions where their log ends
POLL_S = 0.1

log = logging.getLogger(__name__)


def log_alerts(outputs: Iterable[Output]) -> None:
    """Say what is being told, for those who read the log first."""
    for output in outputs:
        if isinstance(output.message, Alert):
            log.warning("%s", log_line(output.message))


@dataclass(frozen=True, slots=True)
class Fetch:
    """Records of one partition fetched at once, and the flow they belong to."""

    flow: object
    records: Sequence[Record]


@dataclass
class Slot:
    """A partition this worker owns."""

    number: int
    core: Core
    writer: SnapshotWriter
    starts: Mapping[Source, int]
    snapshot_at: float
    input_bytes: int = 0  # since the last snapshot
    touched: bool = False  # anything to snapshot
    folded_at: float = 0.0
    control_seen: int = -1
    labels_end: int = 0  # of their log, when it was asked for
    labels_asked_at: float = -inf
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def position(self, source: Source) -> int:
        """Return where to read on."""
        return max(self.starts[source], self.core.next_offset[source])

    def is_due(self, now: float) -> bool:
        """Tell whether a snapshot is worth its bytes now, or cannot wait any longer."""
        age = now - self.snapshot_at
        if not self.touched or age < SNAPSHOT_AFTER_S:
            return False
        cost = self.writer.cost(self.core.moved)
        worth = self.input_bytes >= INPUT_PER_SNAPSHOT * cost
        calm = now - self.folded_at >= CALM_S and age * CALM_BYTES_PER_S >= cost
        return worth or calm or age >= SNAPSHOT_WITHIN_S


class Control(Protocol):
    """What is asked of ``ControlReader``."""

    tables: ControlTables

    async def catch_up(self) -> None:
        """Read all there is."""


class Offsets(Protocol):
    """What is asked of the consumer."""

    async def start_offset(self, source: Source, partition: int) -> int:
        """Ask where a log begins now."""

    async def end_offset(self, source: Source, partition: int) -> int:
        """Ask where a log ends now."""

    async def has_drained(self, source: Source, partition: int, end: int, folded: int) -> bool:
        """Tell whether no record between ``folded`` and ``end`` is still to come."""

    async def commit_positions(self, positions: Mapping[tuple[Source, int], int]) -> None:
        """Commit offsets to the group."""

    async def rejoin(self) -> None:
        """Give up all partitions and take them anew."""


Restore = Callable[[set[int], Callable[[], bool]], Awaitable[Mapping[int, Restored]]]


class Ledger:
    """Folds fetched batches and publishes: outputs at once, then snapshots, then offsets.

    Parameters
    ----------
    outbox
        Where outputs and snapshots go.
    control
        Specs and references.
    offsets
        Gives the consumer, once there is one.
    restore
        Restores the state of partitions; its second argument tells whether it is still wanted.
    now
        Monotonic seconds.
    wall
        Seconds since 1970.
    """

    def __init__(
        self,
        outbox: Outbox,
        control: Control,
        offsets: Callable[[], Offsets],
        restore: Restore,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._outbox, self._control, self._offsets = outbox, control, offsets
        self._restore, self._now, self._wall = restore, now, wall
        # Another object after each seek, set in the consumer's thread, and each change of owner:
        # a batch fetched under an earlier one must not be folded, as rows may be missing before it.
        self.flow = object()
        self.broken = self.restoring = False
        self._owned = object()  # another one at each change of owner
        self._slots: dict[int, Slot] = {}
        self._one_at_a_time = asyncio.Lock()

    @property
    def partitions(self) -> frozenset[int]:
        """Return the numbers of the partitions held."""
        return frozenset(self._slots)

    def positions(self) -> dict[tuple[Source, int], int]:
        """Return where each source goes on."""
        held = self._slots.items()
        return {(source, n): slot.position(source) for n, slot in held for source in SOURCES}

    def read_ahead(
        self, source: Source, partition: int, records: Sequence[Record]
    ) -> Sequence[Record]:
        """Return records that are folded in less time; called in the consumer's thread."""
        slot = self._slots.get(partition)
        return records if slot is None else slot.core.read_ahead(source, records)

    async def fold(self, source: Source, partition: int, fetch: Fetch) -> None:
        """Fold a fetched batch and send what comes of it.

        A batch fetched before partitions moved is left out: it is, or will be, fetched again.
        """
        slot = self._slots.get(partition)
        if slot is None or fetch.flow is not self.flow or self.broken:
            return
        try:
            with self._broken_by_failure():  # it may fold rows
                awaits = source == "labels" and slot.core.awaits_predictions(fetch.records)
            if awaits:
                await self._wait_for_predictions(slot)
            async with slot.lock:
                if self.broken:  # by whoever held the lock
                    return
                with self._broken_by_failure():
                    await self._fold(slot, source, fetch)
                    await self._outbox.send()
        except FoldError as fault:
            await self._isolate(slot, fault)

    async def _isolate(self, slot: Slot, fault: FoldError) -> None:
        """Journal what could not be folded, and take the partitions anew: without it, this time."""
        log.critical("Partition %d: %s", slot.number, fault, exc_info=fault)
        await self._outbox.deliver(slot.number, slot.core.poison(fault))
        await self._offsets().rejoin()

    async def _fold(self, slot: Slot, source: Source, fetch: Fetch) -> None:
        if slot.control_seen != self._control.tables.revision:
            await self._adopt_changes(slot)
        await self._tell_gap(slot, source, fetch)
        if source == "predictions":
            await self._ask_for_labels(slot)
        rest = fetch.records
        while rest and fetch.flow is self.flow:  # asked after every await
            folded = slot.core.fold(source, rest)
            self._outbox.put(slot.number, folded.outputs)
            log_alerts(folded.outputs)
            slot.touched, slot.folded_at = True, self._now()
            rest = folded.rest
            if folded.unknown is not None:
                await self._control.catch_up()
                await self._journal_control(slot, *folded.unknown)
            elif rest:
                await self._outbox.send()
        slot.input_bytes += size(fetch.records)
        slot.moved.set()

    async def _tell_gap(self, slot: Slot, source: Source, fetch: Fetch) -> None:
        """Journal what the log has lost since the last batch: aiokafka then goes on in silence."""
        position, follows = slot.position(source), fetch.records[0].offset
        if not lost(position, follows):
            return
        start = await self._offsets().start_offset(source, slot.number)
        first = min(start, follows)  # offsets behind the start are unused: compacted, or markers
        if fetch.flow is self.flow and lost(position, first):
            log.error(LOST, f"{source} partition {slot.number}", position, first - 1)
            gap = slot.core.gap(source, position, first - 1)
            await self._outbox.deliver(slot.number, gap)

    async def _ask_for_labels(self, slot: Slot) -> None:
        """Let the core know, every few seconds, whether labels are missing or merely unread."""
        if self._now() - slot.labels_asked_at >= LABELS_ASKED_S:
            slot.labels_asked_at = self._now()
            slot.labels_end = await self._offsets().end_offset("labels", slot.number)
        slot.core.labels_are_read(slot.position("labels") >= slot.labels_end)

    async def _adopt_changes(self, slot: Slot) -> None:
        """Journal what has changed for the model versions the partition knows."""
        slot.control_seen = self._control.tables.revision
        for (model, version), digest in list(slot.core.known().items()):
            if self._control.tables.lookup.find(model, version).digest != digest:
                await self._journal_control(slot, model, version)

    async def _journal_control(self, slot: Slot, model: str, version: str) -> None:
        choice = self._control.tables.lookup.find(model, version)
        change = slot.core.control_change(model, version, choice)
        await self._outbox.deliver(slot.number, change)  # a crash after this finds it there
        slot.core.apply_change(change)
        log.info(
            "Watching %s in partition %d with %s and %s",
            version_name(model, version),
            slot.number,
            "its spec" if choice.spec else "the defaults",
            "a published reference" if choice.reference else "its first windows as the reference",
        )

    async def _wait_for_predictions(self, slot: Slot) -> None:
        """Return when the predictions in the log by now are folded, or stood still too long."""
        end = await self._offsets().end_offset("predictions", slot.number)
        now, folded = asyncio.get_running_loop().time, slot.position("predictions")
        try:
            async with asyncio.timeout(PREDICTIONS_WITHIN_S) as limit:
                while not await self._are_folded(slot, end):
                    slot.moved.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(slot.moved.wait(), POLL_S)
                    if slot.position("predictions") > folded:  # a backlog may take its time
                        folded = slot.position("predictions")
                        limit.reschedule(now() + PREDICTIONS_WITHIN_S)
        except TimeoutError:
            log.warning("Labels of partition %d go on without their predictions", slot.number)

    async def _are_folded(self, slot: Slot, end: int, source: Source = "predictions") -> bool:
        folded = slot.position(source)
        if folded >= end or self._slots.get(slot.number) is not slot:
            return True
        return await self._offsets().has_drained(source, slot.number, end, folded)

    async def tick(self) -> None:
        """Where no row is left to fold, let windows close that have ended by the wall clock."""
        for slot in list(self._slots.values()):
            async with slot.lock:
                if self.broken or self._slots.get(slot.number) is not slot:
                    continue
                with self._broken_by_failure():
                    await self._tick(slot)

    async def _tick(self, slot: Slot) -> None:
        self._tell(slot, slot.core.apply_ticks())  # of a former owner
        now_ms = int(1000 * self._wall())
        over = slot.core.over(now_ms)
        if not over or not await self._has_folded_all(slot):
            return
        for key in over:
            entry = slot.core.tick(key, now_ms)
            await self._outbox.deliver(slot.number, entry)  # a crash after this finds it there
            self._tell(slot, slot.core.apply_ticks(entry))
        await self._outbox.send()

    def _tell(self, slot: Slot, outputs: Sequence[Output]) -> None:
        if outputs:
            self._outbox.put(slot.number, outputs)
            log_alerts(outputs)
            slot.touched = True

    async def _has_folded_all(self, slot: Slot) -> bool:
        """Tell whether all rows are folded that the logs have now."""
        for source in ROW_SOURCES:
            end = await self._offsets().end_offset(source, slot.number)
            if not await self._are_folded(slot, end, source):
                return False
        return True

    async def checkpoint_due(self) -> None:
        """Checkpoint the partitions for which it is time."""
        now = self._now()
        await self._checkpoint([slot for slot in self._slots.values() if slot.is_due(now)])

    async def release(self) -> bool:
        """Checkpoint everything, then hold nothing: the partitions leave or the worker stops.

        Return whether the brokers have confirmed it.
        """
        try:
            if self._slots:  # also where none is touched: a checkpoint may be under way
                await self._checkpoint([slot for slot in self._slots.values() if slot.touched])
            return not self.broken
        finally:
            self._let_go()

    def _let_go(self) -> object:
        self._slots, self._owned, self.flow = {}, object(), object()
        self._outbox.clear()
        return self._owned

    async def _checkpoint(self, slots: Iterable[Slot]) -> None:
        """Publish outputs, then snapshots, then offsets; each step waits for its confirmation."""
        async with self._one_at_a_time:
            held = [slot for slot in slots if self._slots.get(slot.number) is slot]
            with self._broken_by_failure():
                captured = [(slot, *await self._capture(slot)) for slot in held]
                await self._outbox.settled()
                owned = [c for c in captured if self._slots.get(c[0].number) is c[0]]
                if self.broken or not owned:  # asked after every wait: a fold may have failed
                    return
                await asyncio.gather(*(slot.writer.write(state) for slot, state, _ in owned))
            positions = {k: v for _, _, offsets in owned for k, v in offsets.items()}
            await self._offsets().commit_positions(positions)

    async def _capture(self, slot: Slot) -> tuple[Snapshot, dict[tuple[Source, int], int]]:
        async with slot.lock:  # not between a control change's journal entry and its effect
            try:
                snapshot = slot.core.snapshot(only_moved=True)
            except FoldError as fault:  # the next owner must not meet it again
                await self._outbox.deliver(slot.number, slot.core.poison(fault))
                raise
            slot.touched, slot.input_bytes, slot.snapshot_at = False, 0, self._now()
            return snapshot, {(source, slot.number): slot.position(source) for source in SOURCES}

    async def restore(self, partitions: set[int]) -> None:
        """Replace everything held by what the logs say of these partitions."""
        began, owned = self._now(), self._let_go()
        self.broken, self.restoring = False, True
        try:
            await self._control.catch_up()  # a change made and journaled before must not look new
            restored = await self._restore(partitions, lambda: self._owned is owned)
        except SupersededError:
            log.info("Restore superseded by another rebalance")
            return
        finally:
            self.restoring = False
        if self._owned is owned:
            self._slots = {number: self._slot(number, own) for number, own in restored.items()}
            log.info("Holds partitions %s after %.2f s", sorted(restored), self._now() - began)

    def _slot(self, number: int, restored: Restored) -> Slot:
        append = partial(self._outbox.append_state, number)
        writer = SnapshotWriter(append, restored.core.epoch, restored.garbage, restored.size)
        slot = Slot(number, restored.core, writer, restored.starts, self._now())
        slot.touched = True  # a snapshot of this owner follows, also where no rows come
        return slot

    @contextlib.contextmanager
    def _broken_by_failure(self) -> Iterator[None]:
        """After a failed or cancelled step nothing may be published; ``restore`` starts afresh."""
        try:
            yield
        except BaseException:
            self.broken = True
            raise
