"""Incidents: what moves together is one, with a stable id, from its start to its end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.watched import PROVISIONAL_WINDOWS
from tidegauge.streams.monitor.verdict import wording
from tidegauge.streams.monitor.verdict.alerts import alert_output, by_size
from tidegauge.streams.monitor.verdict.causes.base import Cause
from tidegauge.streams.monitor.verdict.watch import Verdicts
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.words import cut

LASTS = 7  # windows after which one that asks for retraining is told again; then twice as many
JOIN = 7  # windows after its latest alarm in which a further series joins an incident
LISTED = 50  # series of an incident in a message
CRITICAL = 4.0  # gates: an effect this large is critical

MonitorSource = Literal["predictions", "features", "labels", "outcomes"]


class Incident(msgspec.Struct):
    """One open incident."""

    id: str
    since_ms: int
    latest: int  # window of its latest alarm
    alarms: dict[str, SeriesAlarm]
    revision: int = 0
    first_offset: int = 0
    due: int | None = None  # window from which on it is told again, if it lasts; None: never
    lasts: int = LASTS  # and how many windows later once more
    cause: Cause | None = None  # as last seen

    @property
    def going_on(self) -> list[SeriesAlarm]:
        """The alarms that are not over, the largest first; all once it is."""
        alarms = by_size(list(self.alarms.values()))
        return [alarm for alarm in alarms if alarm.resolved_ms is None] or alarms

    @property
    def kind(self) -> Kind:
        """What it is about now: quality while that of any series is bad, else what moved most.

        What has a cause that is to be mended is about quality, too.
        """
        kinds = [SERIES[alarm.statistic].kind for alarm in self.going_on]
        return "quality" if self.cause is not None or "quality" in kinds else kinds[0]

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


class Seen(Protocol):
    """What a monitor has seen, for those who tell of it."""

    def context(self, since_ms: int) -> Mapping[str, Figure]:
        """Return the figures that are shown and not watched, as they were and since then."""

    def start(self, since_ms: int) -> Start:
        """Return the window that began then."""

    def lasts(self, alarm: SeriesAlarm) -> bool:
        """Return whether a series that fired is still as far off as an alert needs."""

    def moves_score(self, features: Collection[str]) -> bool:
        """Return whether the score has moved, and features have so that it must."""

    def cause(self, alarms: Sequence[SeriesAlarm]) -> Cause | None:
        """Return what the window that closes looks like, None if like nothing in particular."""


class Incidents:
    """Turns alarms of series into incidents, and incidents into alerts.

    A series that fires within 7 windows of an incident's latest alarm joins it, and so does one of
    the same feature, or of outcomes, for as long as the incident is open, and so does a score that
    follows from a feature, by what the reference knows of how it does. (Any series for as long:
    then a shift of season that lasts for months would swallow every fault.)

    Parameters
    ----------
    origin
        Whose alerts these are and where the evidence lies.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.open: list[Incident] = []

    def update(self, verdicts: Verdicts, bounds: Bounds, seen: Seen) -> list[Output]:
        """Return the alerts that one closed window gives rise to."""
        outputs = []
        if verdicts.fired:
            incident = self._join(verdicts.fired, bounds, seen)
            status: Literal["firing", "ongoing"] = "ongoing" if incident.revision else "firing"
            incident.first_offset = seen.start(incident.since_ms).first_offset
            if status == "firing" or _says_more(incident, verdicts.fired):
                outputs.append(self._tell(incident, status, bounds, seen))
        for incident in self.open:
            grown = [alarm for alarm in verdicts.worse if alarm.series in incident.alarms]
            for alarm in grown:
                named = incident.alarms[alarm.series].examples
                incident.alarms[alarm.series] = replace(alarm, examples=named)
            if _says_more(incident, grown) or self._lasts(incident, bounds, seen):
                outputs.append(self._tell(incident, "ongoing", bounds, seen))
        for incident in list(self.open):
            self._settle(incident, verdicts, bounds.last_ts_ms)
            self._resolve(incident, verdicts.resolved, bounds.last_ts_ms)
            if all(alarm.resolved_ms is not None for alarm in incident.alarms.values()):
                outputs.append(self._tell(incident, "resolved", bounds, seen))
                self.open.remove(incident)
        return outputs

    def supersede(self, bounds: Bounds, seen: Seen) -> list[Output]:
        """Return the alerts that close what is open, as the model is watched anew from here."""
        outputs = []
        for incident in self.open:
            self._resolve(incident, list(incident.alarms), bounds.last_ts_ms)
            outputs.append(self._tell(incident, "resolved", bounds, seen, "superseded"))
        self.open = []
        return outputs

    def _lasts(self, incident: Incident, bounds: Bounds, seen: Seen) -> bool:
        """Return whether it is time to tell again what asks for retraining, as it lasts."""
        if incident.due is None or bounds.index < incident.due or not self._is_wanted(incident):
            return False
        if not any(map(seen.lasts, incident.going_on)):
            return False
        incident.due = bounds.index + incident.lasts
        incident.lasts *= 2
        return True

    def _join(self, fired: list[SeriesAlarm], bounds: Bounds, seen: Seen) -> Incident:
        alarms = {alarm.series: alarm for alarm in by_size(fired)}
        for incident in self.open:
            if bounds.index - incident.latest <= JOIN or self._same(incident, fired, seen):
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
            min(alarm.since_ms for alarm in fired),
            bounds.index,
            alarms,
            due=bounds.index + LASTS,
        )  # fmt: skip
        self.open.append(incident)
        return incident

    def _same(self, incident: Incident, fired: list[SeriesAlarm], seen: Seen) -> bool:
        """Return whether an open incident is about the same thing as what fired."""
        own = {alarm.feature for alarm in incident.alarms.values()}
        new = {alarm.feature for alarm in fired}
        if self.origin.source == "outcomes" or own & new:
            return True
        return (SCORE in new and seen.moves_score(own)) or (SCORE in own and seen.moves_score(new))

    def _resolve(self, incident: Incident, names: list[str], at_ms: int) -> None:
        for name in names:
            alarm = incident.alarms.get(name)
            if alarm is not None and alarm.resolved_ms is None:
                incident.alarms[name] = replace(alarm, resolved_ms=at_ms)

    def _settle(self, incident: Incident, verdicts: Verdicts, at_ms: int) -> None:
        """Let alarms be over whose series have kept a new level; mark those that left one."""
        for name in incident.alarms.keys() & set(verdicts.returned):
            incident.alarms[name] = replace(incident.alarms[name], is_return=True)
        for name, value, effect, since_ms in verdicts.settled:
            alarm = incident.alarms.get(name)
            if alarm is not None and alarm.resolved_ms is None:
                incident.alarms[name] = replace(
                    alarm,
                    value=value,
                    effect=effect,
                    direction="up" if effect > 0 else "down",
                    level_ms=None,
                    is_return=False,
                    settled_ms=since_ms,
                    resolved_ms=at_ms,
                )

    def _tell(
        self,
        incident: Incident,
        status: Literal["firing", "ongoing", "resolved"],
        bounds: Bounds,
        seen: Seen,
        ending: Literal["calm", "superseded"] = "calm",
    ) -> Output:
        incident.revision += 1
        origin, alarms = self.origin, by_size(list(incident.alarms.values()))
        name = origin.name
        over, figures = status == "resolved", seen.context(incident.since_ms)
        if not over:
            known = None if incident.cause is None or incident.cause.passes else incident.cause
            incident.cause = seen.cause(incident.going_on) or known
        if ending == "superseded":
            title = f"{name}: closed, as a new spec or reference holds from here"
            todo = "Nothing: the model is watched anew."
        elif over:
            title = wording.resolution(name, alarms, figures, bounds.last_ts_ms)
            ask = wording.adoption(origin.model, origin.version, alarms)
            todo = ask or "Nothing: the incident is over."
        else:
            cause, told_ms = incident.cause, bounds.last_ts_ms
            title = wording.title(name, alarms, figures, incident.since_ms, told_ms, cause)
            todo = wording.advice(alarms, told_ms, cause)
        alert = Alert(
            incident=incident.id,
            revision=incident.revision,
            status=status,
            kind=incident.kind,
            severity=incident.severity,
            provisional=origin.reference_windows < PROVISIONAL_WINDOWS
            and not all(SERIES[alarm.statistic].is_declared for alarm in alarms),
            model=origin.model,
            version=origin.version,
            title=title,
            advice=todo,
            since_ms=incident.since_ms,
            told_ms=bounds.last_ts_ms,
            resolved_ms=bounds.last_ts_ms if over else None,
            labelled_ms=bounds.labelled_ms,
            cause=incident.cause.name if incident.cause is not None else "",
            series=alarms[:LISTED],
            more_series=max(len(alarms) - LISTED, 0),
            context=dict(figures),
            evidence=Evidence(
                topic=origin.topic,
                partition=origin.partition,
                first_offset=incident.first_offset,
                last_offset=bounds.last_offset,
                windows=bounds.index - seen.start(incident.since_ms).index + 1,
                rows=bounds.rows,
            ),
            reference_windows=origin.reference_windows,
            cooldown_ms=None if over else self._cooldown(incident),
        )
        return alert_output(alert, origin.uri)

    def _cooldown(self, incident: Incident) -> int | None:
        """Return the cool-down where the policy wants retraining.

        A new blatant fault is a thing to mend, and its one window nothing to train on: it asks for
        nothing by default. What lasts is told again, and asks then. What returns asks for nothing.
        """
        if all(alarm.is_return for alarm in incident.alarms.values()):
            return None
        policy = self.origin.retraining
        blatant = all(alarm.detector == "blatant" for alarm in incident.alarms.values())
        if blatant and incident.revision == 1 and not policy.blatant:
            return None
        return milliseconds(policy.cooldown) if self._is_wanted(incident) else None

    def _is_wanted(self, incident: Incident) -> bool:
        """Return whether the policy wants retraining for such an incident."""
        wanted, kind = self.origin.retraining.on, incident.kind
        large = kind == "drift" and incident.severity == "critical"
        return kind in wanted or (large and "critical_drift" in wanted)


def _says_more(incident: Incident, alarms: Sequence[SeriesAlarm]) -> bool:
    """Return whether some of its alarms say more than others of it."""
    plain = {alarm.series for alarm in wording.plain(list(incident.alarms.values()))}
    return any(alarm.series in plain for alarm in alarms)
