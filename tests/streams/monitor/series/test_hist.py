"""What the distribution of a column over bins tells, how it is learned, what leaves it alone."""

from itertools import accumulate

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import bins as oracle
from tests.streams.monitor.series.rows import HOUR_MS, ROWS_OF_MODEL
from tests.streams.monitor.traffic import REFERENCE, ROWS, Rows, traffic
from tidegauge.schemas.alerts import Alert, SeriesAlarm
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.references import Bin
from tidegauge.streams.monitor.intake.block import NO_IDS, Block
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.series.bins import BINS, diverge, tenths_of_windows
from tidegauge.streams.monitor.series.hist import most_moved
from tidegauge.streams.monitor.verdict.alerts import by_size
from tidegauge.streams.monitor.verdict.input_cohort import InputCohort
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState
from tidegauge.streams.monitor.verdict.wording import log_line

LONG = settings(deadline=None, max_examples=200)


@LONG
@given(st.lists(st.integers(0, 3), max_size=12))
def test_a_reading_is_the_mean_over_pairs_of_rows(bins: list[int]) -> None:
    shares, found = [0.5, 0.125, 0.25, 0.125], np.empty((4, 1))
    counts = np.bincount(bins, minlength=BINS).astype(np.float64)[None]
    diverge(found, counts, np.array([shares + [0.0] * (BINS - 4)]))
    value, pairs, low, high = oracle.reading(bins, shares)
    np.testing.assert_allclose(found[:, 0], [value, pairs, low, high], atol=1e-9)


def test_of_a_reference_without_bins_nothing_is_said() -> None:
    found = np.empty((4, 1))
    diverge(found, np.array([[3.0, 4.0]]), np.zeros((1, 2)))
    assert np.isnan(found[0, 0])
    assert found[1, 0] == 0


@LONG
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(-50, 50), st.integers(1, 20), st.booleans()),
            unique_by=lambda point: point[0],
            max_size=8,
        ),
        max_size=3,
    )
)
def test_what_sums_up_a_window_is_spread_over_the_ranks_it_covers(
    windows: list[list[tuple[int, int, bool]]],
) -> None:
    counts, points = np.zeros((len(windows), 10)), [sorted(own) for own in windows]
    flat = [point for own in points for point in [*own, (None, 1, False)]]  # a gap behind each
    ranks = np.array([np.nan if rank is None else rank / 100 for rank, *_ in flat], np.float64)
    weights = np.array([weight for _, weight, _ in flat], np.float64)
    whole = np.array([own for *_, own in flat], np.bool_)
    starts = np.array([0, *accumulate(len(own) + 1 for own in points)], np.int64)
    tenths_of_windows(counts, ranks, weights, whole, starts)
    for window, own in enumerate(points):
        columns = [list(column) for column in zip(*own, strict=True)] or [[], [], []]
        expected = oracle.tenths([rank / 100 for rank in columns[0]], *columns[1:])
        np.testing.assert_allclose(counts[window], expected, atol=0.05)


@pytest.mark.parametrize("rows", [5, 50, 500])
def test_its_mean_is_nought_and_its_variance_known_however_few_the_rows(rows: int) -> None:
    shares = np.array([0.4, 0.3, 0.2, 0.08, 0.02])
    counts = np.random.default_rng(rows).multinomial(rows, shares, 20_000).astype(np.float64)
    found = np.empty((4, len(counts)))
    diverge(found, counts, np.tile(shares, (len(counts), 1)))
    z = found[0] * np.sqrt(found[1] / (len(shares) - 1))
    assert abs(z.mean()) < 0.03  # four standard errors
    assert z.var() == pytest.approx(1.0, abs=0.1)


def windows(rng: np.random.Generator, rows: int, count: int, first: int) -> Block:
    """Return hours of so many rows: a number, another with ties, and a category."""
    total, dictionary = rows * count, Dictionary()
    dictionary.encode([f"v{n}" for n in range(30)])
    numbers = np.column_stack([rng.normal(size=total), rng.poisson(3, total)]).astype(np.float64)
    ts_ms = (first + np.arange(count).repeat(rows)) * HOUR_MS
    codes = rng.geometric(0.2, total).clip(max=30)[:, None].astype(np.int32) - 1
    return Block(ts_ms, ts_ms, NO_IDS, numbers, ("x", "few"), codes, ("kind",), (dictionary,))


def monitor(learned: int) -> tuple[Monitor, InputCohort]:
    """Return a monitor of such rows."""
    spec = MonitorSpec(
        model="m", windows=WindowSpec(every="1h"), reference=ReferenceSpec(windows=learned)
    )
    cohort = InputCohort(spec, 0.2, 1.0, ["x", "few"], ["kind"], None)
    return Monitor(ROWS_OF_MODEL, spec, spec.windows, [cohort]), cohort


