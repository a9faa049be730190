"""A model nobody described is watched: what moves is told once, and nothing else is."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tests.streams.monitor.driver import SETTINGS
from tests.streams.monitor.traffic import (
    MINUTE_MS,
    REFERENCE,
    ROWS,
    SPEC,
    Fault,
    Traffic,
    amounts_down,
    amounts_up,
    labels_off,
    labels_turned,
    new_country,
    no_age,
    no_country,
    scores_up,
    traffic,
    wrong_unit,
)
from tidegauge.schemas.monitors import DetectorSpec, MonitorSpec, RetrainingSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog, learn_reference
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.verdict.standing import LEAST_ROWS

QUIET = 20  # windows after the reference, before a fault
BEGINS = REFERENCE + QUIET


@dataclass
class Told:
    """What a fault must be told as."""

    fault: Fault
    series: str
    direction: str
    kind: str
    reference: float
    current: float
    within: int  # windows


TOLD = {
    "a number rises": Told(amounts_up, "rank(amount)", "up", "drift", 50, 60, 4),
    "a number falls": Told(amounts_down, "rank(amount)", "down", "drift", 50, 40, 4),
    "a new category": Told(new_country, "unseen(country)", "up", "quality", 0, 0.2, 3),
    "a number is missing": Told(no_age, "missing(age)", "up", "quality", 0, 0.3, 3),
    "a category is missing": Told(no_country, "missing(country)", "up", "quality", 0, 0.3, 3),
    "another unit": Told(wrong_unit, "range(amount)", "up", "quality", 0, 0.1, 4),
    "scores rise": Told(scores_up, "rank(score)", "up", "drift", 0.286, 0.5, 4),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_fault_is_told_once_with_what_where_and_since_when(name: str) -> None:
    told = TOLD[name]
    stream = traffic(11).send(BEGINS).send(30, told.fault)
    firing = [alert for alert in stream.alerts() if alert["status"] == "firing"]
    assert len(firing) == 1
    (alert,) = firing
    assert (alert["kind"], alert["model"], alert["version"]) == (told.kind, "m", "")
    assert alert["provisional"]
    assert alert["reference_windows"] == REFERENCE
    alarms = {alarm["series"]: alarm for alarm in stream.alerts()[-1]["series"]}
    alarm = alarms[told.series]
    assert alarm["direction"] == told.direction
    assert (alarm["effect"] > 0) == (told.direction == "up")
    assert abs(alarm["effect"]) >= alarm["gate"] == pytest.approx(0.2)
    assert alarm["value"]["reference"] == pytest.approx(told.reference, rel=0.02, abs=0.01)
    assert alarm["value"]["current"] == pytest.approx(told.current, rel=0.1, abs=0.15)
    began = BEGINS * MINUTE_MS
    assert abs(alert["since_ms"] - began) <= MINUTE_MS
    assert began < alert["told_ms"] <= began + told.within * MINUTE_MS
    evidence = alert["evidence"]
    assert (evidence["topic"], evidence["rows"]) == ("predictions", ROWS)
    assert evidence["first_offset"] == alert["since_ms"] // MINUTE_MS
    assert evidence["last_offset"] == alert["told_ms"] // MINUTE_MS
    assert evidence["windows"] == evidence["last_offset"] - evidence["first_offset"] + 1
    if name == "a new category":
        assert firing[0]["series"][0]["examples"] == ["XX"]
        assert "XX" in alert["title"]


SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_that_does_not_change_tells_nothing(seed: int) -> None:
    stream = traffic(seed, labelled=True).send(REFERENCE + 100)
    assert stream.alerts() == []
    assert stream.retraining() == []


def test_a_rise_of_the_loss_is_told_by_the_outcomes_and_asks_for_retraining() -> None:
    spec = msgspec.structs.replace(SPEC, retraining=RetrainingSpec(on=("performance",)))
    stream = traffic(5, spec, labelled=True).send(BEGINS).send(20, labels_turned)
    alert = stream.alerts()[0]
    assert (alert["kind"], alert["status"]) == ("performance", "firing")
    assert {alarm["series"] for alarm in alert["series"]} & {"loss", "error"}
    assert set(alert["context"]) == {"label", "score"}
    assert alert["evidence"]["topic"] == "labels"
    began = BEGINS * MINUTE_MS
    assert abs(alert["since_ms"] - began) <= 2 * MINUTE_MS
    (request,) = stream.retraining()
    assert request["incident"] == alert["incident"]
    assert request["train_from_ms"] == alert["since_ms"]
    assert request["requested_ms"] == alert["told_ms"]
    assert request["train_to_ms"] == alert["labelled_ms"] == alert["told_ms"] - 1000
    assert request["quiet_until_ms"] == alert["told_ms"] + 7 * 86_400_000
    assert all(a["kind"] == "performance" for a in stream.alerts())


def test_a_loss_that_falls_is_no_alarm() -> None:
    def sure(rows: Any, rng: Any) -> None:
        rows.label = (rows.score > 0.5).astype(float)

    stream = traffic(6, labelled=True).send(BEGINS).send(30, sure)
    told = {alarm["series"] for alert in stream.alerts() for alarm in alert["series"]}
    assert told == {"error"}
    before, now = (stream.reports("outcomes")[at]["columns"]["loss"]["mean"] for at in (0, -1))
    assert now < before - 0.1


def test_the_metrics_of_a_regression_are_told_and_its_loss_is_watched() -> None:
    stream = traffic(7, labelled=True, regression=True).send(BEGINS).send(15, labels_off)
    first, last = stream.reports("outcomes")[0], stream.reports("outcomes")[-1]
    assert set(first["metrics"]) == {"mae", "rmse", "r2"}
    assert first["metrics"]["r2"] > 0.8 > last["metrics"]["r2"]
    assert first["metrics"]["mae"] == pytest.approx(4, abs=1)
    alert = stream.alerts()[0]
    assert alert["series"][0]["series"] == "loss"
    assert alert["series"][0]["direction"] == "up"


def test_the_metrics_of_a_window_are_those_of_its_rows_alone() -> None:
    stream = traffic(7, labelled=True).send(6)
    frames = [json.loads(value) for _, value in stream.records]
    for report, predictions, labels in zip(
        stream.reports("outcomes"), frames[::2], frames[1::2], strict=True
    ):
        pairs = list(zip(predictions["predictions"], labels["labels"], strict=True))
        right = sum((score >= 0.5) == label for score, label in pairs)
        assert report["metrics"]["accuracy"] == pytest.approx(right / ROWS)
        assert report["columns"]["label"]["mean"] == pytest.approx(sum(labels["labels"]) / ROWS)


def test_a_fault_that_ends_is_resolved_once_after_two_weeks_of_windows() -> None:
    stream = traffic(3).send(BEGINS).send(10, new_country).send(60)
    statuses = [alert["status"] for alert in stream.alerts()]
    assert (statuses[0], statuses[-1], statuses.count("resolved")) == ("firing", "resolved", 1)
    told, over = stream.alerts()[0], stream.alerts()[-1]
    assert over["incident"] == told["incident"]
    assert over["resolved_ms"] == over["told_ms"]
    calm = (over["told_ms"] - (BEGINS + 10) * MINUTE_MS) // MINUTE_MS
    assert 10 <= calm <= 16
    assert over["cooldown_ms"] is None


def test_what_comes_back_after_a_resolution_is_a_new_incident() -> None:
    stream = traffic(4).send(BEGINS).send(10, new_country).send(40).send(10, new_country)
    firing = [alert for alert in stream.alerts() if alert["status"] == "firing"]
    assert len(firing) == 2
    assert firing[0]["incident"] != firing[1]["incident"]


def incidents(stream: Traffic) -> list[set[str]]:
    """Return the series of each incident, as last told."""
    last = {alert["incident"]: alert for alert in stream.alerts()}
    return [{alarm["series"] for alarm in alert["series"]} for alert in last.values()]


def test_series_that_move_within_seven_windows_are_one_incident() -> None:
    stream = traffic(8).send(BEGINS).send(4, new_country).send(10, new_country, no_age)
    assert incidents(stream) == [{"unseen(country)", "hist(country)", "missing(age)"}]
    told = [(alert["status"], alert["revision"]) for alert in stream.alerts()[:2]]
    assert told == [("firing", 1), ("ongoing", 2)]


def test_series_that_move_much_later_are_another_incident() -> None:
    stream = traffic(8).send(BEGINS).send(15, new_country).send(10, new_country, no_age)
    assert incidents(stream) == [{"unseen(country)"}, {"missing(age)"}]


def test_another_series_of_the_same_feature_joins_however_late() -> None:
    stream = traffic(8).send(BEGINS).send(15, new_country).send(10, new_country, no_country)
    assert incidents(stream) == [{"unseen(country)", "hist(country)", "missing(country)"}]


def test_a_shift_that_doubles_is_told_again() -> None:
    def twice(rows: Any, rng: Any) -> None:
        amounts_up(rows, rng)
        amounts_up(rows, rng)

    def slightly(rows: Any, rng: Any) -> None:
        rows.amount = rows.amount + 4

    stream = traffic(9).send(BEGINS).send(25, slightly).send(20, twice)
    statuses = [alert["status"] for alert in stream.alerts()]
    assert statuses[0] == "firing"
    assert "ongoing" in statuses
    effects = [alert["series"][0]["effect"] for alert in stream.alerts()]
    assert effects[-1] > 2 * effects[0]


def test_who_tells_it_again_is_who_decides_for_the_series() -> None:
    def shift(by: float) -> Fault:
        def fault(rows: Any, rng: Any) -> None:
            rows.amount = rows.amount + by

        return fault

    chosen = DetectorSpec(kind="adwin", series=["rank(amount)"], parameters={"clock": 1})
    stream = traffic(9, msgspec.structs.replace(SPEC, detectors=[chosen])).send(BEGINS)
    stream.send(30, shift(4)).send(20, shift(20))
    alarms = [alarm for alert in stream.alerts() for alarm in alert["series"]]
    told = [alarm for alarm in alarms if alarm["series"] == "rank(amount)"]
    assert told[-1]["effect"] > 2 * told[0]["effect"]
    assert {alarm["detector"] for alarm in told} == {"adwin"}
    assert {alarm["evidence"] for alarm in told} == {None}


def test_a_short_reference_tells_only_what_is_blatant() -> None:
    spec = msgspec.structs.replace(
        SPEC, reference=msgspec.convert({"windows": 12}, type(SPEC.reference))
    )

    def slightly(rows: Any, rng: Any) -> None:
        rows.amount = rows.amount + 3

    slight = traffic(2, spec).send(20).send(40, slightly)
    assert slight.alerts() == []
    assert {report["state"] for report in slight.reports()} == {"learning"}
    blatant = traffic(2, spec).send(20).send(5, no_age)
    assert blatant.alerts()[0]["series"][0]["detector"] == "blatant"


def test_one_outlier_in_a_small_window_is_no_blatant_fault() -> None:
    spec = msgspec.structs.replace(
        SPEC, reference=msgspec.convert({"windows": 12}, type(SPEC.reference))
    )

    def outliers(count: int) -> Any:
        def spoil(rows: Any, rng: Any) -> None:
            rows.amount[:count] = 1e6

        return spoil

    assert traffic(2, spec).send(20).send(1, outliers(LEAST_ROWS)).alerts() == []
    told = traffic(2, spec).send(20).send(1, outliers(LEAST_ROWS + 1)).alerts()
    assert [alarm["series"] for alarm in told[0]["series"]] == ["range(amount)"]


def test_a_model_without_a_spec_is_watched_with_the_defaults() -> None:
    stream = traffic(1, None).send(10 * 31)
    reports = stream.reports()
    assert [report["rows"] for report in reports] == [500] * 31
    assert [report["state"] for report in reports] == ["learning"] * 30 + ["provisional"]
    assert set(reports[-1]["columns"]) == {"amount", "age", "country", "vip", "score"}
    assert set(reports[-1]["series"]) >= {
        "rank(amount)", "rank(age)", "rank(vip)", "rank(score)",
        "range(amount)", "range(age)", "range(vip)",
        "missing(amount)", "missing(age)", "missing(vip)", "missing(country)", "unseen(country)",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["adwin", "page_hinkley"])
@pytest.mark.parametrize("on", ["windows", "rows"])
def test_another_detector_decides_for_the_series_it_names(kind: Any, on: Any) -> None:
    options: dict[tuple[str, str], dict[str, float | int | str]] = {
        ("adwin", "windows"): {"clock": 1},
        ("adwin", "rows"): {},
        ("page_hinkley", "windows"): {"threshold": 8.0},
        ("page_hinkley", "rows"): {"threshold": 1000.0, "delta": 2.0},
    }
    parameters = options[kind, on]
    chosen = DetectorSpec(kind=kind, on=on, series=["rank(amount)"], parameters=parameters)
    spec = msgspec.structs.replace(SPEC, detectors=[chosen])

    def slightly(rows: Any, rng: Any) -> None:
        rows.amount = rows.amount + 7

    quiet = traffic(12, spec).send(REFERENCE + 60)
    assert quiet.alerts() == []
    stream = traffic(12, spec).send(BEGINS).send(40, slightly, no_age)
    alarms = {a["series"]: a for alert in stream.alerts() for a in alert["series"]}
    assert alarms["rank(amount)"]["detector"] == kind
    assert alarms["rank(amount)"]["direction"] == "up"
    assert alarms["rank(amount)"]["evidence"] is None
    assert alarms["missing(age)"]["detector"] in ("mixture", "blatant")

    partition = stream.log.partition
    restored = Partition.restore(0, SETTINGS, partition.snapshot())
    states = [
        msgspec.msgpack.encode(own.rows["predictions"].monitors["m", ""].state())
        for own in (partition, restored)
    ]
    assert states[0] == states[1]


def test_the_loss_can_be_judged_by_adwin_on_rows() -> None:
    chosen = DetectorSpec(kind="adwin", on="rows", series=["loss"], parameters={})
    spec = msgspec.structs.replace(SPEC, detectors=[chosen])
    stream = traffic(5, spec, labelled=True).send(BEGINS).send(20, labels_turned)
    alarms = {a["series"]: a for alert in stream.alerts() for a in alert["series"]}
    assert alarms["loss"]["detector"] == "adwin"


def reports_of(log: OfflineLog) -> list[bytes | None]:
    return [output.value for output in log.outputs if output.topic in ("windows", "alerts")]


def test_a_published_reference_is_the_one_that_a_worker_learns() -> None:
    stream = traffic(21, labelled=True).send(REFERENCE)
    known = learn_reference(SPEC, "", stream.records)
    learned = stream.log.partition.rows["predictions"].monitors["m", ""].learned
    outcomes = stream.log.partition.outcomes.monitors["m", ""].outcomes.learned
    assert learned is not None
    own = {
        n: p for n, p in learned.series.items() if n not in ("late", "freshness")
    }  # of what comes
    assert known == msgspec.structs.replace(
        learned, series=own, task="classification", outcomes=outcomes
    )
    assert msgspec.json.decode(msgspec.json.encode(known), type=type(known)) == known

    told = Traffic(OfflineLog(Lookup([SPEC, known])), 22, labelled=True)
    told.send(30).send(20, new_country, labels_turned)
    stream._rng = type(stream._rng)(type(stream._rng.bit_generator)(22))  # noqa: SLF001
    stream.send(30).send(20, new_country, labels_turned)
    ours = [(a["kind"], [s["series"] for s in a["series"]]) for a in stream.alerts()]
    assert ours == [(a["kind"], [s["series"] for s in a["series"]]) for a in told.alerts()]
    assert len(ours) >= 2


def test_a_reference_needs_a_closed_window() -> None:
    with pytest.raises(ValueError, match="expected rows of model 'm' version '', found none"):
        learn_reference(SPEC, "", [])
    stream = traffic(1).send(1)
    other = MonitorSpec(model="m")
    with pytest.raises(ValueError, match="expected rows of model 'm' version '', found none"):
        learn_reference(other, "", stream.records)


def test_a_very_late_row_does_not_move_the_evidence_to_the_past() -> None:
    stream = traffic(11).send(BEGINS)
    frame = json.loads(traffic(12).send(1).records[0][1])
    frame["ts_ms"] = [BEGINS * MINUTE_MS] * (ROWS - 1) + [5]  # a row of the first window
    frame["features"]["country"] = ["XX"] * ROWS
    stream.log.append("predictions", b"m", json.dumps(frame).encode(), timestamp=1 << 41)
    evidence = stream.alerts()[0]["evidence"]
    assert (evidence["first_offset"], evidence["windows"]) == (BEGINS, 1)
