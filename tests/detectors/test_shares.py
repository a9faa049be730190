import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.detectors.statistics.shares import row_variance


@given(st.lists(st.booleans(), max_size=200))
def test_it_is_the_variance_of_the_rows_with_two_hits_and_two_misses_more(
    rows: list[bool],
) -> None:
    more = np.array([*rows, True, True, False, False])
    assert math.isclose(row_variance(sum(rows), len(rows)), more.var())


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_was_never_seen_is_possible_and_hits_and_misses_are_alike(
    hits: int, misses: int
) -> None:
    found = row_variance(hits, hits + misses)
    assert 0 < found <= 0.25
    assert math.isclose(found, row_variance(misses, hits + misses), rel_tol=1e-6)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("rows", [5, 20, 5000])
def test_a_windows_share_has_that_variance_and_a_mean_that_no_traffic_moves(
    share: float, rows: int
) -> None:
    shares = np.random.default_rng(20261126).binomial(rows, share, size=100_000) / rows
    variance = row_variance(share * 1e9, 1e9) / rows
    error = math.sqrt(variance / shares.size)
    assert abs(shares.mean() - share) < 4 * error
    assert shares.var() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize(("hits", "rows"), [(-1, 5), (6, 5), (math.nan, 5), (1, math.nan)])
def test_more_hits_than_rows_are_refused(hits: float, rows: float) -> None:
    with pytest.raises(ValueError, match=r"hits must be >= 0 and <= rows, got .* of "):
        row_variance(hits, rows)
