"""The usual range of a number over windows."""

import numpy as np

from tidegauge.streams.monitor.verdict.strays import ranges_of_others, usual_range


def test_windows_without_a_value_say_nothing_of_the_range_of_the_others() -> None:
    lows, highs = np.array([0.0, np.nan, 1.0, 2.0]), np.array([9.0, np.nan, 8.0, 10.0])
    assert usual_range(lows, highs) == (0.0, 10.0)
    assert ranges_of_others(lows, highs) == [
        (1.0, 10.0), (0.0, 10.0), (0.0, 10.0), (0.0, 9.0)
    ]  # fmt: skip
