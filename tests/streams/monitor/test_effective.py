"""What is in force is told with its origin, and parts add up to the budget."""

import msgspec
import pytest

from tests.streams.monitor.traffic import REFERENCE, SPEC, traffic
from tidegauge.schemas.monitors import BudgetSpec, FeatureSpec, WindowSpec
from tidegauge.streams.monitor.effective import effective


def test_a_model_that_nobody_described_has_defaults_and_what_its_rows_say() -> None:
    stream = traffic(1, None, labelled=True).send(3)
    inputs, outcomes = effective(stream.log.partition)
    assert (inputs.model, inputs.source, outcomes.source) == ("m", "predictions", "outcomes")
    assert inputs.settings["windows"].origin == "not known yet: it follows from the first rows"
    assert inputs.settings["false_alarms"].origin == "default"
    assert inputs.series == {}
    stream.send(30 * 10 + 5)
    inputs, outcomes = effective(stream.log.partition)
    assert inputs.settings["windows"].value == WindowSpec(rows=500)
    assert inputs.settings["windows"].origin == "the first rows"
    assert inputs.settings["reference"].origin == "learned from the first windows"
    assert (outcomes.settings["task"].value, outcomes.settings["task"].origin) == (
        "classification", "the pairs",
    )  # fmt: skip


def test_parts_add_up_to_the_budget_of_a_stream_and_the_first_series_have_most() -> None:
    spec = msgspec.structs.replace(SPEC, false_alarms=BudgetSpec(count=2.0))
    stream = traffic(1, spec, labelled=True).send(REFERENCE + 2)
    inputs, outcomes = effective(stream.log.partition)
    assert inputs.settings["false_alarms"].origin == "spec"
    for one, part in ((inputs, 3 / 8), (outcomes, 1 / 2)):
        assert one.settings["budget"].value == pytest.approx(2 * part)
        parts = {name: own.false_alarms for name, own in one.series.items()}
        assert sum(parts.values()) == pytest.approx(2 * part)
    parts = {name: own.false_alarms for name, own in inputs.series.items()}
    first = [own for name, own in parts.items() if name.split("(")[0] in ("rank", "range")]
    assert len(set(first)) == 1
    assert first[0] > 2 * parts["repeat(amount)"]
    for own in inputs.series.values():
        assert own.threshold is not None and own.gate > 0
        assert own.decider == "mixture"


def test_what_a_spec_declares_is_compared_with_no_reference_and_so_none_is_worth_anything() -> None:
    limits = {"amount": FeatureSpec(min=0)}
    spec = msgspec.structs.replace(SPEC, features=limits, checks=["amount > 0"])
    (inputs,) = effective(traffic(1, spec).send(REFERENCE + 2).log.partition)
    declared = {name for name, own in inputs.series.items() if own.is_declared}
    assert declared == {"limit(amount)", "check(amount > 0)"}
    assert {inputs.series[name].worth for name in declared} == {None}
    assert inputs.series["rank(amount)"].worth is not None