@pytest.mark.parametrize("rows", [20, 50, 100, 500, 3000])
def test_windows_of_the_reference_are_as_later_ones_are(rows: int) -> None:
    rng, learned = np.random.default_rng(rows), 60
    live, of_reference = dict[str, list[float]](), dict[str, list[float]]()
    for _ in range(3):
        own, cohort = monitor(learned)
        own.fold(windows(rng, rows, learned + 1, 0))
        assert cohort.learned is not None
        hists = {n: p for n, p in cohort.learned.series.items() if n.startswith("hist")}
        units = {name: np.sqrt(profile.variance or 0.0) for name, profile in hists.items()}
        for hour in range(learned + 1, 2 * learned):
            own.fold(windows(rng, rows, 1, hour))
            for name, unit in units.items():
                value = own.series()[name].value
                assert value is not None
                z = value / unit * np.sqrt(rows * (rows - 1) / 2)
                live.setdefault(name, []).append(float(z))
        for name, profile in hists.items():
            found = np.array(profile.values, np.float64) / units[name] * np.sqrt(profile.rows)
            of_reference.setdefault(name, []).extend(found.tolist())
    assert {*live} == {"hist(x)", "hist(few)", "hist(kind)"}
    for name, own_live in live.items():
        # 180 windows a side: a standard error of 0.11 of the mean, and of 0.06 and more of the sd.
        assert abs(np.mean(own_live) - np.mean(of_reference[name])) < 0.45, name
        assert np.std(of_reference[name]) / np.std(own_live) == pytest.approx(1.0, abs=0.3), name


def two_kinds(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number have two kinds of values, with the same middle and spread."""
    rows.amount = 50 + rng.choice([-1, 1], ROWS) * rng.normal(8, 1, ROWS)


def test_a_number_of_two_kinds_around_the_same_middle_is_told() -> None:
    stream = traffic(1).send(REFERENCE + 20)
    assert stream.alerts() == []
    stream.send(20, two_kinds)
    (told,) = stream.alerts()[0]["series"]
    assert (told["series"], told["direction"]) == ("hist(amount)", "up")
    assert "amount is distributed otherwise: " in stream.alerts()[0]["title"]
    assert " are between " in told["examples"][0]
    assert told["examples"][1].startswith("0% are between 4")  # the middle, that is empty now


def another_mix(rows: Rows, rng: np.random.Generator) -> None:
    """Let one known category come in place of another."""
    rows.country[rows.country == "PL"] = "FR"


def test_a_known_category_in_place_of_another_is_told_but_not_in_the_log() -> None:
    stream = traffic(1).send(REFERENCE + 20).send(20, another_mix)
    (alert,) = [alert for alert in stream.alerts() if alert["revision"] == 1]
    (told,) = alert["series"]
    assert (told["series"], alert["kind"]) == ("hist(country)", "drift")
    grown, shrunk = told["examples"]
    assert grown.endswith("% are FR (reference 29%)")
    assert shrunk.startswith("0% are PL (reference 2")
    assert f"country is distributed otherwise: {grown}" in alert["title"]
    line = log_line(msgspec.convert(alert, Alert))
    assert "country is distributed otherwise, by a divergence of 0." in line
    assert "FR" not in line


@pytest.mark.parametrize("left", [5, 15])
def test_traffic_that_falls_is_no_alert(left: int) -> None:
    rng, (own, cohort) = np.random.default_rng(left), monitor(60)
    own.fold(windows(rng, 50, 61, 0))
    told = [own.fold(windows(rng, left, 1, hour)) for hour in range(61, 151)]
    assert cohort.watch is not None
    assert [outputs for outputs in told if outputs] == []


def test_rare_categories_and_what_is_new_are_one() -> None:
    bins = [Bin(name="a", share=0.9), Bin(name="", share=0.1)]
    assert most_moved(np.array([5.0, 5.0]), bins) == [
        "50% are others (reference 10%)",
        "50% are a (reference 90%)",
    ]


def test_a_divergence_is_as_large_as_the_root_of_its_gates() -> None:
    alarms = [
        msgspec.convert(
            {
                "series": f"{statistic}(x)", "feature": "x", "statistic": statistic,
                "detector": "mixture", "direction": "up", "effect": effect, "gate": 0.2,
                "value": {"reference": 0.0, "current": 1.0}, "since_ms": 0, "told_ms": 0,
            },
            SeriesAlarm,
        )
        for statistic, effect in (("hist", 1.8), ("rank", 0.7), ("spread", 0.4))
    ]  # fmt: skip
    assert [alarm.statistic for alarm in by_size(alarms)] == ["rank", "hist", "spread"]


def test_a_snapshot_of_a_version_that_kept_no_categories_goes_on_learning() -> None:
    rng, (own, cohort) = np.random.default_rng(1), monitor(35)
    own.fold(windows(rng, 20, 11, 0))
    assert cohort.learner is not None
    for window in cohort.learner.windows:
        window.counts = []
    other, after = monitor(35)
    other.load(msgspec.msgpack.decode(msgspec.msgpack.encode(own.state()), type=MonitorState))
    other.fold(windows(rng, 20, 30, 11))
    assert after.learned is not None
    assert after.learned.series["hist(kind)"].values[:10] == [None] * 10
    assert None not in after.learned.series["hist(x)"].values


def test_what_another_series_of_the_feature_says_more_plainly_is_not_told_again() -> None:
    def up(rows: Rows, rng: np.random.Generator) -> None:
        rows.amount = rows.amount + 4

    stream = traffic(1).send(REFERENCE + 20).send(20, up)
    (alert,) = stream.alerts()
    (own,) = stream.log.partition.rows["predictions"].monitors.values()
    (incident,) = own.incidents.open
    assert {*incident.alarms} == {"rank(amount)", "hist(amount)"}
    assert "distributed" not in alert["title"]
