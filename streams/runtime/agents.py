"""The agents: one for each source topic, each event a whole fetched batch."""

from typing import Any, cast

from faust import App
from faust.types import StreamT, TopicT

from tidegauge.streams.monitor.records import Source
from tidegauge.streams.runtime.ledger import Fetch, Ledger


def watch(app: App, topic: TopicT, source: Source, ledger: Ledger) -> None:
    """Fold every fetched batch of a source into the partition it came from."""

    @app.agent(topic, name=f"watch_{source}", concurrency=1)
    async def fold(stream: StreamT[Any]) -> None:
        try:
            async for event in stream.events():
                fetch = cast(Fetch, event.value)  # see BatchScheduler
                await ledger.fold(source, event.message.partition, fetch)
        except Exception as error:
            await app.crash(error)  # after a failed fold the next checkpoint would hide it
