"""What `tidegauge status` reads, where the brokers or the topics are not as they should be."""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from schemas.topics import TopicNames
from streams.runtime import overview
from streams.runtime.broker import EmbeddedBroker
from streams.runtime.errors import BrokerUnreachableError
from streams.runtime.settings import Settings
from streams.runtime.topics import create_topics

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]


@pytest.mark.parametrize("ask", [overview.overview, overview.known_models])
def test_brokers_that_freeze_while_they_are_read_are_not_waited_for_for_ever(
    ask: Callable[[Settings, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "PARTITION_WITHIN_S", 2.0)
    read = overview._partition  # noqa: SLF001 (the first thing that is read)
    broker = EmbeddedBroker()
    broker.start()
    process = broker._process  # noqa: SLF001 (it leads a process group, and no user freezes one)
    assert process is not None

    async def freeze_and_read(*arguments: Any) -> Any:
        os.killpg(process.pid, signal.SIGSTOP)
        return await read(*arguments)

    monkeypatch.setattr(overview, "_partition", freeze_and_read)
    with contextlib.closing(broker):
        names = TopicNames.prefixed("frozen.")
        create_topics(broker.address, names)
        try:
            with pytest.raises(BrokerUnreachableError, match="no Kafka broker answers"):
                ask(Settings(brokers=broker.address, topics=names), 4)
        finally:
            os.killpg(process.pid, signal.SIGCONT)
