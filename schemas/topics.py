"""Which topics there are, what they are called, and how they have to be set up."""

import re
from collections.abc import Mapping
from typing import Final, Self

import msgspec

PREFIX: Final = "tidegauge."
PARTITIONS: Final = 4
DAY_MS: Final = 86_400_000
INPUT_RETENTION_MS: Final = 7 * DAY_MS
OUTPUT_RETENTION_MS: Final = 30 * DAY_MS
FOREVER_MS: Final = -1

INPUTS: Final = ("features", "predictions", "labels")
JOURNAL: Final = ("outcomes",)
OUTPUTS: Final = ("alerts", "retraining", "windows", "rejected")
CONTROL: Final = ("monitors", "references", "state")
ONE_PARTITION: Final = ("monitors", "references")  # read as a whole by every worker

# Input batches up to Kafka's own default. What we write gets twice that: a dead letter is its
# original and some headers more, and a snapshot or a report must not fail for a few bytes.
INPUT_BYTES: Final = 1_048_588
OUTPUT_BYTES: Final = 2 * 1_048_576

LEGAL = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_name(name: str) -> None:
    """Raise ValueError unless Kafka takes ``name`` as a topic's name.

    >>> check_name("my topic")
    Traceback (most recent call last):
    ValueError: topic name must be 1 to 249 of a-z A-Z 0-9 . _ -, got 'my topic'
    """
    if not LEGAL.fullmatch(name):
        raise ValueError(f"topic name must be 1 to 249 of a-z A-Z 0-9 . _ -, got {name!r}")
    if name in (".", ".."):
        raise ValueError(f"topic name must not be '.' or '..', got {name!r}")


class TopicNames(msgspec.Struct, frozen=True, kw_only=True):
    """What each topic is called here.

    Raises
    ------
    ValueError
        If Kafka would refuse a name, or two topics share one.

    Examples
    --------
    >>> TopicNames().alerts
    'tidegauge.alerts'
    >>> names = TopicNames.prefixed("eu.", {"predictions": "scores"})
    >>> names.predictions, names.labels
    ('scores', 'eu.labels')
    """

    features: str = PREFIX + "features"
    predictions: str = PREFIX + "predictions"
    labels: str = PREFIX + "labels"
    outcomes: str = PREFIX + "outcomes"
    alerts: str = PREFIX + "alerts"
    retraining: str = PREFIX + "retraining"
    windows: str = PREFIX + "windows"
    rejected: str = PREFIX + "rejected"
    monitors: str = PREFIX + "monitors"
    references: str = PREFIX + "references"
    state: str = PREFIX + "state"

    def __post_init__(self) -> None:
        """Check every name, and that no two are the same."""
        taken: dict[str, str] = {}
        for topic, name in self.by_topic().items():
            check_name(name)
            if name in taken:
                raise ValueError(f"{taken[name]} and {topic} need two topics, got {name!r} twice")
            taken[name] = topic

    @classmethod
    def prefixed(cls, prefix: str = PREFIX, mapped: Mapping[str, str] | None = None) -> Self:
        """Return the names under one prefix, except those mapped to a topic of their own."""
        mapped = mapped or {}
        unknown = sorted(set(mapped) - set(cls.__struct_fields__))
        if unknown:
            known = ", ".join(cls.__struct_fields__)
            raise ValueError(f"expected topics among {known}; got {', '.join(unknown)}")
        return cls(**{topic: prefix + topic for topic in cls.__struct_fields__} | dict(mapped))

    def by_topic(self) -> dict[str, str]:
        """Return the names, keyed by the fields above."""
        return {topic: getattr(self, topic) for topic in self.__struct_fields__}


def partition_count(topic: str, partitions: int) -> int:
    """Return how many partitions ``topic`` must have where the inputs have ``partitions``.

    Partition p of all topics belongs to one worker, so all have the same count, but for the two
    that every worker reads whole.
    """
    return 1 if topic in ONE_PARTITION else partitions


def configuration(topic: str, retention_ms: int = INPUT_RETENTION_MS) -> dict[str, str]:
    """Return Kafka's settings for ``topic``; ``retention_ms`` is for the inputs, -1 for ever.

    >>> configuration("labels", FOREVER_MS)["retention.ms"]
    '-1'
    >>> configuration("state")["cleanup.policy"]
    'compact'
    """
    if topic in CONTROL:
        # Only closed segments are compacted, so they are small and closed within the hour; they
        # must still hold the largest message. Never "compact,delete": old state is still state.
        return {
            "cleanup.policy": "compact",
            "max.message.bytes": str(OUTPUT_BYTES),
            "segment.bytes": str(8 * OUTPUT_BYTES),
            "segment.ms": "3600000",
            "min.cleanable.dirty.ratio": "0.1",
        }
    if topic in INPUTS:
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(INPUT_BYTES),
            "retention.ms": str(retention_ms),
        }
    kept_ms = OUTPUT_RETENTION_MS
    if topic in JOURNAL and retention_ms != FOREVER_MS:
        kept_ms = max(kept_ms, retention_ms)  # it says which of the inputs are paired already
    elif topic in JOURNAL:
        kept_ms = FOREVER_MS
    return {
        "cleanup.policy": "delete",
        "max.message.bytes": str(OUTPUT_BYTES),
        "retention.ms": str(kept_ms),
        # The 30 days count from when it was written: an alert about last year's rows is news.
        "message.timestamp.type": "LogAppendTime",
    }
