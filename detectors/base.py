"""What every bank of detectors has in common: blocks in, alarms out, snapshots."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidegauge.detectors import snapshots
from tidegauge.detectors.snapshots import Numbers

Parameter = float | int | str
Input = Literal["figures", "numbers", "errors"]


def require(holds: bool, rule: str, got: object) -> None:
    """Raise ValueError, with the rule and what came instead, unless the rule holds."""
    if not holds:
        raise ValueError(f"{rule}, got {got!r}")


def whole(name: str, value: int, least: int) -> int:
    """Return ``value`` if it is a whole number of at least ``least``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None
    require(number >= least, f"{name} must be >= {least}", value)
    return number


class Bank(ABC):
    """One detector over many series, which share its parameters but nothing else.

    A detector is one file with the layout of its state, its kernel and a subclass of this that
    names the detector, says what it takes, counts the fields of its state and calls the kernel.
    New is all zeros.

    What it ``takes`` is some of ``figures`` (one a window, less the reference's mean, in units of
    its spread), ``numbers`` (raw values, in whatever unit) and ``errors`` (0 right, 1 wrong).

    Parameters
    ----------
    width
        Number of series; >= 1.
    fields
        Number of float64 fields in the state of one series.
    parameters
        What a snapshot must agree on before it is accepted.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[Input]]
    layout: ClassVar[int]  # one more whenever the meaning of the snapshot's bytes changes

    def __init__(self, width: int, fields: int, parameters: Mapping[str, Parameter]) -> None:
        self.width: Final = whole("width", width, least=1)
        self.parameters: Final = MappingProxyType(dict(parameters))
        self._state = np.zeros((fields, self.width))

    @abstractmethod
    def _fold(self, block: NDArray[np.float64], alarms: NDArray[np.bool_]) -> None:
        """Call the kernel."""

    @property
    @abstractmethod
    def since_rows(self) -> NDArray[np.float64]:
        """Values since the estimated change behind the latest alarm, shape (width,).

        At least 1 at an alarm, 0 before the first. Missing values are not counted.
        """

    def update(self, block: ArrayLike) -> NDArray[np.bool_]:
        """Take a block of rows, shape (rows, width), NaN where a value is missing.

        Return the alarms, shape (rows, width): True at the value that raised one. A missing value
        leaves its series as it was. Where a stream is cut into blocks changes nothing.

        Raises
        ------
        ValueError
            If the block has another shape, or an infinite value; nothing was folded then.
        """
        rows = np.ascontiguousarray(block, np.float64)
        if np.shape(block) != (len(rows), self.width):
            raise ValueError(
                f"block must have shape (rows, {self.width}), got shape {np.shape(block)}"
            )
        if np.isinf(rows).any():
            row, series = np.argwhere(np.isinf(rows))[0]
            raise ValueError(
                f"block must hold finite values, or NaN where one is missing, "
                f"got {rows[row, series]} in row {row} of series {series}"
            )
        alarms = np.zeros(rows.shape, np.bool_)
        self._fold(rows, alarms)
        return alarms

    def reset(self) -> None:
        """Forget everything, in every series."""
        self._state[:] = 0.0

    def reset_series(self, series: int) -> None:
        """Forget everything about one series, 0 <= ``series`` < ``width``."""
        inside = 0 <= operator.index(series) < self.width
        require(inside, f"series must be >= 0 and < {self.width}", series)
        self._state[:, series] = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the state of all series takes."""
        return self._state.nbytes

    def snapshot(self) -> bytes:
        """Return all that is needed to go on in another process, bit for bit."""
        return snapshots.write(self._identity(), self._pack())

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of a detector that was built in the same way.

        Raises
        ------
        ValueError
            If the bytes are damaged, or come from another detector, other parameters, another
            layout or width; the state is then as it was.
        """
        numbers = snapshots.read(self.name, self._identity(), snapshot)
        state = self._unpack(numbers)
        numbers.end()
        self._state = state

    def _field(self, field: int) -> NDArray[np.float64]:
        """Return a copy of one row of the state, shape (width,)."""
        values: NDArray[np.float64] = self._state[field].copy()
        return values

    def _identity(self) -> dict[str, object]:
        return {
            "detector": self.name,
            "layout": self.layout,
            "parameters": dict(self.parameters),
            "width": self.width,
        }

    def _pack(self) -> bytes:
        return snapshots.packed(self._state)

    def _unpack(self, numbers: Numbers) -> NDArray[np.float64]:
        return numbers.take(*self._state.shape)
