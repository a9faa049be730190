"""Runs the core over rows without a broker: exactly what a worker would publish for that log."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES, Output, Record, Returned, Source
from tidegauge.streams.monitor.state import PartitionSettings
from tidegauge.streams.monitor.verdict.retraining import read_alert

LEAST_WINDOWS = 3  # of a reference
UNDATED = 1 << 48  # UTC milliseconds, of records that have no time of their own: no row is ahead


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record of an offline log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(slots=True)
class OfflineLog:
    """One partition's logs in memory, folded as they are appended.

    Parameters
    ----------
    lookup
        The specs and references that hold; one that does not fit is an error here, once a row of
        its model comes.

    Examples
    --------
    >>> log = OfflineLog()
    >>> log.append("predictions", b"m", b'{"model": "m"')
    >>> [output.topic for output in log.outputs]
    ['outcomes', 'rejected']
    """

    lookup: Lookup = field(default_factory=Lookup)
    outputs: list[Output] = field(default_factory=list)
    partition: Partition = field(
        default_factory=lambda: Partition(
            0, PartitionSettings({source: source for source in SOURCES}, 1)
        )
    )
    _end: dict[Source, int] = field(default_factory=lambda: dict.fromkeys(SOURCES, 0))

    def __post_init__(self) -> None:
        """Become the owner of the partition."""
        self._publish([self.partition.fence()])

    def append(
        self, source: Source, key: bytes | None, value: bytes | None, timestamp: int = UNDATED
    ) -> None:
        """Append a record and fold it; ``timestamp`` is the record's own, UTC milliseconds."""
        self._fold(source, [LoggedRecord(self._take_offset(source), timestamp, key, value)])

    def end(self) -> None:
        """Close the windows that are complete, as no further records will come."""
        self.partition.settle()
        for rows in self.partition.rows.values():
            for monitor in rows.monitors.values():
                self._publish(monitor.end())
        for outcomes in self.partition.outcomes.monitors.values():
            self._publish(outcomes.end())

    def _take_offset(self, source: Source) -> int:
        self._end[source] += 1
        return self._end[source] - 1

    def _fold(self, source: Source, records: Sequence[Record]) -> None:
        while records:
            folded = self.partition.fold(source, records)
            self._publish(folded.outputs)
            records = folded.rest
            if folded.unknown is not None:
                self.take_up(*folded.unknown)

    def take_up(self, model: str, version: str) -> None:
        """Let what the lookup says of a model version by now hold from the next row on."""
        change = self.partition.control_change(model, version, self.lookup.find(model, version))
        self.partition.apply_change(change)
        self._publish([change])

    def _publish(self, outputs: Sequence[Output]) -> None:
        self.outputs += [dataclasses.replace(output, message=None) for output in outputs]
        for output in outputs:
            if output.topic in ("outcomes", "alerts") and output.message is not None:
                at, message = self._take_offset(output.topic), output.message
                record = Returned(at, UNDATED, output.key, output.value, output.headers, message)
                self._fold(output.topic, [record])


def learn_reference(
    spec: MonitorSpec, version: str, rows: Sequence[tuple[Source, bytes]]
) -> Reference:
    """Return the reference that a worker would learn from all these rows and frames.

    Parameters
    ----------
    spec
        How the model is watched: windows, features, task.
    version
        The model version whose rows these are.
    rows
        Records of ``predictions``, ``labels`` or ``features``, in the order of the log. Of event
        time the last window counts if it is complete; see ``Monitor.end``.

    Raises
    ------
    ValueError
        If no window was closed, or a row was rejected.
    """
    log = _fold_all(spec, ReferenceSpec(windows=100_000), rows)
    key = (spec.model, version)
    found = [rows.monitors[key] for rows in log.partition.rows.values() if key in rows.monitors]
    if not found:
        raise ValueError(f"expected rows of model {spec.model!r} version {version!r}, found none")
    reference = found[0].learn()
    performance = log.partition.outcomes.monitors.get(key)
    if performance is None or not performance.outcomes.windows:
        return reference
    return msgspec.structs.replace(
        reference, task=performance.outcomes.seems, outcomes=performance.outcomes.profiles()
    )


def told_of_second_half(
    spec: MonitorSpec, rows: Sequence[tuple[Source, bytes]], reference: Reference
) -> list[str]:
    """Return what a worker would tell of the second half of a reference, had it learned the first.

    An A/A check: both should be one thing, so nothing should be told. What is always learned from
    what comes, such as the volume, is left out.

    Parameters
    ----------
    spec, rows
        As of ``learn_reference``.
    reference
        What it returned, of two windows or more.

    Returns
    -------
    list
        The title of each incident. With fewer than 60 windows only what is blatant is told.
    """
    half = max(len(profile.values) for profile in reference.series.values()) // 2
    cut = msgspec.structs.replace(spec, windows=reference.windows)
    told = _fold_all(cut, ReferenceSpec(windows=max(half, LEAST_WINDOWS)), rows).outputs
    alerts = [read_alert(output.value) for output in told if output.topic == "alerts"]
    own = {*reference.series, *reference.outcomes}
    return [
        alert.title
        for alert in alerts
        if alert.revision == 1 and own & {alarm.series for alarm in alert.series}
    ]


def _fold_all(
    spec: MonitorSpec, learned: ReferenceSpec, rows: Sequence[tuple[Source, bytes]]
) -> OfflineLog:
    """Return the log of a model that learns so many windows of these rows."""
    log = OfflineLog(Lookup([msgspec.structs.replace(spec, reference=learned)]))
    for source, value in rows:
        log.append(source, spec.model.encode(), value)
    log.end()
    if rejected := sum(output.topic == "rejected" for output in log.outputs):
        raise ValueError(f"expected rows that can be read, got {rejected} rejected records")
    return log
