"""What a window report says of the series that a spec's detectors name."""

from typing import Any

import msgspec
import pytest

from tests.streams.monitor.traffic import REFERENCE, ROWS, SPEC, Rows, traffic
from tidegauge.schemas.monitors import DetectorSpec
from tidegauge.streams.monitor.control.control import control

NAMED = [
    DetectorSpec(kind="adwin", series=["rank(amount)", "rank(amuont)", "loss", "unseen(age)"]),
    DetectorSpec(kind="page_hinkley", on="rows", series=["rank(score)", "rank(country)", "error"]),
]
LACKING = ["rank(amuont)", "unseen(age)", "rank(country)"]


def test_a_series_that_the_model_does_not_have_is_reported_once_it_is_known() -> None:
    spec = msgspec.structs.replace(SPEC, detectors=NAMED)
    stream = traffic(1, spec, labelled=True).send(REFERENCE + 2)
    told = [report["not_watched"] for report in stream.reports()]
    assert told[:REFERENCE] == [[]] * REFERENCE  # it may still come
    assert told[REFERENCE:] == [LACKING] * 2
    assert not any(report["not_watched"] for report in stream.reports("outcomes"))


def test_nothing_is_reported_where_a_spec_names_nothing() -> None:
    stream = traffic(1).send(REFERENCE + 2)
    assert not any(report["not_watched"] for report in stream.reports())


def test_a_feature_that_comes_late_is_waited_for() -> None:
    spec = msgspec.structs.replace(SPEC, detectors=NAMED[:1])

    def without(rows: Rows, rng: Any) -> None:
        rows.amount = [None] * len(rows.amount)

    stream = traffic(2, spec).send(REFERENCE + 2, without)
    assert stream.reports()[-1]["not_watched"] == ["rank(amount)", "rank(amuont)", "unseen(age)"]
    stream.send(REFERENCE - 2)
    assert stream.reports()[-1]["not_watched"] == ["rank(amuont)", "unseen(age)"]
    stream.send(4)
    assert stream.reports()[-1]["not_watched"] == ["rank(amuont)", "unseen(age)"]


def test_a_report_says_how_far_the_reference_is() -> None:
    stream = traffic(3, labelled=True).send(REFERENCE + 3)
    for source in ("predictions", "outcomes"):
        found = [(report["gathered"], report["needed"]) for report in stream.reports(source)]
        assert found[:REFERENCE] == [(n, REFERENCE) for n in range(REFERENCE)]
        assert found[REFERENCE:] == [(REFERENCE, 0)] * 3


def test_metrics_since_deployment_rest_on_all_pairs_so_far() -> None:
    stream = traffic(3, labelled=True).send(5)
    found = stream.reports("outcomes")
    assert [w["rests_on"]["pairs"] for w in found] == [ROWS] * 5
    assert [w["since_deployment"]["rests_on"]["pairs"] for w in found] == [
        ROWS * n for n in range(1, 6)
    ]
    assert found[-1]["rests_on"]["delay_ms"] == pytest.approx(1000, rel=0.05)
    mean = sum(w["metrics"]["accuracy"] for w in found) / 5
    assert found[-1]["since_deployment"]["metrics"]["accuracy"] == pytest.approx(mean)
    for window in found:
        low, high = window["intervals"]["accuracy"]
        assert low < window["metrics"]["accuracy"] < high


def test_metrics_since_deployment_outlive_a_change_of_the_spec() -> None:
    stream = traffic(3, labelled=True).send(3)
    outcomes = stream.log.partition.outcomes
    outcomes.watch(("m", ""), control("m", msgspec.structs.replace(SPEC, metrics=["ece"]), None))
    told = stream.send(1).reports("outcomes")[-1]["since_deployment"]
    assert (list(told["metrics"]), told["rests_on"]["pairs"]) == (["ece"], 4 * ROWS)
    outcomes.watch(("m", ""), control("m", msgspec.structs.replace(SPEC, threshold=0.3), None))
    told = stream.send(1).reports("outcomes")[-1]["since_deployment"]
    assert told["rests_on"]["pairs"] == ROWS  # counts of another threshold say nothing of this one
    spec = msgspec.structs.replace(SPEC, threshold=0.3, task="multiclass")
    outcomes.watch(("m", ""), control("m", spec, None))
    told = stream.send(1).reports("outcomes")[-1]["since_deployment"]
    assert (told["rests_on"]["pairs"], told["metrics"]["accuracy"]) == (ROWS, 0)
