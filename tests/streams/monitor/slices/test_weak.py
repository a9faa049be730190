"""Slices with a worse loss are found, and where there is none hardly any is told."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles import slices as oracle
from tidegauge.schemas.monitors import SliceSpec
from tidegauge.schemas.references import CategoryProfile
from tidegauge.schemas.windows import WeakSlice
from tidegauge.streams.monitor.slices import weak as sought
from tidegauge.streams.monitor.slices.dimensions import Dimensions
from tidegauge.streams.monitor.slices.weak import LEAST
from tidegauge.streams.monitor.windows.cells import Cells

FEATURES: list[str | SliceSpec] = ["a", "b", "c"]
SHARES = CategoryProfile(shares={f"v{at}": 0.1 for at in range(10)})
DIMENSIONS = Dimensions(FEATURES, {}, {str(name): SHARES for name in FEATURES})


def slots(rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """Return in which slices rows are, some in none of a feature."""
    own = rng.integers(-1, 10, (rows, 3))
    return np.where(own < 0, own, own + np.array([0, 10, 20]))


def weak(slots: NDArray[np.int64], losses: NDArray[np.float64]) -> list[WeakSlice]:
    cells = Cells(30)
    cells.add(slots, losses)
    return sought.weak(cells, DIMENSIONS, 0.1)


def log_losses(
    rng: np.random.Generator, rows: int, scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return losses of a model that is right in its probabilities, ``scale`` times as large."""
    scores = rng.beta(1, 3, rows)
    labels = rng.random(rows) < scores
    found: NDArray[np.float64] = scale * -np.log(np.where(labels, scores, 1 - scores))
    return found


def test_a_slice_and_a_pair_of_slices_with_worse_losses_are_found_with_their_figures() -> None:
    rng = np.random.default_rng(1)
    places, rows = slots(rng, 60_000), 60_000
    bad = (places[:, 0] == 3) | ((places[:, 1] == 14) & (places[:, 2] == 25))
    losses = log_losses(rng, rows, np.where(bad, 2.0, 1.0))
    found = weak(places, losses)
    assert {tuple(own.slices) for own in found} == {("a = v3",), ("b = v4", "c = v5")}
    for own in found:
        inside = places[:, 0] == 3
        if len(own.slices) > 1:
            inside = (places[:, 1] == 14) & (places[:, 2] == 25)
        assert own.pairs == inside.sum()
        assert own.loss == pytest.approx(losses[inside].mean())
        assert own.elsewhere == pytest.approx(losses[~inside].mean())
        assert own.interval[0] < own.worse < own.interval[1]
        assert own.looked_at == 30 + 300


def test_of_few_pairs_nothing_is_said() -> None:
    rng = np.random.default_rng(2)
    places = slots(rng, 5 * LEAST)
    losses = np.where(places[:, 0] == 3, 50.0, 1.0)
    assert weak(places, losses) == []
    assert weak(places[:0], losses[:0]) == []


@pytest.mark.parametrize("rows", [3_000, 30_000])
def test_of_shuffled_labels_at_most_one_report_in_twenty_tells_a_weak_slice(rows: int) -> None:
    rng, told, runs = np.random.default_rng(3), 0, 200
    for _ in range(runs):
        told += bool(weak(slots(rng, rows), log_losses(rng, rows, np.ones(rows))))
    assert told / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5


def test_intervals_hold_in_most_reports_where_slices_do_differ() -> None:
    rng, held, runs, rows = np.random.default_rng(4), 0, 200, 10_000
    for _ in range(runs):
        places = slots(rng, rows)
        scale = np.where(places[:, 0] == 3, 1.5, 1.0)
        found = [own for own in weak(places, log_losses(rng, rows, scale)) if len(own.slices) == 1]
        usual = 0.5 * LOSS
        held += all(low <= usual <= high for low, high in (own.interval for own in found))
    assert held / runs >= 0.95 - 2 * (0.05 * 0.95 / runs) ** 0.5


LOSS = float(log_losses(np.random.default_rng(5), 4_000_000, np.ones(4_000_000)).mean())


@pytest.mark.parametrize("cut", [0, 1, 77, 500])
def test_where_pairs_are_cut_changes_no_bit(cut: int) -> None:
    rng = np.random.default_rng(6)
    places, losses = slots(rng, 500), rng.exponential(size=500)
    losses[::9] = np.nan
    whole, pieces = Cells(30), Cells(30)
    whole.add(places, losses)
    pieces.add(places[:cut], losses[:cut])
    again = Cells(30)
    again.load(pieces.state())
    again.add(places[cut:], losses[cut:])
    assert again.state() == whole.state()


def test_sums_are_those_of_the_rows_that_two_slices_have_in_common() -> None:
    rng = np.random.default_rng(7)
    places, losses = slots(rng, 200), rng.exponential(size=200)
    cells = Cells(30)
    cells.add(places, losses)
    table = np.frombuffer(cells.state())[3:].reshape(3, 30, 30)
    for one, other in product(range(30), repeat=2):
        if one // 10 > other // 10 or (one // 10 == other // 10 and one != other):
            assert table[0, one, other] == 0
            continue
        own = oracle.in_common(places.tolist(), losses.tolist(), one, other)
        assert table[:, one, other] == pytest.approx(own)
