"""What is added up of slices is what going through their rows one slice at a time gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import slices as oracle
from tidegauge.streams.monitor.windows.slice_sums import SliceSums

SLICES, DIMENSIONS, NUMBERS, CATEGORIES = 7, 2, 3, 2


def rows(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the slots, ranks, values and codes of random rows, some of them missing."""
    rng = np.random.default_rng(seed)
    slots = np.stack([rng.integers(-1, 3, count), rng.integers(3, 7, count)], axis=1)
    values = rng.normal(size=(count, NUMBERS)).round(3)
    values[rng.random(values.shape) < 0.2] = np.nan
    codes = rng.integers(-1, 3, (count, CATEGORIES), dtype=np.int32)
    return slots, np.tanh(values) / 2, values, codes


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(0, 40), cut=st.integers(0, 40))
def test_sums_are_those_of_the_rows_of_each_slice_wherever_they_are_cut(
    seed: int, count: int, cut: int
) -> None:
    parts = rows(seed, count)
    whole = SliceSums(SLICES, NUMBERS, CATEGORIES)
    whole.add(*parts)
    slots, ranks, values, codes = (part.tolist() for part in parts)
    counts, known, sums = oracle.add_up(slots, ranks, values, codes, SLICES)
    assert whole.total == count
    assert whole.rows.tolist() == counts
    if count:
        assert whole.known.tolist() == known
        assert whole.sums == pytest.approx(np.array(sums), abs=1e-12)
    pieces = SliceSums(SLICES, NUMBERS, CATEGORIES)
    pieces.add(*(part[:cut] for part in parts))
    again = SliceSums(SLICES, NUMBERS, CATEGORIES)
    again.load(pieces.state())
    again.add(*(part[cut:] for part in parts))
    assert again.state() == whole.state()
