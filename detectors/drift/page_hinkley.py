"""Page-Hinkley test for a change of the mean, over many series at once."""

from typing import ClassVar, Final

import numpy as np
from numba import float64
from numpy.typing import NDArray

from tidegauge.detectors._jit import ALARMS, BLOCK, STATE, kernel
from tidegauge.detectors.base import Bank, Input, Parameter, require, whole

# Rows of the state. UP and DOWN are the two cusums, LOWEST and HIGHEST their extrema, the *_AT
# the counts at which these were reached; KEPT is how far back the latest alarm put its change.
COUNT, MEAN, UP, LOWEST, LOWEST_AT, DOWN, HIGHEST, HIGHEST_AT, KEPT, DETECTIONS, ALARMED = range(11)
FIELDS: Final = 11
MODES: Final = ("up", "down", "both")


@kernel(STATE, BLOCK, ALARMS, float64, float64, float64, float64, float64)
def fold(
    state: NDArray[np.float64],
    block: NDArray[np.float64],
    alarms: NDArray[np.bool_],
    min_instances: float,
    delta: float,
    alpha: float,
    threshold_up: float,
    threshold_down: float,
) -> None:
    """Fold block[row, series] into state; set alarms[row, series]."""
    for series in range(block.shape[1]):
        count, mean = state[COUNT, series], state[MEAN, series]
        up, lowest, lowest_at = state[UP, series], state[LOWEST, series], state[LOWEST_AT, series]
        down, highest = state[DOWN, series], state[HIGHEST, series]
        highest_at, alarmed = state[HIGHEST_AT, series], state[ALARMED, series]
        for row in range(block.shape[0]):
            value = block[row, series]
            if np.isnan(value):
                continue
            if alarmed != 0.0:  # late, so that until now all could be read as the alarm saw it
                count = mean = up = lowest = lowest_at = 0.0
                down = highest = highest_at = alarmed = 0.0
            # From here the order of operations is River's: another one changes the last bits.
            count += 1.0
            mean += (1.0 / count) * (value - mean)
            deviation = value - mean
            up = alpha * up + deviation - delta
            down = alpha * down + deviation + delta
            if up <= lowest:  # of equal ones the latest, as nothing has moved between them
                lowest, lowest_at = up, count
            if down >= highest:
                highest, highest_at = down, count
            if count < min_instances:
                continue
            rose = up - lowest > threshold_up
            if rose or highest - down > threshold_down:
                alarms[row, series] = True
                alarmed = 1.0
                state[KEPT, series] = count - (lowest_at if rose else highest_at)
                state[DETECTIONS, series] += 1.0
        state[COUNT, series], state[MEAN, series] = count, mean
        state[UP, series], state[LOWEST, series], state[LOWEST_AT, series] = up, lowest, lowest_at
        state[DOWN, series], state[HIGHEST, series] = down, highest
        state[HIGHEST_AT, series], state[ALARMED, series] = highest_at, alarmed


class PageHinkley(Bank):
    """Tell whether the mean of a series has moved from what it was, by more than ``delta``.

    Alarms are those of ``river.drift.PageHinkley``, to the row. A series starts afresh with the
    first value after its alarm; until then its numbers can be read as the alarm saw them. Rows are
    taken to be independent: on dependent ones false alarms are the rule.

    Parameters
    ----------
    width
        Number of series; >= 1.
    min_instances
        Values to see before the first alarm; >= 1.
    delta
        Deviation from the mean that does not matter, in the unit of the series; >= 0.
    threshold
        Alarm level (the paper's lambda), in the unit of the series times rows; > 0.
    alpha
        What is kept of the cumulative sum at each value; > 0 and <= 1, where 1 never forgets.
    mode
        Alarm when the mean goes "up", "down", or for "both".

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Page (1954), Continuous inspection schemes, Biometrika 41. The forgetting by ``alpha`` and the
    running mean in place of a known one are River's, not the paper's.

    Examples
    --------
    >>> import numpy as np
    >>> detector = PageHinkley(width=1, min_instances=5, delta=0.1, threshold=2.5)
    >>> block = np.array([[0.0]] * 5 + [[2.0]] * 2)
    >>> np.flatnonzero(detector.update(block)[:, 0]).tolist()
    [6]
    >>> detector.since_rows.tolist()  # the first 2.0 came two rows ago
    [2.0]
    """

    name: ClassVar[str] = "page_hinkley"
    takes: ClassVar[frozenset[Input]] = frozenset({"figures", "numbers", "errors"})
    layout: ClassVar[int] = 1

    def __init__(
        self,
        width: int,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 1 - 0.0001,
        mode: str = "both",
    ) -> None:
        whole("min_instances", min_instances, least=1)
        require(0 <= delta < np.inf, "delta must be finite and >= 0", delta)
        require(0 < threshold < np.inf, "threshold must be finite and > 0", threshold)
        require(0 < alpha <= 1, "alpha must be > 0 and <= 1", alpha)
        require(mode in MODES, f"mode must be one of {MODES}", mode)
        parameters: dict[str, Parameter] = {
            "min_instances": min_instances,
            "delta": delta,
            "threshold": threshold,
            "alpha": alpha,
            "mode": mode,
        }
        super().__init__(width, FIELDS, parameters)
        threshold_up = np.inf if mode == "down" else threshold
        threshold_down = np.inf if mode == "up" else threshold
        self._arguments = (min_instances, delta, alpha, threshold_up, threshold_down)

    @property
    def count(self) -> NDArray[np.float64]:
        """Values seen since the series started, or started afresh; shape (width,)."""
        return self._field(COUNT)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of these values, shape (width,); 0 before the first."""
        return self._field(MEAN)

    @property
    def statistic_up(self) -> NDArray[np.float64]:
        """Rise of the cumulative sum above its minimum, shape (width,)."""
        return self._field(UP) - self._field(LOWEST)

    @property
    def statistic_down(self) -> NDArray[np.float64]:
        """Fall of the cumulative sum below its maximum, shape (width,)."""
        return self._field(HIGHEST) - self._field(DOWN)

    @property
    def detections(self) -> NDArray[np.float64]:
        """Alarms so far, shape (width,)."""
        return self._field(DETECTIONS)

    @property
    def since_rows(self) -> NDArray[np.float64]:
        """Values since the change behind the latest alarm, shape (width,); 0 before any.

        The change is put where the cumulative sum that raised the alarm had its extremum, the
        classic estimate. Missing values are not counted.
        """
        after = np.where(self._field(ALARMED) > 0, 0.0, self._field(COUNT))
        return np.where(self._field(DETECTIONS) > 0, self._field(KEPT) + after, 0.0)

    def _fold(self, block: NDArray[np.float64], alarms: NDArray[np.bool_]) -> None:
        fold(self._state, block, alarms, *self._arguments)
