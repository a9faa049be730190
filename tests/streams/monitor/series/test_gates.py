"""Gates in a column's own unit: what they are of each series, and that they decide."""

from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.traffic import REFERENCE, SPEC, Rows, share, traffic
from tidegauge.schemas.monitors import EffectSpec, GateSpec
from tidegauge.schemas.references import NumericProfile, SeriesProfile
from tidegauge.streams.monitor.effective import effective
from tidegauge.streams.monitor.series.gates import least_effect
from tidegauge.streams.monitor.series.moved import rank_shift, spread_shift
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Profiles
from tidegauge.streams.monitor.verdict.learning import mid_ranks

USUAL = SeriesProfile(values=[0.0] * 90, sd=0.25, shown=0.0, rows=[500.0], variance=0.1)


def profile(values: Any) -> NumericProfile:
    """Return the profile of values, as a reference has it."""
    points, ranks = mid_ranks(np.sort(values), np.ones(len(values)))
    return NumericProfile(
        points=points.tolist(), ranks=ranks.tolist(), mean=float(np.mean(values)),
        sd=float(np.std(values)), low=float(np.min(values)), high=float(np.max(values)),
    )  # fmt: skip


RNG = np.random.default_rng(11)
MANY = {
    "normal": RNG.normal(50, 10, 20_000),
    "skewed": RNG.lognormal(3, 1, 20_000),
    "hours": RNG.integers(0, 24, 20_000).astype(np.float64),
}


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("by", [1.0, 2.0, 5.0, 30.0])
def test_a_shift_of_all_values_by_the_gate_moves_the_mean_rank_by_its_gate(
    name: str, by: float
) -> None:
    """To a tenth, or half a point of ranks: profiles have 201 points; hours are whole numbers."""
    values, own = MANY[name], profile(MANY[name])
    ranks = Profiles([own]).ranks
    shifts = [abs(float(ranks((values + off)[:, None]).mean())) for off in (by, -by)]
    expected = min(*shifts, 0.45)
    assert rank_shift(own, by) == pytest.approx(expected, rel=0.1, abs=0.005)


@pytest.mark.parametrize("positive", [1000, 3])
@pytest.mark.parametrize("part", [0.01, 0.2, 0.5])
def test_of_a_flag_the_gate_is_a_share_of_rows(part: float, positive: int) -> None:
    flag = profile(np.repeat([0.0, 1.0], [9000, positive]))
    rank_of_one = flag.ranks[1] - flag.ranks[0]
    assert rank_shift(flag, part) == pytest.approx(part * rank_of_one, rel=0.01)


def test_a_constant_reference_knows_no_gate_in_its_unit() -> None:
    assert rank_shift(profile(np.full(100, 7.0)), 1.0) == pytest.approx(0.45)


def test_spread_moves_by_what_values_do_that_lie_farther_from_their_middle() -> None:
    own, values = profile(MANY["normal"]), MANY["normal"] - 50
    ranks = Profiles([own]).ranks
    near = 50 + np.sign(values) * np.maximum(np.abs(values) - 4, 0)
    far = 50 + values + 4 * np.sign(values)
    here, *moved = (float(np.abs(ranks(v[:, None])).mean()) for v in (values + 50, near, far))
    expected = min(abs(mean - here) for mean in moved)
    assert spread_shift(own, 4.0) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("series", "gate", "found"),
    [
        ("rank", {}, 0.2),
        ("rank", {"sd": 0.5}, 0.5),
        ("rank", {"absolute": 5}, pytest.approx(rank_shift(profile(MANY["normal"]), 5) / 0.25)),
        ("rank", {"share": 0.1}, 0.2),
        ("missing", {"share": 0.1}, pytest.approx(0.4)),
        ("missing", {"absolute": 5}, 0.2),
        ("missing", {"sd": 0.5, "share": 0.1}, pytest.approx(0.4)),
        ("hist", {"absolute": 0.1}, 0.2),  # no less than usual
        (
            "hist",
            {"absolute": 10},
            pytest.approx(4.6, rel=0.1),
        ),  # of a normal, (e^1 - 1) / 0.25 less what tenths hide
        ("residual", {"absolute": 10}, pytest.approx(0.27**2 / 0.25, rel=0.1)),
        ("residual", {"absolute": 0.01}, pytest.approx(0.2)),
        ("loss", {"absolute": 0.05}, pytest.approx(0.2)),
        ("error", {"absolute": 0.05}, pytest.approx(0.2)),
        ("volume", {"absolute": 0.05}, pytest.approx(0.2)),
    ],
)
def test_what_a_spec_says_of_a_column_is_the_gate_of_its_series(
    series: str, gate: dict[str, float], found: Any
) -> None:
    column = "amount" if SERIES[series].has_column else ""
    said = msgspec.convert({"by": {column or series: gate}} if gate else {}, EffectSpec)
    numeric = profile(MANY["normal"]) if column else None
    assert least_effect(said, SERIES[series], column, USUAL, numeric, 0.2) == found


def test_a_name_goes_before_patterns_and_the_first_of_these_before_others() -> None:
    gates = {"a*": GateSpec(sd=1), "*": GateSpec(sd=2), "amount": GateSpec(sd=3)}
    said = EffectSpec(by=gates)
    assert [said.of(name) for name in ("amount", "age", "loss")] == [
        gates["amount"], gates["a*"], gates["*"],
    ]  # fmt: skip
    assert EffectSpec().of("amount") is None


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ({}, "expected absolute, share or sd"),
        ({"absolute": 5, "sd": 1}, "expected either absolute or sd"),
        ({"share": 1.5}, "<= 1"),
        ({"absolute": 0}, "> 0"),
    ],
)
def test_a_gate_says_one_thing_of_each_series(gate: dict[str, float], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(gate, GateSpec)


def by_four(rows: Rows, rng: np.random.Generator) -> None:
    """Raise all amounts by 4."""
    rows.amount = rows.amount + 4


def gone(rows: Rows, rng: np.random.Generator) -> None:
    """Let a twentieth of the countries go missing."""
    rows.country[share(rng, 0.05)] = None


@pytest.mark.parametrize(("absolute", "told"), [(8.0, False), (2.0, True)])
def test_a_shift_is_told_from_the_gate_on(absolute: float, told: bool) -> None:
    effect = EffectSpec(by={"amo*": GateSpec(absolute=absolute)})
    stream = traffic(1, msgspec.structs.replace(SPEC, effect=effect))
    stream.send(REFERENCE + 10).send(40, by_four)
    alarms = {alarm["series"] for alert in stream.alerts() for alarm in alert["series"]}
    assert ("rank(amount)" in alarms) == told
    inputs = effective(stream.log.partition)[0]
    assert inputs.series["rank(amount)"].asked == f"absolute {absolute:g}"
    assert inputs.series["rank(age)"].asked == inputs.series["missing(amount)"].asked == ""


@pytest.mark.parametrize(("part", "told"), [(0.2, False), (0.02, True)])
def test_a_share_is_told_from_its_gate_on(part: float, told: bool) -> None:
    effect = EffectSpec(by={"country": GateSpec(share=part)})
    stream = traffic(1, msgspec.structs.replace(SPEC, effect=effect))
    stream.send(REFERENCE + 10).send(40, gone)
    assert bool(stream.alerts()) == told
