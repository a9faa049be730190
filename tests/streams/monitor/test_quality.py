"""Rows that cannot be read are told model by model, counted in rows, with the main reason."""

import json
from typing import Any

import pytest

from tests.streams.monitor.driver import Driver, published
from tests.streams.monitor.logs import NOON_MS, frame, label, row
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.verdict.nil_cohort import NilState
from tidegauge.streams.monitor.verdict.readability import FEATURES


def fold(values: list[bytes], source: Source = "predictions", batch: int = 10_000) -> Driver:
    records = [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
    driver = Driver()
    for start in range(0, len(records), batch):
        driver.fold(source, records[start : start + batch])
    return driver


def good(n: int, model: str = "m") -> bytes:
    return row(model, f"r{n}", NOON_MS + n, {"x": n % 7}, 0.5)


def bad(n: int, model: str = "m") -> bytes:
    return good(n, model).replace(b'"x": ', b'"x": NaN, "was": ')


def alerts(driver: Driver) -> list[dict[str, Any]]:
    return published(driver.outputs, "alerts")


def test_two_of_five_rows_rejected_are_told_within_a_hundred_rows_with_the_reason() -> None:
    rows = [good(n) for n in range(1000)]
    told = alerts(fold(rows + [bad(n) if n % 5 < 2 else good(n) for n in range(1000, 1100)]))[0]
    assert (told["model"], told["kind"], told["severity"]) == ("m", "quality", "critical")
    assert told["title"].startswith("m: since 14 Nov 2023")
    assert (
        "40% of rows in predictions could not be read, mostly: JSON is malformed" in told["title"]
    )
    assert (told["evidence"]["first_offset"], told["evidence"]["last_offset"]) == (1000, 1099)
    assert "; JSON has no NaN and no Infinity: send null." in told["title"] + "."
    assert told["series"][0]["value"] == {"reference": 0.0, "current": 0.4}


def as_text(n: int, *names: str) -> bytes:
    values = {name: str(n) if name in names else n for name in ("x", "y")}
    return row("m", f"r{n}", NOON_MS + n, values, 0.5)


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_features_whose_numbers_come_as_text_are_told_each_with_its_share(batch: int) -> None:
    rows = [as_text(n) for n in range(1000)]
    rows += [as_text(n, "x") if n % 5 < 2 else as_text(n) for n in range(1000, 1050)]
    rows += [as_text(n, "y") if n % 5 < 2 else as_text(n) for n in range(1050, 1100)]
    (told,) = alerts(fold(rows, batch=batch))
    shares = {alarm["series"]: alarm["value"]["current"] for alarm in told["series"]}
    assert shares == {"rejected": 0.4, "type(x)": 0.2, "type(y)": 0.2}
    assert "; 20% of x is of a type that it cannot have" in told["title"]


def test_rows_that_are_rejected_for_something_else_are_told_of_no_feature() -> None:
    told = alerts(fold([bad(n) if n % 5 < 2 else good(n) for n in range(400)]))
    assert [alarm["series"] for alarm in told[0]["series"]] == ["rejected"]


def test_features_are_forgotten_once_rows_can_be_read_again() -> None:
    rows = [as_text(n) for n in range(200)] + [as_text(n, "x", "y") for n in range(200, 300)]
    driver = fold(rows + [as_text(n) for n in range(300, 12_000)])
    state = driver.partition.readability["predictions"].models["m", ""].state()
    (cohort,) = state.monitor.cohorts
    assert isinstance(cohort, NilState) and cohort.watching is None
    assert [alert["status"] for alert in alerts(driver)] == ["firing", "resolved"]


def test_more_features_than_are_counted_apart_are_no_fault() -> None:
    names = [f"n{at}" for at in range(30)]
    rows = [row("m", f"r{n}", n, dict.fromkeys(names, 1), 0.5) for n in range(200)]
    spoilt = [dict.fromkeys(names, 1) | {names[n % 30]: "1"} for n in range(300)]
    rows += [row("m", f"s{n}", n, own, 0.5) for n, own in enumerate(spoilt)]
    driver = fold(rows)
    assert alerts(driver)[0]["series"][0]["value"]["current"] == 1.0
    state = driver.partition.readability["predictions"].models["m", ""].state()
    assert len(state.monitor.cohorts) == 1 + FEATURES


def test_a_row_in_seconds_among_those_that_cannot_be_read_dates_nothing() -> None:
    seconds = row("m", "s", NOON_MS // 1000, {"x": 1}, 0.5)
    rows = [good(n) for n in range(1000)] + [bad(n) if n % 5 < 2 else good(n) for n in range(99)]
    told = alerts(fold([*rows, seconds]))[0]
    assert NOON_MS <= told["since_ms"] <= NOON_MS + 1000
    assert told["title"].startswith("m: since 14 Nov 2023")
    assert (told["evidence"]["first_offset"], told["evidence"]["last_offset"]) == (1000, 1099)


def test_it_is_over_after_fourteen_hundred_good_rows() -> None:
    rows = [bad(n) if n % 5 < 2 else good(n) for n in range(100, 200)]
    driver = fold([good(n) for n in range(100)] + rows + [good(n) for n in range(200, 1700)])
    assert [alert["status"] for alert in alerts(driver)] == ["firing", "resolved"]
    assert len({alert["incident"] for alert in alerts(driver)}) == 1


def test_rejected_from_the_first_row_on_is_told_too() -> None:
    told = alerts(fold([bad(n) if n % 5 < 2 else good(n) for n in range(400)]))
    assert [alert["model"] for alert in told] == ["m"]


def test_a_few_in_a_hundred_are_told_after_some_windows() -> None:
    rows = [bad(n) if n % 33 == 0 else good(n) for n in range(2000)]
    (told,) = [alert for alert in alerts(fold(rows)) if alert["status"] == "firing"]
    assert told["series"][0]["detector"] == "mixture"
    assert told["severity"] == "warning"


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_one_bad_row_in_each_frame_of_500_is_two_in_a_thousand_and_not_told(batch: int) -> None:
    frames = [json.loads(frame([good(500 * f + n) for n in range(500)])) for f in range(30)]
    for spoilt in frames[1:]:
        spoilt["features"]["x"][7] = "n/a"
    found = fold([json.dumps(own).encode() for own in frames], batch=batch)
    assert found.partition.readability["predictions"].models["m", ""].rejected == 29
    assert alerts(found) == []


def test_a_model_that_fails_is_told_though_it_is_a_small_part_of_its_partition() -> None:
    rows = [good(n, "large") for n in range(8000)]
    for n in range(0, 8000, 20):
        rows[n] = bad(n, "small") if n > 4000 and n % 40 else good(n, "small")
    (told,) = [alert for alert in alerts(fold(rows)) if alert["status"] == "firing"]
    assert told["model"] == "small"


def test_records_of_nobody_are_told_by_topic() -> None:
    driver = fold(
        [label("m", f"r{n}", NOON_MS, 1) if n % 2 else b"{" for n in range(200)], "labels"
    )
    told = alerts(driver)[0]
    assert (told["model"], told["title"].partition(":")[0]) == ("", "labels[0]")


def test_labels_that_cannot_be_read_are_told_for_their_model() -> None:
    values = [label("m", f"r{n}", NOON_MS, 1) for n in range(200)]
    spoilt = [value.replace(b'"label": 1', b'"label": [1]') for value in values]
    told = alerts(fold(values + spoilt, "labels"))[0]
    assert (told["model"], told["evidence"]["topic"]) == ("m", "labels")
    assert "Expected `bool | float | str`, got `array` - at `$.label`" in told["title"]


def test_clean_rows_leave_nothing_to_remember() -> None:
    driver = fold([good(n) for n in range(3050)])
    own = driver.partition.readability["predictions"].models["m", ""]
    state = own.state()
    bounds, (cohort,) = state.monitor.window.bounds, state.monitor.cohorts
    assert (state.rows, state.rejected, cohort) == (3050, 0, NilState())
    assert (bounds.rows, bounds.index, bounds.first_offset) == (50, 30, 3000)


@pytest.mark.parametrize("fault", [b'"x": [NaN, ', b'"x": ['])
def test_a_frame_that_is_rejected_whole_counts_as_many_rows_as_it_has(fault: bytes) -> None:
    values = []
    for f in range(40):
        value = frame([good(100 * f + n) for n in range(100)])
        if f >= 20 and f % 2:  # malformed, or with a column that is too short
            value = value.replace(b'"x": [0, ' if f % 7 else b'"x": [', fault, 1)
            value = value.replace(b", 6]", b"]", 1) if fault == b'"x": [' else value
        values.append(value)
    driver = fold(values)
    own = driver.partition.readability["predictions"].models["m", ""]
    assert own.rejected == 100 * len(letters(driver)) > 0
    assert [alert["model"] for alert in alerts(driver)][:1] == ["m"]


def letters(driver: Driver) -> list[Any]:
    return [output for output in driver.outputs if output.topic == "rejected"]
