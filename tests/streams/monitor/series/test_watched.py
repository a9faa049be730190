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
