"""What is remembered of the last windows of a monitor, series by series."""

from collections.abc import Sequence

import msgspec
import numpy as np

from tidegauge.detectors.drift.mixture import WINDOW
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.watched import Watched
from tidegauge.streams.monitor.windows.bounds import Bounds, Start

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
        shape = HISTORY, len(series)
        self._values = np.full(shape, np.nan)
        self._rows = np.zeros(shape)  # on which each value stands
        self._firm = np.full(shape, np.nan)  # what no single row accounts for
        self._shown = np.full(shape, np.nan)

    def remember(
        self, values: Floats, rows: Floats, firm: Floats, shown: Floats, bounds: Bounds
    ) -> None:
        """Take what a closed window says of each series, shape (series,) each."""
        histories = self._values, self._rows, self._firm, self._shown
        for history, newest in zip(histories, (values, rows, firm, shown), strict=True):
            history[:-1] = history[1:]
            history[-1] = newest
        self.starts = [*self.starts, bounds.start][-HISTORY:]

    @property
    def last(self) -> list[float]:
        """The value of each series in the last window, NaN where it had none."""
        found: list[float] = self._values[-1].tolist()
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
        known = np.flatnonzero(~np.isnan(self._values[:, index]))[-count:]
        return self.starts[max(int(known[0]) - HISTORY, -len(self.starts))]

    def rows(self, index: int, count: int) -> float:
        """Return on how many rows the last values stand."""
        return float(self._recent(self._rows, index, count).sum())

    def shown(self, index: int, count: int) -> float:
        """Return the mean of what people are shown for the last values, NaN of none."""
        found, weights = self._recent(self._shown, index, count), self._weights(index, count)
        return float((weights * found).sum() / weights.sum()) if len(found) else np.nan

    def shift(self, index: int, count: int) -> float:
        """Return how far the last values are from the reference without the row that did most."""
        values, weights = self._recent(self._values, index, count), self._weights(index, count)
        if not len(values):
            return float("nan")
        weights = weights / weights.sum()
        shift = float((weights * values).sum()) - self.series[index].mean
        sign = 1.0 if shift > 0 else -1.0
        firm = self._recent(self._firm, index, count)
        most = float((sign * weights * (values - firm)).max())
        return sign * max(abs(shift) - max(most, 0.0), 0.0)

    def is_one_row(self, index: int) -> bool:
        """Return whether the last window is off by the gate and one of its rows does most of it."""
        shift = abs(self._values[-1, index] - self.series[index].mean)
        part = abs(self._values[-1, index] - self._firm[-1, index])
        return bool(shift >= self.series[index].gate and part > shift / 2)

    def _recent(self, history: Floats, index: int, count: int) -> Floats:
        known = history[~np.isnan(self._values[:, index]), index]
        found: Floats = known[max(len(known) - count, 0) :]
        return found

    def _weights(self, index: int, count: int) -> Floats:
        rows, reference = self._recent(self._rows, index, count), self.series[index].reference
        return rows if reference is None else reference.weights(rows)

    def state(self) -> HistoryState:
        """Return what a snapshot needs."""
        histories = self._values, self._rows, self._firm, self._shown
        return HistoryState(self.starts, *(own.tobytes() for own in histories))

    def load(self, state: HistoryState) -> None:
        """Take back the state of as many series."""
        self.starts, shape = state.starts, self._values.shape
        self._values, self._rows, self._firm, self._shown = (
            np.frombuffer(own).reshape(shape).copy()
            for own in (state.values, state.rows, state.firm, state.shown)
        )
