"""Checks before a worker starts what would otherwise fail late, or without a clear word."""

import asyncio
import importlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from kafka.errors import KafkaError as AdminError

from tidegauge.streams.monitor.records import SOURCES
from tidegauge.streams.runtime.admin import admin_client
from tidegauge.streams.runtime.errors import (
    BrokerUnreachableError,
    ConfigurationError,
    TopicMissingError,
)
from tidegauge.streams.runtime.groups import Member, members
from tidegauge.streams.runtime.unreachable import unreachable

ANSWER_WITHIN_S = 8.0
LOOK_AGAIN_S = 0.5
GONE_WITHIN_S = 15.0  # a killed worker of another group: its session and some
ASK_EVERY_S = 3.0
JOINED_WITHIN_S = 10.0  # a worker of another group that started together with this one
WATCH_EVERY_S = 60.0
CANNOT_TELL = "Cannot tell whether another group reads the same topics: %s"

log = logging.getLogger(__name__)

Found = TypeVar("Found")


def when_there(look: Callable[[], Found], within_s: float, tell: Callable[[str], object]) -> Found:
    """Return what ``look`` finds as soon as the broker answers and has the topics.

    Parameters
    ----------
    look
        Asks the broker.
    within_s
        How long to look again and again; 0 looks once.
    tell
        Given a sentence for people, once for each cause of waiting.

    Raises
    ------
    BrokerUnreachableError, TopicMissingError
        If what ``look`` raised is still so when the time is over.
    """
    deadline, told = time.monotonic() + within_s, set[str]()
    while True:
        try:
            return look()
        except (BrokerUnreachableError, TopicMissingError) as error:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise
            if str(error) not in told:
                told.add(str(error))
                tell(f"{error}; waiting for up to {left_s:.0f} s")
            time.sleep(min(LOOK_AGAIN_S, left_s))


def check_installation() -> None:
    """Raise ConfigurationError if Faust's compiled parts are missing: the rest acks differently."""
    for name in ("faust._cython.streams", "faust.transport._cython.conductor"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(
                f"faust-streaming lacks its compiled part {name}; install it from a wheel, or "
                "with a C compiler at hand"
            ) from error


async def check_topics(brokers: str, names: Mapping[str, str], equal: Iterable[str]) -> int:
    """Return the partition count of the topics in ``equal``, which must be the same.

    Raises
    ------
    BrokerUnreachableError
        If nobody answers.
    TopicMissingError
        If one of ``names`` does not exist.
    ConfigurationError
        If the partition counts differ.
    """
    counts = await _partition_counts(brokers)
    if missing := sorted(name for name in names.values() if name not in counts):
        raise TopicMissingError(
            f"missing topics: {', '.join(missing)}; create them with `tidegauge topics create`"
        )
    found = {names[kind]: counts[names[kind]] for kind in equal}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in found.items())
        raise ConfigurationError(f"expected topics with equal partition counts, got {told}")
    return next(iter(found.values()))


def check_group(brokers: str, group: str, names: Mapping[str, str]) -> None:
    """Raise ConfigurationError if workers of two groups would write the same topics.

    Each would tell everything, and overwrite what the other remembers. Members that were killed are
    waited for until their session has ended. What we may not describe, we cannot see.
    """
    deadline = time.monotonic() + GONE_WITHIN_S
    with admin_client(brokers) as admin:
        while problem := _conflict(_members(admin), group, names):
            if time.monotonic() > deadline:
                raise ConfigurationError(problem)
            log.info("Waiting for %.0f s: %s", deadline - time.monotonic(), problem)
            time.sleep(ASK_EVERY_S)


async def watch_groups(brokers: str, group: str, names: Mapping[str, str]) -> None:
    """Raise ConfigurationError once workers of a group of an earlier name write the same topics.

    Two that start together do not see each other before: whoever is joining is no member yet. So
    one of them looks again, ten seconds after its start and then every minute, and ends.
    """
    pause_s = JOINED_WITHIN_S
    while True:
        await asyncio.sleep(pause_s)
        pause_s = WATCH_EVERY_S
        try:
            found = await asyncio.to_thread(_earlier, brokers, group)
        except Exception as error:  # whatever it is, it is no reason to end
            log.warning(CANNOT_TELL, error)
            continue
        if problem := _conflict(found, group, names):
            raise ConfigurationError(problem)


def _earlier(brokers: str, group: str) -> list[Member]:
    with admin_client(brokers) as admin:
        return [member for member in members(admin) if member.group < group]


def _members(admin: Any) -> list[Member]:
    try:
        return members(admin)
    except AdminError as error:
        log.warning(CANNOT_TELL, error)
        return []


def _conflict(found: Iterable[Member], group: str, names: Mapping[str, str]) -> str:
    """Return what is wrong with the groups there are; empty where nothing is."""
    written = {names["outcomes"], names["alerts"]}
    for member in found:
        where = f"{member.instance} at {member.host}"
        if member.group == group and member.topics != {names[source] for source in SOURCES}:
            return (
                f"group {group} is taken: {where} reads {', '.join(sorted(member.topics))}; give "
                "--group another name for these topics"
            )
        # A worker reads so many topics, whatever they are called; others may read some or all.
        is_worker = member.client[:5] == "faust" and len(member.topics) == len(SOURCES)
        if member.group != group and is_worker and written <= member.topics:
            return (
                f"expected one group of workers on these topics, got {member.group} besides "
                f"{group}: {where} would tell every alert a second time; give both the same "
                "--group, or each topics of its own (--prefix)"
            )
    return ""


async def _partition_counts(brokers: str) -> dict[str, int]:
    """Return the partition count of every topic there is."""
    client = AIOKafkaClient(bootstrap_servers=brokers, request_timeout_ms=5000)
    noise = logging.getLogger("aiokafka")
    before = noise.level
    noise.setLevel(logging.CRITICAL)  # we say it in one line
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await client.bootstrap()
            metadata = await client.fetch_all_metadata()
    except (TimeoutError, KafkaError, OSError) as error:
        raise unreachable(brokers) from error
    finally:
        await client.close()
        noise.setLevel(before)
    topics = metadata.topics(exclude_internal_topics=False)
    return {topic: len(metadata.partitions_for_topic(topic) or ()) for topic in topics}
