"""What every bank of detectors must keep; a new one needs a line in LIVELY."""

import importlib
import importlib.util
import json
import math
import os
import pkgutil
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidegauge.detectors import drift
from tidegauge.detectors.base import Bank, Input
from tidegauge.detectors.drift.mixture import MixtureEDetector
from tidegauge.detectors.registry import DETECTORS
from tidegauge.detectors.statistics.dependence import Dependence
from tidegauge.schemas.monitors import DetectorSpec

WIDTH = 4
ROWS = 300
REFERENCE = Dependence(90, 0.0, 1.0, 0.0, 0.01, 1.0, 0.0, 0.3, 0.0, 1.0, 2.5)
# Built so that the stream below raises alarms, and a restart is inside every test.
LIVELY: dict[str, Callable[[int], Bank]] = {
    "adwin": lambda width: DETECTORS["adwin"](width, delta=0.2, clock=3),
    "mixture": lambda width: MixtureEDetector([REFERENCE] * width, [1.0] * width, 90.0, window=5),
    "page_hinkley": lambda width: DETECTORS["page_hinkley"](width, min_instances=5, threshold=4.0),
}
for found in pkgutil.iter_modules(drift.__path__, f"{drift.__name__}."):
    importlib.import_module(found.name)
BANKS = {bank.name: bank for bank in Bank.__subclasses__()}
names = pytest.mark.parametrize("name", sorted(BANKS))
few = settings(derandomize=True, deadline=None, max_examples=15)


def lively(name: str, width: int = WIDTH) -> Bank:
    """Return a new detector of that name."""
    return LIVELY[name](width)


