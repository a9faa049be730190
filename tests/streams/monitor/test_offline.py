"""A reference from rows without a broker: what it takes, and what it refuses."""

from typing import Any

import msgspec
import pytest

from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog, learn_reference
from tidegauge.streams.monitor.records import Source

SPEC = MonitorSpec(
    model="m",
    windows=WindowSpec(rows=10),
    features={"credit": FeatureSpec(type="numeric"), "amount": FeatureSpec(type="numeric")},
)


def row(number: int, **features: Any) -> bytes:
    body = {"model": "m", "id": f"r{number}", "ts_ms": number, "prediction": 0.5}
    return msgspec.json.encode(body | {"features": {"amount": number, **features}})


def rows(count: int = 150) -> list[tuple[Source, bytes]]:
    return [("predictions", row(number, credit=None)) for number in range(count)]


def test_a_row_that_is_rejected_is_no_silent_loss() -> None:
    with pytest.raises(ValueError, match="expected rows that can be read, got 1 rejected records"):
        learn_reference(SPEC, "", [*rows(), ("predictions", row(150, amount=1e101))])


def test_a_number_without_a_value_in_the_reference_may_have_one_later() -> None:
    reference = learn_reference(SPEC, "", rows())
    log = OfflineLog(Lookup([SPEC, reference]))
    for number in range(20):
        log.append("predictions", b"m", row(number, credit=700.5))
    assert {output.topic for output in log.outputs} == {"windows", "outcomes"}
