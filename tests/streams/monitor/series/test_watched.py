import numpy as np
import pytest

from tidegauge.schemas.references import SeriesProfile
from tidegauge.streams.monitor.series.rank import Rank
from tidegauge.streams.monitor.series.watched import watch


def test_nights_of_few_rows_that_differ_are_no_shift_when_they_come_again() -> None:
    night = np.arange(72) % 24 < 8
    values, rows = np.where(night, 0.3, 0.0), np.where(night, 20.0, 2000.0)
    profile = SeriesProfile(
        values=values.tolist(), rows=rows.tolist(), sd=0.29, shown=0.0, variance=0.084
    )
    watched = watch(Rank(), "amount", profile, effect=0.2)
    assert watched.reference is not None
    again = np.average(values, weights=watched.reference.weights(rows))
    assert again == pytest.approx(watched.mean)
    assert abs(again) > watched.gate  # by rows the reference's mean is 0: nights are 0.5% of them


@pytest.mark.parametrize(
    ("values", "calm"),
    [
        ([0.0] * 90, 14),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2] * 9, 9),
        ([0.2, -0.2] * 40, 7),
    ],
)
def test_it_is_over_after_as_many_windows_as_the_reference_has_near_its_mean_in_a_row(
    values: list[float], calm: int
) -> None:
    profile = SeriesProfile(values=list(values), rows=[100.0], sd=1.0, shown=0.0, variance=1.0)
    assert watch(Rank(), "amount", profile, effect=0.2).calm == calm
