"""What a monitor said in one run, and what of it a fault brought."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from load_tests.faults.data import FAULTY, Form
from load_tests.faults.fault import Fault
from load_tests.faults.traffic import MODEL, Message
from tidegauge.schemas.alerts import Alert, SeriesAlarm
from tidegauge.schemas.retraining import RetrainingRequest
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.records import Output

TELLING: Final = FAULTY.first, FAULTY.last + 0.5  # places; a window of a day ends with the next row


@dataclass
class Said:
    """Alerts and requests of a run, each with the place of the frame that brought it."""

    alerts: list[tuple[float, Alert]] = field(default_factory=list)
    requests: list[tuple[float, RetrainingRequest]] = field(default_factory=list)

    def take(self, place: float, output: Output) -> None:
        """Keep an alert or a request."""
        if output.topic == "alerts":
            self.alerts.append((place, msgspec.json.decode(output.value or b"", type=Alert)))
        elif output.topic == "retraining":
            asked = msgspec.json.decode(output.value or b"", type=RetrainingRequest)
            self.requests.append((place, asked))

    def news(
        self, after: float, until: float = math.inf
    ) -> Iterator[tuple[float, Alert, list[SeriesAlarm]]]:
        """Yield the alerts between two places, each with the series that it tells as new."""
        known: set[tuple[str, str, int]] = set()
        for place, alert in self.alerts:
            if alert.status == "resolved":
                continue
            alarms = {(alert.incident, s.series, s.told_ms): s for s in alert.series}
            new = [alarm for key, alarm in alarms.items() if key not in known]
            known |= alarms.keys()
            if new and after < place <= until:
                yield place, alert, new


class Listener:
    """A monitor with what it has said so far."""

    def __init__(self, form: Form) -> None:
        self.said = Said()
        self._log = OfflineLog(Lookup([form.spec]))

    def hear(self, messages: Iterable[Message]) -> None:
        """Let the monitor read messages."""
        for message in messages:
            self._log.append(message.topic, MODEL.encode(), message.value, message.sent_ms)
            for output in self._log.outputs:
                self.said.take(message.place, output)
            self._log.outputs.clear()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was told of one fault.

    Parameters
    ----------
    after
        In how many windows after its begin it was told; None if it was not.
    on_it
        Whether the series with the largest effect is of the spoilt column, or for labels of the
        outcomes; None where no column is spoilt.
    since
        How many windows after the true start it is said to have begun.
    asked
        Which windows a retraining was asked to learn from, counted from the fault's begin.
    resolved
        In how many windows after its end all that it had brought was resolved; None if not.
    """

    fault: str
    part: str
    form: str
    seed: int
    real: bool
    after: int | None = None
    title: str = ""
    advice: str = ""
    severity: str = ""
    series: list[str] = []
    on_it: bool | None = None
    since: int | None = None
    incidents: int = 0
    asked: tuple[int, int] | None = None
    resolved: int | None = None


def compare(fault: Fault, form: Form, seed: int, with_it: Said, twin: Said) -> Finding:
    """Return what a run tells that the same run without the fault does not."""
    found = Finding(fault=fault.name, part=fault.part, form=form.name, seed=seed, real=fault.real)
    usual = {alarm.series for _, _, alarms in twin.news(*TELLING) for alarm in alarms}
    brought = [
        (place, alert, new)
        for place, alert, alarms in with_it.news(*TELLING)
        if (new := [alarm for alarm in alarms if alarm.series not in usual])
    ]
    if not brought:
        return found
    place, alert, alarms = brought[0]
    incidents = {alert.incident for _, alert, _ in brought}
    return msgspec.structs.replace(
        found,
        after=max(int(place - FAULTY.first), 1),
        title=alert.title,
        advice=alert.advice,
        severity=alert.severity,
        series=[alarm.series for alarm in alarms],
        on_it=_on_it(fault, alert, alarms[0]),
        since=_window(form, min(alarm.since_ms for alarm in alarms)),
        incidents=len(incidents),
        asked=_asked(form, with_it, incidents),
        resolved=_resolved(with_it, incidents),
    )


def _window(form: Form, ms: int) -> int:
    """Return in which window an event time lies, counted from the fault's begin."""
    place = float(form.traffic.clock.place_at(np.array([ms]))[0])
    return math.floor(place + 0.05 - FAULTY.first)  # several rows may share the first one's time


def _on_it(fault: Fault, alert: Alert, alarm: SeriesAlarm) -> bool | None:
    if fault.part == "labels":
        return alert.evidence.topic.endswith(("outcomes", "labels"))
    return alarm.feature in fault.columns if fault.columns else None


def _asked(form: Form, with_it: Said, incidents: set[str]) -> tuple[int, int] | None:
    for place, request in with_it.requests:
        if place > FAULTY.first and request.incident in incidents:
            return _window(form, request.train_from_ms), _window(form, request.train_to_ms)
    return None


def _resolved(with_it: Said, incidents: set[str]) -> int | None:
    ends = {
        alert.incident: place
        for place, alert in with_it.alerts
        if alert.status == "resolved" and alert.incident in incidents
    }
    return int(max(ends.values()) - FAULTY.last) if ends.keys() == incidents else None
