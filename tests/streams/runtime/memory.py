"""A log, a producer, a consumer and a core in memory, to test the shell without a broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tidegauge.streams.monitor.control.control import Choice
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.journal.poison import FoldError
from tidegauge.streams.monitor.records import SOURCES, Folded, Output, Record, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.runtime.control import ControlTables
from tidegauge.streams.runtime.cores import Cores, Rebuilt

MODEL = ("m", "")


@dataclass
class Row:
    offset: int
    key: bytes | None = b"m"
    value: bytes | None = b"1"
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()


def rows(*offsets: int) -> list[Record]:
    return [Row(offset) for offset in offsets]


@dataclass
class MemoryLog:
    name: str = "topic t partition 0"
    records: list[Record] = field(default_factory=list)
    first: int = 0
    end: int = 0

    def append(self, key: bytes | None, value: bytes | None) -> int:
        self.records.append(Row(self.end, key, value))
        self.end += 1
        return self.end - 1

    async def append_state(self, key: bytes, value: bytes | None) -> int:
        return self.append(key, value)

    async def bounds(self) -> tuple[int, int]:
        return self.first, self.end

    async def read(self, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        if found := [record for record in self.records if start <= record.offset < end]:
            yield found

    def compact(self) -> None:
        """Keep the last record of each key, and no tombstones."""
        last = {record.key: record for record in self.records}
        kept = [record for record in last.values() if record.value is not None]
        self.records = sorted(kept, key=lambda record: record.offset)


@dataclass
class Sent:
    offset: int


class MemoryProducer:
    """Appends to logs, and writes down in which order; ``hold`` keeps confirmations back."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.logs: dict[str, MemoryLog] = {}
        self.failure: Exception | None = None
        self.held: list[asyncio.Future[Any]] | None = None

    def log(self, topic: str) -> MemoryLog:
        return self.logs.setdefault(topic, MemoryLog(topic))

    async def send(  # the signature of aiokafka's producer
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        timestamp_ms: None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> "asyncio.Future[Any]":
        await asyncio.sleep(0)  # as a real one: others run meanwhile
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.failure is not None:
            sent.set_exception(self.failure)
            return sent
        self.story.append(topic)
        offset = self.log(topic).append(key, value)
        if self.held is not None and topic != "state":
            self.held.append(sent)
            sent.add_done_callback(lambda _: self.story.append(f"{topic} confirmed"))
        sent_at = Sent(offset)
        if self.held is None or topic == "state":
            sent.set_result(sent_at)
        return sent

    def confirm(self) -> None:
        held, self.held = self.held or [], None
        for sent in held:
            sent.set_result(Sent(0))


@dataclass
class MemoryOffsets:
    """The consumer as the ledger sees it."""

    story: list[str]
    starts: dict[Source, int] = field(default_factory=dict)
    ends: dict[Source, int] = field(default_factory=dict)
    drained: bool = False
    committed: dict[tuple[Source, int], int] = field(default_factory=dict)

    async def start_offset(self, source: Source, partition: int) -> int:
        return self.starts.get(source, 0)

    async def end_offset(self, source: Source, partition: int) -> int:
        return self.ends.get(source, 0)

    async def has_drained(self, source: Source, partition: int, end: int, folded: int) -> bool:
        return self.drained

    async def rejoin(self) -> None:
        self.story.append("rejoin")

    async def commit_positions(self, positions: Mapping[tuple[Source, int], int]) -> None:
        self.story.append("commit")
        self.committed.update(positions)


@dataclass
class MemoryControl:
    tables: ControlTables = field(default_factory=ControlTables)
    on_catch_up: Callable[[], None] = lambda: None

    async def catch_up(self) -> None:
        await asyncio.sleep(0)
        self.on_catch_up()


class State(msgspec.Struct):
    next_offset: dict[Source, int]
    epoch: int
    digests: dict[str, str]


class CountingCore:
    """Publishes a window for each record; knows no model until it is told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.next_offset: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self.rebuild_from: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self.epoch = 0
        self.journal: list[Record] = []
        self.rebuilt: list[tuple[Rebuilt, int]] = []
        self.folded: list[tuple[Source, int]] = []
        self.digests: dict[str, str] = {}
        self.ends_ms = 0  # of a window, by the wall clock; 0: none is open
        self.explodes_at = self.poisonous_at = -1
        self.gathered: tuple[int, int] | None = None  # rows that a snapshot cannot fold
        self.moved: set[str] = set()
        self.told: Mapping[RowSource, int] = {}

    def fold(self, source: Source, records: Sequence[Record]) -> Folded:
        outputs: list[Output] = []
        for index, record in enumerate(records):
            if record.offset < self.next_offset[source]:
                continue
            if source == "predictions" and "m" not in self.digests:
                return Folded(outputs, records[index:], MODEL)
            if record.offset == self.explodes_at:
                raise RuntimeError("a bug in the core")
            if record.offset == self.poisonous_at:
                raise FoldError(source, records[0].offset, records[-1].offset, ValueError("a bug"))
            self.next_offset[source] = record.offset + 1
            self.folded.append((source, record.offset))
            outputs.append(Output("windows", b"m", b"%d" % record.offset))
        return Folded(outputs)

    def control_change(self, model: str, version: str, choice: Choice) -> Output:
        return Output("outcomes", b"m", choice.digest.encode())

    def apply_change(self, output: Output) -> None:
        self.digests["m"] = (output.value or b"").decode()

    def over(self, now_ms: int) -> list[tuple[str, str]]:
        return [MODEL] if 0 < self.ends_ms <= now_ms else []

    def tick(self, key: tuple[str, str], now_ms: int) -> Output:
        return Output("outcomes", b"m", b"tick %d" % now_ms)

    def apply_ticks(self, output: Output | None = None) -> list[Output]:
        if output is None:
            return []
        self.ends_ms = 0
        return [Output("windows", b"m", output.value)]

    def gap(self, source: Source, first: int, last: int) -> Output:
        self.next_offset[source] = last + 1
        return Output("outcomes", None, b"gap %d to %d" % (first, last))

    def poison(self, fault: FoldError) -> Output:
        return Output("outcomes", None, b"poison %d to %d" % (fault.first, fault.last))

    def known(self) -> dict[tuple[str, str], str]:
        return {(model, ""): digest for model, digest in self.digests.items()}

    def read_ahead(self, source: Source, records: Sequence[Record]) -> Sequence[Record]:
        return records

    def labels_are_read(self, are: bool) -> None:
        pass

    def awaits_predictions(self, records: Sequence[Record]) -> bool:
        return True

    def read_journal(self, records: Sequence[Record]) -> None:
        self.journal += records

    def changes_from(self, ends: Mapping[RowSource, int]) -> None:
        self.told = ends

    def fence(self) -> Output:
        self.epoch += 1
        return Output("outcomes", None, b"fence %d" % self.epoch)

    def rebuild_join(self, source: Rebuilt, records: Sequence[Record]) -> None:
        self.rebuilt += [(source, record.offset) for record in records]

    def snapshot(self, only_moved: bool = False) -> Snapshot:
        if self.gathered is not None:
            raise FoldError("predictions", *self.gathered, ValueError("a bug"))
        root = msgspec.json.encode(State(self.next_offset, self.epoch, self.digests))
        return Snapshot(root, {})

    @classmethod
    def restore(cls, number: int, snapshot: Snapshot) -> "CountingCore":
        state = msgspec.json.decode(snapshot.root, type=State)
        self = cls(number)
        self.next_offset, self.epoch = state.next_offset, state.epoch
        self.digests = state.digests
        return self


CORES = Cores(CountingCore, CountingCore.restore)