def stream(rows: int = ROWS, width: int = WIDTH) -> NDArray[np.float64]:
    """Return series that jump every 40 rows, a tenth of the values missing, seed 7."""
    rng = np.random.default_rng(7)
    levels = rng.normal(scale=4, size=(rows // 40 + 1, width)).repeat(40, axis=0)[:rows]
    values = levels + rng.normal(size=(rows, width))
    values[rng.random(values.shape) < 0.1] = math.nan
    return values


@names
def test_every_detector_has_an_oracle_and_parameters_for_these_tests(name: str) -> None:
    assert importlib.util.find_spec(f"tests.oracles.{name}"), f"write tests/oracles/{name}.py"
    assert name in LIVELY, "add how to build it so that it alarms on stream()"
    assert lively(name).name == name
    assert lively(name).update(stream()).any(axis=0).all()


def test_a_spec_may_name_every_registered_detector_and_no_other() -> None:
    kinds = DetectorSpec.__annotations__["kind"]
    assert sorted(get_args(kinds)) == sorted(DETECTORS)
    assert all(BANKS[name].name == name for name in DETECTORS)


@names
def test_every_detector_says_what_it_takes(name: str) -> None:
    assert BANKS[name].takes, "say which of figures, numbers and errors it takes"
    assert BANKS[name].takes <= set(get_args(Input))


@pytest.mark.parametrize("name", sorted(n for n in DETECTORS if "errors" in BANKS[n].takes))
def test_what_takes_errors_tells_with_its_defaults_when_there_are_more(name: str) -> None:
    chance = np.repeat([0.1, 0.5], [3000, 400])[:, np.newaxis]
    errors = (np.random.default_rng(17).random((3400, 20)) < chance).astype(float)
    alarms = DETECTORS[name](20).update(errors)
    assert not alarms[:3000].any()
    assert alarms[3000:].any(axis=0).all()


@names
def test_since_rows_are_values_that_were_seen_and_none_before_an_alarm(name: str) -> None:
    bank, series = lively(name), stream()
    seen, alarmed = np.zeros(WIDTH), np.zeros(WIDTH, bool)
    for row in range(ROWS):
        before = bank.since_rows
        alarms = bank.update(series[row : row + 1])[0]
        known = ~np.isnan(series[row])
        seen += known
        alarmed |= alarms
        since = bank.since_rows
        assert since.shape == (WIDTH,)
        assert (since[~alarmed] == 0).all() and (since[alarms] >= 1).all()
        assert (since <= seen).all() and (since == since.round()).all()
        assert (since[~known] == before[~known]).all()
    since[:] = -1.0
    assert (bank.since_rows >= 0).all(), "give a copy"
    bank.reset_series(0)
    assert bank.since_rows[0] == 0 and (bank.since_rows[1:] > 0).any()
    bank.reset()
    assert (bank.since_rows == 0).all()


@names
@few
@given(cut=st.integers(0, ROWS))
def test_a_restored_detector_goes_on_bit_for_bit(name: str, cut: int) -> None:
    series = stream()
    first = lively(name)
    first.update(series[:cut])
    second = lively(name)
    second.update(series[::-1])  # a past that must not shine through
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    assert second.update(series[cut:]).tolist() == first.update(series[cut:]).tolist()
    assert second.snapshot() == first.snapshot()


@names
@few
@given(cuts=st.lists(st.integers(0, ROWS), max_size=20))
def test_where_blocks_are_cut_changes_not_one_bit(name: str, cuts: list[int]) -> None:
    whole, parts = lively(name), lively(name)
    alarms = [parts.update(block) for block in np.split(stream(), sorted(cuts))]
    assert np.concatenate(alarms).tolist() == whole.update(stream()).tolist()
    assert parts.snapshot() == whole.snapshot()


@names
def test_series_do_not_see_each_other(name: str) -> None:
    bank = lively(name)
    alarms = bank.update(stream())
    for series in range(WIDTH):
        alone = lively(name, width=1)
        column = stream()[:, [series]]
        assert alone.update(column).tolist() == alarms[:, [series]].tolist()


@names
def test_a_reset_detector_is_a_new_one(name: str) -> None:
    bank = lively(name)
    alarms = bank.update(stream())
    bank.reset()
    assert bank.snapshot() == lively(name).snapshot()
    assert bank.update(stream()).tolist() == alarms.tolist()


@names
def test_resetting_one_series_leaves_the_others(name: str) -> None:
    cleared, skipped = lively(name), lively(name)
    series = stream()
    without = series.copy()
    without[:, 1] = math.nan
    cleared.update(series)
    cleared.reset_series(1)
    skipped.update(without)
    assert cleared.update(series).tolist() == skipped.update(series).tolist()
    assert cleared.snapshot() == skipped.snapshot()


@names
@pytest.mark.parametrize("series", [-1, WIDTH])
def test_a_series_that_is_not_there_cannot_be_reset(name: str, series: int) -> None:
    with pytest.raises(ValueError, match=f"series must be >= 0 and < {WIDTH}, got {series}"):
        lively(name).reset_series(series)


@names
@few
@given(cut=st.integers(0, ROWS))
def test_a_missing_value_leaves_its_series_as_it_was(name: str, cut: int) -> None:
    bank = lively(name)
    bank.update(stream()[:cut])
    before = bank.snapshot()
    alarms = bank.update(np.full((5, WIDTH), math.nan))
    assert not alarms.any()
    assert alarms.shape == (5, WIDTH)
    assert bank.snapshot() == before


@names
@pytest.mark.parametrize(
    "shape", [(), (WIDTH,), (0,), (3, WIDTH + 1), (3, WIDTH - 1), (1, 3, WIDTH)]
)
def test_a_block_of_another_shape_is_refused(name: str, shape: tuple[int, ...]) -> None:
    rule = rf"block must have shape \(rows, {WIDTH}\), got shape \("
    with pytest.raises(ValueError, match=rule):
        lively(name).update(np.zeros(shape))


@names
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_value_is_refused_and_nothing_folded(name: str, value: float) -> None:
    bank = lively(name)
    block = stream()
    block[[7, 9], [2, 0]] = value
    with pytest.raises(ValueError, match=rf"got {value} in row 7 of series 2"):
        bank.update(block)
    assert bank.snapshot() == lively(name).snapshot()


@names
def test_any_layout_of_numbers_in_memory_is_taken(name: str) -> None:
    series = np.where(np.isnan(stream()), 0.0, stream()).round()
    expected = lively(name).update(series).tolist()
    frozen = np.frombuffer(series.tobytes()).reshape(series.shape)
    wide = np.zeros((ROWS, 2 * WIDTH))
    wide[:, ::2] = series
    others = [frozen, wide[:, ::2], np.asfortranarray(series), series.astype(np.float32)]
    for block in (*others, series.astype(np.int64), series.tolist()):
        assert lively(name).update(block).tolist() == expected


@names
def test_an_empty_block_changes_nothing(name: str) -> None:
    bank = lively(name)
    assert bank.update(np.zeros((0, WIDTH))).shape == (0, WIDTH)
    assert bank.snapshot() == lively(name).snapshot()


@names
def test_memory_does_not_grow_with_the_stream(name: str) -> None:
    size = 500 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 5_000
    bank = lively(name)
    noise = np.random.default_rng(11).normal(scale=1e-3, size=(20 * size, WIDTH))
    bank.update(noise[:size])
    early, taken = len(bank.snapshot()), bank.nbytes
    bank.update(noise[size:])
    assert bank.nbytes == taken > 0
    assert len(bank.snapshot()) - early <= 600 * WIDTH  # at most a logarithm of it


@names
def test_a_snapshot_of_something_else_is_refused_with_what_came(name: str) -> None:
    bank = lively(name)
    bank.update(stream())
    before = bank.snapshot()
    head, _, body = before.partition(b"\n")
    identity = json.loads(head)
    parameters = {**identity["parameters"], "delta": 0.125}
    for key, wrong in {
        "detector": "other",
        "layout": 999,
        "width": WIDTH + 1,
        "parameters": parameters,
    }.items():
        other = json.dumps({**identity, key: wrong}).encode() + b"\n" + body
        with pytest.raises(ValueError, match=rf"expected a snapshot with {key} .*, got .*"):
            bank.restore(other)
    assert bank.snapshot() == before


@names
def test_a_damaged_snapshot_is_refused_and_changes_nothing(name: str) -> None:
    bank = lively(name)
    bank.update(stream())
    before = bank.snapshot()
    saved = lively(name)
    saved.update(stream()[:100])
    snapshot = saved.snapshot()
    for damaged in (snapshot[:-1], snapshot[:-8], snapshot + bytes(8), snapshot + b"x"):
        with pytest.raises(ValueError, match=r"snapshot must have .* bytes after its header, got"):
            bank.restore(damaged)
    for damaged in (b"", b"\n", snapshot[3:], snapshot[:20], b"7\n", b"[1]\n", b"\xff\n"):
        with pytest.raises(ValueError, match=f"expected a snapshot of {name}, got"):
            bank.restore(damaged)
    assert bank.snapshot() == before
