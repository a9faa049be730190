import asyncio
import faulthandler
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.streams.runtime import watchdog
from tidegauge.streams.runtime.watchdog import Progress, Watchdog, compared


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


async def unasked(source: str, end: int, position: int) -> bool:
    raise AssertionError(source)


async def fail(error: BaseException) -> None:
    raise AssertionError(error)


async def test_brokers_that_never_answer_are_not_taken_for_a_worker_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    armed: list[float] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda s, exit: armed.append(s))
    monkeypatch.setattr(watchdog, "ANSWER_WITHIN_S", 0.01)
    monkeypatch.setattr(watchdog, "TICK_S", 0.01)

    async def never(positions: Mapping[str, int]) -> Mapping[str, int]:
        return await asyncio.Future()

    watching = asyncio.create_task(Watchdog(60, lambda: {"labels": 1}, never, unasked, fail).run())
    async with asyncio.timeout(10):
        while len(armed) < 3:  # each time it puts off the end by force
            await asyncio.sleep(0.01)
    watching.cancel()


@pytest.mark.parametrize("limit_s", [1, 10, 60])
async def test_the_end_by_force_leaves_all_questions_their_time(
    limit_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a worker whose brokers are away for a while is taken for one whose event loop hangs."""
    armed: asyncio.Future[float] = asyncio.Future()
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda s, exit: armed.set_result(s))

    async def never(positions: Mapping[str, int]) -> Mapping[str, int]:
        return await asyncio.Future()

    watching = asyncio.create_task(Watchdog(limit_s, lambda: {"a": 1}, never, unasked, fail).run())
    answers_s = watchdog.ANSWER_WITHIN_S + watchdog.DRAINED_WITHIN_S
    assert await armed >= limit_s + answers_s + watchdog.TICK_S
    watching.cancel()


async def test_a_consumer_that_never_answers_hangs_though_the_brokers_say_that_there_is_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda s, exit: None)
    monkeypatch.setattr(watchdog, "DRAINED_WITHIN_S", 0.01)
    monkeypatch.setattr(watchdog, "TICK_S", 0.01)
    ended: list[str] = []

    async def ends(positions: Mapping[str, int]) -> Mapping[str, int]:
        return {"labels": 9, "features": 5}

    async def never(source: str, end: int, position: int) -> bool:
        return await asyncio.Future()

    async def crash(error: BaseException) -> None:
        ended.append(str(error).rpartition(": ")[2])

    async with asyncio.timeout(10):
        await Watchdog(0.1, lambda: {"labels": 7, "features": 5}, ends, never, crash).run()
    assert ended == ["labels"]


async def test_where_only_markers_of_transactions_are_left_nothing_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda s, exit: None)
    monkeypatch.setattr(watchdog, "TICK_S", 0.01)
    asked: list[tuple[str, int, int]] = []

    async def ends(positions: Mapping[str, int]) -> Mapping[str, int]:
        return {"labels": 9, "features": 5}

    async def drained(source: str, end: int, position: int) -> bool:
        asked.append((source, end, position))
        return True

    positions = {"labels": 7, "features": 5}
    watching = asyncio.create_task(Watchdog(0.0, lambda: positions, ends, drained, fail).run())
    async with asyncio.timeout(10):
        while len(asked) < 3:
            await asyncio.sleep(0.01)
    watching.cancel()
    assert set(asked) == {("labels", 9, 7)}
