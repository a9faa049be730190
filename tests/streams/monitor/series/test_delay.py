"""What the time from prediction to label tells, and how often it is wrong."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.streams.monitor.series.rows import ROWS_OF_MODEL, SPEC
from tests.streams.monitor.traffic import REFERENCE, Rows, traffic
from tidegauge.streams.monitor.intake.block import NO_IDS, Block, Floats
from tidegauge.streams.monitor.series.delay import Delay
from tidegauge.streams.monitor.series.view import Pairs
from tidegauge.streams.monitor.verdict.monitor import Monitor
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomeCohort
from tidegauge.streams.monitor.windows.outcome_rows import DELAY

LATER = 90  # windows
ROWS = 50
HOUR_MS = 3_600_000


def by_windows(least: int) -> Callable[[Rows, np.random.Generator], NDArray[np.int64]]:
    """Return labels that come so many minutes after their predictions, or one or two more."""
    return lambda rows, rng: least + rng.integers(0, 3, len(rows.score))


def test_labels_that_come_later_than_they_did_are_told_in_units_that_people_know() -> None:
    stream = traffic(1, labelled=True, lateness=by_windows(2)).send(REFERENCE + 20)
    assert stream.alerts() == []
    stream.lateness = by_windows(8)
    stream.send(20)
    (alert,) = [one for one in stream.alerts() if one["revision"] == 1]
    (told,) = alert["series"]
    assert (told["series"], told["direction"], alert["kind"]) == ("delay", "up", "quality")
    assert "after their predictions (reference 2.89 minutes)" in alert["title"]
    assert alert["advice"].startswith("Look at what sends the labels: they come later since")


def test_a_label_that_comes_before_its_prediction_has_no_delay() -> None:
    delays = np.array([-5000.0, 0.0, 1000.0, np.nan])
    found = Delay().quantity(Pairs(delays, delays, "regression", delays))
    assert np.array_equal(found[:, 0], np.log([1, 1, 2, np.nan]), equal_nan=True)


def test_a_published_reference_says_nothing_of_it() -> None:
    own = traffic(3, labelled=True).send(REFERENCE + 5)
    (monitor,) = own.log.partition.outcomes.monitors.values()
    assert "delay" in monitor.outcomes.learned
    learned = own.log.partition.rows["predictions"].monitors["m", ""].learned
    assert learned is not None
    published = msgspec.structs.replace(
        learned, task="classification", outcomes=dict(monitor.outcomes.learned)
    )
    cohort = OutcomeCohort(SPEC, 0.1, 1.0, published)
    assert cohort.watch is not None
    assert "delay" not in [series.name for series in cohort.watch.series]


def told(delays: Floats) -> int:
    """Return how many false alarms there are where windows of labels come so late, in seconds."""
    monitor = Monitor(ROWS_OF_MODEL, SPEC, SPEC.windows, [OutcomeCohort(SPEC, 0.1, 1 / 6, None)])
    windows, rows = delays.shape
    flat: Floats = 1000 * delays.ravel()
    numbers = np.column_stack([np.tile([0.0, 1.0], flat.size // 2), np.full(flat.size, 0.5), flat])
    block = Block(
        np.arange(flat.size), np.repeat(np.arange(windows), rows) * HOUR_MS, NO_IDS, numbers,
        ("label", "score", DELAY), np.empty((flat.size, 0), np.int32), (), (),
    )  # fmt: skip
    alerts: list[Any] = [output.message for output in monitor.fold(block)]
    return sum(alert.status == "firing" and alert.revision == 1 for alert in alerts)


def pareto(rng: np.random.Generator, windows: int) -> Floats:
    """Return delays without a mean: a few come after months."""
    return 600 * (1 + rng.pareto(0.8, (windows, ROWS)))


def two_kinds(rng: np.random.Generator, windows: int) -> Floats:
    """Return delays of seconds where a rule decides, and of days where people do."""
    people = rng.random((windows, ROWS)) < 0.1
    return np.where(
        people, 86_400 * rng.lognormal(1, 1, (windows, ROWS)), rng.random((windows, ROWS))
    )


def batches(rng: np.random.Generator, windows: int) -> Floats:
    """Return delays of labels that leave together, after some hours that are others each time."""
    return rng.gamma(4, 3600, windows)[:, None] + 3600 * rng.random((windows, ROWS))


@pytest.mark.parametrize("made", [pareto, two_kinds, batches])
def test_false_alarms_keep_within_the_budget(
    made: Callable[[np.random.Generator, int], Floats],
) -> None:
    rng = np.random.default_rng(5)
    alarms = [told(made(rng, 35 + LATER)) for _ in range(60)]
    assert sum(alarms) / 60 <= 1 / 6 + 0.05, alarms
