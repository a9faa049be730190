"""Creates the topics, and says of those that exist whether they will do."""

import socket
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import KafkaError, for_code

from schemas.topics import (
    FOREVER_MS,
    INPUT_RETENTION_MS,
    PARTITIONS,
    TopicNames,
    configuration,
    partition_count,
)
from streams.runtime.errors import BrokerUnreachableError, ConfigurationError

BROKER_DEFAULT = -1
BOOTSTRAP_MS = 10_000
CONNECT_S = 5.0
POLICY = "cleanup.policy"


class TopicResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one topic; ``problem`` says what to do about a mismatch or a refusal."""

    topic: str  # the name it has in Kafka
    outcome: Literal["created", "exists", "mismatch", "refused"]
    problem: str = ""


def create_topics(
    brokers: str,
    names: TopicNames,
    partitions: int = PARTITIONS,
    replication: int = BROKER_DEFAULT,
    retention_ms: int = INPUT_RETENTION_MS,
) -> list[TopicResult]:
    """Create the topics that are missing; say of the others whether they fit.

    Calling it again changes nothing: an existing topic is never altered.

    Parameters
    ----------
    brokers
        Bootstrap servers, "host:port" with commas between.
    names
        What the topics are called.
    partitions
        Of every topic but ``monitors`` and ``references``; >= 1.
    replication
        Copies of each partition; >= 1, or -1 for the brokers' default.
    retention_ms
        How long the inputs are kept, by the time their records carry; > 0, or -1 for ever, which
        replays of old rows need.

    Returns
    -------
    list of TopicResult
        One for each topic, in the order of ``names``.

    Raises
    ------
    ConfigurationError
        If a number is out of range, or an address is none.
    BrokerUnreachableError
        If no broker answers.
    """
    _check("partitions", partitions, partitions >= 1, ">= 1")
    fits = replication >= 1 or replication == BROKER_DEFAULT
    _check("replication", replication, fits, ">= 1, or -1 for the brokers' default")
    fits = retention_ms > 0 or retention_ms == FOREVER_MS
    _check("retention_ms", retention_ms, fits, "> 0, or -1 for ever")
    wanted = {
        name: {
            "num_partitions": partition_count(topic, partitions),
            "replication_factor": replication,
            "configs": configuration(topic, retention_ms),
        }
        for topic, name in names.by_topic().items()
    }
    admin = _connect(brokers)
    try:
        return list(_settle(admin, wanted))
    finally:
        admin.close()


def _connect(brokers: str) -> Any:
    unreachable = f"no broker answers at {brokers}: is it running, is TIDEGAUGE_BROKERS right?"
    if not any(map(_listens, brokers.split(","))):  # kafka-python would try for BOOTSTRAP_MS
        raise BrokerUnreachableError(unreachable)
    try:
        return KafkaAdminClient(bootstrap_servers=brokers, bootstrap_timeout_ms=BOOTSTRAP_MS)
    except KafkaError as error:
        raise BrokerUnreachableError(f"{unreachable} ({error})") from error


def _listens(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except ValueError as error:
        raise ConfigurationError(f"brokers must be host:port, got {address!r}") from error
    except OSError:
        return False
    return True


def _check(name: str, value: int, fits: bool, rule: str) -> None:
    if not fits:
        raise ConfigurationError(f"{name} must be {rule}, got {value}")


def _settle(admin: Any, wanted: Mapping[str, Any]) -> Iterator[TopicResult]:
    """Create what can be created, compare what was there; one result a topic."""
    answer = admin.create_topics(dict(wanted), raise_errors=False)
    refusals = {topic["name"]: topic for topic in answer["topics"] if topic["error_code"]}
    admin.wait_for_topics([name for name in wanted if name not in refusals])
    # Whatever the refusal said (no right to create, say): a topic that is there is looked at.
    counts = _partition_counts(admin, refusals)
    policies = _cleanup_policies(admin, counts)
    for name, options in wanted.items():
        if name not in refusals:
            yield TopicResult(topic=name, outcome="created")
        elif name in counts:
            yield _compare(name, options, counts[name], policies[name])
        else:
            refusal = refusals[name]
            reason = f"{for_code(refusal['error_code']).__name__}: {refusal['error_message']}"
            yield TopicResult(topic=name, outcome="refused", problem=reason)


def _partition_counts(admin: Any, names: Collection[str]) -> dict[str, int]:
    """Return how many partitions each topic has; without those that do not exist."""
    if not names:
        return {}
    found = admin.describe_topics(list(names))
    return {topic["name"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}


def _cleanup_policies(admin: Any, names: Collection[str]) -> dict[str, str]:
    """Return each topic's cleanup policy, "" where we may not read it."""
    if not names:
        return {}
    asked = [ConfigResource("topic", name, [POLICY]) for name in names]
    found = admin.describe_configs(asked, config_filter="all")["topic"]
    return {name: found[name].get(POLICY, {}).get("value", "") for name in names}


def _compare(name: str, options: Mapping[str, Any], count: int, policy: str) -> TopicResult:
    """Say whether an existing topic will do."""
    problems = []
    if count != options["num_partitions"]:
        problems.append(
            f"expected {options['num_partitions']} partitions, got {count}: give --partitions the "
            "number that all have, delete the topic if it may go, or map to another one"
        )
    expected = options["configs"][POLICY]
    if policy not in (expected, ""):
        problems.append(
            f"expected {POLICY}={expected}, got {policy}: change it with kafka-configs.sh --alter "
            f"--topic {name} --add-config {POLICY}={expected}"
        )
    outcome: Literal["exists", "mismatch"] = "mismatch" if problems else "exists"
    return TopicResult(topic=name, outcome=outcome, problem="; ".join(problems))
