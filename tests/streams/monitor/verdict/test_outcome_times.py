"""Alerts about outcomes tell the time of the predictions, however late their labels come."""

from typing import Any

import numpy as np
import pytest

from tests.streams.monitor.traffic import MINUTE_MS, REFERENCE, ROWS, labels_turned, traffic
from tidegauge.schemas.retraining import RetrainingRequest

BEGINS = REFERENCE + 20  # the window of the first wrong predictions
LATE = 10  # windows


def ten_windows(rows: Any, rng: np.random.Generator) -> Any:
    return np.full(ROWS, LATE)


def three_to_thirty_windows(rows: Any, rng: np.random.Generator) -> Any:
    """Most labels come after ten windows, a few after two hundred."""
    usual = np.clip(rng.normal(LATE, 2, ROWS), 3, 30).astype(np.int64)
    return np.where(rng.random(ROWS) < 0.02, 200, usual)


@pytest.mark.parametrize("lateness", [ten_windows, three_to_thirty_windows])
def test_a_fault_is_dated_by_its_predictions_and_not_by_their_labels(lateness: Any) -> None:
    stream = traffic(5, labelled=True, lateness=lateness).send(BEGINS).send(40, labels_turned)
    first = stream.alerts()[0]
    began = BEGINS * MINUTE_MS
    assert abs(first["since_ms"] - began) <= 2 * MINUTE_MS
    assert first["since_ms"] == min(alarm["since_ms"] for alarm in first["series"])
    assert first["told_ms"] >= began + LATE * MINUTE_MS


def test_a_request_names_rows_that_have_labels() -> None:
    stream = traffic(5, labelled=True, lateness=ten_windows).send(BEGINS).send(40, labels_turned)
    request = stream.retraining()[0]
    assert request.keys() == {*RetrainingRequest.__struct_fields__}
    assert request["train_from_ms"] == stream.alerts()[0]["since_ms"]
    told = request["requested_ms"]
    assert told - (LATE + 1) * MINUTE_MS <= request["train_to_ms"] <= told - LATE * MINUTE_MS + 1000


def test_a_series_that_joins_keeps_its_start_and_the_incident_has_the_earliest() -> None:
    stream = traffic(5, labelled=True, lateness=ten_windows).send(BEGINS).send(60, labels_turned)
    last = stream.alerts()[-1]
    starts = [alarm["since_ms"] for alarm in last["series"]]
    assert len(starts) > 1
    assert last["since_ms"] == min(starts)
