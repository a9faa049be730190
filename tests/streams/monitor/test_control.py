"""A new spec or reference takes effect at an offset; what was learned is kept where it holds."""

import json
from typing import Any

import msgspec
import pytest

from tests.streams.monitor.driver import SETTINGS, Driver
from tests.streams.monitor.logs import row
from tests.streams.monitor.traffic import (
    REFERENCE,
    ROWS,
    SPEC,
    Traffic,
    labels_turned,
    new_country,
    traffic,
)
from tidegauge.schemas.monitors import (
    BudgetSpec,
    DetectorSpec,
    EffectSpec,
    FeatureSpec,
    LabelSpec,
    MonitorSpec,
    RetrainingSpec,
    WindowSpec,
)
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import LoggedRecord, OfflineLog, learn_reference
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeMonitor
from tidegauge.streams.monitor.verdict.retraining import Retraining, read_alert


def changed(**fields: Any) -> MonitorSpec:
    return msgspec.structs.replace(SPEC, **fields)


def apply(stream: Traffic, spec: MonitorSpec | None, reference: Reference | None = None) -> None:
    """Journal a change, as the runtime does, and let it take effect."""
    log = stream.log
    change = log.partition.control_change("m", "", choose(spec, reference))
    log.partition.apply_change(change)
    log._publish([change])  # noqa: SLF001 - the offline log has no specs that change


def inputs(stream: Traffic) -> InputMonitor:
    return stream.log.partition.rows["predictions"].monitors["m", ""]


def outcomes(stream: Traffic) -> OutcomeMonitor:
    return stream.log.partition.outcomes.monitors["m", ""]


def states(stream: Traffic, source: str = "predictions") -> list[str]:
    return [report["state"] for report in stream.reports(source)]


def test_another_gate_keeps_what_was_learned_again_and_again() -> None:
    stream = traffic(1, labelled=True).send(REFERENCE + 5)
    learned, profiles = inputs(stream).learned, outcomes(stream).outcomes.learned
    for gate in (0.3, 0.4, 0.5):
        apply(stream, changed(effect=EffectSpec(features=gate, outcomes=gate)))
        stream.send(2)
        assert inputs(stream).learned == learned
        assert outcomes(stream).outcomes.learned == profiles
        watch = inputs(stream).inputs[0].watch
        assert watch is not None
        assert watch.series[0].gate == pytest.approx(gate * watch.series[0].sd)
    assert states(stream)[-6:] == ["provisional"] * 6
    assert states(stream, "outcomes")[-6:] == ["provisional"] * 6


def test_a_spec_that_says_nothing_of_windows_keeps_those_of_what_was_learned() -> None:
    stream = traffic(1, labelled=True).send(REFERENCE + 5)
    apply(stream, changed(windows=None))
    stream.send(2)
    for source in ("predictions", "outcomes"):
        assert states(stream, source)[REFERENCE:] == ["provisional"] * 7
        assert stream.reports(source)[-1]["rows"] == ROWS


def test_what_was_kept_survives_a_snapshot_and_a_further_change() -> None:
    stream = traffic(1, labelled=True).send(REFERENCE + 5)
    apply(stream, changed(effect=EffectSpec(features=0.3)))
    stream.send(2)
    data = stream.log.partition.snapshot()
    stream.log.partition = Partition.restore(0, SETTINGS, data)
    apply(stream, changed(effect=EffectSpec(features=0.4)))
    stream.send(1)
    assert states(stream)[-1] == states(stream, "outcomes")[-1] == "provisional"


