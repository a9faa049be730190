"""What a coordinator of aiokafka is told and tells; the real one is in the end-to-end tests."""
# ruff: noqa: SLF001 (aiokafka has no public way in)

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest

from tidegauge.streams.runtime.errors import InstanceTakenError, MembershipError
from tidegauge.streams.runtime.membership import FENCED_INSTANCE_ID, StaticHeartbeat, guard

UNKNOWN_MEMBER_ID = 25
JOIN = JoinGroupRequest("g", 10_000, 10_000, "", "me", "consumer", [])


class Coordinator:
    """Answers heartbeats that name the instance with ``verdict``, and the rest with success."""

    def __init__(self, verdict: int = 0, dies_of: BaseException | None = None) -> None:
        self.verdict, self.dies_of = verdict, dies_of
        self.group_id, self.member_id, self.generation = "g", "first", 7
        self.sent: list[Any] = []
        self._closing = asyncio.get_running_loop().create_future()
        self._coordination_task = asyncio.create_task(self._coordinate())

    async def _coordinate(self) -> None:
        if self.dies_of is not None:
            raise self.dies_of

    async def _push_error_to_user(self, error: BaseException) -> None:
        self.sent.append(error)

    async def _send_req(self, request: Any) -> Any:
        self.sent.append(request)
        own = isinstance(request, StaticHeartbeat)
        return SimpleNamespace(error_code=self.verdict if own else 0)


async def told_to_be_unknown(verdict: int, crashes: list[BaseException]) -> Coordinator:
    coordinator: Any = Coordinator(verdict)
    guard(coordinator, "me", crashes.append)
    await coordinator._send_req(HeartbeatRequest("g", 7, "first"))
    coordinator.member_id, coordinator.generation = "", -1
    found: Coordinator = coordinator
    return found


async def test_a_member_whose_session_expired_joins_again_under_its_name() -> None:
    crashes: list[BaseException] = []
    coordinator: Any = await told_to_be_unknown(UNKNOWN_MEMBER_ID, crashes)
    await coordinator._send_req(JOIN)
    assert [type(request) for request in coordinator.sent[1:]] == [
        StaticHeartbeat,
        JoinGroupRequest,
    ]
    assert crashes == []


async def test_a_member_whose_name_is_taken_does_not_join_again() -> None:
    crashes: list[BaseException] = []
    coordinator: Any = await told_to_be_unknown(FENCED_INSTANCE_ID, crashes)
    joining = asyncio.create_task(coordinator._send_req(JOIN))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not joining.done()
    assert [type(error) for error in crashes] == [InstanceTakenError]
    coordinator._closing.set_result(None)
    with pytest.raises(KafkaError, match="instance name 'me'"):
        await joining
    assert JOIN not in coordinator.sent


@pytest.mark.parametrize("instance", ["me", None])
async def test_what_the_coordinator_would_keep_to_itself_ends_the_worker(
    instance: str | None,
) -> None:
    crashes: list[BaseException] = []
    coordinator: Any = Coordinator(dies_of=RuntimeError("a bug"))
    guard(coordinator, instance, crashes.append)
    await coordinator._push_error_to_user(GroupAuthorizationFailedError("g"))
    await asyncio.wait([coordinator._coordination_task])
    await asyncio.sleep(0)
    assert [type(error) for error in crashes] == [MembershipError] * 2
    assert "a bug" in str(crashes[1])
