"""A restore gives the join the predictions it had, whatever has changed since they came."""

from typing import Any

import pytest

from schemas.monitors import FeatureSpec, MonitorSpec, WindowSpec
from streams.monitor.control import control_digest
from streams.monitor.offline import LoggedRecord, OfflineLog
from streams.monitor.partition import Partition
from tests.streams.monitor.logs import label, row

PLAIN = MonitorSpec(model="m", windows=WindowSpec(rows=50))


def spec(kind: Any) -> MonitorSpec:
    return MonitorSpec(
        model="m", windows=WindowSpec(rows=50), features={"note": FeatureSpec(type=kind)}
    )


def prediction(n: int, note: Any) -> bytes:
    return row("m", str(n), n, {"a": float(n), "note": note}, 0.5)


@pytest.mark.parametrize(
    ("before", "after"), [(PLAIN, spec("ignore")), (spec("ignore"), spec("numeric"))]
)
@pytest.mark.parametrize("later", [40, 140])
def test_predictions_survive_a_restore_after_a_change_of_features(
    before: MonitorSpec, after: MonitorSpec, later: int
) -> None:
    log = OfflineLog({"m": before})
    records = []

    def send(numbers: range, note: Any) -> None:
        for n in numbers:
            value = prediction(n, note)
            records.append(LoggedRecord(n, 1 << 48, b"m", value))
            log.append("predictions", b"m", value)

    send(range(150), "text")
    change = log.partition.control_change("m", "", after, None)
    log.partition.apply_change(change)
    log._publish([change])  # noqa: SLF001 - as the worker appends it
    assert log.partition.known()["m", ""] == control_digest(after, None)
    send(range(150, 150 + later), 1.0)
    settings, number = log.partition.settings, log.partition.number
    restored = Partition.restore(number, settings, log.partition.snapshot())
    start = restored.rebuild_from["predictions"]
    restored.rebuild_join("predictions", records[start:])
    folded = restored.fold(
        "labels",
        [LoggedRecord(n, 1 << 48, b"m", label("m", str(n), 1000, 1.0)) for n in range(150)],
    )
    assert folded.outputs
    assert restored.join.counts.pairs == 150
