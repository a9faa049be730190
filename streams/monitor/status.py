"""How the model versions of a partition stand: what was read, how far they are, what is open."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from tidegauge.streams.monitor.intake.columns import MAX_WATCHED, RowSource
from tidegauge.streams.monitor.intake.messages import INTAKE_ROWS, NOBODY, Key
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import PROMISED_WINDOWS
from tidegauge.streams.monitor.verdict import wording
from tidegauge.streams.monitor.verdict.alerts import by_size
from tidegauge.streams.monitor.verdict.incidents import MonitorSource
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.verdict.learning import MAX_CATEGORIES
from tidegauge.streams.monitor.verdict.monitor import Monitor
from tidegauge.streams.monitor.verdict.reports import state_of

State = Literal["typing", "learning", "blatant", "provisional", "watching"]


class OpenIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that is not over."""

    id: str
    kind: str
    severity: str
    since_ms: int
    title: str


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a model version is in one of the topics that are watched."""

    source: MonitorSource
    rows: int  # so far; of outcomes: pairs of prediction and label
    windows: int  # closed
    state: State
    gathered: int  # rows while typing, else windows of the reference
    needed: int  # until it goes on to the next state; 0: it does not by itself
    open_rows: int  # in the open window
    newest_ms: int | None  # event time of the newest row
    incidents: list[OpenIncident] = []
    watched: list[str] = []  # features
    is_learned: bool = True  # whether what is watched follows from its rows, not from a reference
    not_watched: dict[str, str] = {}  # why, by feature


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one model version stands."""

    model: str
    version: str
    partitions: list[int]
    streams: list[StreamStatus]
    rejected: int = 0  # rows and labels
    read: int = 0  # rows and labels, rejected ones included
    reason: str = ""  # the main one of the latest rejections
    incidents: list[OpenIncident] = []  # of rows that cannot be read, and of labels
    labels: dict[str, int] = {}  # of the model, whatever the version: what became of them

    @property
    def key(self) -> Key:
        """Return model and version."""
        return self.model, self.version

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"{self.model}@{self.version}" if self.version else self.model

    @property
    def open(self) -> list[OpenIncident]:
        """Return all its open incidents."""
        return [*self.incidents, *(one for stream in self.streams for one in stream.incidents)]


def model_statuses(partition: Partition) -> list[ModelStatus]:
    """Return how each model version of a partition stands, sorted by name."""
    partition.settle()
    reading = partition.readability
    keys = {key for monitors in partition.rows.values() for key in monitors.controls}
    keys |= {key for source in partition.rows for key in reading[source].models}
    keys |= partition.outcomes.monitors.keys()
    models = {model for model, _ in keys}  # labels seldom name a version: they belong to all
    keys |= {key for key in reading["labels"].models if key[0] not in models}
    return [_model(partition, key) for key in sorted(keys - {NOBODY})]