@pytest.mark.parametrize(
    "fields",
    [{"windows": WindowSpec(rows=ROWS // 2)}, {"features": {"age": FeatureSpec(type="ignore")}}],
)
def test_other_windows_or_features_are_learned_anew(fields: dict[str, Any]) -> None:
    stream = traffic(2, labelled=True).send(REFERENCE + 5)
    apply(stream, changed(**fields))
    stream.send(5)
    assert states(stream)[-1] == "learning"
    if "windows" in fields:
        assert states(stream, "outcomes")[-1] == "learning"
        assert stream.reports()[-1]["rows"] == ROWS // 2
    else:
        assert "age" not in stream.reports()[-1]["columns"]
        assert states(stream, "outcomes")[-1] == "provisional"
    stream.send(REFERENCE)
    assert states(stream)[-1] == "provisional"


def test_an_open_incident_is_closed_where_the_change_takes_effect() -> None:
    stream = traffic(3, labelled=True).send(REFERENCE + 20)
    stream.send(6, new_country, labels_turned)
    opened = {alert["incident"] for alert in stream.alerts()}
    assert {alert["kind"] for alert in stream.alerts()} == {"quality", "performance"}
    before, last = len(stream.alerts()), stream.alerts()[-1]["told_ms"]
    apply(stream, changed(effect=EffectSpec(features=0.3)))
    stream.send(1)
    closed = stream.alerts()[before:]
    assert [alert["status"] for alert in closed] == ["resolved"] * 2
    assert {alert["incident"] for alert in closed} == opened
    for alert in closed:
        assert alert["title"] == "m: closed, as a new spec or reference holds from here"
        assert alert["told_ms"] == alert["resolved_ms"] >= last  # though its window is empty
        assert alert["evidence"]["last_offset"] == REFERENCE + 25
        assert alert["cooldown_ms"] is None


def test_no_two_windows_share_an_id_though_they_are_counted_anew() -> None:
    stream = traffic(4, labelled=True).send(10)
    for gate in (0.3, 0.4):
        apply(stream, changed(effect=EffectSpec(features=gate)))
        stream.send(10)
    ids = [dict(o.headers)["ce_id"] for o in stream.log.outputs if o.topic == "windows"]
    assert len(ids) == 60
    assert len(set(ids)) == len(ids)


def test_alerts_of_two_partitions_never_share_an_id() -> None:
    ids = []
    for number in (0, 1):
        log = OfflineLog(Lookup([SPEC]), partition=Partition(number, SETTINGS))
        stream = Traffic(log, 5).send(REFERENCE + 20).send(5, new_country)
        ids.append({alert["incident"] for alert in stream.alerts()})
    assert ids[0]
    assert ids[0].isdisjoint(ids[1])


def test_a_published_reference_takes_the_place_of_what_was_learned_and_may_go_again() -> None:
    stream = traffic(6).send(REFERENCE + 5)
    reference = learn_reference(SPEC, "", traffic(7).send(95).records)
    apply(stream, SPEC, reference)
    stream.send(3)
    assert states(stream)[-1] == "watching"
    apply(stream, SPEC)
    stream.send(3)
    assert states(stream)[-1] == "learning"


def test_the_windows_of_a_published_reference_take_precedence() -> None:
    reference = learn_reference(SPEC, "", traffic(7).send(30).records)
    log = OfflineLog(Lookup([changed(windows=WindowSpec(rows=70)), reference]))
    assert {report["rows"] for report in Traffic(log, 8).send(7).reports()} == {ROWS}


def test_a_limit_leaves_alone_what_was_learned_and_another_type_does_not() -> None:
    stream = traffic(6).send(REFERENCE + 5)
    limits = {"amount": {"min": 0}, "country": {"allowed": ["DE", "FR", "PL"]}, "new": {"max": 1}}
    apply(stream, changed(features=msgspec.convert(limits, dict[str, FeatureSpec])))
    stream.send(3)
    report = stream.reports()[-1]
    assert report["state"] == "provisional"
    assert {"limit(amount)", "limit(country)", "rank(amount)"} <= report["series"].keys()
    apply(stream, changed(features={"age": FeatureSpec(type="categorical")}))
    stream.send(3)
    assert states(stream)[-1] == "learning"


def test_limits_hold_beside_a_reference_that_knows_nothing_of_them() -> None:
    limits = {"amount": {"max": 200}, "order": {"required": True}}
    spec = changed(features=msgspec.convert(limits, dict[str, FeatureSpec]))
    reference = learn_reference(SPEC, "", traffic(7).send(95).records)
    stream = Traffic(OfflineLog(Lookup([spec, reference])), 8).send(3)
    (alert,) = stream.alerts()
    assert [alarm["series"] for alarm in alert["series"]] == ["limit(order)"]


def test_a_reference_says_what_its_rows_break() -> None:
    limits = {"amount": {"max": 50}, "age": {"required": True}}
    spec = changed(features=msgspec.convert(limits, dict[str, FeatureSpec]))
    reference = learn_reference(spec, "", traffic(7).send(30).records)
    assert reference.broken == {"limit(amount)": pytest.approx(0.5, abs=0.05)}


def test_a_change_waits_for_its_offset_in_each_source() -> None:
    stream = traffic(8).send(3)
    digest = stream.log.partition.known()["m", ""]
    assert digest == control_digest(SPEC, None)
    spec = changed(effect=EffectSpec(features=0.7))
    change = stream.log.partition.control_change("m", "", choose(spec, None))
    stream.send(2)  # before the journal has it
    stream.log.partition.apply_change(change)
    assert stream.log.partition.known()["m", ""] == control_digest(spec, None)
    assert inputs(stream).control.spec == SPEC
    stream.send(1)
    assert inputs(stream).control.spec == spec


def test_rows_that_wait_for_their_windows_are_not_lost_by_a_change() -> None:
    stream = traffic(9, changed(windows=None)).send(3)
    apply(stream, changed(windows=None, effect=EffectSpec(features=0.7)))
    assert stream.send(8).reports()[0]["rows"] == 500
    assert inputs(stream).observed == 11 * ROWS


def test_pairs_that_wait_for_their_windows_are_not_lost_by_a_change() -> None:
    stream = traffic(9, changed(windows=None)).send(2)
    stream.labelled = True
    stream.send(1)
    assert len(outcomes(stream).waiting.ts_ms) == ROWS
    apply(stream, changed(windows=None, effect=EffectSpec(features=0.7)))
    stream.send(9)
    assert outcomes(stream).observed == 10 * ROWS


def test_a_budget_beyond_all_reason_is_no_fault() -> None:
    stream = traffic(10, changed(false_alarms=BudgetSpec(count=1e9, windows=1)), labelled=True)
    stream.send(REFERENCE + 5)
    assert states(stream)[-1] == states(stream, "outcomes")[-1] == "provisional"


def test_a_reference_that_describes_nothing_is_refused_before_it_is_journaled() -> None:
    empty = Reference(model="m", rows=0, windows=WindowSpec(rows=50), first_ts_ms=0, last_ts_ms=0)
    partition = Partition(0, SETTINGS)
    with pytest.raises(ValueError, match="expected 3 windows or more"):
        partition.control_change("m", "", choose(None, empty))


@pytest.mark.parametrize(
    "parameters", [{"delta": -3.0}, {"unheard_of": 1}, {"delta": "much"}], ids=str
)
def test_a_detector_that_cannot_be_made_is_refused_before_it_is_journaled(
    parameters: dict[str, Any],
) -> None:
    chosen = DetectorSpec(kind="adwin", series=["rank(amount)"], parameters=parameters)
    partition = Partition(0, SETTINGS)
    with pytest.raises(ValueError, match=r"at `\$.detectors\[0\].parameters"):
        partition.control_change("m", "", choose(changed(detectors=[chosen]), None))


def test_a_reference_whose_parts_do_not_fit_is_refused_before_it_is_journaled() -> None:
    good = learn_reference(SPEC, "", traffic(14, labelled=True).send(30).records)
    short = msgspec.structs.replace(good.numeric["amount"], ranks=[0.0, 0.5])
    infinite = msgspec.structs.replace(good.outcomes["loss"], values=[1e308, -1e308, float("inf")])
    bad = [
        msgspec.structs.replace(good, numeric=good.numeric | {"amount": short}),
        msgspec.structs.replace(good, outcomes=good.outcomes | {"loss": infinite}),
        msgspec.structs.replace(good, outcomes={"loss": good.outcomes["loss"]}),
    ]
    partition = Partition(0, SETTINGS)
    for reference in bad:
        with pytest.raises(ValueError, match="a reference that cannot be watched with: "):
            partition.control_change("m", "", choose(None, reference))
    partition.control_change("m", "", choose(None, good))


def test_a_spec_without_retraining_for_drift_asks_for_none() -> None:
    for on, requests in (([], 0), (["critical_drift"], 0), (["drift"], 1)):
        policy = msgspec.convert({"on": on, "cooldown": "30d"}, RetrainingSpec)
        spec = changed(retraining=policy)
        stream = traffic(12, spec).send(REFERENCE + 20)

        def slightly(rows: Any, rng: Any) -> None:
            rows.amount = rows.amount + 4

        stream.send(20, slightly)
        assert stream.alerts()
        assert len(stream.retraining()) == requests, on


def test_one_request_a_cooldown_and_model() -> None:
    spec = changed(retraining=RetrainingSpec(on=("performance",), cooldown="1h"))
    stream = traffic(3, spec, labelled=True).send(REFERENCE + 20).send(10, labels_turned)
    wanting = [o for o in stream.log.outputs if o.topic == "alerts"]
    first = read_alert(wanting[0].value)
    asked = Retraining()
    assert len(asked.fold(first)) == 1
    assert asked.fold(first) == []  # delivered twice
    later = msgspec.structs.replace(first, revision=9, told_ms=first.told_ms + 3_599_999)
    assert asked.fold(later) == []
    assert asked.fold(msgspec.structs.replace(later, model="other")) != []
    labelled = (first.labelled_ms or 0) + 3_600_000
    later = msgspec.structs.replace(later, told_ms=first.told_ms + 3_600_000, labelled_ms=labelled)
    assert asked.fold(later) != []
    assert asked.fold(msgspec.structs.replace(later, status="resolved", told_ms=1 << 42)) == []


def test_the_horizon_of_labels_is_the_specs() -> None:
    log = OfflineLog(Lookup([changed(labels=LabelSpec(horizon="1s"))]))
    stream = Traffic(log, 13, labelled=True).send(3)  # whose labels come a second later
    assert stream.log.partition.join.counts.pairs == 3 * ROWS
    log = OfflineLog(Lookup([changed(labels=LabelSpec(horizon="999ms"))]))
    stream = Traffic(log, 13, labelled=True).send(3)
    assert stream.log.partition.join.counts.pairs == 0


def test_a_change_that_the_journal_holds_takes_effect_in_the_middle_of_a_batch() -> None:
    records = [LoggedRecord(n, n, b"m", row("m", str(n), n, {"a": n % 7}, 0.5)) for n in range(200)]
    owner = Driver({"m": changed(windows=WindowSpec(rows=20))})
    owner.fold("predictions", records[:150])
    owner.change("m", "", changed(windows=WindowSpec(rows=10)))
    heir = Partition(0, SETTINGS)
    heir.read_journal(owner.fed_back["outcomes"])
    folded = heir.fold("predictions", records)
    assert folded.unknown is None
    reports = [json.loads(o.value or b"") for o in folded.outputs if o.topic == "windows"]
    assert [report["rows"] for report in reports] == [20] * 7 + [10] * 5
    assert reports[7]["first_offset"] == 150


def test_two_changes_without_a_row_between_keep_what_was_learned() -> None:
    stream = traffic(1, labelled=True).send(REFERENCE + 5)
    apply(stream, changed(effect=EffectSpec(features=0.3)))
    apply(stream, changed(effect=EffectSpec(features=0.4)))
    stream.send(1)
    assert states(stream)[-1] == "provisional"


def test_changes_do_not_pile_up_in_a_source_that_is_silent() -> None:
    stream = traffic(1).send(1)
    for n in range(20):
        apply(stream, changed(effect=EffectSpec(features=0.2 + n / 100)))
    assert len(stream.log.partition.rows["features"].changes) <= 1
