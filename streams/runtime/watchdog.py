"""Ends a worker that hangs: a dead process is started again, a hanging one is not noticed.

Faust has been seen to stop reading without an error (faust-streaming/faust #175, #229, #640).
"""

import asyncio
import contextlib
import faulthandler
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping, Set
from typing import Generic, TypeVar

from aiokafka.errors import KafkaError

from tidegauge.streams.runtime.errors import StalledError

Key = TypeVar("Key", bound=Hashable)
TICK_S = 5.0
ASTRAY = -1  # position of what is assigned or held, but not both: behind any end
ANSWER_WITHIN_S = 20.0  # the brokers
DRAINED_WITHIN_S = 3.0  # the consumer, in another thread
END_WITHIN_S = 15.0  # after a stall was found; then by force

log = logging.getLogger(__name__)


def compared(held: Mapping[Key, int], assigned: Set[Key]) -> dict[Key, int]:
    """Return the positions of what is held; what the group sees otherwise stands still.

    >>> compared({"labels": 7, "lost": 3}, {"labels", "never restored"})["lost"]
    -1
    """
    return {**held, **dict.fromkeys(held.keys() ^ assigned, ASTRAY)}


class Progress(Generic[Key]):
    """Tells which sources have had something to read for too long without moving.

    Parameters
    ----------
    limit_s
        How long is too long.

    >>> progress = Progress[str](limit_s=60)
    >>> [progress.stalled(at, {"labels": 7}, {"labels": 9}) for at in (0.0, 59.0, 60.0)]
    [[], [], ['labels']]
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[Key, tuple[int, float]] = {}

    def stalled(
        self, now: float, positions: Mapping[Key, int], ends: Mapping[Key, int]
    ) -> list[Key]:
        """Return the sources that stand still at ``now`` (seconds), though their end is beyond."""
        before, self._since = self._since, {}
        for key, position in positions.items():
            if position < ends.get(key, 0):
                was, since = before.get(key, (position, now))
                self._since[key] = (position, since if was == position else now)
        return [key for key, (_, since) in self._since.items() if now - since >= self._limit_s]


class Watchdog(Generic[Key]):
    """Watches positions against the ends of the logs, and the event loop itself.

    Parameters
    ----------
    limit_s
        How long a source may stand still, in seconds; the event loop half a minute longer.
    positions
        Returns where each source is; empty while state is being restored.
    ends
        Asks the brokers where each of these logs ends.
    has_drained
        Asks the consumer whether there is no record before this end and behind this position.
    crash
        Ends the worker.
    """

    def __init__(
        self,
        limit_s: float,
        positions: Callable[[], Mapping[Key, int]],
        ends: Callable[[Mapping[Key, int]], Awaitable[Mapping[Key, int]]],
        has_drained: Callable[[Key, int, int], Awaitable[bool]],
        crash: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self._limit_s, self._positions, self._crash = limit_s, positions, crash
        self._ends, self._has_drained = ends, has_drained

    async def run(self) -> None:
        """Watch until cancelled."""
        progress = Progress[Key](self._limit_s)
        stalled: list[Key] = []
        patience_s = self._limit_s + ANSWER_WITHIN_S + DRAINED_WITHIN_S + TICK_S
        loop = asyncio.get_running_loop()
        try:
            while True:
                # If the loop is blocked, nobody moves this alarm on: it prints the stack and exits.
                faulthandler.dump_traceback_later(patience_s, exit=True)
                if stalled := progress.stalled(loop.time(), *await self._observe()):
                    await self._end(stalled)
                    return
                await asyncio.sleep(TICK_S)
        finally:
            if not stalled:
                faulthandler.cancel_dump_traceback_later()

    async def _observe(self) -> tuple[Mapping[Key, int], Mapping[Key, int]]:
        positions = self._positions()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                ends = await self._ends(positions)
        except (TimeoutError, KafkaError) as error:  # no answer is no reason to end
            log.warning("Brokers do not tell where the logs end: %s", error or "no answer")
            return {}, {}
        return await self._moved(positions, ends), ends

    async def _moved(
        self, positions: Mapping[Key, int], ends: Mapping[Key, int]
    ) -> Mapping[Key, int]:
        """Return the positions; the end where only markers of transactions are left before it."""
        moved = dict(positions)
        # A consumer that does not answer may hang: what waits for it stands still.
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(DRAINED_WITHIN_S):
                for key, end in ends.items():
                    if positions[key] < end and await self._has_drained(key, end, positions[key]):
                        moved[key] = end
        return moved

    async def _end(self, stalled: list[Key]) -> None:
        names = ", ".join(map(str, stalled))
        faulthandler.dump_traceback_later(END_WITHIN_S, exit=True)
        await self._crash(
            StalledError(
                f"nothing read for {self._limit_s:.0f} s though there is more, or partitions held "
                f"that are not assigned, or assigned and not held: {names}"
            )
        )