class Unattributed(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition counts without regard to models."""

    rejected: int  # records that do not say whose they are
    reason: str


def unattributed(partition: Partition) -> Unattributed:
    """Return what a partition counts without regard to models."""
    nobodys = [own.models[NOBODY] for own in partition.readability.values() if NOBODY in own.models]
    worst = max(nobodys, key=lambda own: own.rejected, default=None)
    return Unattributed(
        rejected=sum(own.rejected for own in nobodys), reason=worst.main_reason if worst else ""
    )


def merge(statuses: Iterable[ModelStatus]) -> list[ModelStatus]:
    """Return one status a model version, of those in several partitions.

    Rows and incidents are added; for the rest the partition that has most rows stands. Labels that
    lie in partitions without rows of their model are shown with its versions.
    """
    found: dict[Key, list[ModelStatus]] = {}
    for status in statuses:
        found.setdefault(status.key, []).append(status)
    merged = [_merged(parts) for _, parts in sorted(found.items())]
    watched = {status.model for status in merged if status.streams}
    astray = [s for s in merged if not s.streams and s.model in watched]
    return [_with_labels(s, astray) for s in merged if s not in astray]


def _with_labels(status: ModelStatus, astray: list[ModelStatus]) -> ModelStatus:
    parts = [status, *(other for other in astray if other.model == status.model)]
    return msgspec.structs.replace(
        status,
        partitions=sorted({number for part in parts for number in part.partitions}),
        incidents=[one for part in parts for one in part.incidents],
        labels=_sum(parts),
    )


def _sum(parts: list[ModelStatus]) -> dict[str, int]:
    names = {name: None for part in parts for name in part.labels}
    return {name: sum(part.labels.get(name, 0) for part in parts) for name in names}


def _merged(parts: list[ModelStatus]) -> ModelStatus:
    if len(parts) == 1:
        return parts[0]
    streams: dict[str, list[StreamStatus]] = {}
    for part in parts:
        for stream in part.streams:
            streams.setdefault(stream.source, []).append(stream)
    return ModelStatus(
        model=parts[0].model,
        version=parts[0].version,
        partitions=sorted(number for part in parts for number in part.partitions),
        streams=[_merged_stream(own) for own in streams.values()],
        rejected=sum(part.rejected for part in parts),
        read=sum(part.read for part in parts),
        reason=max(parts, key=lambda part: part.rejected).reason,
        incidents=[one for part in parts for one in part.incidents],
        labels=_sum(parts),
    )


def _merged_stream(parts: list[StreamStatus]) -> StreamStatus:
    newest = [part.newest_ms for part in parts if part.newest_ms is not None]
    return msgspec.structs.replace(
        max(parts, key=lambda part: part.rows),
        rows=sum(part.rows for part in parts),
        windows=sum(part.windows for part in parts),
        newest_ms=max(newest, default=None),
        incidents=[one for part in parts for one in part.incidents],
    )


def _model(partition: Partition, key: Key) -> ModelStatus:
    streams = [_rows(partition, source, key) for source in partition.rows]
    outcomes = partition.outcomes.monitors.get(key)
    streams += [None if outcomes is None else _stream("outcomes", outcomes)]
    reading = [
        own
        for source, read in partition.readability.items()
        for of, own in read.models.items()
        if of == key or (source == "labels" and of[0] == key[0])
    ]
    bad = [own for own in reading if own.rejected]
    monitors = [own.monitor for own in reading]
    if key[0] in partition.outcomes.label_watches:
        monitors.append(partition.outcomes.label_watches[key[0]].monitor)
    return ModelStatus(
        model=key[0],
        version=key[1],
        partitions=[partition.number],
        streams=[stream for stream in streams if stream is not None],
        rejected=sum(own.rejected for own in reading),
        read=sum(own.rows for own in reading),
        reason=max(bad, key=lambda own: own.rejected).main_reason if bad else "",
        incidents=[one for monitor in monitors for one in _open(monitor)],
        labels=_labels(partition, key[0]),
    )


def _labels(partition: Partition, model: str) -> dict[str, int]:
    """Return what became of a model's labels, by reason; they belong to all its versions."""
    if model not in partition.join.stores:
        return {}
    counts: dict[str, int] = msgspec.to_builtins(partition.join.stores[model].tally.counts)
    return counts if counts["labels"] else {}


def _rows(partition: Partition, source: RowSource, key: Key) -> StreamStatus | None:
    own = partition.rows[source]
    monitor, intake = own.monitors.get(key), own.reader.intakes.get(key)
    if monitor is not None:
        return _inputs(source, monitor)
    if intake is None:
        return None
    return StreamStatus(
        source=source,
        rows=intake.rows,
        windows=0,
        state="typing",
        gathered=intake.rows,
        needed=INTAKE_ROWS,
        open_rows=0,
        newest_ms=None,
    )


def _inputs(source: RowSource, monitor: InputMonitor) -> StreamStatus:
    control, inputs = monitor.control, monitor.inputs
    return msgspec.structs.replace(
        _stream(source, monitor),
        watched=[name for own in inputs for name in (*own.features, *own.categorical)],
        is_learned=control.reference is None or control.learned,
        not_watched=_not_watched(monitor),
    )


def _stream(source: MonitorSource, monitor: Monitor) -> StreamStatus:
    monitor.settle()
    bounds, waiting = monitor.bounds, len(monitor.waiting.offsets)
    latest_ms = max((bounds.latest_ms, *monitor.waiting.ts_ms))
    found = state_of(monitor)
    state: State = "blatant" if found == "learning" and not monitor.is_learning else found
    return StreamStatus(
        source=source,
        rows=monitor.observed + waiting,
        windows=bounds.index,
        state=state,
        gathered=monitor.gathered,
        needed=monitor.needed,
        open_rows=bounds.rows + waiting,
        newest_ms=latest_ms if latest_ms >= 0 else None,
        incidents=_open(monitor),
    )


def _open(monitor: Monitor) -> list[OpenIncident]:
    name = monitor.origin.name
    return [
        OpenIncident(
            id=incident.id,
            kind=incident.kind,
            severity=incident.severity,
            since_ms=incident.since_ms,
            title=wording.title(
                name,
                by_size(list(incident.alarms.values())),
                monitor.context(incident.since_ms),
                incident.since_ms,
                cause=incident.cause,
            ),
        )
        for incident in monitor.incidents.open
    ]


def _not_watched(monitor: InputMonitor) -> dict[str, str]:
    """Return why features of the spec or the reference are not watched, or only in part."""
    declared, inputs = monitor.control.spec.types, monitor.inputs
    found = {name: "the spec ignores it" for name, f in declared.items() if f.type == "ignore"}
    if sum(len(own.features) + len(own.categorical) for own in inputs) >= MAX_WATCHED:
        found["…"] = f"only the first {MAX_WATCHED} features are watched"
    for own in inputs:
        if own.watch is None:
            continue
        decide = {s.column for s in own.watch.series if s.decides}
        series = {s.name for s in own.watch.series}
        short = own.reference_windows >= PROMISED_WINDOWS
        for name in own.categorical:
            if SERIES["unseen"].name(name) not in series:
                found[name] = f"more than {MAX_CATEGORIES:,} values, or none: only gaps are watched"
        for name in own.features:
            if SERIES["rank"].name(name) not in series:
                found[name] = "no value in the reference: only gaps are watched"
            elif short and name not in decide:
                found[name] = "its reference is worth too few windows: only blatant faults are told"
    return found
