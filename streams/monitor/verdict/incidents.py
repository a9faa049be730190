"""Incidents: what moves together is one, with a stable id, from its start to its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec.structs import replace

from tidegauge.schemas.alerts import (
    Alert,
    Evidence,
    Figure,
    Kind,
    SeriesAlarm,
    Severity,
)
from tidegauge.schemas.cloudevents import stable_id
from tidegauge.schemas.monitors import RetrainingSpec, milliseconds
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import PROVISIONAL_WINDOWS
from tidegauge.streams.monitor.verdict import wording
from tidegauge.streams.monitor.verdict.alerts import alert_output, by_size
from tidegauge.streams.monitor.verdict.watch import Verdicts
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.words import cut

JOIN = 7  # windows after its latest alarm in which a further series joins an incident
LISTED = 50  # series of an incident in a message
CRITICAL = 4.0  # gates: an effect this large is critical

MonitorSource = Literal["predictions", "features", "labels", "outcomes"]


class Incident(msgspec.Struct):
    """One open incident."""

    id: str
    kind: Kind
    since_ms: int
    latest: int  # window of its latest alarm
    alarms: dict[str, SeriesAlarm]
    revision: int = 0
    first_offset: int = 0

    @property
    def severity(self) -> Severity:
        """How large the largest shift of it is."""
        large = any(abs(a.effect) >= CRITICAL * a.gate for a in self.alarms.values())
        return "critical" if large else "warning"


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose alerts these are, and where their evidence lies."""

    model: str
    version: str
    source: MonitorSource
    topic: str  # of the evidence
    partition: int
    retraining: RetrainingSpec
    reference_windows: int

    @property
    def uri(self) -> str:
        """The source of its events."""
        return f"/tidegauge/{self.source}/{self.partition}"

    @property
    def name(self) -> str:
        """Return what to call it: the model version, or a topic's partition."""
        if self.model:
            return wording.model_name(self.model, self.version)
        return f"{cut(self.topic)}[{self.partition}]"


