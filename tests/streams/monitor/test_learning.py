"""What a model learns by itself: windows from its traffic, a reference that must be one thing."""

import json
from typing import Any

import numpy as np
import pytest

from tests.streams.monitor.driver import SETTINGS
from tests.streams.monitor.traffic import (
    REFERENCE,
    SPEC,
    Rows,
    Traffic,
    amounts_up,
    scores_up,
    traffic,
)
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog, learn_reference
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.verdict.aa_check import told_inside

DAY_MS = 86_400_000
LEARNED = REFERENCE  # windows


def bodies(log: OfflineLog, topic: str) -> list[dict[str, Any]]:
    return [json.loads(o.value or b"") for o in log.outputs if o.topic == topic]


def a_day(day: int, rows: int, rng: np.random.Generator, shift: float = 0.0) -> bytes:
    at = np.sort(rng.integers(0, DAY_MS, rows)) + day * DAY_MS
    frame = {
        "model": "m",
        "ids": [f"{day}-{n}" for n in range(rows)],
        "ts_ms": at.tolist(),
        "features": {"x": rng.normal(shift, 1, rows).round(3).tolist()},
        "predictions": rng.random(rows).round(3).tolist(),
    }
    return json.dumps(frame).encode()


@pytest.mark.parametrize("rows", [20, 200])
def test_a_model_of_little_traffic_is_judged_by_days_after_a_month(rows: int) -> None:
    log, rng = OfflineLog(), np.random.default_rng(rows)
    for day in range(60):
        value = a_day(day, rows, rng, shift=2.0 * (day >= 45))
        log.append("predictions", b"m", value, timestamp=1 << 41)
    reports = bodies(log, "windows")
    assert {report["state"] for report in reports[31:]} == {"provisional"}
    assert {report["last_ts_ms"] // DAY_MS - report["window"] for report in reports} == {0}
    (told,) = [alert for alert in bodies(log, "alerts") if alert["status"] == "firing"]
    assert {alarm["feature"] for alarm in told["series"]} == {"x"}
    assert told["since_ms"] // DAY_MS in (44, 45)


def test_a_busy_model_has_windows_of_500_rows() -> None:
    stream = traffic(1, None).send(25)
    assert [report["rows"] for report in stream.reports()] == [500, 500]


def test_where_first_rows_are_cut_does_not_change_the_windows_that_are_chosen() -> None:
    rng = np.random.default_rng(3)
    rows = [
        {"model": "m", "id": str(n), "ts_ms": int(at), "features": {"x": 1.0}, "prediction": 0.5}
        for n, at in enumerate(np.cumsum(rng.integers(0, 800_000, 1200)))
    ]
    whole, single = OfflineLog(), OfflineLog()
    frame: dict[str, Any] = {"model": "m", "features": {"x": [1.0] * len(rows)}}
    frame |= {"ids": [row["id"] for row in rows], "ts_ms": [row["ts_ms"] for row in rows]}
    frame |= {"predictions": [0.5] * len(rows)}
    whole.append("predictions", b"m", json.dumps(frame).encode(), timestamp=1 << 41)
    for row in rows:
        single.append("predictions", b"m", json.dumps(row).encode(), timestamp=1 << 41)
    cut = [
        [(r["rows"], r["first_ts_ms"], r["last_ts_ms"]) for r in bodies(log, "windows")]
        for log in (whole, single)
    ]
    assert cut[0] == cut[1]
    assert len(cut[0]) == 5  # days: 500 rows take longer


def test_one_clock_a_day_ahead_does_not_make_a_busy_model_one_of_days() -> None:
    rows = [(n * 1000 + (2 * DAY_MS if n in (3, 70, 400) else 0)) for n in range(1100)]
    log = OfflineLog()
    frame: dict[str, Any] = {"model": "m", "ids": list(map(str, range(1100))), "ts_ms": rows}
    frame |= {"features": {"x": [1.0] * 1100}, "predictions": [0.5] * 1100}
    log.append("predictions", b"m", json.dumps(frame).encode(), timestamp=1 << 41)
    assert [report["rows"] for report in bodies(log, "windows")] == [500, 500]


def test_a_reference_in_which_a_level_changed_says_so_with_its_date() -> None:
    stream = traffic(5).send(25).send(LEARNED - 25, amounts_up)
    (alert,) = stream.alerts()
    (alarm,) = [a for a in alert["series"] if a["series"] == "rank(amount)"]
    assert (alert["status"], alert["kind"], alert["severity"]) == ("firing", "drift", "warning")
    assert (alarm["detector"], alarm["direction"]) == ("self_normalised", "up")
    assert alarm["since_ms"] == 25 * 60_000
    assert abs(alarm["effect"]) > alarm["gate"]
    assert "taken for normal, are not one thing: amount moved up on " in alert["title"]
    assert "Publish a reference" in alert["advice"]
    assert alert["evidence"]["first_offset"] == 0


def test_outcomes_in_which_a_level_changed_say_so_too() -> None:
    def worse(rows: Rows, rng: np.random.Generator) -> None:
        rows.label = 1.0 - rows.label

    stream = traffic(6, labelled=True).send(20).send(LEARNED - 20, worse)
    told = {alarm["series"] for alert in stream.alerts() for alarm in alert["series"]}
    assert told == {"loss", "error"}


@pytest.mark.parametrize("seed", range(5))
def test_a_reference_that_is_one_thing_says_nothing(seed: int) -> None:
    assert traffic(seed, labelled=True).send(LEARNED + 5).alerts() == []


def test_a_slight_change_that_matters_to_nobody_is_not_told() -> None:
    def slightly(rows: Rows, rng: np.random.Generator) -> None:
        rows.amount = rows.amount + 1  # a tenth of a standard deviation

    assert traffic(7).send(20).send(LEARNED - 20, slightly).alerts() == []


def test_the_report_says_how_far_a_reference_is() -> None:
    reports = traffic(8, labelled=True).send(LEARNED + 2).reports("outcomes")
    assert [(r["gathered"], r["needed"]) for r in reports[:2]] == [(0, LEARNED), (1, LEARNED)]
    assert (reports[-1]["gathered"], reports[-1]["needed"]) == (LEARNED, 0)


def test_published_outcomes_of_few_windows_are_learned_on_until_they_can_decide() -> None:
    spec = MonitorSpec(
        model="m", windows=WindowSpec(rows=50), reference=ReferenceSpec(windows=LEARNED)
    )
    known = learn_reference(spec, "", traffic(9, labelled=True).send(10).records)
    log = OfflineLog(Lookup([spec, known]))
    stream = Traffic(log, 10, labelled=True).send(LEARNED + 20).send(20, scores_up)
    reports = stream.reports("outcomes")
    assert reports[0]["gathered"] == 10
    assert reports[LEARNED - 10 + 1]["needed"] == 0
    told = {a["series"] for alert in stream.alerts() for a in alert["series"]}
    assert "error" in told


def test_a_feature_that_comes_late_learns_by_itself_and_shares_the_budget() -> None:
    def no_age_yet(rows: Rows, rng: np.random.Generator) -> None:
        rows.age[:] = None

    def older(rows: Rows, rng: np.random.Generator) -> None:
        rows.age = rows.age + 30

    stream = traffic(11).send(10, no_age_yet).send(LEARNED + 10).send(10, older)
    reports = stream.reports()
    assert "age" not in reports[9]["columns"]
    assert "age" in reports[12]["columns"]
    before, after = reports[LEARNED + 2]["series"], reports[-1]["series"]
    assert not [name for name in before if "(age)" in name]
    known = {name: own["threshold"] for name, own in after.items()}
    new = {name for name in after if "(age)" in name}
    assert {*known} == {*before, *new}
    assert new >= {"rank(age)", "range(age)", "missing(age)"}
    first = [n for n in known if not SERIES[n.partition("(")[0]].is_further]
    assert len({known[name] for name in first}) == 1  # all of these have the same part
    assert known["rank(amount)"] > before["rank(amount)"]["threshold"]
    told = {alarm["series"] for alert in stream.alerts() for alarm in alert["series"]}
    assert told & {"rank(age)", "range(age)"}
    assert all("(age)" in name for name in told)


def test_a_late_feature_is_remembered_over_a_restart() -> None:
    def no_age_yet(rows: Rows, rng: np.random.Generator) -> None:
        rows.age[:] = None

    stream = traffic(12).send(10, no_age_yet).send(LEARNED + 5)
    partition = stream.log.partition
    stream.log.partition = Partition.restore(0, SETTINGS, partition.snapshot())
    again = stream.log.partition.snapshot()
    assert again == partition.snapshot()


def test_a_reference_learned_from_a_file_says_what_of_it_is_not_one_thing() -> None:
    rows = traffic(13).send(25).send(20, amounts_up).records
    reference = learn_reference(SPEC, "", rows)
    assert reference.series["rank(amount)"].rows == [50.0]  # of each window
    (told,) = told_inside(reference, SPEC.effect)
    assert told == "amount moved up at window 26 of 45"
    calm = learn_reference(SPEC, "", traffic(14, labelled=True).send(45).records)
    assert told_inside(calm, SPEC.effect) == []
