"""What was read ahead of a fold changes nothing, and is of no use once it is out of date."""

from collections.abc import Sequence

import pytest

from tests.streams.monitor.driver import Driver, batch_of
from tests.streams.monitor.logs import NOON_MS, frame, row
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec
from tidegauge.streams.monitor.intake import row_kernel
from tidegauge.streams.monitor.intake.record_batch import RecordBatch
from tidegauge.streams.monitor.intake.row_kernel import Layouts
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.records import Record

ROWS = 600  # enough for types to be known


def records(start: int, stop: int, frames: bool = False) -> list[LoggedRecord]:
    rows = [
        row("m", str(n), NOON_MS + n, {"a": n % 7 + 0.5, "b": "x"}, 0.25)
        for n in range(start, stop)
    ]
    size = 50 if frames else 1
    values = [
        frame(rows[at : at + size]) if frames else rows[at] for at in range(0, len(rows), size)
    ]
    return [LoggedRecord(start + n, NOON_MS, b"m", value) for n, value in enumerate(values)]


def warm() -> Driver:
    """Return a worker that knows how the rows of a model are read."""
    driver = Driver()
    for start in range(0, ROWS, 100):
        driver.fold("predictions", records(start, start + 100))
    return driver


def read_ahead(driver: Driver, rows: Sequence[Record]) -> RecordBatch:
    found = driver.partition.read_ahead("predictions", batch_of(rows))
    assert isinstance(found, RecordBatch)
    return found


@pytest.mark.parametrize("frames", [False, True])
def test_what_was_read_ahead_is_not_read_again(
    frames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = warm()
    batch = read_ahead(driver, records(ROWS, ROWS + 2000, frames))
    assert batch.ahead is not None

    def again(*_: object) -> None:
        pytest.fail("it was read again")

    monkeypatch.setattr(Layouts, "frame" if frames else "read", again)
    driver.fold("predictions", batch)
    assert driver.partition.tallies["predictions"].observed == ROWS + 2000


@pytest.mark.parametrize("frames", [False, True])
def test_a_change_of_spec_between_makes_it_void(frames: bool) -> None:
    late, fresh = warm(), warm()
    rows = records(ROWS, ROWS + 2000, frames)
    ahead = read_ahead(late, rows)
    for driver, batch in ((late, ahead), (fresh, rows)):
        driver.change("m", "", MonitorSpec(model="m", features={"a": FeatureSpec(type="ignore")}))
        driver.fold("predictions", batch)
    assert late.outputs == fresh.outputs
    assert late.partition.snapshot() == fresh.partition.snapshot()


def test_the_rest_of_a_batch_is_what_was_read_ahead_of_it() -> None:
    driver = warm()
    rows = records(ROWS, ROWS + 100)
    stranger = row("other", "1", NOON_MS, {"a": 1.0}, 0.5)
    rows[40] = LoggedRecord(ROWS + 40, NOON_MS, b"other", stranger)
    batch = read_ahead(driver, rows)
    folded = driver.partition.fold("predictions", batch)
    rest = folded.rest
    assert folded.unknown == ("other", "") and isinstance(rest, RecordBatch)
    assert rest.ahead is not None and batch.ahead is not None
    assert rest.ahead.rows.ts_ms.tolist() == batch.ahead.rows.ts_ms[40:].tolist()
    driver.change("other", "", None)
    driver.fold("predictions", rest)
    assert driver.partition.tallies["predictions"].observed == ROWS + 99  # one waits for its types


def test_rows_that_take_much_memory_are_read_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = warm()
    whole.fold("predictions", records(ROWS, ROWS + 2000))
    monkeypatch.setattr(row_kernel, "BYTES", 1)
    monkeypatch.setattr(row_kernel, "FEWEST", 70)
    pieces = warm()
    batch = batch_of(records(ROWS, ROWS + 2000))
    assert pieces.partition.read_ahead("predictions", batch) is batch
    pieces.fold("predictions", batch)
    assert pieces.outputs == whole.outputs
    assert pieces.partition.snapshot() == whole.partition.snapshot()


def test_labels_and_rows_of_nobody_known_are_left_as_they_are() -> None:
    batch = batch_of(records(0, 20))
    assert Driver().partition.read_ahead("predictions", batch) is batch
    assert warm().partition.read_ahead("labels", batch) is batch
