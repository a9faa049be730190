"""How alike the rows of a window are: values that come together do not each count as a row."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidegauge.streams.monitor.intake.block import Flags, Floats
from tidegauge.streams.monitor.series.base import Unlike
from tidegauge.streams.monitor.series.watched import Watched

Limits = Mapping[str, tuple[float, float]]  # beyond which a number is out of range, by column


class Likeness:
    """How alike the rows of a window are, for the shares of values that are unlike the reference.

    Hours of one day have nearly one temperature. So on a day that is warmer than any of the
    reference they are all out of range, and have told it once, not 24 times. A number's rank knows
    how alike they are: its variance between windows over that of rows (the intraclass correlation).
    Where even the plain mean of a window lies beyond the range, by a quarter of the reference's
    width and as much again, that is no day of this kind, and each row counts.

    Parameters
    ----------
    series
        All that are watched together.
    limits
        Of the numbers among their columns.

    References
    ----------
    Kish (1965), Survey Sampling: the design effect of clusters.
    """

    def __init__(self, series: Sequence[Watched], limits: Limits) -> None:
        means = {one.column: at for at, one in enumerate(series) if one.series.shows_mean}
        self._places = [
            at
            for at, one in enumerate(series)
            if isinstance(one.series, Unlike) and one.column in means
        ]
        self._means = [means[series[at].column] for at in self._places]
        self.correlation = np.zeros(len(series))  # of rows of one window
        for at, mean in zip(self._places, self._means, strict=True):
            reference = series[mean].reference
            if reference is not None:
                between = reference.between**2
                self.correlation[at] = between / max(between + reference.row_variance, 1e-300)
        ends = [limits.get(series[at].column, (-np.inf, np.inf)) for at in self._places]
        low, high = np.array(ends, np.float64).reshape(-1, 2).T
        margin = (high - low) / 6.0  # the limits lie three halves of the width apart
        self._low, self._high = low - margin, high + margin

    def apart(self, shown: Floats) -> Flags:
        """Return of which series the plain mean of the column lies beyond, shape (series,)."""
        found, means = np.zeros(len(shown), np.bool_), shown[self._means]
        found[self._places] = (means < self._low) | (means > self._high)
        return found
