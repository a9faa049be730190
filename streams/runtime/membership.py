"""Notices what ends a worker's place in its group, where aiokafka would go on in silence.

aiokafka leaves the name of a static member out of heartbeats and commits. So where a second worker
takes the name, the first is told "unknown member" and joins again under the same name, which ends
the second, and so on. And what its coordinator cannot mend it keeps until somebody asks.
"""
# ruff: noqa: SLF001 (aiokafka has no public way in)

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.protocol.types import Int16, Int32, Schema, String

from tidegauge.streams.runtime.errors import InstanceTakenError, MembershipError

FENCED_INSTANCE_ID = 82  # Kafka's error code: the name belongs to another member now

Crash = Callable[[BaseException], None]
Send = Callable[[Any], Awaitable[Any]]


class HeartbeatResponse_v3(Response):  # type: ignore[misc]  # aiokafka has no types
    """Answer to the heartbeat of a static member."""

    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class HeartbeatRequest_v3(RequestStruct):  # type: ignore[misc]  # as above
    """The first version that names a static member; aiokafka has only those before."""

    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = HeartbeatResponse_v3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class StaticHeartbeat(Request[HeartbeatRequest_v3]):  # type: ignore[misc]  # as above
    """The heartbeat of a static member."""

    API_KEY = 12

    def __init__(self, *fields: str | int) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[HeartbeatRequest_v3]) -> HeartbeatRequest_v3:
        """Return the request."""
        return request_struct_class(*self._fields)


def guard(coordinator: Any, instance: str | None, crash: Crash) -> None:
    """End the worker when its place in the group is lost for good.

    Parameters
    ----------
    coordinator
        aiokafka's ``GroupCoordinator``, before it joins.
    instance
        The static member's name, if it has one.
    crash
        Ends the worker; called in the coordinator's thread.
    """
    push, send = coordinator._push_error_to_user, coordinator._send_req
    seat = "", 0  # the last member id and generation that the group gave

    def push_error(error: BaseException) -> Any:
        crash(MembershipError(f"the group does not take this worker any more: {error}"))
        return push(error)

    async def send_request(request: Any) -> Any:
        nonlocal seat
        if isinstance(request, JoinGroupRequest) and not coordinator.member_id and seat[0]:
            # Told to be unknown: its session may have expired, or its name be taken.
            member, generation = seat
            group = coordinator.group_id
            heartbeat = StaticHeartbeat(group, generation, member, instance or "")
            await check_taken(await send(heartbeat))
            seat = "", 0
        response = await send(request)
        await check_taken(response)
        if coordinator.member_id and coordinator.generation > 0:
            seat = coordinator.member_id, coordinator.generation
        return response

    async def check_taken(response: Any) -> None:
        if getattr(response, "error_code", 0) == FENCED_INSTANCE_ID:
            error = InstanceTakenError(
                f"another worker was started with the instance name {instance!r} and has taken "
                "over from this one: give each worker its own --instance (TIDEGAUGE_INSTANCE)"
            )
            crash(error)
            await asyncio.shield(coordinator._closing)  # do not join again meanwhile
            raise KafkaError(str(error))

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            crash(MembershipError(f"this worker has left the group: {error}"))

    coordinator._push_error_to_user = push_error
    coordinator._coordination_task.add_done_callback(ended)
    if instance is not None:
        coordinator._send_req = send_request
