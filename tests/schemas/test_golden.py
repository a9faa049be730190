"""The bytes of one message of each kind that others read: a changed field is a changed contract."""

import json
from typing import Any

import msgspec
import pytest

from tidegauge.schemas.alerts import ALERT_TYPE, Alert, Evidence, Figure, SeriesAlarm
from tidegauge.schemas.outcomes import JournalEntry, Outcomes
from tidegauge.schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from tidegauge.schemas.windows import (
    WINDOW_TYPE,
    ColumnReport,
    Evaluation,
    OutcomeSlice,
    ReliabilityBin,
    RestsOn,
    SeriesReport,
    SliceGap,
    SliceReport,
    WeakSlice,
    WindowReport,
)

ALERT = Alert(
    incident="5f1e", revision=2, status="ongoing", kind="performance", severity="critical",
    provisional=True, model="fraud", version="3", title="fraud: since 18 Apr 2013 …",
    advice="Compare labels and scores.", since_ms=1_366_243_200_000, told_ms=1_366_329_600_000,
    series=[
        SeriesAlarm(
            series="loss", feature="loss", statistic="loss", detector="mixture", direction="up",
            effect=0.5, gate=0.1, value=Figure(reference=0.31, current=0.62),
            since_ms=1_366_243_200_000, told_ms=1_366_329_600_000, evidence=12.5, threshold=8.75,
            slice="country = DE", examples=["XX"],
        )
    ],
    context={"label": Figure(reference=0.25, current=None)},
    evidence=Evidence(
        topic="tidegauge.labels", partition=1, first_offset=70, last_offset=99, windows=3, rows=50
    ),
    reference_windows=40, cooldown_ms=604_800_000,
)  # fmt: skip
ALERT_JSON = {
    "incident": "5f1e",
    "revision": 2,
    "status": "ongoing",
    "kind": "performance",
    "severity": "critical",
    "provisional": True,
    "model": "fraud",
    "version": "3",
    "title": "fraud: since 18 Apr 2013 …",
    "advice": "Compare labels and scores.",
    "since_ms": 1366243200000,
    "told_ms": 1366329600000,
    "resolved_ms": None,
    "labelled_ms": None,
    "cause": "",
    "series": [
        {
            "series": "loss",
            "feature": "loss",
            "statistic": "loss",
            "detector": "mixture",
            "direction": "up",
            "effect": 0.5,
            "gate": 0.1,
            "value": {"reference": 0.31, "current": 0.62},
            "since_ms": 1366243200000,
            "told_ms": 1366329600000,
            "evidence": 12.5,
            "threshold": 8.75,
            "resolved_ms": None,
            "level_ms": None,
            "is_return": False,
            "settled_ms": None,
            "slice": "country = DE",
            "task": "",
            "examples": ["XX"],
        }
    ],
    "more_series": 0,
    "context": {"label": {"reference": 0.25, "current": None}},
    "evidence": {
        "topic": "tidegauge.labels",
        "partition": 1,
        "first_offset": 70,
        "last_offset": 99,
        "windows": 3,
        "rows": 50,
    },
    "reference_windows": 40,
    "cooldown_ms": 604800000,
    "shortened": False,
}
REQUEST = RetrainingRequest(
    model="fraud", version="3", incident="5f1e", alert="77aa", reason="fraud: …",
    requested_ms=1_366_329_600_000, train_from_ms=1_366_243_200_000,
    train_to_ms=1_366_329_600_000, excluded=[(1_366_290_000_000, 1_366_300_000_000)],
    quiet_until_ms=1_366_934_400_000,
)  # fmt: skip
REQUEST_JSON = {
    "model": "fraud",
    "version": "3",
    "incident": "5f1e",
    "alert": "77aa",
    "reason": "fraud: …",
    "requested_ms": 1366329600000,
    "train_from_ms": 1366243200000,
    "train_to_ms": 1366329600000,
    "excluded": [[1366290000000, 1366300000000]],
    "quiet_until_ms": 1366934400000,
}
WINDOW = WindowReport(
    model="fraud", version="3", source="outcomes", window=7, state="watching", first_ts_ms=1,
    last_ts_ms=2, first_offset=3, last_offset=4, rows=50, late=1, observed=400,
    columns={"loss": ColumnReport(count=49, missing=1, mean=0.5, sd=0.25, low=0.0, high=1.0)},
    series={"loss": SeriesReport(
        value=0.5, evidence=2.5, threshold=8.75, worth=29.5, state="pending"
    )},
    slices=[SliceReport(
        slice="country = DE", rows=20, means={"amount": 1.5}, missing={"amount": 2}
    )],
    outcome_slices=[OutcomeSlice(
        slice="country = DE", pairs=20, metrics={"tpr": 0.5}, intervals={"tpr": (0.25, 0.75)}
    )],
    gaps=[SliceGap(
        feature="country", metric="tpr", value=0.25, interval=(0.0, 0.5), least="country = DE",
        most="country = FR",
    )],
    weak_slices=[WeakSlice(
        slices=["country = DE"], pairs=200, loss=0.75, elsewhere=0.5, worse=0.25,
        interval=(0.125, 0.375), looked_at=12,
    )],
    metrics={"accuracy": 0.75, "roc_auc": None}, intervals={"accuracy": (0.5, 0.875)},
    rests_on=RestsOn(pairs=49, left_out=1, delay_ms=2.5, slow_delay_ms=8.0),
    reliability=[ReliabilityBin(above=0.5, rows=4, score=0.5, share=1.0, interval=(0.5, 1.0))],
    since_deployment=Evaluation(
        metrics={"accuracy": 0.5}, intervals={}, rests_on=RestsOn(pairs=400)
    ),
    adwin={"windows": 8.0},
)  # fmt: skip
WINDOW_JSON = {
    "model": "fraud",
    "version": "3",
    "source": "outcomes",
    "window": 7,
    "state": "watching",
    "gathered": 0,
    "needed": 0,
    "first_ts_ms": 1,
    "last_ts_ms": 2,
    "first_offset": 3,
    "last_offset": 4,
    "rows": 50,
    "late": 1,
    "ticked": False,
    "early": 0,
    "observed": 400,
    "columns": {
        "loss": {
            "count": 49,
            "missing": 1,
            "mean": 0.5,
            "sd": 0.25,
            "low": 0.0,
            "high": 1.0,
            "unseen": None,
        }
    },
    "series": {
        "loss": {
            "value": 0.5,
            "evidence": 2.5,
            "threshold": 8.75,
            "worth": 29.5,
            "state": "pending",
            "level_ms": None,
        }
    },
    "slices": [
        {"slice": "country = DE", "rows": 20, "means": {"amount": 1.5}, "missing": {"amount": 2}}
    ],
    "outcome_slices": [
        {
            "slice": "country = DE",
            "pairs": 20,
            "metrics": {"tpr": 0.5},
            "intervals": {"tpr": [0.25, 0.75]},
        }
    ],
    "gaps": [
        {
            "feature": "country",
            "metric": "tpr",
            "value": 0.25,
            "interval": [0.0, 0.5],
            "least": "country = DE",
            "most": "country = FR",
        }
    ],
    "weak_slices": [
        {
            "slices": ["country = DE"],
            "pairs": 200,
            "loss": 0.75,
            "elsewhere": 0.5,
            "worse": 0.25,
            "interval": [0.125, 0.375],
            "looked_at": 12,
        }
    ],
    "not_watched": [],
    "metrics": {"accuracy": 0.75, "roc_auc": None},
    "intervals": {"accuracy": [0.5, 0.875]},
    "rests_on": {"pairs": 49, "left_out": 1, "delay_ms": 2.5, "slow_delay_ms": 8.0},
    "reliability": [{"above": 0.5, "rows": 4, "score": 0.5, "share": 1.0, "interval": [0.5, 1.0]}],
    "since_deployment": {
        "metrics": {"accuracy": 0.5},
        "intervals": {},
        "rests_on": {"pairs": 400, "left_out": 0, "delay_ms": None, "slow_delay_ms": None},
        "reliability": [],
    },
    "shortened": False,
    "labels": None,
    "comparison": None,
    "revised": 0,
    "adwin": {"windows": 8.0},
}
OUTCOMES = Outcomes(
    epoch=3, sequence=17, model="fraud", version="3", ids=["a", "b"], ts_ms=[5, 6],
    prediction_ts_ms=[1, 2], predictions=[0.5, 0.25], labels=[1.0, 0.0],
    prediction_offsets=[70, 71], label_offsets=[9, 9], classes=["cat", None],
    label_classes=["cat", None], probabilities=[0.5, None], slices={"country": ["DE", None]},
)  # fmt: skip
OUTCOMES_JSON = {
    "kind": "outcomes",
    "epoch": 3,
    "sequence": 17,
    "model": "fraud",
    "version": "3",
    "ids": ["a", "b"],
    "ts_ms": [5, 6],
    "prediction_ts_ms": [1, 2],
    "predictions": [0.5, 0.25],
    "labels": [1.0, 0.0],
    "prediction_offsets": [70, 71],
    "label_offsets": [9, 9],
    "classes": ["cat", None],
    "label_classes": ["cat", None],
    "probabilities": [0.5, None],
    "class_probabilities": {},
    "slices": {"country": ["DE", None]},
}


@pytest.mark.parametrize(
    ("message", "expected", "type_"),
    [
        (ALERT, ALERT_JSON, Alert),
        (REQUEST, REQUEST_JSON, RetrainingRequest),
        (WINDOW, WINDOW_JSON, WindowReport),
        (OUTCOMES, OUTCOMES_JSON, JournalEntry),
    ],
    ids=["alert", "retraining request", "window report", "outcomes"],
)
def test_a_message_is_spelled_as_documented(message: Any, expected: Any, type_: Any) -> None:
    value = msgspec.json.encode(message)
    assert json.loads(value) == expected
    assert list(json.loads(value)) == list(expected)
    assert msgspec.json.decode(value, type=type_) == message


def test_the_types_of_events_are_part_of_the_contract() -> None:
    assert (ALERT_TYPE, RETRAIN_TYPE, WINDOW_TYPE) == (
        "io.tidegauge.alert.v1",
        "io.tidegauge.retrain.requested.v1",
        "io.tidegauge.window.closed.v1",
    )
