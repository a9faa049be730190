"""One real Apache Kafka for the session, and topics of its own for each test."""

import uuid
from collections.abc import Iterator

import pytest

from tidegauge.schemas.topics import FOREVER_MS, TopicNames
from tidegauge.streams.runtime.broker import any_broker
from tidegauge.streams.runtime.topics import create_topics


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of this folder, so that none is run where there is no broker."""
    item.add_marker("end_to_end")


@pytest.fixture(scope="session")
def brokers() -> Iterator[str]:
    """The address of a broker: what TIDEGAUGE_BROKERS names, or one started for this session."""
    with any_broker() as address:
        yield address


@pytest.fixture
def prefix() -> str:
    """What this test's topics, groups and clients begin with; nobody else's do."""
    return f"test-{uuid.uuid4().hex[:12]}."


@pytest.fixture
def topics(brokers: str, prefix: str) -> TopicNames:
    """All topics, fresh and empty, that keep rows of any date."""
    names = TopicNames.prefixed(prefix)
    results = create_topics(brokers, names, retention_ms=FOREVER_MS)
    assert [result for result in results if result.outcome != "created"] == []
    return names
