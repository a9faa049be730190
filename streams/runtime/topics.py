"""Creates the topics, and says of those that exist whether they will do."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from kafka.admin import ConfigResource
from kafka.errors import for_code

from tidegauge.schemas.topics import (
    FOREVER_MS,
    INPUT_RETENTION_MS,
    INPUTS,
    JOURNAL,
    ONE_PARTITION,
    PARTITIONS,
    TopicNames,
    configuration,
    partition_count,
)
from tidegauge.streams.runtime.admin import admin_client
from tidegauge.streams.runtime.errors import ConfigurationError

BROKER_DEFAULT = -1
POLICY, RETENTION = "cleanup.policy", "retention.ms"


class TopicResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one topic; ``problem`` says what to do about a mismatch or a refusal."""

    topic: str  # the name it has in Kafka
    outcome: Literal["created", "exists", "mismatch", "refused"]
    problem: str = ""


def create_topics(
    brokers: str,
    names: TopicNames,
    partitions: int | None = None,
    replication: int = BROKER_DEFAULT,
    retention_ms: int | None = None,
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
        Of every topic but ``monitors`` and ``references``; >= 1. None: as many as those that exist
        have, or 4.
    replication
        Copies of each partition; >= 1, or -1 for the brokers' default.
    retention_ms
        How long the inputs are kept, by the time their records carry; > 0, or -1 for ever, which
        replays of old rows need. None: 7 days, and those that exist may have any.

    Returns
    -------
    list of TopicResult
        One for each topic, in the order of ``names``.

    Raises
    ------
    ConfigurationError
        If a number is out of range, an address is none, or topics that exist have other partition
        counts than asked for or than each other. Nothing is created then.
    BrokerUnreachableError
        If no broker answers.
    """
    if partitions is not None:
        _check("partitions", partitions, partitions >= 1, ">= 1")
    fits = replication >= 1 or replication == BROKER_DEFAULT
    _check("replication", replication, fits, ">= 1, or -1 for the brokers' default")
    if retention_ms is not None:
        fits = retention_ms > 0 or retention_ms == FOREVER_MS
        _check("retention_ms", retention_ms, fits, "> 0, or -1 for ever")
    topics = names.by_topic()
    with admin_client(brokers) as admin:
        found = partition_counts(admin, topics.values())
        shared = {n: found[n] for t, n in topics.items() if n in found and t not in ONE_PARTITION}
        count = _agreed(shared, partitions)
        kept_ms = INPUT_RETENTION_MS if retention_ms is None else retention_ms
        wanted = {
            name: {
                "num_partitions": partition_count(topic, count),
                "replication_factor": replication,
                "configs": configuration(topic, kept_ms),
            }
            for topic, name in topics.items()
        }
        told = set() if retention_ms is None else {*INPUTS, *JOURNAL}  # whose retention was named
        asked = {n: (POLICY, RETENTION) if t in told else (POLICY,) for t, n in topics.items()}
        return list(_settle(admin, brokers, wanted, asked))


def _agreed(found: Mapping[str, int], partitions: int | None) -> int:
    """Return the count for all topics that have one in common, or refuse before any is made."""
    counts = set(found.values())
    if len(counts) > 1 or (partitions is not None and counts - {partitions}):
        asked = "equal partition counts" if partitions is None else f"{partitions} partitions"
        told = ", ".join(f"{name} {count}" for name, count in found.items())
        raise ConfigurationError(
            f"expected topics with {asked}, got {told}; nothing was created: leave --partitions "
            "out where all that exist have as many, delete those that may go, or map to others"
        )
    return partitions or (counts.pop() if counts else PARTITIONS)


def _check(name: str, value: int, fits: bool, rule: str) -> None:
    if not fits:
        raise ConfigurationError(f"{name} must be {rule}, got {value}")


def _settle(
    admin: Any, brokers: str, wanted: Mapping[str, Any], asked: Mapping[str, Sequence[str]]
) -> Iterator[TopicResult]:
    """Create what can be created, compare what was there; one result a topic."""
    answer = admin.create_topics(dict(wanted), raise_errors=False)
    refusals = {topic["name"]: topic for topic in answer["topics"] if topic["error_code"]}
    admin.wait_for_topics([name for name in wanted if name not in refusals])
    # Whatever the refusal said (no right to create, say): a topic that is there is looked at.
    counts = partition_counts(admin, refusals)
    settings = _settings(admin, {name: asked[name] for name in counts})
    for name, options in wanted.items():
        if name not in refusals:
            yield TopicResult(topic=name, outcome="created")
        elif name in counts:
            yield _compare(name, options, counts[name], settings[name], brokers)
        else:
            refusal = refusals[name]
            reason = f"{for_code(refusal['error_code']).__name__}: {refusal['error_message']}"
            yield TopicResult(topic=name, outcome="refused", problem=reason)


def partition_counts(admin: Any, names: Collection[str]) -> dict[str, int]:
    """Return how many partitions each topic has; without those that do not exist."""
    if not names:
        return {}
    found = admin.describe_topics(list(names))
    return {topic["name"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}


def _settings(admin: Any, asked: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return the settings asked for of each topic, without those we may not read."""
    if not asked:
        return {}
    resources = [ConfigResource("topic", name, list(names)) for name, names in asked.items()]
    found = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        name: {setting: there["value"] for setting, there in found[name].items()} for name in asked
    }


def _compare(
    name: str, options: Mapping[str, Any], count: int, settings: Mapping[str, str], brokers: str
) -> TopicResult:
    """Say whether an existing topic will do."""
    problems = []
    if count != options["num_partitions"]:
        problems.append(
            f"expected {options['num_partitions']} partitions, got {count}: delete the topic if it "
            "may go, or map to another one"
        )
    for setting, got in settings.items():
        expected = options["configs"][setting]
        if got != expected:
            problems.append(
                f"expected {setting}={expected}, got {got}, which an existing topic keeps: change "
                f"it with kafka-configs.sh --bootstrap-server {brokers} --alter --topic {name} "
                f"--add-config {setting}={expected}"
            )
    outcome: Literal["exists", "mismatch"] = "mismatch" if problems else "exists"
    return TopicResult(topic=name, outcome=outcome, problem="; ".join(problems))
