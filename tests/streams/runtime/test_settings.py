from typing import cast

from tidegauge.schemas.outcomes import Fence
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.cli import worker
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.runtime.app import monitor_cores
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


def test_every_worker_draws_a_key_of_its_own_and_its_fences_carry_it() -> None:
    settings = Settings(brokers="b:1", join_bytes=5_000_000)
    cores = [monitor_cores(settings, 2).create(0) for _ in range(2)]
    keys = [cast(Partition, core).settings.join_key for core in cores]
    assert len({bytes(16), *keys}) == 3
    fences = [read_entry(core.fence().value) for core in cores]
    assert fences == [Fence(epoch=1, key=key.hex()) for key in keys]
    assert cast(Partition, cores[0]).settings.join_bytes == 5_000_000


def test_a_fence_without_a_key_is_read() -> None:
    assert read_entry(b'{"kind":"fence","epoch":7}') == Fence(epoch=7)


def test_the_command_holds_as_much_for_the_join_as_a_worker_does_that_is_told_nothing() -> None:
    assert worker.JOIN_BYTES == Settings(brokers="b:1").join_bytes
