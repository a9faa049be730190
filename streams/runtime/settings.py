"""Everything a worker is told from outside; the command line fills it in."""

import hashlib
from pathlib import Path

import msgspec

from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.monitor.join.join import MAX_BYTES
from tidegauge.streams.monitor.records import SOURCES, Source

NO_PREFIX = "tidegauge"  # what groups are called where topics share none


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker must know of its deployment.

    Parameters
    ----------
    brokers
        ``host:port``, several separated by commas.
    topics
        The topics' names.
    group
        Consumer group; empty: it follows from the topics' names, so that two deployments have two.
    instance
        Name of this worker within the group, for static membership: after a restart it gets its
        partitions back at once.
    log_level
        Of Python's logging.
    stalled_after_s
        How long a source with records to read may stand still before the worker ends itself.
    restore_within_s
        How long restoring the state may take.
    wait_s
        How long to wait at the start for brokers and topics that are not there yet.
    heartbeat_file
        What to touch every 5 s while the worker is well.
    join_bytes
        What predictions and labels that wait for each other may take in a partition. It is one of
        a partition, not of a worker: what is forgotten must not depend on who holds how many.
    """

    brokers: str
    topics: TopicNames = TopicNames()
    group: str = ""
    instance: str | None = None
    log_level: str = "INFO"
    stalled_after_s: float = 60.0
    restore_within_s: float = 300.0
    wait_s: float = 120.0
    heartbeat_file: Path | None = None
    join_bytes: int = MAX_BYTES

    @property
    def group_id(self) -> str:
        """Return the consumer group: as told, or the prefix of all topics, or a digest of them.

        >>> Settings(brokers="").group_id
        'tidegauge'
        >>> topics = TopicNames.prefixed("eu.", {"predictions": "scores"})
        >>> Settings(brokers="", topics=topics).group_id
        'tidegauge-fe595056'
        """
        names = self.topics.by_topic()
        prefixes = {name.removesuffix(topic) for topic, name in names.items()}
        if len(prefixes) == 1:
            default = prefixes.pop().rstrip("._-") or NO_PREFIX
        else:
            told = ",".join(f"{topic}={name}" for topic, name in sorted(names.items()))
            default = f"{NO_PREFIX}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        return self.group or default

    @property
    def sources(self) -> dict[Source, str]:
        """Return the names of the topics that are folded."""
        names = self.topics.by_topic()
        return {source: names[source] for source in SOURCES}
