"""A feature that comes up, or stops, is told once and by its name."""

from typing import Any

import pytest

from tests.streams.monitor.driver import Driver, published
from tests.streams.monitor.logs import NOON_MS, row
from tests.streams.monitor.traffic import REFERENCE, ROWS, SPEC
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec
from tidegauge.streams.monitor.offline import LoggedRecord

LEARNED = REFERENCE * ROWS
LATER = 400  # rows


def fold(
    spec: MonitorSpec, features: Any, later: Any, batch: int = 10_000, before: int = LEARNED
) -> list[dict[str, Any]]:
    """Return the alerts of rows with some features, then with others."""
    values = [
        row("m", f"r{n}", NOON_MS + n, (features if n < before else later)(n), n % 7 / 7)
        for n in range(before + LATER)
    ]
    records = [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
    driver = Driver({"m": spec})
    for start in range(0, len(records), batch):
        driver.fold("predictions", records[start : start + batch])
    return published(driver.outputs, "alerts")


def usual(n: int) -> dict[str, Any]:
    return {"x": n % 11, "country": "DE" if n % 3 else "FR"}


@pytest.mark.parametrize("batch", [1, 113, 10_000])
def test_a_feature_that_comes_up_is_told_once(batch: int) -> None:
    told = fold(SPEC, usual, lambda n: usual(n) | {"gate": n % 5}, batch)
    assert [alert["status"] for alert in told] == ["firing", "resolved"]
    assert {alert["incident"] for alert in told} == {told[0]["incident"]}
    assert told == fold(SPEC, usual, lambda n: usual(n) | {"gate": n % 5})
    firing = told[0]
    assert (firing["kind"], [alarm["feature"] for alarm in firing["series"]]) == (
        "quality", ["gate"],
    )  # fmt: skip
    assert "gate comes, which the reference does not have" in firing["title"]
    assert LEARNED < firing["evidence"]["first_offset"] < LEARNED + 200


def test_one_that_comes_under_another_name_is_told_with_the_old_one() -> None:
    told = fold(SPEC, usual, lambda n: {"x": n % 11, "Country": "DE" if n % 3 else "FR"})
    (schema,) = [a for a in told if a["series"][0]["statistic"] == "schema" and a["revision"] == 1]
    assert (
        "Country comes, which the reference does not have; country no longer does"
        in (schema["title"])
    )
    assert schema["advice"] == (
        "Check whether country now comes as Country; if so, mend what sends it."
    )
    (gone,) = [alert for alert in told if alert["cause"] == "gone" and alert["revision"] == 1]
    assert "country no longer comes: no row has a value" in gone["title"]


def test_while_the_reference_is_learned_a_feature_may_come() -> None:
    assert fold(SPEC, usual, lambda n: usual(n) | {"gate": n % 5}, before=500) == []


def test_a_feature_that_is_declared_is_expected() -> None:
    declared = FeatureSpec(type="numeric")
    spec = MonitorSpec(
        model="m", windows=SPEC.windows, reference=SPEC.reference, features={"gate": declared}
    )
    assert fold(spec, usual, lambda n: usual(n) | {"gate": n % 5}) == []


def test_a_feature_that_was_always_null_comes_with_its_first_values() -> None:
    told = fold(SPEC, lambda n: usual(n) | {"gate": None}, lambda n: usual(n) | {"gate": n % 5})
    assert [alert["series"][0]["feature"] for alert in told] == ["gate"] * 2
