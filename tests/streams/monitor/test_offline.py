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


HOUR_MS = 3_600_000
DAILY = MonitorSpec(model="m", windows=WindowSpec(every="1d"))


def hourly(hours: int) -> list[tuple[Source, bytes]]:
    """Return a row an hour, from a minute past midnight on, and a label each."""
    found: list[tuple[Source, bytes]] = []
    for hour in range(hours):
        head = {"model": "m", "id": f"{hour}", "ts_ms": hour * HOUR_MS + 60_000}
        scored = head | {"prediction": 0.5, "features": {"amount": hour % 24}}
        found.append(("predictions", msgspec.json.encode(scored)))
        found.append(("labels", msgspec.json.encode(head | {"label": hour % 2})))
    return found


@pytest.mark.parametrize(("hours", "windows"), [(240, 10), (239, 9), (217, 9), (216, 9)])
def test_a_finished_file_of_ten_days_makes_ten_windows(hours: int, windows: int) -> None:
    reference = learn_reference(DAILY, "", hourly(hours))
    assert len(reference.series["rank(amount)"].values) == windows
    assert reference.rows == windows * 24
    assert len(reference.outcomes["loss"].values) == windows


def test_all_windows_that_are_open_for_late_rows_close_at_the_end_of_a_file() -> None:
    late = msgspec.structs.replace(DAILY, windows=WindowSpec(every="1d", lateness="3d"))
    log = OfflineLog(Lookup([late]))
    for source, value in hourly(239):
        log.append(source, b"m", value)
    log.end()
    told = [msgspec.json.decode(o.value or b"") for o in log.outputs if o.topic == "windows"]
    for source in ("predictions", "outcomes"):
        assert [own["rows"] for own in told if own["source"] == source] == [24] * 9


def test_a_block_of_rows_that_is_not_full_is_not_complete() -> None:
    assert learn_reference(SPEC, "", rows(155)).rows == 150
