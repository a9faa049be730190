from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas import topics
from tidegauge.schemas.topics import TopicNames, check_name, configuration, partition_count
from tidegauge.streams.runtime.errors import ConfigurationError
from tidegauge.streams.runtime.topics import create_topics

ROOT = Path(__file__).parent.parent.parent
LEGAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


@given(st.text(LEGAL, min_size=1, max_size=249).filter(lambda name: name not in (".", "..")))
def test_every_name_that_kafka_takes_is_taken(name: str) -> None:
    check_name(name)


@given(st.text(min_size=1, max_size=20).filter(lambda name: not set(name) <= set(LEGAL)))
def test_a_letter_that_kafka_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="topic name must be"):
        check_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a" * 250, "a\n"])
def test_names_at_the_edge_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="topic name must"):
        TopicNames(alerts=name)


def test_every_topic_has_its_name_and_its_kind() -> None:
    names = TopicNames().by_topic()
    assert names == {topic: f"tidegauge.{topic}" for topic in names}
    kinds = [*topics.INPUTS, *topics.JOURNAL, *topics.OUTPUTS, *topics.CONTROL]
    assert sorted(kinds) == sorted(names)


def test_a_prefix_goes_before_all_but_the_mapped() -> None:
    names = TopicNames.prefixed("eu.", {"labels": "truth"}).by_topic()
    assert names.pop("labels") == "truth"
    assert names == {topic: f"eu.{topic}" for topic in names}


def test_two_topics_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="features and labels need two topics, got 'x' twice"):
        TopicNames.prefixed(mapped={"features": "x", "labels": "x"})


def test_an_unknown_topic_cannot_be_mapped() -> None:
    with pytest.raises(ValueError, match=r"expected topics among features, .*; got label"):
        TopicNames.prefixed(mapped={"label": "x"})


def test_names_cannot_be_changed() -> None:
    names = TopicNames()
    with pytest.raises(AttributeError):
        names.alerts = "x"  # type: ignore[misc]  # that it is refused is what is tested


def test_partition_p_of_all_topics_can_belong_to_one_worker() -> None:
    counts = {topic: partition_count(topic, 12) for topic in TopicNames.__struct_fields__}
    assert {topic for topic, count in counts.items() if count != 12} == {"monitors", "references"}
    assert counts["monitors"] == counts["references"] == 1


def test_state_and_control_are_compacted_and_never_deleted() -> None:
    for topic in topics.CONTROL:
        settings = configuration(topic, retention_ms=1)
        assert settings["cleanup.policy"] == "compact"
        assert "retention.ms" not in settings
        # a broker refuses a batch that is larger than a segment
        assert int(settings["segment.bytes"]) > int(settings["max.message.bytes"])


def test_only_inputs_and_the_journal_of_them_take_the_retention_asked_for() -> None:
    for topic in (*topics.INPUTS, *topics.JOURNAL, *topics.OUTPUTS):
        asked = configuration(topic, retention_ms=-1)["retention.ms"]
        assert asked == (str(30 * 86_400_000) if topic in topics.OUTPUTS else "-1")
        assert configuration(topic)["cleanup.policy"] == "delete"
    assert configuration("labels")["retention.ms"] == str(7 * 86_400_000)


@pytest.mark.parametrize(("days", "kept"), [(7, 30), (35, 35)])
def test_the_journal_is_kept_as_long_as_the_inputs_and_thirty_days_at_least(
    days: int, kept: int
) -> None:
    asked = configuration("outcomes", retention_ms=days * 86_400_000)["retention.ms"]
    assert asked == str(kept * 86_400_000)


def test_a_dead_letter_has_room_for_its_original_and_the_reason() -> None:
    rejected = int(configuration("rejected")["max.message.bytes"])
    for topic in topics.INPUTS:
        assert rejected > int(configuration(topic)["max.message.bytes"]) + 64 * 1024


def test_what_we_write_is_kept_from_when_it_was_written() -> None:
    for topic in (*topics.JOURNAL, *topics.OUTPUTS):
        assert configuration(topic)["message.timestamp.type"] == "LogAppendTime"
    assert "message.timestamp.type" not in configuration("predictions")


@pytest.mark.parametrize(
    ("option", "value"),
    [("partitions", 0), ("replication", 0), ("replication", -2), ("retention_ms", 0)],
)
def test_numbers_out_of_range_are_refused_before_any_broker_is_asked(
    option: str, value: int
) -> None:
    numbers = {"partitions": 4, "replication": 1, "retention_ms": 1} | {option: value}
    with pytest.raises(ConfigurationError, match=rf"{option} must be .*, got {value}"):
        create_topics("no.such.host:1", TopicNames(), **numbers)


def test_names_survive_the_wire() -> None:
    names = TopicNames.prefixed("eu.", {"labels": "truth"})
    assert msgspec.json.decode(msgspec.json.encode(names), type=TopicNames) == names


def test_the_compose_file_starts_the_broker_the_tests_run_on() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    assert services["kafka"]["image"] == "apache/kafka:4.3.1"
    assert services["topics"]["command"][:2] == ["topics", "create"]
    assert services["worker"]["command"][0] == "worker"
    assert services["worker"]["depends_on"]["topics"]["condition"] == (
        "service_completed_successfully"
    )
    assert services["replay"]["profiles"] == ["replay"]
    ours = [service for service in services.values() if "build" in service]
    assert {s["environment"]["TIDEGAUGE_BROKERS"] for s in ours} == {"kafka:19092"}
