"""Turns alerts into requests to retrain, at most one a model and cool-down."""

import msgspec

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.cloudevents import headers, stable_id
from tidegauge.schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from tidegauge.streams.monitor.intake.rejections import present
from tidegauge.streams.monitor.records import Output

MAX_MODELS = 10_000  # remembered; beyond, the one longest quiet is forgotten


class Retraining:
    """Asks for retraining when an alert's policy wants it and the model is not in its cool-down.

    Time is the alerts' event time, so that a replay asks again for the same trainings.
    """

    def __init__(self) -> None:
        self.quiet_until_ms: dict[str, int] = {}

    def fold(self, alert: Alert) -> list[Output]:
        """Take one alert; return the request it gives rise to, if any."""
        if alert.cooldown_ms is None or alert.status == "resolved":
            return []
        if alert.told_ms < self.quiet_until_ms.get(alert.model, 0):
            return []
        until = alert.told_ms + alert.cooldown_ms
        self.quiet_until_ms.pop(alert.model, None)
        self.quiet_until_ms[alert.model] = until
        if len(self.quiet_until_ms) > MAX_MODELS:
            del self.quiet_until_ms[next(iter(self.quiet_until_ms))]
        told = stable_id(alert.incident, alert.revision)
        request = RetrainingRequest(
            model=alert.model,
            version=alert.version,
            incident=alert.incident,
            alert=told,
            reason=alert.title,
            requested_ms=alert.told_ms,
            train_from_ms=alert.since_ms,
            train_to_ms=alert.told_ms if alert.labelled_ms is None else alert.labelled_ms,
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


_ALERT = msgspec.json.Decoder(Alert)


def read_alert(value: bytes | None) -> Alert:
    """Return the alert in a record's value; raises ValueError where it is none."""
    return _ALERT.decode(present(value))
