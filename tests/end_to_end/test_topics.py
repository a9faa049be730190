import contextlib
from typing import Any

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from tidegauge.schemas.topics import DAY_MS, TopicNames, configuration
from tidegauge.streams.runtime.errors import ConfigurationError
from tidegauge.streams.runtime.topics import create_topics


def make(brokers: str, topics: dict[str, dict[str, Any]]) -> None:
    """Make topics as somebody else would have."""
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    with contextlib.closing(admin):
        admin.create_topics(topics, wait_for_metadata=True)


def partitions_of(brokers: str, prefix: str) -> dict[str, int]:
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    with contextlib.closing(admin):
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
    return {name: count for name, count in found.items() if name.startswith(prefix)}


def test_topics_are_created_once_and_left_alone_after(brokers: str, topics: TopicNames) -> None:
    results = create_topics(brokers, topics)
    assert {result.outcome for result in results} == {"exists"}
    assert [result.topic for result in results] == list(topics.by_topic().values())


def test_every_topic_has_its_partitions_and_settings(brokers: str, topics: TopicNames) -> None:
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    names = topics.by_topic()
    counts = {found["name"]: len(found["partitions"]) for found in admin.describe_topics()}
    asked = [ConfigResource("topic", name) for name in names.values()]
    settings = admin.describe_configs(asked)["topic"]
    admin.close()
    for topic, name in names.items():
        assert counts[name] == (1 if topic in ("monitors", "references") else 4)
        expected = configuration(topic, retention_ms=-1)
        assert {key: settings[name][key]["value"] for key in expected} == expected


def test_a_topic_that_does_not_fit_is_named_with_what_to_do(brokers: str, prefix: str) -> None:
    names = TopicNames.prefixed(prefix)
    compacted = {"cleanup.policy": "compact"}
    make(
        brokers,
        {
            names.predictions: {"num_partitions": 4, "configs": compacted},
            names.labels: {"num_partitions": 4},
            names.monitors: {"num_partitions": 3, "configs": compacted},
        },
    )
    results = {result.topic: result for result in create_topics(brokers, names)}
    wrong = results[names.predictions]
    assert wrong.outcome == "mismatch"
    assert wrong.problem == (
        "expected cleanup.policy=delete, got compact, which an existing topic keeps: change it "
        f"with kafka-configs.sh --bootstrap-server {brokers} --alter --topic {names.predictions} "
        "--add-config cleanup.policy=delete"
    )
    assert "expected 1 partitions, got 3" in results[names.monitors].problem
    assert results[names.labels].outcome == "exists"
    assert results[names.alerts].outcome == "created"


def test_the_rest_gets_as_many_partitions_as_a_mapped_topic_has(brokers: str, prefix: str) -> None:
    scores = f"{prefix}scores"
    make(brokers, {scores: {"num_partitions": 3}})
    results = create_topics(brokers, TopicNames.prefixed(prefix, {"predictions": scores}))
    outcomes = {result.topic: result.outcome for result in results}
    assert outcomes.pop(scores) == "exists"
    assert set(outcomes.values()) == {"created"}
    expected = dict.fromkeys([scores, *outcomes], 3)
    expected |= {f"{prefix}monitors": 1, f"{prefix}references": 1}
    assert partitions_of(brokers, prefix) == expected


@pytest.mark.parametrize(("other", "asked"), [(3, 4), (4, None)])
def test_counts_that_contradict_are_refused_before_anything_is_made(
    other: int, asked: int | None, brokers: str, prefix: str
) -> None:
    scores, truth = f"{prefix}scores", f"{prefix}truth"
    made = {scores: 3, truth: other}
    make(brokers, {name: {"num_partitions": count} for name, count in made.items()})
    names = TopicNames.prefixed(prefix, {"predictions": scores, "labels": truth})
    with pytest.raises(ConfigurationError, match=rf"{scores} 3, {truth} {other}; nothing was"):
        create_topics(brokers, names, asked)
    assert partitions_of(brokers, prefix) == made


def test_a_retention_that_was_asked_for_in_vain_is_told_with_the_command(
    brokers: str, topics: TopicNames
) -> None:
    """The topics keep rows for ever."""
    results = {result.topic: result for result in create_topics(brokers, topics)}
    assert {result.outcome for result in results.values()} == {"exists"}, "none was asked for"
    results = {r.topic: r for r in create_topics(brokers, topics, retention_ms=DAY_MS)}
    differ = {name for name, result in results.items() if result.outcome == "mismatch"}
    assert differ == {topics.features, topics.predictions, topics.labels, topics.outcomes}
    assert results[topics.labels].problem == (
        f"expected retention.ms={DAY_MS}, got -1, which an existing topic keeps: change it with "
        f"kafka-configs.sh --bootstrap-server {brokers} --alter --topic {topics.labels} "
        f"--add-config retention.ms={DAY_MS}"
    )


def test_a_refused_topic_says_why(brokers: str, prefix: str) -> None:
    results = create_topics(brokers, TopicNames.prefixed(prefix), replication=9)
    assert {result.outcome for result in results} == {"refused"}
    assert "InvalidReplicationFactor" in results[0].problem
