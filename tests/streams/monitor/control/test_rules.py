"""Rules that cannot be are refused, each with its place and what was expected there."""

from typing import Any

import msgspec
import pytest

from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec
from tidegauge.streams.monitor.control.faults import faults
from tidegauge.streams.monitor.dry_run import choose


def spec(**fields: Any) -> MonitorSpec:
    return msgspec.convert({"model": "m", **fields}, MonitorSpec)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, "expected a type or a limit"),
        ({"type": "categorical", "min": 0}, "min: expected a feature of type numeric, got type"),
        (
            {"type": "boolean", "max": 1},
            "max: expected a feature of type numeric, got type boolean",
        ),
        ({"type": "numeric", "allowed": ["a"]}, "allowed: expected a feature of type categorical"),
        ({"type": "numeric", "pattern": "a"}, "pattern: expected a feature of type categorical"),
        ({"min": 0, "pattern": "a"}, "pattern: expected .* got min, which is for numeric ones"),
        ({"type": "ignore", "required": True}, "required: expected a feature of type numeric or"),
        ({"min": 2, "max": 1}, "min: expected at most max, which is 1.0, got 2"),
        ({"allowed": []}, "Expected `array` of length >= 1"),
        ({"allowed": ["a" * 101]}, "Expected `str` of length <= 100"),
        ({"allowed": [7]}, "Expected `str`, got `int`"),
        ({"pattern": "a" * 201}, "Expected `str` of length <= 200"),
        ({"min": 1e300}, "Expected `float` <= 1e"),
    ],
)
def test_limits_that_a_feature_cannot_have_are_refused(limits: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(limits, FeatureSpec)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"min": 0}, "numeric"),
        ({"max": 0, "required": True}, "numeric"),
        ({"allowed": ["DE"]}, "categorical"),
        ({"pattern": "[A-Z]"}, "categorical"),
        ({"required": True}, None),
        ({"type": "boolean", "required": True}, "boolean"),
    ],
)
def test_a_type_follows_from_limits(limits: dict[str, Any], kind: str | None) -> None:
    own = spec(features={"x": limits})
    assert own.features["x"].kind == kind
    assert own.types == ({} if kind is None else {"x": FeatureSpec(type=kind)})


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("end >= start", ""),
        ("score > 0 or country == 'DE'", ""),
        ("end > start and", "expected a comparison such as end >= start, got invalid syntax at"),
        ("country > 5", "expected a text, got '5' at character 11, as the features are declared"),
        ("amount > 'x'", "expected a number, got \"'x'\" at character 10, as the features are"),
        ("session == 'x'", "expected columns that are watched, got 'session', which is ignored"),
    ],
)
def test_a_check_that_cannot_be_is_refused_with_its_place(check: str, told: str) -> None:
    types = {"country": "categorical", "amount": "numeric", "session": "ignore"}
    features = {name: {"type": own} for name, own in types.items()}
    found = [*faults(spec(features=features, checks=["amount >= 0", check]))]
    assert [path for path, _ in found] == ["$.checks[1]"] * bool(told)
    assert all(fault.startswith(told) for _, fault in found)


def test_a_category_has_no_gate_in_a_unit_of_numbers() -> None:
    own = spec(
        features={"country": {"allowed": ["DE"]}},
        effect={"by": {"country": {"absolute": 5}, "c*": {"absolute": 5}}},
    )
    assert [*faults(own)] == [
        ("$.effect.by.country", "expected share or sd, as the feature is categorical")
    ]


def test_rows_are_sliced_by_a_feature_once() -> None:
    assert [*faults(spec(slices=["a", "b", {"feature": "a", "values": [1]}]))] == [
        ("$.slices[2]", "expected each feature once, got 'a' again")
    ]


def test_a_check_stands_once() -> None:
    assert [*faults(spec(checks=["a > 0", "b > 0", "a > 0"]))] == [
        ("$.checks[2]", "expected each check once, got 'a > 0' again")
    ]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("[A-Z", "expected a pattern of RE2, got '[A-Z': missing ]: [A-Z"),
        (")(", "expected a pattern of RE2, got ')(': unexpected ): )("),
        ("a(?=b)", "expected a pattern of RE2, got 'a(?=b)': invalid perl operator: (?="),
        (r"(a)\1", r"expected a pattern of RE2, got '(a)\\1': invalid escape sequence: \1"),
        ("(a?){1,101}", "expected repetitions up to 100, as no value is longer; got '(a?){1,101}'"),
        (r"v\Q1", r"expected a pattern of RE2, got 'v\\Q1': missing ): \A(?:v\Q1)\z"),
        ("a{101,}", "expected repetitions up to 100, as no value is longer; got 'a{101,}'"),
        ("((a?){6}){6}", "expected groups repeated 30 times at most in all; got '((a?){6}){6}'"),
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", ""),
        ("a{100}", ""),
        ("a{2,}", ""),
    ],
)
def test_a_pattern_that_re2_does_not_have_is_refused(pattern: str, told: str) -> None:
    own = spec(features={"code": {"pattern": pattern}})
    found = [*faults(own)]
    assert found == ([("$.features.code.pattern", told)] if told else [])
    if told:
        with pytest.raises(ValueError, match=r"at `\$.features.code.pattern`"):
            choose(own, None)
