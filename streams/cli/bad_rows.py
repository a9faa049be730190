"""Which rows of a file cannot be used, and why: told with the first of each kind."""

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tidegauge.streams.cli.options import note
from tidegauge.streams.runtime.errors import ConfigurationError

Bools = NDArray[np.bool_]
SHOWN = 60  # characters of a value
REASONS = 5  # told of a file


class BadRows:
    """The rows of a file that cannot be used.

    Parameters
    ----------
    rows
        How many rows the file has.

    Examples
    --------
    >>> bad = BadRows(4)
    >>> bad.add(np.array([False, True, False, True]), "score", "a number", ["1", "x", "2", "y"])
    >>> bad.reasons
    ["column 'score': expected a number, got 'x' in row 2 and 1 more"]
    """

    def __init__(self, rows: int) -> None:
        self.mask: Bools = np.zeros(rows, np.bool_)
        self.reasons: list[str] = []

    def __len__(self) -> int:
        """Return how many rows there are."""
        return int(self.mask.sum())

    def add(self, rows: Bools, column: str, expected: str, values: Any) -> None:
        """Add the rows of a mask; ``values`` are what the column has, in the order of the file."""
        found = np.flatnonzero(rows & ~self.mask)
        if len(found):
            value = shown(values[int(found[0])])
            self._tell(found, f"column {column!r}: expected {expected}, got {value}")

    def add_rejected(self, reasons: dict[int, str]) -> None:
        """Add rows that a worker would reject, each with the worker's reason."""
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, reason in reasons.items():
            rows[reason].append(row)
        for reason, found in rows.items():
            self._tell(np.array(found), f"a worker would reject: {reason},")

    def _tell(self, found: NDArray[np.intp], told: str) -> None:
        self.mask[found] = True
        more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
        self.reasons.append(f"{told} in row {found[0] + 1:,}{more}")


def settle(bad: BadRows, bad_labels: BadRows, skip: bool) -> None:
    """Tell which rows and labels are left out, or refuse the file.

    Raises
    ------
    ConfigurationError
        If there are any, unless ``skip`` is set and some rows are left.
    """
    told = [
        f"{len(found):,} of {len(found.mask):,} rows{what} cannot be used: "
        + "; ".join(found.reasons[:REASONS])
        for found, what in ((bad, ""), (bad_labels, "' labels"))
        if len(found)
    ]
    if told and (not skip or bad.mask.all()):
        end = "no row is left" if skip else "mend the file, or leave these out with --skip-bad"
        raise ConfigurationError("\n".join([*told, f"nothing was sent: {end}"]))
    for line in told:
        note(f"left out: {line}")


def shown(value: Any) -> str:
    """Return a cell as people are shown it.

    >>> shown("x"), shown(None), shown("y" * 100)[-6:]
    ("'x'", 'nothing', 'yyy...')
    """
    if isinstance(value, pa.Scalar):  # Python has no times beyond the year 9999, and no nanoseconds
        times = pa.types.is_temporal(value.type)
        value = value.cast(pa.string()).as_py() if times else value.as_py()
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
