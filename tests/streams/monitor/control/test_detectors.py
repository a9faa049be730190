"""A spec that names series which the model can never have is refused, each with its place."""

from typing import Any

import msgspec
import pytest

from tidegauge.detectors.drift.adwin import ADWIN
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.streams.monitor.control.detectors import faults
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Categories, Numbers, Related, View


def spec(features: dict[str, str], *detectors: dict[str, Any]) -> MonitorSpec:
    """Return a spec of these types and detectors, ADWIN where they name none."""
    body = {
        "model": "m",
        "features": {name: {"type": kind} for name, kind in features.items()},
        "detectors": [{"kind": "adwin", **detector} for detector in detectors],
    }
    return msgspec.convert(body, MonitorSpec)


def series(column: str, *views: type[View]) -> list[str]:
    """Return the names that series of these views have, and those without a column."""
    found = [
        (one, bool({*views} & {*one.reads}) and (column != SCORE or one.of_score))
        for one in SERIES.values()
        if one.has_spec
    ]
    own = [one.name(column) for one, is_own in found if is_own]
    return own + [one.name("") for one, _ in found if not one.has_column]


BOTH = ", ".join(series("x", Numbers, Related, Categories))
NUMERIC = ", ".join(series("x", Numbers, Related))
CATEGORICAL = ", ".join(series("x", Categories))
OF_SCORE = ", ".join(series(SCORE, Numbers, Related))
WITHOUT_COLUMN = ", ".join(series(""))


def test_names_are_those_of_the_registry() -> None:
    assert BOTH.startswith("rank(x), range(x), missing(x), unseen(x), ")
    assert (CATEGORICAL[:22], OF_SCORE[:11]) == ("missing(x), unseen(x),", "rank(score)")
    assert WITHOUT_COLUMN.startswith("loss, error")


@pytest.mark.parametrize(
    ("name", "features", "expected"),
    [
        ("unheard_of(x)", {}, BOTH),
        ("rank", {}, BOTH),
        ("loss(x)", {}, BOTH),
        ("rank(x", {}, BOTH),
        ("rank(x)", {"x": "ignore"}, f"{WITHOUT_COLUMN}, as x is declared ignore"),
        (
            "rank(x)",
            {"x": "categorical"},
            f"{CATEGORICAL}, as x is declared categorical",
        ),
        (
            "unseen(x)",
            {"x": "numeric"},
            f"{NUMERIC}, as x is declared numeric",
        ),
        (
            "unseen(x)",
            {"x": "boolean"},
            f"{NUMERIC}, as x is declared boolean",
        ),
        ("missing(score)", {}, OF_SCORE),
        ("unseen(score)", {}, OF_SCORE),
        ("rank(a\\b)", {}, WITHOUT_COLUMN),
        *((name, {}, BOTH) for name in ("rejected", "unpaired", "duplicate", "label", "score")),
    ],
)
def test_a_series_that_the_model_can_never_have_is_refused_with_those_it_may(
    name: str, features: dict[str, str], expected: str
) -> None:
    wrong = spec(features, {"series": ["loss", name]})
    ((path, fault),) = faults(wrong)
    assert path == "$.detectors[0].series[1]"
    assert fault == f"expected one of {expected}; got {name!r}"
    with pytest.raises(ValueError, match=r" - at `\$\.detectors\[0\]\.series\[1\]`$"):
        choose(wrong, None)


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("rank(x)", {}),
        ("rank(a(b))", {}),
        ("unseen(x)", {}),
        ("unseen(x)", {"x": "categorical"}),
        ("missing(x)", {"x": "categorical"}),
        ("range(x)", {"x": "boolean"}),
        ("rank(score)", {}),
        ("loss", {"loss": "ignore"}),
        ("error", {}),
    ],
)
def test_a_series_that_the_model_may_have_is_taken(name: str, features: dict[str, str]) -> None:
    assert [*faults(spec(features, {"series": [name]}))] == []
    assert choose(spec(features, {"series": [name]}), None).spec is not None


@pytest.mark.parametrize(
    ("on", "name", "takes", "told"),
    [
        ("windows", "loss", {"numbers"}, "expected numbers, which adwin takes; got figures of"),
        ("rows", "loss", {"errors"}, "expected errors, which adwin takes; got numbers of 'loss'"),
        ("rows", "missing(x)", {"numbers"}, "expected numbers, which adwin takes; got errors of"),
        ("rows", "missing(x)", {"errors"}, ""),
        ("rows", "rank(x)", {"numbers"}, ""),
        ("windows", "loss", {"figures"}, ""),
    ],
)
def test_a_detector_is_given_what_it_takes(
    on: str, name: str, takes: set[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ADWIN, "takes", frozenset(takes))
    found = [*faults(spec({}, {"on": on, "series": [name]}))]
    assert [path for path, _ in found] == ["$.detectors[0].on"] * bool(told)
    assert all(fault.startswith(told) for _, fault in found)


def test_detectors_of_one_spec_take_a_bounded_amount_of_memory() -> None:
    large = {"series": ["loss"] * 3, "parameters": {"max_buckets": 100_000}}
    ((path, fault),) = faults(spec({}, {"series": ["error"]}, large))
    assert (path, fault) == (
        "$.detectors[1].parameters",
        "expected detectors of 67108864 bytes at most, got 153605888",
    )
