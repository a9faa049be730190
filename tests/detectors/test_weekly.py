"""Does what follows the week come off, and is what does not left alone? Against scipy."""

import numpy as np
import pytest
from scipy import stats

from tidegauge.detectors.statistics.weekly import weekly

SEED = 20261127


@pytest.mark.parametrize(("count", "weeks"), [(7, 8), (7, 13), (24, 10), (168, 8)])
@pytest.mark.parametrize("size", [0.0, 0.5, 2.0])
def test_the_test_is_the_analysis_of_variance(count: int, weeks: int, size: float) -> None:
    rng, pieces = np.random.default_rng(SEED), np.arange(count * weeks) % count
    values = rng.normal(size=count * weeks) + size * np.sin(pieces)
    values[rng.random(count * weeks) < 0.05] = np.nan
    found = weekly(values, pieces, count)
    assert found is not None
    groups = [values[(pieces == piece) & ~np.isnan(values)] for piece in range(count)]
    expected = stats.f_oneway(*groups)
    p_value = expected.pvalue if expected.statistic > 1 else 1.0  # else nothing is between them
    assert found.p_value == pytest.approx(p_value, abs=0.003)


def test_a_mean_of_as_many_each_is_shrunk_by_one_less_the_reciprocal_of_f() -> None:
    pieces = np.arange(70) % 7
    values = np.random.default_rng(SEED).normal(size=70) + 0.8 * (pieces > 4)
    found = weekly(values, pieces, 7)
    assert found is not None
    groups = [values[pieces == piece] for piece in range(7)]
    shrunk = 1 - 1 / stats.f_oneway(*groups).statistic
    assert found.mean == pytest.approx(values.mean())
    offsets = [shrunk * (group.mean() - values.mean()) for group in groups]
    assert found.offsets == pytest.approx(offsets)


def test_the_reference_varies_as_much_as_later_windows_do() -> None:
    rng, pieces, kept, later = np.random.default_rng(SEED), np.arange(56) % 7, [], []
    for _ in range(400):
        values = rng.normal(size=112) + 5.0 * np.sin(np.arange(112) % 7)
        found = weekly(values[:56], pieces, 7)
        assert found is not None
        kept.append(found.adjusted.std())
        later.append((values[56:] - found.offsets[pieces]).std())
    assert np.mean(kept) == pytest.approx(np.mean(later), rel=0.04)  # with itself 0.93


def test_a_missing_value_stays_missing_and_a_piece_without_values_has_no_offset() -> None:
    pieces = np.arange(80) % 8
    values = np.where(pieces % 2, 1.0, 0.0) + np.random.default_rng(SEED).normal(0, 0.1, 80)
    values[pieces == 3] = np.nan
    found = weekly(values, pieces, 8)
    assert found is not None
    assert found.offsets[3] == 0.0
    assert np.isnan(found.adjusted).tolist() == np.isnan(values).tolist()


def test_what_never_changes_within_a_piece_is_taken_off_wholly() -> None:
    pieces = np.arange(70) % 7
    found = weekly(pieces.astype(np.float64), pieces, 7)
    assert found is not None
    assert (found.explained, found.p_value) == (1.0, 0.0)
    assert found.adjusted == pytest.approx(np.full(70, 3.0))


def test_what_never_changes_at_all_is_left_alone() -> None:
    found = weekly(np.ones(70), np.arange(70) % 7, 7)
    assert found is not None
    assert (found.explained, found.p_value, bool(found.offsets.any())) == (0.0, 1.0, False)


@pytest.mark.parametrize("windows", [0, 1, 13])
def test_of_too_few_values_nothing_is_said(windows: int) -> None:
    assert weekly(np.arange(windows, dtype=np.float64), np.arange(windows) % 7, 7) is None