class Incidents:
    """Turns alarms of series into incidents, and incidents into alerts.

    A series that fires within 7 windows of an incident's latest alarm joins it, and so does one of
    the same feature, or of outcomes, for as long as the incident is open. (Any series for as long:
    then a shift of season that lasts for months would swallow every fault.)

    Parameters
    ----------
    origin
        Whose alerts these are and where the evidence lies.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.open: list[Incident] = []

    def update(
        self,
        verdicts: Verdicts,
        bounds: Bounds,
        context: Callable[[int], Mapping[str, Figure]],
        start: Callable[[int], Start],
    ) -> list[Output]:
        """Return the alerts that one closed window gives rise to."""
        outputs = []
        if verdicts.fired:
            incident = self._join(verdicts.fired, bounds)
            status: Literal["firing", "ongoing"] = "ongoing" if incident.revision else "firing"
            incident.first_offset = start(incident.since_ms).first_offset
            outputs.append(self._tell(incident, status, bounds, context, start))
        for incident in self.open:
            grown = [alarm for alarm in verdicts.worse if alarm.series in incident.alarms]
            if grown:
                for alarm in grown:
                    named = incident.alarms[alarm.series].examples
                    incident.alarms[alarm.series] = replace(alarm, examples=named)
                outputs.append(self._tell(incident, "ongoing", bounds, context, start))
        for incident in list(self.open):
            self._resolve(incident, verdicts.resolved, bounds.last_ts_ms)
            if all(alarm.resolved_ms is not None for alarm in incident.alarms.values()):
                outputs.append(self._tell(incident, "resolved", bounds, context, start))
                self.open.remove(incident)
        return outputs

    def supersede(
        self,
        bounds: Bounds,
        context: Callable[[int], Mapping[str, Figure]],
        start: Callable[[int], Start],
    ) -> list[Output]:
        """Return the alerts that close what is open, as the model is watched anew from here."""
        outputs = []
        for incident in self.open:
            self._resolve(incident, list(incident.alarms), bounds.last_ts_ms)
            outputs.append(self._tell(incident, "resolved", bounds, context, start, "superseded"))
        self.open = []
        return outputs

    def _join(self, fired: list[SeriesAlarm], bounds: Bounds) -> Incident:
        alarms = {alarm.series: alarm for alarm in by_size(fired)}
        for incident in self.open:
            if bounds.index - incident.latest <= JOIN or self._same(incident, fired):
                incident.alarms |= alarms
                incident.latest = bounds.index
                incident.since_ms = min(incident.since_ms, *(a.since_ms for a in fired))
                return incident
        first = next(iter(alarms.values()))
        origin = self.origin
        incident = Incident(
            stable_id(
                origin.model, origin.version, origin.source, origin.partition,
                first.series, first.detector, bounds.index, bounds.last_offset,
            ),
            SERIES[first.statistic].kind,
            min(alarm.since_ms for alarm in fired),
            bounds.index,
            alarms,
        )  # fmt: skip
        self.open.append(incident)
        return incident

    def _same(self, incident: Incident, fired: list[SeriesAlarm]) -> bool:
        """Return whether an open incident is about the same thing as what fired."""
        features = {alarm.feature for alarm in incident.alarms.values()}
        return self.origin.source == "outcomes" or any(a.feature in features for a in fired)

    def _resolve(self, incident: Incident, names: list[str], at_ms: int) -> None:
        for name in names:
            alarm = incident.alarms.get(name)
            if alarm is not None and alarm.resolved_ms is None:
                incident.alarms[name] = replace(alarm, resolved_ms=at_ms)

    def _tell(
        self,
        incident: Incident,
        status: Literal["firing", "ongoing", "resolved"],
        bounds: Bounds,
        context: Callable[[int], Mapping[str, Figure]],
        start: Callable[[int], Start],
        ending: Literal["calm", "superseded"] = "calm",
    ) -> Output:
        incident.revision += 1
        origin, alarms = self.origin, by_size(list(incident.alarms.values()))
        name = origin.name
        over, figures = status == "resolved", context(incident.since_ms)
        severity = incident.severity
        if ending == "superseded":
            title = f"{name}: closed, as a new spec or reference holds from here"
            todo = "Nothing: the model is watched anew."
        elif over:
            title = wording.resolution(name, alarms, bounds.last_ts_ms)
            todo = "Nothing: the incident is over."
        else:
            title = wording.title(name, alarms, figures, incident.since_ms, bounds.last_ts_ms)
            todo = wording.advice(alarms, bounds.last_ts_ms)
        alert = Alert(
            incident=incident.id,
            revision=incident.revision,
            status=status,
            kind=incident.kind,
            severity=severity,
            provisional=origin.reference_windows < PROVISIONAL_WINDOWS,
            model=origin.model,
            version=origin.version,
            title=title,
            advice=todo,
            since_ms=incident.since_ms,
            told_ms=bounds.last_ts_ms,
            resolved_ms=bounds.last_ts_ms if over else None,
            labelled_ms=bounds.labelled_ms,
            series=alarms[:LISTED],
            more_series=max(len(alarms) - LISTED, 0),
            context=dict(figures),
            evidence=Evidence(
                topic=origin.topic,
                partition=origin.partition,
                first_offset=incident.first_offset,
                last_offset=bounds.last_offset,
                windows=bounds.index - start(incident.since_ms).index + 1,
                rows=bounds.rows,
            ),
            reference_windows=origin.reference_windows,
            cooldown_ms=None if over else self._cooldown(incident, severity),
        )
        return alert_output(alert, origin.uri)

    def _cooldown(self, incident: Incident, severity: str) -> int | None:
        """Return the cool-down where the policy wants retraining.

        A new blatant fault is a thing to mend, and its one window nothing to train on: it asks for
        nothing by default. What lasts is told again, and asks then.
        """
        policy = self.origin.retraining
        blatant = all(alarm.detector == "blatant" for alarm in incident.alarms.values())
        if blatant and incident.revision == 1 and not policy.blatant:
            return None
        kind = incident.kind
        wanted = kind in policy.on or (
            kind == "drift" and severity == "critical" and "critical_drift" in policy.on
        )
        return milliseconds(policy.cooldown) if wanted else None
