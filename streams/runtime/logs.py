"""Reads stretches of logs, for what must be known before rows flow."""

from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from tidegauge.streams.monitor.intake.record_batch import until
from tidegauge.streams.monitor.records import Record
from tidegauge.streams.runtime.clients import LogEnds

POLL_MS = 1000


class PartitionLog:
    """One partition of a topic.

    Parameters
    ----------
    reader
        A consumer without a group, started; several logs may share it, one read at a time.
    log_ends
        Knows where the log begins and ends.
    topic, partition
        What to read.
    """

    def __init__(
        self, reader: AIOKafkaConsumer, log_ends: LogEnds, topic: str, partition: int
    ) -> None:
        self._reader, self._log_ends = reader, log_ends
        self._tp = TopicPartition(topic, partition)

    @property
    def name(self) -> str:
        """Return what to call it in messages."""
        return f"topic {self._tp.topic} partition {self._tp.partition}"

    async def bounds(self) -> tuple[int, int]:
        """Return the first offset there is, and the one the next record will get."""
        starts = await self._log_ends.starts([self._tp])
        ends = await self._log_ends.ends([self._tp])
        return starts[self._tp], ends[self._tp]

    async def read(self, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of [start, end) in batches.

        Offsets may be missing, from compaction or transactions: it goes by the position, not by
        the records that come.
        """
        if start >= end:
            return
        self._reader.assign([self._tp])
        self._reader.seek(self._tp, start)
        while await self._reader.position(self._tp) < end:
            fetched = await self._reader.getmany(self._tp, timeout_ms=POLL_MS)
            for batch in fetched.get(self._tp, ()):
                if records := until(batch, end):
                    yield records
