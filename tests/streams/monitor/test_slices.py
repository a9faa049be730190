"""A fault in one slice is told of that slice; one of all rows is not told once more of each."""

from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.traffic import REFERENCE, SPEC, Rows, Traffic, amounts_up, traffic
from tidegauge.schemas.monitors import DetectorSpec, MonitorSpec, SliceSpec
from tidegauge.streams.monitor.effective import effective
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog, learn_reference
from tidegauge.streams.monitor.slices.slicing import MOST_SERIES
from tidegauge.streams.monitor.verdict.cohort import SeriesPart
from tidegauge.streams.monitor.verdict.slice_cohort import MOST_BYTES, PART

SLICES: list[str | SliceSpec] = ["country", SliceSpec(feature="vip", values=[True])]
SLICED = msgspec.structs.replace(SPEC, slices=[*SLICES, SliceSpec(feature="age", quantiles=3)])


def amounts_up_in_poland(rows: Rows, rng: np.random.Generator) -> None:
    """Raise a number in one slice, which shifts that of all rows by less than its gate."""
    rows.amount = rows.amount + 9 * (rows.country == "PL")


def no_age_of_vips(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number be missing in one slice."""
    rows.age[rows.vip.astype(bool)] = None


def no_poland(rows: Rows, rng: np.random.Generator) -> None:
    """Let the rows of a slice become fewer: what comes is that of others."""
    rows.country[(rows.country == "PL") & (rng.random(len(rows.country)) < 0.8)] = "DE"


def started(stream: Traffic) -> list[dict[str, Any]]:
    return [alert for alert in stream.alerts() if alert["status"] == "firing"]


def inputs(stream: Traffic) -> dict[str, SeriesPart]:
    return effective(stream.log.partition)[0].series


def test_a_fault_in_a_slice_is_one_incident_that_names_it_and_is_told_no_other_way() -> None:
    quiet = traffic(1, SPEC).send(REFERENCE + 5).send(15, amounts_up_in_poland)
    assert started(quiet) == []
    stream = traffic(1, SLICED).send(REFERENCE + 5)
    assert stream.alerts() == []
    stream.send(15, amounts_up_in_poland)
    (alert,) = started(stream)
    (alarm,) = alert["series"]
    assert (alarm["series"], alarm["feature"], alarm["slice"]) == (
        "rank(amount | country = PL)", "amount", "country = PL",
    )  # fmt: skip
    assert alarm["value"]["reference"] == pytest.approx(50, abs=2)
    assert alarm["value"]["current"] == pytest.approx(59, abs=2)
    assert "amount where country = PL moved up, from" in alert["title"]
    assert alert["advice"].endswith("Begin where country = PL.")
    stream.send(30)
    assert stream.alerts()[-1]["status"] == "resolved"
    assert "amount where country = PL back within" in stream.alerts()[-1]["title"]


def test_what_moves_all_rows_is_told_of_them_and_slices_only_join() -> None:
    stream = traffic(1, SLICED).send(REFERENCE + 5).send(9, amounts_up)
    told = stream.alerts()
    assert "amount moved up" in told[0]["title"]
    assert not any(" where " in alert["title"] + alert["advice"] for alert in told)
    assert len({alert["incident"] for alert in told}) == 1
    assert "country = DE" in {alarm["slice"] for alarm in told[-1]["series"]}


def test_a_slice_that_comes_less_often_is_told_by_its_share() -> None:
    stream = traffic(1, SLICED).send(REFERENCE + 5).send(10, no_poland)
    assert len(started(stream)) == 1
    alert = stream.alerts()[-1]
    assert "country = PL has fallen from 20% to" in alert["title"]
    assert "Look for the client or the job that sends rows with country = PL" in alert["advice"]


def test_what_is_missing_in_a_slice_is_told_of_it() -> None:
    stream = traffic(1, SLICED).send(REFERENCE + 5).send(5, no_age_of_vips)
    (alert,) = started(stream)
    assert "missing(age | vip = 1)" in {alarm["series"] for alarm in alert["series"]}
    assert "vip = 1" in alert["title"]


def test_reports_have_rows_and_figures_of_each_slice_and_only_series_that_may_have_moved() -> None:
    stream = traffic(1, SLICED).send(REFERENCE + 3)
    report = stream.reports()[-1]
    slices = {one["slice"]: one for one in report["slices"]}
    assert [*slices][:4] == ["country = DE", "country = FR", "country = PL", "vip = 1"]
    assert [*slices][4:] == ["age below 41", "age from 41 to 65", "age of 65 or more"]
    countries = [one["rows"] for name, one in slices.items() if name.startswith("country")]
    assert sum(countries) == report["rows"]
    assert slices["vip = 1"]["means"].keys() == {"amount", "age", "score"}
    own = stream.records[-1][1]
    frame = msgspec.json.decode(own)["features"]
    poles = [a for a, c in zip(frame["amount"], frame["country"], strict=True) if c == "PL"]
    assert slices["country = PL"]["rows"] == len(poles)
    assert slices["country = PL"]["means"]["amount"] == pytest.approx(np.mean(poles))
    assert not any("|" in name for name in report["series"])
    stream.send(15, amounts_up_in_poland)
    assert stream.reports()[-1]["series"]["rank(amount | country = PL)"]["state"] == "firing"


def test_slices_have_a_part_of_the_budget_of_their_own_and_all_parts_add_up() -> None:
    whole = inputs(traffic(1, SPEC).send(REFERENCE + 2))
    parts = inputs(traffic(1, SLICED).send(REFERENCE + 2))
    own = {n: p for n, p in parts.items() if "|" in n or n.startswith("share")}
    budget = sum(part.false_alarms for part in whole.values())
    assert sum(part.false_alarms for part in parts.values()) == pytest.approx(budget)
    assert sum(part.false_alarms for part in own.values()) == pytest.approx(budget * PART)
    assert len({part.false_alarms for part in own.values()}) == 1
    assert parts["rank(amount)"].false_alarms == pytest.approx(
        whole["rank(amount)"].false_alarms * (1 - PART)
    )


def test_what_is_in_force_shows_slices_and_what_was_left_out() -> None:
    spec = msgspec.structs.replace(SPEC, slices=["country", "planet"])
    stream = traffic(1, spec).send(REFERENCE - 1)
    setting = effective(stream.log.partition)[0].settings["slices"]
    assert (setting.value, setting.origin) == (
        [], "spec; not known yet: they follow from the reference",
    )  # fmt: skip
    stream.send(2)
    setting = effective(stream.log.partition)[0].settings["slices"]
    assert setting.value == ["country = DE", "country = FR", "country = PL"]
    assert setting.origin.startswith("spec; left out: the reference has no planet")


def test_no_more_series_are_watched_than_may_be_those_of_the_largest_slices() -> None:
    numbers = {f"x{at}": np.random.default_rng(at).normal(size=2000).tolist() for at in range(40)}
    countries = ["AT", "DE", "DE", "DE"] * 500
    body = {
        "model": "m",
        "ids": [str(at) for at in range(2000)],
        "ts_ms": [*range(2000)],
        "features": {**numbers, "country": countries},
        "predictions": numbers["x0"],
    }
    spec = msgspec.structs.replace(SPEC, slices=["country", "x1"])
    log = OfflineLog(Lookup([spec]))
    log.append("predictions", b"m", msgspec.json.encode(body))
    found = effective(log.partition)[0]
    own = [name for name in found.series if "|" in name or name.startswith("share")]
    assert len(own) == MOST_SERIES
    assert "left out: 308 of 488 series, of the smallest slices" in found.settings["slices"].origin
    assert "share(country = AT)" in own
    assert "rank(x5 | country = DE)" in own
    assert "rank(x5 | x1 of 0.67 or more)" not in own


def test_a_published_reference_has_what_is_to_be_known_of_slices() -> None:
    records = traffic(2, SLICED).send(REFERENCE + 1).records
    reference = learn_reference(SLICED, "", records)
    assert "rank(amount | country = PL)" in reference.slices
    assert len(msgspec.json.encode(reference.slices)) < MOST_BYTES
    stream = Traffic(OfflineLog(Lookup([SLICED, reference])), 3).send(5)
    assert "rank(amount | country = PL)" in inputs(stream)
    stream.send(15, amounts_up_in_poland)
    assert "where country = PL" in started(stream)[0]["title"]


@pytest.mark.parametrize("published", [SPEC, msgspec.structs.replace(SPEC, slices=["age"])])
def test_slices_of_which_a_reference_says_nothing_are_learned_from_the_first_windows(
    published: MonitorSpec,
) -> None:
    records = traffic(2, published).send(REFERENCE + 1).records
    reference = learn_reference(published, "", records)
    stream = Traffic(OfflineLog(Lookup([SLICED, reference])), 3).send(REFERENCE - 1)
    found = effective(stream.log.partition)[0]
    assert not any("|" in name for name in found.series)
    assert found.settings["slices"].origin.startswith("spec; being learned: 39 of 40 windows")
    stream.send(10)
    assert "rank(amount | country = PL)" in inputs(stream)
    stream.send(15, amounts_up_in_poland)
    assert "where country = PL" in started(stream)[0]["title"]


def test_a_detector_may_decide_for_a_series_of_a_slice() -> None:
    name = "rank(amount | country = PL)"
    chosen = DetectorSpec(kind="page_hinkley", series=[name])
    spec = msgspec.structs.replace(SLICED, detectors=[chosen])
    stream = traffic(1, spec).send(REFERENCE + 2)
    assert inputs(stream)[name].decider == "page_hinkley"
