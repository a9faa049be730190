"""A model that becomes worse in one slice, or treats one otherwise, is told of that slice."""

from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.traffic import REFERENCE, SPEC, Rows, Traffic, traffic
from tidegauge.schemas.monitors import MonitorSpec, SliceSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.streams.monitor.effective import effective
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.verdict.outcome_slices import PART

SLICED = msgspec.structs.replace(
    SPEC, slices=["country", SliceSpec(feature="age", quantiles=3)], threshold=0.3
)


def poles_turned(rows: Rows, rng: np.random.Generator) -> None:
    """Let labels say the opposite in one slice."""
    rows.label = np.where(rows.country == "PL", 1 - rows.label, rows.label)


def poles_favoured(rows: Rows, rng: np.random.Generator) -> None:
    """Let the scores of one slice rise, and the labels with them."""
    own = rows.country == "PL"
    rows.score = np.where(own, 0.4 + 0.6 * rows.score.astype(float), rows.score).astype(object)
    rows.label = np.where(own, rng.random(len(own)) < rows.score.astype(float), rows.label)


def all_turned(rows: Rows, rng: np.random.Generator) -> None:
    """Let labels say the opposite everywhere."""
    rows.label = 1 - rows.label


def told(stream: Traffic) -> list[dict[str, Any]]:
    return [a for a in stream.alerts() if a["evidence"]["topic"] == "labels"]


def run(spec: MonitorSpec, *faults: Any, windows: int = 20) -> Traffic:
    stream = traffic(1, spec, labelled=True).send(REFERENCE + 10)
    assert told(stream) == []
    return stream.send(windows, *faults)


def test_a_loss_that_rises_in_a_slice_is_told_of_it() -> None:
    found = told(run(SLICED, poles_turned))
    assert "where country = PL the model's log loss went from" in found[-1]["title"]
    assert "Begin where country = PL." in found[-1]["advice"]
    names = {alarm["series"]: alarm["slice"] for alarm in found[-1]["series"]}
    assert names["loss(country = PL)"] == "country = PL"
    assert len({alert["incident"] for alert in found}) == 1


def test_a_loss_that_rises_everywhere_is_told_of_all_rows() -> None:
    for alert in told(run(SLICED, all_turned)):
        assert "where country" not in alert["title"]
        assert "where age" not in alert["title"]


def test_a_rate_that_leaves_that_of_other_rows_is_told() -> None:
    found = told(run(SLICED, poles_favoured, windows=30))
    titles = " ".join(alert["title"] for alert in found)
    assert "the selection rate where country = PL lies" in titles
    assert "above that of other rows (reference" in titles


def test_reports_have_the_metrics_of_each_slice_with_their_intervals() -> None:
    stream = traffic(1, SLICED, labelled=True).send(REFERENCE)
    assert stream.reports("outcomes")[-1]["outcome_slices"] == []
    stream.send(2)
    report = stream.reports("outcomes")[-1]
    own = {one["slice"]: one for one in report["outcome_slices"]}
    assert [*own][:3] == ["country = DE", "country = FR", "country = PL"]
    frame = msgspec.json.decode(stream.records[-2][1])
    label = msgspec.json.decode(stream.records[-1][1])
    country, score = (np.array(c) for c in (frame["features"]["country"], frame["predictions"]))
    true = np.array(
        [dict(zip(label["ids"], label["labels"], strict=True))[i] for i in frame["ids"]]
    )
    here, said = country == "DE", score >= 0.3
    assert own["country = DE"]["pairs"] == here.sum()
    expected = {
        "error": (true - score)[here].mean(),
        "accuracy": (said == true)[here].mean(),
        "selection rate": said[here].mean(),
        "tpr": said[here & (true == 1)].mean(),
        "fpr": said[here & (true == 0)].mean(),
        "loss": -np.log(np.where(true == 1, score, 1 - score))[here].mean(),
    }
    assert own["country = DE"]["metrics"] == pytest.approx(expected)
    for metric, (low, high) in own["country = DE"]["intervals"].items():
        assert low < expected[metric] < high
    gaps = {gap["metric"]: gap for gap in report["gaps"] if gap["feature"] == "country"}
    rates = [one["metrics"]["selection rate"] for n, one in own.items() if n.startswith("country")]
    assert gaps["selection rate"]["value"] == pytest.approx(max(rates) - min(rates))
    low, high = gaps["selection rate"]["interval"]
    assert low <= gaps["selection rate"]["value"] <= high


def test_the_parts_of_the_budget_add_up() -> None:
    both = [
        effective(traffic(1, spec, labelled=True).send(REFERENCE + 2).log.partition)[1].series
        for spec in (SPEC, SLICED)
    ]
    whole, parts = (sum(part.false_alarms for part in own.values()) for own in both)
    assert parts == pytest.approx(whole)
    slices = [own.false_alarms for name, own in both[1].items() if "=" in name or "age" in name]
    assert sum(slices) == pytest.approx(whole * PART)


def pairs(stream: Traffic) -> list[Outcomes]:
    entries = [read_entry(o.value) for o in stream.log.outputs if o.topic == "outcomes"]
    return [entry for entry in entries if isinstance(entry, Outcomes)]


def test_the_journal_has_the_values_that_rows_are_sliced_by() -> None:
    stream = traffic(1, SLICED, labelled=True).send(12)
    frames = [msgspec.json.decode(value) for source, value in stream.records if source != "labels"]
    sent = {
        id_: (country, age)
        for frame in frames
        for id_, country, age in zip(
            frame["ids"], frame["features"]["country"], frame["features"]["age"], strict=True
        )
    }
    for entry in pairs(stream):
        for id_, *values in zip(entry.ids, *entry.slices.values(), strict=True):
            assert tuple(values) == sent[id_]
    assert pairs(stream)[-1].slices.keys() == {"country", "age"}


@pytest.mark.parametrize("slices", [["vip", "country"], ["vip"], []])
def test_what_waits_when_a_spec_slices_otherwise_is_in_no_slice(slices: list[str]) -> None:
    stream = traffic(1, SLICED, labelled=True, lateness=lambda rows, rng: np.ones(50, np.int64))
    stream.send(12)
    other = msgspec.structs.replace(SLICED, slices=slices)
    stream.log.lookup = Lookup([other])
    stream.log.take_up("m", "")
    stream.send(2)
    before, after = pairs(stream)[-2:]
    assert [*before.slices] == [*after.slices] == slices
    for feature in slices:
        assert {*before.slices[feature]} == {None}
        assert None not in after.slices[feature]


def test_a_slice_with_a_worse_loss_is_named_in_reports() -> None:
    stream = traffic(1, SLICED, labelled=True).send(REFERENCE + 2)
    assert stream.reports("outcomes")[-1]["weak_slices"] == []
    stream.send(30, poles_turned)
    (found,) = stream.reports("outcomes")[-1]["weak_slices"]
    assert found["slices"] == ["country = PL"]
    assert found["loss"] > found["elsewhere"] + found["interval"][0]
    assert found["interval"][0] > 0
