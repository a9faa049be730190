from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.runtime.settings import Settings


def group(topics: TopicNames, name: str = "") -> str:
    return Settings(brokers="b:1", topics=topics, group=name).group_id


def test_a_group_is_named_after_the_prefix_that_all_topics_share() -> None:
    assert group(TopicNames()) == group(TopicNames.prefixed("")) == "tidegauge"
    assert group(TopicNames.prefixed("eu.fraud.")) == "eu.fraud"
    assert group(TopicNames.prefixed("eu."), "mine") == "mine"


def test_deployments_with_other_topics_have_other_groups() -> None:
    deployments = [
        TopicNames(),
        TopicNames.prefixed("eu."),
        TopicNames.prefixed(mapped={"labels": "truth"}),
        TopicNames.prefixed("eu.", {"labels": "truth"}),
        TopicNames.prefixed("eu.", {"predictions": "truth"}),
    ]
    groups = [group(topics) for topics in deployments]
    assert len(set(groups)) == len(deployments)
    assert groups == [group(topics) for topics in deployments], "a restart must find its group"
