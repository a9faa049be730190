"""Limits that a spec declares: what breaks them is told at once, by value and by offset."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.traffic import REFERENCE, SPEC, Rows, share, traffic
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec
from tidegauge.streams.monitor.intake.block import NO_IDS, Block
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.series import limited
from tidegauge.streams.monitor.series.limit import Limit
from tidegauge.streams.monitor.series.limited import Limited, Limits, matches
from tidegauge.streams.monitor.windows.figures import Figures, Measures

AMOUNT = {"amount": {"min": 0, "max": 100}}


def declaring(**features: dict[str, Any]) -> MonitorSpec:
    return msgspec.structs.replace(SPEC, features=msgspec.convert(features, dict[str, FeatureSpec]))


def block(values: list[float], texts: list[str | None]) -> Block:
    dictionary = Dictionary()
    codes = dictionary.encode(texts).reshape(-1, 1)
    offsets = np.arange(len(values)) + 7
    numbers = np.array(values).reshape(-1, 1)
    return Block(offsets, offsets, NO_IDS, numbers, ("x",), codes, ("c",), (dictionary,))


def negative(rows: Rows, rng: np.random.Generator) -> None:
    """Let some amounts change their sign."""
    mask = share(rng, 0.4)
    rows.amount[mask] = -rows.amount[mask]


def unset(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number go missing in some rows."""
    rows.age[share(rng, 0.5)] = None


NAN = np.nan


@pytest.mark.parametrize(
    ("limits", "broken", "judged"),
    [
        ({"x": {"min": 0, "max": 10}}, [False, True, True, False, False], [1, 1, 1, 1, 0]),
        ({"x": {"max": 10, "required": True}}, [False, False, True, False, True], [1] * 5),
        ({"c": {"allowed": ["DE", "FR"]}}, [False, False, True, True, False], [1, 1, 1, 1, 0]),
        ({"c": {"pattern": "[A-Z]{2}"}}, [False, False, False, True, False], [1, 1, 1, 1, 0]),
        ({"c": {"required": True}}, [False, False, False, False, True], [1] * 5),
        ({"gone": {"required": True}}, [True] * 5, [1] * 5),
        ({"gone": {"min": 0}}, [False] * 5, [0] * 5),
    ],
)
def test_every_limit_is_broken_by_what_it_forbids(
    limits: dict[str, Any], broken: list[bool], judged: list[int]
) -> None:
    rows = block([0.0, -1.0, 11.0, 10.0, NAN], ["DE", "FR", "PL", "de", None])
    own = msgspec.convert(limits, dict[str, FeatureSpec])
    view = Limited({name: Limits(spec) for name, spec in own.items()}, rows)
    assert Limit().hits(view)[:, 0].tolist() == broken
    assert Limit().among(view)[:, 0].astype(int).tolist() == judged


def test_a_value_is_asked_once_a_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    limits = Limits(FeatureSpec(pattern="[A-Z]{2}"))

    def asking(pattern: str, values: list[str]) -> Any:
        asked.extend(values)
        return matches(pattern, values)

    monkeypatch.setattr(limited, "matches", asking)
    dictionary = Dictionary()
    for texts in (["DE", "fr", None], ["fr", "DE"], ["DE", "PL"]):
        found = limits.broken_codes(dictionary.encode(texts), dictionary)
        assert found.tolist() == [text == "fr" for text in texts]
    assert asked == ["DE", "fr", "PL"]


def test_a_pattern_that_stalls_pythons_matcher_does_not_stall_this() -> None:
    assert not matches(r"(a+)+", ["a" * 99 + "!"] * 1000).any()


