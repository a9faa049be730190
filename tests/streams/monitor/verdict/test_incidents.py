"""One cause is one incident, with the earliest start, however late its effects are told."""

from typing import Any

import numpy as np
import pytest

from tests.streams.monitor.traffic import MINUTE_MS, REFERENCE, Fault, traffic

BEGINS = REFERENCE + 20


def scored(up: float, added: float = 0.0) -> Fault:
    """Let amounts rise by so much, and scores follow them loosely; and rise by themselves."""

    def fault(rows: Any, rng: np.random.Generator) -> None:
        rows.amount = rows.amount.astype(float) + up
        noise = rng.normal(added, 1.7, len(rows.amount))
        rows.score = 1 / (1 + np.exp(-((rows.amount - 50) / 10 + noise)))

    return fault


@pytest.mark.parametrize(("added", "incidents"), [(0.0, 1), (-2.5, 2)])
def test_a_score_that_follows_its_feature_joins_its_incident_however_late(
    added: float, incidents: int
) -> None:
    stream = traffic(8).send(BEGINS, scored(0)).send(30, scored(3)).send(20, scored(9, added))
    alerts = stream.alerts()
    last = {alert["incident"]: {own["series"] for own in alert["series"]} for alert in alerts}
    assert len(last) == incidents
    (with_amount,) = (own for own in last.values() if "rank(amount)" in own)
    assert ("rank(score)" in with_amount) == (incidents == 1)
    first = next(a["told_ms"] for a in alerts if a["series"][0]["series"] == "rank(amount)")
    assert max(alert["told_ms"] for alert in alerts) - first > 10 * MINUTE_MS
