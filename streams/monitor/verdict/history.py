"""What is remembered of the last windows of a monitor, series by series."""

from collections.abc import Sequence

import msgspec
import numpy as np

from tidegauge.detectors.drift.mixture import WINDOW
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.series.watched import Watched
from tidegauge.streams.monitor.verdict.standing import shift
from tidegauge.streams.monitor.windows.bounds import Bounds, Start

# What is kept: FIRM no single row accounts for; the WEIGHT, which follows from the rows, is not
# part of a snapshot.
VALUES, ROWS, FIRM, SHOWN, WEIGHT = range(5)
KEPT = 5
HISTORY = WINDOW + 20  # windows remembered: the detectors' and some without a value


class HistoryState(msgspec.Struct):
    """All of it, for the snapshot; arrays as bytes."""

    starts: list[Start]
    values: bytes
    rows: bytes
    firm: bytes
    shown: bytes


class History:
    """The readings of the last 100 windows, and how far they lie from the reference.

    A ``count`` is of the last windows in which a series had a value, at least 1; a series has the
    index of its place in ``series``.

    Parameters
    ----------
    series
        Whose readings are remembered.
    """

    def __init__(self, series: Sequence[Watched]) -> None:
        self.series = series
        self.starts: list[Start] = []
        self._kept = np.full((KEPT, HISTORY, len(series)), np.nan)  # a ring of windows
        self._kept[[ROWS, WEIGHT]] = 0.0
        self._oldest = 0  # place of the next window, too
        self._means = np.array([own.mean for own in series], np.float64)
        self._referred = np.array([own.reference is not None for own in series], np.bool_)

    def remember(
        self, values: Floats, rows: Floats, firm: Floats, shown: Floats, sd: Floats, bounds: Bounds
    ) -> None:
        """Take what a closed window says of each series, shape (series,) each.

        ``sd`` is that of such values by the reference, NaN where there is none.
        """
        newest = self._kept[:, self._oldest]
        newest[VALUES], newest[ROWS], newest[FIRM], newest[SHOWN] = values, rows, firm, shown
        newest[WEIGHT] = np.where(self._referred, np.nan_to_num(sd**-2.0), rows)
        self._oldest = (self._oldest + 1) % HISTORY
        self.starts.append(bounds.start)
        del self.starts[:-HISTORY]

    @property
    def last(self) -> list[float]:
        """The value of each series in the last window, NaN where it had none."""
        found: list[float] = self._kept[VALUES, self._oldest - 1].tolist()
        return found

    def start(self, since_ms: int) -> Start:
        """Return where the window began that did at ``since_ms``, or the oldest after it.

        Windows are not in the order of their beginnings where a row comes very late.
        """
        exact = (start for start in self.starts if start.first_ts_ms == since_ms)
        after = (start for start in self.starts if start.first_ts_ms > since_ms)
        return next(exact, None) or next(after, self.starts[-1])

    def start_of(self, index: int, count: int) -> Start:
        """Return where the first of the last windows began."""
        known = np.flatnonzero(~np.isnan(self._column(VALUES, index)))[-count:]
        return self.starts[max(int(known[0]) - HISTORY, -len(self.starts))]

    def mean_of(self, usual: Floats, index: int, count: int) -> float:
        """Return the mean of what is usual at the pieces of the week of the last values."""
        known = np.flatnonzero(~np.isnan(self._column(VALUES, index)))[-count:] - HISTORY
        found = [usual[(self.starts[at].slot or 0) % len(usual)] for at in known.tolist()]
        weights = self._recent(WEIGHT, index, count)
        return float((weights * found).sum() / weights.sum()) if found else 0.0

    def rows(self, index: int, count: int) -> float:
        """Return on how many rows the last values stand."""
        return float(self._recent(ROWS, index, count).sum())

    def shown(self, index: int, count: int) -> float:
        """Return the mean of what people are shown for the last values, NaN of none."""
        found, weights = self._recent(SHOWN, index, count), self._recent(WEIGHT, index, count)
        return float((weights * found).sum() / weights.sum()) if len(found) else np.nan

    def shifts(self, counts: int | Ints, means: Floats | None = None) -> Floats:
        """Return how far the last values are from the reference without the row that did most.

        Or from other ``means``, shape (series,); each series may have a count of its own.
        """
        found, each = np.empty(len(self.series)), np.zeros(len(self.series), np.int64)
        newest = (self._oldest - 1) % HISTORY
        shift(found, self._kept, newest, each + counts, self._means if means is None else means)
        return found

    def last_of(self, index: int, count: int) -> tuple[Floats, Floats]:
        """Return the last values and on how many rows each stands."""
        return self._recent(VALUES, index, count), self._recent(ROWS, index, count)

    def refer(self, index: int) -> None:
        """Compare with what stands in ``series`` now; windows get the weights that follow."""
        own, rows = self.series[index], self._kept[ROWS, :, index]
        self._means[index] = own.mean
        weight = rows if own.reference is None else own.reference.weights(rows)
        self._kept[WEIGHT, :, index] = weight

    def is_one_row(self, index: int) -> bool:
        """Return whether the last window is off by the gate and one of its rows does most of it."""
        value, firm = self._kept[[VALUES, FIRM], self._oldest - 1, index]
        shift, part = abs(value - self.series[index].mean), abs(value - firm)
        return bool(shift >= self.series[index].gate and part > shift / 2)

    def _column(self, kept: int, index: int) -> Floats:
        """Return what is kept of a series, from the oldest window on."""
        return np.roll(self._kept[kept, :, index], -self._oldest)

    def _recent(self, kept: int, index: int, count: int) -> Floats:
        known = self._column(kept, index)[~np.isnan(self._column(VALUES, index))]
        found: Floats = known[max(len(known) - count, 0) :]
        return found

    def state(self) -> HistoryState:
        """Return what a snapshot needs."""
        kept = np.roll(self._kept, -self._oldest, axis=1)
        return HistoryState(list(self.starts), *(own.tobytes() for own in kept[:WEIGHT]))

    def load(self, state: HistoryState) -> None:
        """Take back the state of as many series."""
        self.starts, self._oldest = list(state.starts), 0
        kept = b"".join([state.values, state.rows, state.firm, state.shown])
        self._kept[:WEIGHT] = np.frombuffer(kept).reshape(self._kept[:WEIGHT].shape)
        for index in range(len(self.series)):
            self.refer(index)