def test_examples_are_the_first_values_with_their_offsets_wherever_blocks_are_cut() -> None:
    rows = block([1.0, -1.0, -1.0, NAN, 12.0, -3.0, -4.0, -5.0], ["DE"] * 8)
    limits = {"x": FeatureSpec(min=0, max=10, required=True)}
    expected = {
        "limit(x)": [
            "offset 8: -1 is below 0", "offset 9: -1 is below 0", "offset 10: missing",
            "offset 11: 12 is above 10", "offset 12: -3 is below 0",
        ]
    }  # fmt: skip
    for cut in range(9):
        figures = Figures(Measures({Limited: [*limits]}))
        for part in (rows.cut(0, cut), rows.cut(cut, 8)):
            view = Limited({name: Limits(own) for name, own in limits.items()}, part)
            figures.add({Limited: view})
        assert figures.examples == expected


def test_rows_of_one_frame_that_are_alike_are_one_example() -> None:
    rows = block([-1.0] * 9 + [-2.0], ["DE"] * 10)
    rows.offsets[:] = 3
    view = Limited({"x": Limits(FeatureSpec(min=0))}, rows)
    told = list(view.named(0, view.broken[:, 0]))
    assert told == ["offset 3: -1 is below 0", "offset 3: -2 is below 0"]


def test_what_breaks_a_rule_is_told_with_the_first_window_and_names_rows() -> None:
    stream = traffic(1, declaring(**AMOUNT)).send(REFERENCE + 10)
    assert stream.alerts() == []
    stream.send(1, negative)
    (alert,) = stream.alerts()
    alarms = {alarm["series"]: alarm for alarm in alert["series"]}
    told = alarms["limit(amount)"]
    assert (told["detector"], alert["kind"], alert["cooldown_ms"]) == ("blatant", "quality", None)
    assert f"of amount breaks its limits (offset {REFERENCE + 10}: -" in alert["title"]
    assert " is below 0, offset " in alert["title"]
    assert alert["advice"].startswith("Look at the records named and at the source of amount")


def test_a_rule_that_the_reference_breaks_is_told_while_it_is_learned() -> None:
    stream = traffic(1, declaring(**AMOUNT)).send(REFERENCE, negative)
    alert = stream.alerts()[0]
    assert [alarm["series"] for alarm in alert["series"]] == ["limit(amount)"]
    assert not alert["provisional"]  # it stands on no reference
    reports = stream.reports()
    assert [reports[0]["state"], reports[0]["needed"]] == ["learning", REFERENCE]
    assert reports[-1]["series"]["limit(amount)"]["state"] == "firing"
    assert all(alert["status"] == "firing" for alert in stream.alerts())


def test_a_rule_that_holds_is_never_told_though_values_move() -> None:
    def up(rows: Rows, rng: np.random.Generator) -> None:
        rows.amount = rows.amount + 10

    stream = traffic(1, declaring(**AMOUNT)).send(REFERENCE).send(20, up)
    told = {alarm["series"] for alert in stream.alerts() for alarm in alert["series"]}
    assert "rank(amount)" in told and "limit(amount)" not in told


def test_a_required_feature_that_goes_missing_is_told_in_the_first_window() -> None:
    stream = traffic(1, declaring(age={"required": True})).send(REFERENCE).send(1, unset)
    assert "% of age breaks its limits (offset 40: missing)" in stream.alerts()[0]["title"]


def test_a_required_feature_that_never_comes_is_told() -> None:
    stream = traffic(1, declaring(order={"required": True})).send(3)
    assert "100% of order breaks its limits (offset 0: missing)" in stream.alerts()[0]["title"]


def test_a_required_feature_that_comes_by_another_topic_is_not_called_missing() -> None:
    rows = block([1.0, 2.0], ["DE", None])
    own = {"order": Limits(FeatureSpec(required=True))}
    alone = replace(rows, names=("score",), codes=rows.codes[:, :0], categorical=())
    assert Limited(own, rows).broken.all()
    assert not Limited(own, alone).broken.any() and not Limited(own, alone).judged.any()


def test_a_spec_without_limits_has_no_cohort_for_them() -> None:
    stream = traffic(1, declaring(amount={"type": "numeric"})).send(2)
    (monitor,) = stream.log.partition.rows["predictions"].monitors.values()
    assert "DeclaredCohort" not in {type(cohort).__name__ for cohort in monitor.cohorts}
