"""One clock gone wrong does not blind a model."""

import json
from typing import Any

import numpy as np
import pytest

from tests.streams.monitor.driver import published
from tests.streams.monitor.logs import label, row
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog

HOUR_MS = 3_600_000
YEAR_9999_MS = 253_402_300_799_999
SPEC = MonitorSpec(model="m", windows=WindowSpec(every="1h"), reference=ReferenceSpec(windows=30))


def hours(ahead_ms: int, every: int) -> OfflineLog:
    """Return 60 hours, 45 to 50 of them broken; from hour 40 on one row in ``every`` is ahead."""
    log, rng = OfflineLog(Lookup([SPEC])), np.random.default_rng(1)
    for n in range(60 * 100):
        hour = n // 100
        ts_ms = hour * HOUR_MS + n % 100 * 30_000
        told_ms = ts_ms + ahead_ms if hour >= 40 and n % every == 0 else ts_ms
        x = float(rng.normal(8 if 45 <= hour < 51 else 0))
        value = row("m", f"r{n}", min(told_ms, YEAR_9999_MS), {"x": x}, 0.5)
        log.append("predictions", b"m", value, -1)
        log.append("labels", b"m", label("m", f"r{n}", ts_ms, float(rng.normal(0.5))), -1)
    return log


@pytest.mark.parametrize("every", [4321, 50, 7])
@pytest.mark.parametrize("ahead_ms", [20 * HOUR_MS, YEAR_9999_MS], ids=["a day", "the year 9999"])
def test_a_fault_is_told_as_if_nobody_claimed_to_live_tomorrow(ahead_ms: int, every: int) -> None:
    def told(log: OfflineLog) -> list[tuple[Any, ...]]:
        return [
            (alert["status"], alert["since_ms"] // HOUR_MS, alert["told_ms"] // HOUR_MS)
            for alert in published(log.outputs, "alerts")
            if alert["series"][0]["statistic"] == "range"
        ]

    expected, found = hours(0, every), hours(ahead_ms, every)
    assert told(expected)[0] == ("firing", 45, 45)
    assert told(found) == told(expected)
    reports = [json.loads(o.value or b"") for o in found.outputs if o.topic == "windows"]
    inputs = [report for report in reports if report["source"] == "predictions"]
    assert len(inputs) == 59
    # The first row of an hour, if it is early, counts in the hour before.
    assert {report["rows"] for report in inputs} <= {99, 100, 101}
    ahead = [n for n in range(4000, 5901) if n % every == 0]
    assert sum(report["early"] for report in inputs) == len(ahead) > 0
