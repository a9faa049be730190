"""Gives the new owner of a partition the state that its logs say it has."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from tidegauge.streams.monitor.records import SOURCES, Record, Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.monitor.state import ROW_SOURCES
from tidegauge.streams.runtime.cores import Core, Cores, Rebuilt, restoring
from tidegauge.streams.runtime.errors import StateError
from tidegauge.streams.runtime.loading import load
from tidegauge.streams.runtime.outbox import Outbox
from tidegauge.streams.runtime.state_log import Log

REBUILT: tuple[Rebuilt, ...] = ("predictions", "labels")  # in this order: labels look for them
MAX_FENCES = 10

LOST = "%s: records %d to %d were deleted before they were read: retention is too short"

log = logging.getLogger(__name__)


def lost(position: int, first: int) -> bool:
    """Tell whether a log that begins at ``first`` has lost what was to be read at ``position``.

    What was there before anything was read is not missed.
    """
    return 0 < position < first


class SupersededError(Exception):
    """Another rebalance began; what was being restored is of no use any more."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition ready for rows."""

    core: Core
    starts: dict[Source, int]  # where to go on reading
    size: int  # bytes of the snapshot it came from
    garbage: set[bytes]  # keys to be removed from ``state``


class Restorer:
    """Restores one partition.

    Parameters
    ----------
    number
        Of the partition.
    cores
        Makes the core.
    outbox
        Appends the fence.
    logs
        The log of each source and of ``state``.
    wanted
        False once the restore has been superseded; asked between batches.
    """

    def __init__(
        self,
        number: int,
        cores: Cores,
        outbox: Outbox,
        logs: Callable[[str], Log],
        wanted: Callable[[], bool],
    ) -> None:
        self._number, self._cores, self._outbox = number, cores, outbox
        self._logs, self._wanted = logs, wanted

    async def restore(self) -> Restored:
        """Read snapshot and journal, put up the fence, fill the join.

        Raises
        ------
        StateError
            If the state does not fit the logs or cannot be read.
        SupersededError
            If it is not wanted any more.
        """
        loaded = await load(self._logs("state"))
        core = self._core(loaded.snapshot)
        starts = {source: await self._start(source, core) for source in SOURCES}
        await self._read_journal(core)
        if core.epoch > 1:  # there was an owner before, who may have told all there is
            core.changes_from({s: (await self._logs(s).bounds())[1] for s in ROW_SOURCES})
        for source, first in starts.items():
            if lost(position := core.next_offset[source], first):
                gap = core.gap(source, position, first - 1)
                await self._outbox.deliver(self._number, gap)
        for source in REBUILT:
            async for records in self._read(
                source, core.rebuild_from[source], core.next_offset[source]
            ):
                core.rebuild_join(source, records)
        return Restored(core, starts, loaded.size, loaded.garbage)

    def _core(self, snapshot: Snapshot | None) -> Core:
        if snapshot is None:
            return self._cores.create(self._number)
        with restoring(self._number):
            return self._cores.restore(self._number, snapshot)

    async def _start(self, source: Source, core: Core) -> int:
        """Return where to go on; the log may have lost its beginning, but not its end."""
        name = self._logs(source).name
        first, end = await self._logs(source).bounds()
        offset = core.next_offset[source]
        if offset > end:
            raise StateError(
                f"{name} ends at {end}, but its state goes on at {offset}: was the topic made "
                "anew? Then the topic state must be made anew as well"
            )
        if lost(offset, first):
            log.error(LOST, name, offset, first - 1)
        return max(offset, first)

    async def _read_journal(self, core: Core) -> None:
        """Read to the end, append the fence, read what came in between; again if anything did."""
        at = core.rebuild_from["outcomes"]
        _, end = await self._logs("outcomes").bounds()
        for _ in range(MAX_FENCES):
            async for records in self._read("outcomes", at, end):
                core.read_journal(records)
            fence = await self._outbox.deliver(self._number, core.fence())
            if fence == end:  # nobody else took an epoch meanwhile
                return
            at, end = end, fence + 1
        raise StateError(f"partition {self._number}: somebody else keeps writing to its outcomes")

    async def _read(self, source: str, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        own_log = self._logs(source)
        first, _ = await own_log.bounds()
        async for records in own_log.read(max(start, first), end):
            if not self._wanted():
                raise SupersededError
            yield records
