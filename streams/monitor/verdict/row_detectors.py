"""Detectors that a spec lets see rows, for the series they name."""

from collections.abc import Sequence

import numpy as np

from tidegauge.detectors.base import Bank
from tidegauge.detectors.registry import DETECTORS
from tidegauge.schemas.monitors import DetectorSpec
from tidegauge.streams.monitor.windows.figures import Measure, Views


class RowDetectors:
    """Banks of detectors over rows; tells which alarmed since it was last asked.

    Parameters
    ----------
    detectors
        Those of the spec; others than on ``rows`` are not meant.
    measures
        The series of the monitor.

    Examples
    --------
    >>> from tidegauge.streams.monitor.series.view import Pairs
    >>> from tidegauge.streams.monitor.windows.figures import Measures
    >>> measures = Measures({Pairs: ("",)})
    >>> found = RowDetectors([DetectorSpec(kind="adwin", on="rows", series=["loss"])], measures)
    >>> found.update({Pairs: Pairs(np.repeat([0.0, 1.0], 100), np.zeros(200), "regression")})
    >>> [(measures[at].name, detector) for at, detector in found.take().items()]
    [('loss', 'adwin')]
    """

    def __init__(self, detectors: Sequence[DetectorSpec], measures: Sequence[Measure]) -> None:
        self.alarmed: dict[int, str] = {}  # detector, by measure
        self._banks: list[tuple[str, list[int], Bank]] = []
        self._measures = measures
        for spec in detectors:
            chosen = [
                index for index, measure in enumerate(measures) if measure.name in spec.series
            ]
            if spec.on == "rows" and chosen:
                bank = DETECTORS[spec.kind](len(chosen), **spec.parameters)
                self._banks.append((spec.kind, chosen, bank))

    def update(self, views: Views) -> None:
        """Take further rows."""
        for kind, chosen, bank in self._banks:
            columns = [self._measures[index].rows(views) for index in chosen]
            alarms = bank.update(np.stack(columns, axis=1)).any(axis=0)
            self.alarmed |= {chosen[at]: kind for at in np.flatnonzero(alarms)}

    def take(self) -> dict[int, str]:
        """Return which alarmed since it was last asked."""
        found, self.alarmed = self.alarmed, {}
        return found

    def state(self) -> tuple[list[bytes], dict[int, str]]:
        """Return what a snapshot needs."""
        alarmed = dict(sorted(self.alarmed.items()))  # in whatever order batches showed them
        return [bank.snapshot() for *_, bank in self._banks], alarmed

    def load(self, state: tuple[list[bytes], dict[int, str]]) -> None:
        """Take back the state of detectors of the same spec and series."""
        banks, self.alarmed = state
        for (*_, bank), data in zip(self._banks, banks, strict=True):
            bank.restore(data)
