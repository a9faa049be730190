import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tidegauge.streams.runtime import consumer as module
from tidegauge.streams.runtime.consumer import Consumer


async def confirmed() -> bool:
    return True


async def broken() -> bool:
    return False


async def refused() -> bool:
    raise ConnectionError("refused")


async def unanswered() -> bool:
    return await asyncio.Future()


@pytest.mark.parametrize(
    ("release", "stops", "checkpointed"),
    [
        (confirmed, True, True),
        (broken, True, False),
        (refused, True, False),
        (unanswered, True, False),
        (unanswered, False, True),  # partitions leave, and the worker goes on
    ],
)
async def test_a_worker_is_checkpointed_at_its_end_only_by_the_brokers_word(
    release: Callable[[], Awaitable[bool]],
    stops: bool,
    checkpointed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LEAVE_WITHIN_S", 0.05)
    consumer: Any = object.__new__(Consumer)
    consumer.ledger = SimpleNamespace(release=release)
    consumer.app = SimpleNamespace(should_stop=stops)
    if release is refused:
        with pytest.raises(ConnectionError):
            await consumer.wait_empty()
    else:
        await consumer.wait_empty()
    assert consumer.is_checkpointed is checkpointed
