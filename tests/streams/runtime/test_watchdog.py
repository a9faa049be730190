import asyncio
import faulthandler
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime import watchdog
from streams.runtime.watchdog import Progress, Watchdog, compared


def test_a_source_that_moves_or_has_nothing_to_read_is_not_stalled() -> None:
    progress = Progress[str](limit_s=60)
    for minute in range(10):
        positions = {"moves": minute, "at its end": 7}
        assert progress.stalled(minute * 60.0, positions, {"moves": 99, "at its end": 7}) == []


def test_a_source_gets_its_whole_time_again_after_the_brokers_were_away() -> None:
    progress = Progress[str](limit_s=60)
    assert progress.stalled(0, {"labels": 1}, {"labels": 2}) == []
    assert progress.stalled(50, {}, {}) == []
    assert progress.stalled(100, {"labels": 1}, {"labels": 2}) == []
    assert progress.stalled(160, {"labels": 1}, {"labels": 2}) == ["labels"]


def test_a_partition_that_is_assigned_and_never_held_is_stalled_though_it_is_empty() -> None:
    progress = Progress[str](limit_s=60)
    ends = {"held": 7, "given": 0, "taken": 7}
    for second in (0, 59, 60):
        positions = compared({"held": 7, "taken": 7}, {"held", "given"})
        found = progress.stalled(second, positions, ends)
        assert set(found) == ({"given", "taken"} if second == 60 else set())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_stalled_is_exactly_lag_without_movement_for_the_limit(
    ticks: list[tuple[int, int]],
) -> None:
    progress = Progress[str](limit_s=3)
    for now, (position, end) in enumerate(ticks):
        found = progress.stalled(now, {"labels": position}, {"labels": end})
        last = ticks[max(0, now - 3) : now + 1]
        still = now >= 3 and all(p == position and p < e for p, e in last)
        assert found == (["labels"] if still else [])


async def test_brokers_that_never_answer_are_not_taken_for_a_worker_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    armed: list[float] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda s, exit: armed.append(s))
    monkeypatch.setattr(watchdog, "ANSWER_WITHIN_S", 0.01)
    monkeypatch.setattr(watchdog, "TICK_S", 0.01)

    async def never(positions: Mapping[str, int]) -> Mapping[str, int]:
        return await asyncio.Future()

    async def crash(error: BaseException) -> None:
        raise AssertionError(error)

    watching = asyncio.create_task(Watchdog(60, lambda: {"labels": 1}, never, crash).run())
    async with asyncio.timeout(10):
        while len(armed) < 3:  # each time it puts off the end by force
            await asyncio.sleep(0.01)
    watching.cancel()
