import asyncio
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.monitor.records import SOURCES
from tidegauge.streams.runtime import preflight
from tidegauge.streams.runtime.errors import (
    BrokerUnreachableError,
    ConfigurationError,
    TopicMissingError,
    WorkerError,
)
from tidegauge.streams.runtime.groups import Member
from tidegauge.streams.runtime.preflight import check_group, watch_groups, when_there


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LOOK_AGAIN_S", 0.001)


def looking(*answers: object) -> Callable[[], object]:
    """Return a look that gives one answer after another, the last for good."""
    left = list(answers)

    def look() -> object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, WorkerError):
            raise answer
        return answer

    return look


def test_a_broker_and_then_topics_are_waited_for_and_each_cause_is_told_once() -> None:
    told: list[str] = []
    nobody, no_topics = BrokerUnreachableError("nobody answers"), TopicMissingError("no topics")
    look = looking(nobody, nobody, nobody, no_topics, no_topics, 4)
    assert when_there(look, 60, told.append) == 4
    assert [why.partition(";")[0] for why in told] == ["nobody answers", "no topics"]
    assert told[0].endswith("; waiting for up to 60 s")


@pytest.mark.parametrize("error", [BrokerUnreachableError("why"), TopicMissingError("why")])
def test_what_is_still_missing_after_the_wait_is_raised(error: WorkerError) -> None:
    told: list[str] = []
    for within_s in (0.0, 0.02):
        with pytest.raises(type(error)):
            when_there(looking(error), within_s, told.append)
    assert len(told) == 1, "without a wait there is nothing to tell"


def test_what_waiting_cannot_mend_is_raised_at_once() -> None:
    with pytest.raises(ConfigurationError):
        when_there(looking(ConfigurationError("unequal counts"), 4), 60, print)


NAMES = TopicNames.prefixed("eu.").by_topic()


def beside(monkeypatch: pytest.MonkeyPatch, *read: str) -> None:
    """Check the group ``own`` beside a Faust program that reads these topics."""
    topics = frozenset(NAMES.get(topic, topic) for topic in read)
    member = Member("other", "one", "127.0.0.1", "faust-0.11.3", topics, {})
    monkeypatch.setattr(preflight, "admin_client", lambda _: nullcontext())
    monkeypatch.setattr(preflight, "members", lambda _: [member])
    monkeypatch.setattr(preflight, "GONE_WITHIN_S", -1.0)
    check_group("kafka:9", "own", NAMES)


def test_a_faust_program_that_reads_what_workers_write_is_no_second_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beside(monkeypatch, "outcomes", "alerts")
    beside(monkeypatch, *NAMES)


@pytest.mark.parametrize("predictions", ["predictions", "scores"])
def test_workers_that_write_the_same_topics_are_a_second_group_whatever_they_read(
    predictions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="expected one group of workers"):
        beside(monkeypatch, predictions, "features", "labels", "outcomes", "alerts")


@pytest.mark.parametrize(("other", "ended"), [("a", True), ("z", False)])
async def test_a_worker_ends_for_an_earlier_group_however_often_it_could_not_tell(
    other: str, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = frozenset(NAMES[source] for source in SOURCES)
    member = Member(other, "one", "127.0.0.1", "faust-0.11.3", topics, {})
    looks = looking(BrokerUnreachableError("away"), BrokerUnreachableError("away"), [member])
    looked: list[object] = []

    def found(_: object) -> object:
        looked.append(None)
        return looks()

    monkeypatch.setattr(preflight, "admin_client", lambda _: nullcontext())
    monkeypatch.setattr(preflight, "members", found)
    monkeypatch.setattr(preflight, "JOINED_WITHIN_S", 0.0)
    monkeypatch.setattr(preflight, "WATCH_EVERY_S", 0.001)
    watching = asyncio.create_task(watch_groups("kafka:9", "own", NAMES))
    async with asyncio.timeout(10):
        while len(looked) < 5 and not watching.done():
            await asyncio.sleep(0.001)
    if ended:
        with pytest.raises(ConfigurationError, match="got a besides own: one at 127"):
            await watching
    else:
        assert not watching.done()
        watching.cancel()
