"""The agents: one for each source topic, each event a whole fetched batch."""

from faust import App, Stream
from faust.types import TopicT

from streams.monitor.records import Source
from streams.runtime.ledger import Fetch, Ledger


def watch(app: App, topic: TopicT, source: Source, ledger: Ledger) -> None:
    """Fold every fetched batch of a source into the partition it came from."""

    @app.agent(topic, name=f"watch_{source}", concurrency=1)
    async def fold(stream: Stream[Fetch]) -> None:
        try:
            async for event in stream.events():
                await ledger.fold(source, event.message.partition, event.value)
        except Exception as error:
            await app.crash(error)  # after a failed fold the next checkpoint would hide it
