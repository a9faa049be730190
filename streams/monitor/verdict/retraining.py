"""Turns alerts into requests to retrain, at most one a model and cool-down, and on sound rows."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.cloudevents import headers, stable_id
from tidegauge.schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from tidegauge.streams.monitor.intake.rejections import present
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.verdict.aa_check import DETECTOR as OF_A_REFERENCE

MAX_MODELS = 10_000  # remembered; beyond, the one longest quiet is forgotten
MAX_FAULTS = 100  # of a model that are remembered; beyond, the one that began first is forgotten
NEAR = 2  # windows by which an estimated start may be wrong

T = TypeVar("T")
Span = tuple[int, int]  # event times in ms, the second not included


class PipeFault(msgspec.Struct):
    """When rows of a model version came through a broken pipe."""

    incident: str
    version: str
    from_ms: int
    to_ms: int | None  # None: it goes on


class Retraining:
    """Asks for retraining when an alert's policy wants it and there are sound rows to train on.

    Not within the model's cool-down, and not on rows of a time when their quality was bad. Time is
    the alerts' event time, so that a replay asks again for the same trainings.
    """

    def __init__(self) -> None:
        self.quiet_until_ms: dict[str, int] = {}
        self.faults: dict[str, list[PipeFault]] = {}  # by model
        self.asked: dict[str, tuple[str, int]] = {}  # by model: for which incident, on rows to when

    def fold(self, alert: Alert) -> list[Output]:
        """Take one alert; return the request it gives rise to, if any."""
        self._note(alert)
        if alert.cooldown_ms is None or alert.status == "resolved":
            return []
        if alert.told_ms < self.quiet_until_ms.get(alert.model, 0):
            return []
        rows = self._sound(alert)
        if not rows or self._has_asked(alert, rows):
            return []
        until = alert.told_ms + alert.cooldown_ms
        _remember(self.quiet_until_ms, alert.model, until)
        _remember(self.asked, alert.model, (alert.incident, rows[-1][1]))
        told = stable_id(alert.incident, alert.revision)
        request = RetrainingRequest(
            model=alert.model,
            version=alert.version,
            incident=alert.incident,
            alert=told,
            reason=alert.title,
            requested_ms=alert.told_ms,
            train_from_ms=rows[0][0],
            train_to_ms=rows[-1][1],
            excluded=[(end, begin) for (_, end), (begin, _) in pairwise(rows)],
            quiet_until_ms=until,
        )
        head = headers(
            id=stable_id("retrain", told),
            type=RETRAIN_TYPE,
            source="/tidegauge/retraining",
            subject=alert.model,
            time_ms=alert.told_ms,
        )
        return [Output("retraining", alert.model.encode(), msgspec.json.encode(request), head)]

    def _note(self, alert: Alert) -> None:
        """Remember when a pipe was broken, as far as an alert tells."""
        own = self.faults.get(alert.model, [])
        known = next((fault for fault in own if fault.incident == alert.incident), None)
        found = _pipe_fault(alert)
        if known is not None:
            found = found or known
            found.from_ms = min(found.from_ms, known.from_ms)
        if found is not None:
            if alert.status == "resolved" and found.to_ms is None:
                found.to_ms = alert.told_ms
            kept = [found, *(fault for fault in own if fault is not known)]
            kept.sort(key=lambda fault: (fault.from_ms, fault.incident))
            _remember(self.faults, alert.model, kept[-MAX_FAULTS:])

    def _has_asked(self, alert: Alert, rows: Sequence[Span]) -> bool:
        """Return whether the last request of a model was for the same, and as many rows."""
        incident, to_ms = self.asked.get(alert.model, ("", 0))
        return incident == alert.incident and rows[-1][1] <= to_ms

    def _sound(self, alert: Alert) -> list[Span]:
        """Return the times since an alert's change, in order, whose rows are fit to train on.

        None if they make less than half a window, or if all lie before a fault that has lasted for
        longer and goes on: then the change is the fault's. Rows are left out from two windows
        before a fault on: by so much its start, and that of the change, may be wrong.
        """
        end_ms = alert.told_ms if alert.labelled_ms is None else alert.labelled_ms
        window_ms = (end_ms - alert.since_ms) / max(alert.evidence.windows, 1)
        left: list[Span] = [(alert.since_ms, end_ms)]
        for fault in self.faults.get(alert.model, ()):
            if fault.version == alert.version:
                to_ms = end_ms if fault.to_ms is None else fault.to_ms
                left = without(left, (fault.from_ms - round(NEAR * window_ms), to_ms))
        total = sum(to - begin for begin, to in left)
        if total <= 0 or total <= window_ms / 2:
            return []
        is_over = left[-1][1] == end_ms
        return left if is_over or total >= (end_ms - alert.since_ms) / 2 else []


def without(spans: Sequence[Span], gone: Span) -> list[Span]:
    """Return what is left of spans.

    >>> without([(0, 10), (20, 30)], (5, 25)), without([(0, 10)], (0, 10))
    ([(0, 5), (25, 30)], [])
    """
    found = []
    for begin, end in spans:
        parts = (begin, min(end, gone[0])), (max(begin, gone[1]), end)
        found += [part for part in parts if part[0] < part[1]]
    return found


def _pipe_fault(alert: Alert) -> PipeFault | None:
    """Return what an alert says of the quality of a model's rows; None if nothing.

    That is of their values: few rows, rows that cannot be read and labels without a prediction
    spoil no others. Drift is bad quality where it has a cause that is to be mended; what was told
    before the quality was bad has another one.
    """
    own = [
        (series.kind, alarm)
        for alarm in alert.series
        if (series := SERIES.get(alarm.statistic)) is not None
        and series.has_column
        and alarm.detector != OF_A_REFERENCE
    ]
    bad = [alarm for kind, alarm in own if kind == "quality"]
    first_ms = min((alarm.told_ms for alarm in bad if alarm.resolved_ms is None), default=0)
    if alert.cause:
        bad += [a for kind, a in own if kind == "drift" and a.told_ms >= first_ms]
    if not bad:
        return None
    # What has become a new normal is fit to train on, from its beginning.
    over = [own.resolved_ms if own.settled_ms is None else own.settled_ms for own in bad]
    ends = [at for at in over if at is not None]
    return PipeFault(
        alert.incident,
        alert.version,
        min(alarm.since_ms for alarm in bad),
        max(ends) if len(ends) == len(bad) else None,
    )


def _remember(known: dict[str, T], model: str, what: T) -> None:
    """Keep something of a model, as that of the one latest told."""
    known.pop(model, None)
    known[model] = what
    if len(known) > MAX_MODELS:
        del known[next(iter(known))]


_ALERT = msgspec.json.Decoder(Alert)


def read_alert(value: bytes | None) -> Alert:
    """Return the alert in a record's value; raises ValueError where it is none."""
    return _ALERT.decode(present(value))
