"""Reads an output topic in order of time, and keeps a reader's place in it."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from kafka import TopicPartition
from kafka.errors import CommitFailedError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata

from tidegauge.streams.runtime.errors import ConfigurationError

EARLIEST_MS, LATEST_MS = -2, -1  # as Kafka calls them where a time is asked for
POLL_MS = 500
# All that was fetched, 1 MB of a partition: what a poll leaves of a partition that is then paused,
# kafka-python may never give out again.
ALL_FETCHED = 2**31 - 1
COMMIT_AGAIN_S = 3600.0  # brokers forget a place that nobody has written for a week
BEFORE = 1000  # records of each partition looked at before the place: what comes again is known


class Reader:
    """The records of one topic from a place on, each partition in its order.

    Before that place it yields up to 1,000 records of each partition as ``is_old``, so that their
    second delivery can be told.

    Parameters
    ----------
    consumer
        With the group's id, if there is a group; without partitions.
    topic, partitions
        What to read.
    since_ms
        Records written from then on, UTC milliseconds, or ``EARLIEST_MS`` or ``LATEST_MS``; of no
        meaning to a group that has a place already.
    group
        Whose place it is; empty: nobody's.
    """

    def __init__(
        self, consumer: Any, topic: str, partitions: Sequence[int], since_ms: int, group: str = ""
    ) -> None:
        self._consumer, self._group = consumer, group
        self._all = [TopicPartition(topic, number) for number in partitions]
        consumer.assign(self._all)
        self._ends: dict[Any, int] = consumer.end_offsets(self._all)
        first: dict[Any, int] = consumer.beginning_offsets(self._all)
        self._next = self._kept(first) or self._since(since_ms, first)
        self._committed: dict[Any, int] = {}
        self._committed_s = 0.0  # when all places were written
        self.commit()
        for tp, place in self._next.items():
            consumer.seek(tp, max(first[tp], place - BEFORE))

    def _since(self, since_ms: int, first: dict[Any, int]) -> dict[Any, int]:
        if since_ms == EARLIEST_MS:
            return dict(first)
        if since_ms == LATEST_MS:
            return dict(self._ends)
        found = self._consumer.offsets_for_times(dict.fromkeys(self._all, since_ms))
        return {tp: found[tp].offset if found.get(tp) else self._ends[tp] for tp in self._all}

    def _kept(self, first: dict[Any, int]) -> dict[Any, int]:
        """Return the group's place, empty if it has none in any partition."""
        if not self._group:
            return {}
        found = {tp: self._consumer.committed(tp) for tp in self._all}
        if all(place is None for place in found.values()):
            return {}
        places = {tp: first[tp] if at is None else at for tp, at in found.items()}
        return {tp: self._there(tp, place, first[tp]) for tp, place in places.items()}

    def _there(self, tp: Any, place: int, first: int) -> int:
        """Return a place, or the first record where what lies there is gone; say so then."""
        name, end = f"{tp.topic}[{tp.partition}]", self._ends[tp]
        if first <= place <= end:
            return place
        told = f"records {place} to {first - 1} of {name} were deleted before they were read"
        if place > end:
            told = (
                f"{name} ends at {end}, and group {self._group} had read up to {place}: the topic "
                "was made anew, and is read from its first record"
            )
        typer.echo(f"tidegauge: {told}", err=True)
        return first

    def backlog(self) -> Iterator[Any]:
        """Yield what there was at the start, in order of time over all partitions."""
        waiting = {tp: deque[Any]() for tp in self._all}
        while waiting := {tp: held for tp, held in waiting.items() if held or self._is_behind(tp)}:
            empty = [tp for tp, held in waiting.items() if not held]
            if empty:  # what comes first of all is known only with one of each
                self._consumer.pause(*self._all)
                self._consumer.resume(*empty)
                for tp, records in self._consumer.poll(POLL_MS, ALL_FETCHED).items():
                    waiting[tp] += [r for r in records if r.offset < self._ends[tp]]
                continue
            first = min(waiting, key=lambda tp: waiting[tp][0].timestamp)
            yield waiting[first].popleft()
        self._consumer.resume(*self._all)
        for tp in self._all:  # a poll may have taken more
            self._consumer.seek(tp, max(self._ends[tp], self._next[tp]))

    def coming(self) -> Iterator[Any]:
        """Yield what comes after the backlog, for ever."""
        while True:
            self.commit()
            for records in self._consumer.poll(timeout_ms=POLL_MS).values():
                yield from records

    def _is_behind(self, tp: Any) -> bool:
        return bool(self._consumer.position(tp) < self._ends[tp])

    def is_old(self, record: Any) -> bool:
        """Tell whether a record lies before the place."""
        return bool(record.offset < self._next[TopicPartition(record.topic, record.partition)])

    def pass_by(self, record: Any) -> None:
        """Move the place beyond a record, never back."""
        tp = TopicPartition(record.topic, record.partition)
        self._next[tp] = max(self._next[tp], record.offset + 1)

    def commit(self) -> None:
        """Write the group's place down, if there is a group: what has moved, and all once an hour.

        Raises
        ------
        ConfigurationError
            If somebody else reads in the group's name.
        """
        if is_due := time.monotonic() - self._committed_s >= COMMIT_AGAIN_S:
            self._committed_s = time.monotonic()
        moved = {tp: at for tp, at in self._next.items() if is_due or self._committed.get(tp) != at}
        if not (self._group and moved):
            return
        for tp in moved:
            there = self._consumer.committed(tp)  # None: the brokers have forgotten it
            if tp in self._committed and there not in (None, self._committed[tp]):
                raise ConfigurationError(self._taken())
        try:
            self._consumer.commit({tp: OffsetAndMetadata(at, "", -1) for tp, at in moved.items()})
        except (CommitFailedError, UnknownMemberIdError) as error:
            raise ConfigurationError(self._taken()) from error
        self._committed |= moved

    def _taken(self) -> str:
        return (
            f"somebody else reads as group {self._group}, so some may be told twice: give each "
            "reader a --group of its own"
        )
