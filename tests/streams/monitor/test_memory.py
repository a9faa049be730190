"""What hostile or careless input and specs may take of memory and time is bounded."""

import json
import tracemalloc
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.driver import Driver, batch_of, published, rejected
from tests.streams.monitor.logs import NOON_MS, frame, row
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor import partition, rows
from tidegauge.streams.monitor.intake import row_kernel
from tidegauge.streams.monitor.intake.columns import Columns, infer
from tidegauge.streams.monitor.intake.messages import INTAKE_BYTES
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.records import Record
from tidegauge.streams.monitor.verdict import learning
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.cutting import dated

DAY_MS = 86_400_000


def test_a_reference_is_complete_when_it_takes_its_share_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning, "MAX_BYTES", 4_000)
    spec = MonitorSpec(
        model="m", windows=WindowSpec(rows=10), reference=ReferenceSpec(windows=100_000)
    )
    values = [row("m", f"{n}", NOON_MS + n, {"a": n % 7}, n % 10 / 10) for n in range(500)]
    driver = Driver({"m": spec})
    driver.fold("predictions", [LoggedRecord(n, NOON_MS, b"m", v) for n, v in enumerate(values)])
    states = [report["state"] for report in published(driver.outputs, "windows")]
    assert states[0] == "learning"
    monitor = driver.partition.rows["predictions"].monitors["m", ""]
    assert 3 <= monitor.reference_windows < 50


def test_headers_count_for_what_is_held_until_types_are_known() -> None:
    driver, headers = Driver(), [("trace", b"x" * 100_000)]
    values = [row("m", f"{n}", NOON_MS + n, {"a": 1}, 0.5) for n in range(10)]
    records = [LoggedRecord(n, NOON_MS, b"m", v, headers) for n, v in enumerate(values)]
    driver.fold("predictions", records)
    intake = driver.partition.rows["predictions"].reader.intakes.get(("m", ""))
    assert intake is None or intake.size < INTAKE_BYTES


def test_columns_that_no_restore_reads_by_are_not_kept() -> None:
    driver = Driver({"m": MonitorSpec(model="m")})
    for n in range(20):
        start = driver.partition.next_offset["features"]
        values = [row("m", f"{n}-{k}", NOON_MS + k, {"a": 1, "b": 2}) for k in range(100)]
        records = [LoggedRecord(start + k, NOON_MS, b"m", v) for k, v in enumerate(values)]
        driver.fold("features", records)
        ignored = {"b": FeatureSpec(type="ignore")} if n % 2 else {}
        driver.change("m", "", MonitorSpec(model="m", features=ignored))
    assert driver.partition.rows["features"].past == {}


def test_a_spec_cannot_take_the_name_of_the_models_own_score() -> None:
    for kind in ("numeric", "categorical"):
        declared = {"score": msgspec.convert({"type": kind}, FeatureSpec)}
        assert infer([{"a": 1.0, "score": 2.0}], declared) == Columns(("a",), ())


def test_a_budget_too_small_to_count_with_is_refused() -> None:
    value = json.dumps({"model": "m", "false_alarms": {"count": 5e-324}}).encode()
    with pytest.raises(msgspec.ValidationError, match=r"count: expected 1e-09 .*false_alarms`"):
        msgspec.json.decode(value, type=MonitorSpec)


def test_a_large_block_in_which_every_row_skips_windows_is_dated_row_by_row() -> None:
    spec, times = WindowSpec(every="1m"), np.arange(100_000, dtype=np.int64) * 180_000
    assert len(dated(Bounds(), spec, times)) == 100_000 - 4
    ahead = times.copy()
    ahead[::3] += 3000 * DAY_MS
    found = dated(Bounds(latest_ms=0), spec, ahead)
    assert np.flatnonzero(found.early).tolist() == list(range(0, len(found), 3))


def test_rows_read_with_care_between_frames_do_not_copy_what_was_fetched() -> None:
    driver, frames = Driver(), 1500
    values = [row("m", f"{n}", NOON_MS + n, {"a": n % 7}, 0.5) for n in range(300)]
    driver.fold("predictions", [LoggedRecord(n, NOON_MS, b"m", v) for n, v in enumerate(values)])
    careful = row("m", "é", NOON_MS, {"a": 1.5}, 0.25)  # escaped
    whole = frame([row("m", f"f{n}", NOON_MS, {"a": 1.5}, 0.25) for n in range(7)])
    turns = [careful, whole] * frames
    batch = batch_of([LoggedRecord(300 + n, NOON_MS, b"m", v) for n, v in enumerate(turns)])
    assert len(batch.buffer) > 500_000
    tracemalloc.start()
    try:
        driver.fold("predictions", batch)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert driver.partition.tallies["predictions"].observed == 300 + 8 * frames


def test_many_rejections_are_told_before_further_records_are_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (rows, partition):
        monkeypatch.setattr(module, "MANY", 50)
    monkeypatch.setattr(row_kernel, "BYTES", 1)
    monkeypatch.setattr(row_kernel, "FEWEST", 20)
    driver, told = Driver(), 0
    left: Sequence[Record] = batch_of([LoggedRecord(n, NOON_MS, b"m", None) for n in range(500)])
    while left:
        folded = driver.partition.fold("predictions", left)
        assert len(folded.outputs) < 100
        told, left = told + len(rejected(folded.outputs)), folded.rest
    assert told == 500
