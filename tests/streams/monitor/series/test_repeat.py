"""What the share of values equal to the row before tells, and nothing else does."""

import msgspec
import numpy as np

from tests.streams.monitor.traffic import REFERENCE, Rows, traffic
from tidegauge.streams.monitor.series.repeat import Repeat
from tidegauge.streams.monitor.series.view import Numbers, Profiles
from tidegauge.streams.monitor.verdict.input_cohort import InputsState
from tidegauge.streams.monitor.verdict.monitor import MonitorState

NAN = np.nan


def stuck(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number keep its value for several rows, by turns: no distribution changes."""
    rows.amount[1::2] = rows.amount[::2]


def test_a_number_that_is_stuck_for_a_row_by_turns_is_told() -> None:
    stream = traffic(1).send(REFERENCE + 20)
    assert stream.alerts() == []
    stream.send(20, stuck)
    alert = stream.alerts()[0]
    (told,) = alert["series"]
    assert (told["series"], told["direction"], alert["kind"]) == ("repeat(amount)", "up", "quality")
    assert "50% of amount equals the row before (reference 0%)" in alert["title"]
    assert alert["advice"].startswith("Check whether the source of amount still gives new values")


def test_a_value_is_compared_across_blocks_and_a_missing_one_with_nothing() -> None:
    values, profiles = (
        np.array([[1.0, 2.0], [1.0, NAN], [NAN, NAN], [1.0, 2.0]]),
        Profiles([None] * 2),
    )
    view = Numbers(["x", "y"], values, profiles, np.array([1.0, NAN]))
    assert Repeat().hits(view).tolist() == [[True, False], [True, False], [False] * 2, [False] * 2]
    assert Repeat().among(view).tolist() == [[True, False], [True, False], [False] * 2, [False] * 2]
    assert [counts.tolist() for counts in Repeat().count(view)] == [[2, 0], [2, 0]]


def test_a_snapshot_of_a_version_without_it_goes_on_learning() -> None:
    stream = traffic(2).send(10)
    (monitor,) = stream.log.partition.rows["predictions"].monitors.values()
    state = monitor.state()
    inputs = state.cohorts[0]
    assert isinstance(inputs, InputsState) and inputs.learner is not None
    inputs.before = b""
    for window in inputs.learner.windows:
        window.direct = b""
    state.window.parts[0].figures = None
    monitor.load(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=MonitorState))
    stream.send(REFERENCE)
    repeat = stream.reports()[-1]["series"]["repeat(amount)"]
    assert repeat["value"] is not None
    assert monitor.learned is not None
    assert monitor.learned.series["repeat(amount)"].values[:10] == [None] * 10
