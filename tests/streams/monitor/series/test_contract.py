"""What every series must keep; one that is incomplete is told what it lacks."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.series.contract import CHECKS, STORY, kinds, registered
from tests.streams.monitor.series.rows import KINDS, SPEC, block, learned_profiles, monitor
from tidegauge.schemas.monitors import ReferenceSpec, WindowSpec
from tidegauge.schemas.references import Reference, SeriesProfile
from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.series.base import Series, Share
from tidegauge.streams.monitor.series.error import Error
from tidegauge.streams.monitor.series.range import Range
from tidegauge.streams.monitor.series.rank import Rank
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Numbers, Pairs, Records, View
from tidegauge.streams.monitor.verdict.monitor import MonitorState
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomeCohort


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("statistic", SERIES)
def test_every_series_keeps_the_contract(statistic: str, check: Callable[[Series], None]) -> None:
    assert SERIES[statistic].statistic == statistic
    check(SERIES[statistic])


class Brier(Error):
    """A further series of pairs: nothing but the registry knows it."""

    statistic = "brier"

    def quantity(self, view: View) -> Floats:
        """Return the squared error of each pair."""
        assert isinstance(view, Pairs)
        return (view.labels[:, None] - view.scores[:, None]) ** 2


class Positive(Range):
    """A further share of numbers."""

    statistic = "positive"
    count = Share.count  # by its own flags

    def hits(self, view: View) -> Flags:
        """Return which values are positive."""
        assert isinstance(view, Numbers)
        return view.values > 0


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("further", [Brier(), Positive()], ids=lambda one: one.statistic)
def test_a_further_series_needs_nothing_but_its_file_and_its_line(
    further: Series, check: Callable[[Series], None]
) -> None:
    with registered(further):
        check(further)


@pytest.mark.parametrize("further", [Brier(), Positive()], ids=lambda one: one.statistic)
@pytest.mark.parametrize("learned", [False, True])
def test_what_began_without_a_further_series_goes_on(further: Series, learned: bool) -> None:
    (kind,) = kinds(further)
    rows, old, new = block(kind, *STORY), monitor(kind), monitor(kind)
    cut = len(rows) - 50 if learned else 200
    old.fold(rows.cut(0, cut))
    assert old.is_learning != learned
    state = msgspec.msgpack.encode(old.state())
    with registered(further):
        new.load(msgspec.msgpack.decode(state, type=MonitorState))
        found = new.fold(rows.cut(cut, len(rows)))
    if learned:
        assert found == old.fold(rows.cut(cut, len(rows)))
        assert new.series() == old.series()
    assert new.series().keys() - {further.name(kind.column)}


def test_outcomes_published_before_a_further_series_of_pairs_are_still_compared_with() -> None:
    own = monitor(KINDS[Pairs])
    own.fold(block(KINDS[Pairs], *STORY))
    old = Reference(
        model="m",
        rows=1,
        windows=WindowSpec(every="1h"),
        first_ts_ms=0,
        last_ts_ms=0,
        task="classification",
        outcomes=dict(learned_profiles(own.cohorts[0])),
    )
    spec = msgspec.structs.replace(SPEC, reference=ReferenceSpec(windows=30))
    with registered(Brier()):
        cohort = OutcomeCohort(spec, 0.1, 1.0, old)
    assert cohort.watch is not None
    assert [series.name for series in cohort.watch.series] == ["loss", "error", "label", "score"]


def increasing(self: Series, view: Any) -> Any:
    """Write into what belongs to others."""
    view.values[:] += 1.0
    return view.values


UNIT = SeriesProfile(values=[0.5] * 35, rows=[1.0] * 35, sd=0.0, variance=0.0, shown=0.5)


@pytest.mark.parametrize(
    ("lacks", "told"),
    [
        ({"about": ""}, "say `about`"),
        ({"kind": "weather"}, "kind: got 'weather'"),
        ({"is_share": True}, "a share is a subclass of Share"),
        ({"reads": (Records,)}, "of what is judged against noughts only shares are counted"),
        ({"names_values": True}, "names_rows: the values it names are of rows"),
        ({"reads": (View,)}, r"say in KINDS how rows of \['View'\] are made"),
        ({"name": lambda self, feature: f"broken:{feature}"}, "'broken:x' is read as None"),
        ({"quantity": lambda self, view: view.values[:, 0]}, r"expected \(21, 2\), got \(21,\)"),
        ({"quantity": increasing}, "it changes its input"),
        ({"rows": lambda self, view: view.values / 0.0}, "expected finite numbers, or NaN"),
        (
            {"quantity": lambda self, view: view.values - np.nanmax(view.values, initial=-9.0)},
            "cuts: other bits",
        ),
        (
            {"rows": lambda self, view: view.values - np.nanmax(view.values, initial=-9.0)},
            "cuts: other bits",
        ),
        ({"learn": lambda self, windows: UNIT}, "expected an sd above 0, got 0.0"),
        ({"phrase": lambda self, alarm, context: ""}, "phrase: expected words, got ''"),
        ({"subject": lambda self, feature: f"broken({feature})"}, "has an internal name"),
        (
            {"phrase": lambda self, alarm, context: alarm.feature * 6},
            "phrase: too long for a title",
        ),
        ({"advice": lambda self, alarm: "Look."}, "advice: expected the feature's name in 'Look.'"),
        ({"advice": lambda self, alarm: alarm.feature}, "advice: expected a sentence"),
        ({"advice": lambda self, alarm: f"{alarm.feature * 6}."}, "361 characters"),
    ],
    ids=lambda part: part if isinstance(part, str) else next(iter(part)),
)
@pytest.mark.filterwarnings("ignore:divide by zero")  # one of the broken ones does
def test_a_series_that_is_incomplete_is_told_what_it_lacks(
    lacks: dict[str, Any], told: str
) -> None:
    broken = type("Broken", (Rank,), {"statistic": "broken", **lacks})()
    with registered(broken), pytest.raises(AssertionError, match=told):
        for check in CHECKS:
            check(broken)
