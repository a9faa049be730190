"""What is remembered of the last windows of a monitor, series by series."""

from collections.abc import Sequence

import msgspec
import numpy as np

from tidegauge.detectors.drift.mixture import WINDOW
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.watched import Watched
from tidegauge.streams.monitor.windows.bounds import Bounds, Start

VALUES, ROWS, FIRM, SHOWN = range(4)  # what is kept: FIRM no single row accounts for
KEPT = 4
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
        self._kept[ROWS] = 0.0
        self._oldest = 0  # place of the next window, too

    def remember(
        self, values: Floats, rows: Floats, firm: Floats, shown: Floats, bounds: Bounds
    ) -> None:
        """Take what a closed window says of each series, shape (series,) each."""
        newest = self._kept[:, self._oldest]
        newest[VALUES], newest[ROWS], newest[FIRM], newest[SHOWN] = values, rows, firm, shown
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

    def rows(self, index: int, count: int) -> float:
        """Return on how many rows the last values stand."""
        return float(self._recent(ROWS, index, count).sum())

    def shown(self, index: int, count: int) -> float:
        """Return the mean of what people are shown for the last values, NaN of none."""
        found, weights = self._recent(SHOWN, index, count), self._weights(index, count)
        return float((weights * found).sum() / weights.sum()) if len(found) else np.nan

    def shift(self, index: int, count: int) -> float:
        """Return how far the last values are from the reference without the row that did most."""
        values, weights = self._recent(VALUES, index, count), self._weights(index, count)
        if not len(values):
            return float("nan")
        weights = weights / weights.sum()
        shift = float((weights * values).sum()) - self.series[index].mean
        sign = 1.0 if shift > 0 else -1.0
        firm = self._recent(FIRM, index, count)
        most = float((sign * weights * (values - firm)).max())
        return sign * max(abs(shift) - max(most, 0.0), 0.0)

    def is_one_row(self, index: int) -> bool:
        """Return whether the last window is off by the gate and one of its rows does most of it."""
        value, _, firm, _ = self._kept[:, self._oldest - 1, index]
        shift, part = abs(value - self.series[index].mean), abs(value - firm)
        return bool(shift >= self.series[index].gate and part > shift / 2)

    def _column(self, kept: int, index: int) -> Floats:
        """Return what is kept of a series, from the oldest window on."""
        return np.roll(self._kept[kept, :, index], -self._oldest)

    def _recent(self, kept: int, index: int, count: int) -> Floats:
        known = self._column(kept, index)[~np.isnan(self._column(VALUES, index))]
        found: Floats = known[max(len(known) - count, 0) :]
        return found

    def _weights(self, index: int, count: int) -> Floats:
        rows, reference = self._recent(ROWS, index, count), self.series[index].reference
        return rows if reference is None else reference.weights(rows)

    def state(self) -> HistoryState:
        """Return what a snapshot needs."""
        kept = np.roll(self._kept, -self._oldest, axis=1)
        return HistoryState(list(self.starts), *(own.tobytes() for own in kept))

    def load(self, state: HistoryState) -> None:
        """Take back the state of as many series."""
        self.starts, self._oldest = state.starts, 0
        kept = b"".join([state.values, state.rows, state.firm, state.shown])
        self._kept = np.frombuffer(kept).reshape(self._kept.shape).copy()
