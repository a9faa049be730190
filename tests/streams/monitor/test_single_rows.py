"""No single row makes an incident, however far off it is and however small its window."""

from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.traffic import REFERENCE, SPEC, Fault, Traffic, traffic
from tidegauge.schemas.monitors import DetectorSpec, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.verdict.retraining import read_alert

HOUR_MS = 3_600_000


def typo(rows: int, column: str = "label") -> Fault:
    """Let so many rows of each window have a number that somebody's finger slipped on."""

    def fault(own: Any, rng: Any) -> None:
        getattr(own, column)[:rows] = 1e7

    return fault


def test_one_wrong_label_is_no_incident_and_two_are() -> None:
    def stream(rows: int) -> Traffic:
        begun = traffic(3, labelled=True, regression=True).send(REFERENCE + 20)
        return begun.send(1, typo(rows)).send(30)

    assert stream(1).alerts() == []
    assert stream(2).alerts()[0]["kind"] == "performance"


@pytest.mark.parametrize("column", ["amount", "score"])
def test_one_wrong_number_is_no_incident(column: str) -> None:
    stream = traffic(3, regression=True).send(REFERENCE + 20).send(1, typo(1, column)).send(30)
    assert stream.alerts() == []


@pytest.mark.parametrize("kind", ["adwin", "page_hinkley"])
@pytest.mark.parametrize("on", ["rows", "windows"])
def test_one_wrong_label_is_no_incident_for_another_detector(kind: Any, on: Any) -> None:
    parameters: dict[str, float | int | str] = {"clock": 1} if kind == "adwin" else {}
    chosen = DetectorSpec(kind=kind, on=on, series=["loss", "error"], parameters=parameters)
    spec = msgspec.structs.replace(SPEC, detectors=[chosen])
    stream = traffic(3, spec, labelled=True, regression=True).send(REFERENCE + 20)
    assert stream.send(1, typo(1)).send(40).alerts() == []


def test_the_only_row_of_an_hour_is_no_incident() -> None:
    spec = MonitorSpec(
        model="m", windows=WindowSpec(every="1h"), reference=ReferenceSpec(windows=30)
    )
    log, rng = OfflineLog(Lookup([spec])), np.random.default_rng(1)

    def send(hour: int, scores: Any) -> None:
        for row, score in enumerate(scores):
            ts_ms, id = hour * HOUR_MS + row, f"{hour}-{row}"
            head = {"model": "m", "id": id, "ts_ms": ts_ms}
            x = float(rng.normal())
            prediction = head | {"features": {"x": x}, "prediction": float(score)}
            log.append("predictions", b"m", msgspec.json.encode(prediction), ts_ms)
            label = head | {"label": int(rng.random() < score)}
            log.append("labels", b"m", msgspec.json.encode(label), ts_ms)

    for hour in range(40):
        send(hour, rng.random(100))
    for hour in range(40, 60):
        send(hour, [0.99] if hour == 40 else rng.random(100))
    alerts = [read_alert(output.value) for output in log.outputs if output.topic == "alerts"]
    told = {alarm.series for alert in alerts for alarm in alert.series}
    assert told == {"volume"}  # that only one came is true
