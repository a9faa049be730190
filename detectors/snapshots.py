"""Snapshots that say what they are: one line of JSON, then the numbers of a state."""

import json
import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

NUMBERS: Final = np.dtype("<f8")  # in a snapshot, whatever the machine


class Numbers:
    """The numbers of a snapshot, taken one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._taken = 0

    def take(self, *shape: int) -> NDArray[np.float64]:
        """Return a new array of the next numbers."""
        start, self._taken = self._taken, self._taken + math.prod(shape) * NUMBERS.itemsize
        self._check(len(self._body) >= self._taken)
        part = np.frombuffer(self._body[start : self._taken], NUMBERS)
        return part.astype(np.float64).reshape(shape)

    def end(self) -> None:
        """Raise ValueError if not all was taken."""
        self._check(len(self._body) == self._taken)

    def _check(self, holds: bool) -> None:
        if not holds:
            raise ValueError(
                f"snapshot must have {self._taken} bytes after its header, got {len(self._body)}"
            )


def packed(numbers: NDArray[np.float64]) -> bytes:
    """Return the bytes of ``numbers``, the same on every machine."""
    return numbers.astype(NUMBERS, copy=False).tobytes()


def write(identity: Mapping[str, object], body: bytes) -> bytes:
    """Return a snapshot: what it is of, then its numbers."""
    return json.dumps(dict(identity), sort_keys=True).encode() + b"\n" + body


def read(name: str, identity: Mapping[str, object], snapshot: bytes) -> Numbers:
    """Return the numbers of a snapshot of ``name`` that agrees with ``identity``.

    Raises
    ------
    ValueError
        If the bytes have no header, or one that says something else.
    """
    head, _, body = snapshot.partition(b"\n")
    try:
        came = dict(json.loads(head))
    except (ValueError, TypeError):
        raise ValueError(
            f"expected a snapshot of {name}, got {len(snapshot)} bytes without its header"
        ) from None
    for key, expected in identity.items():
        if came.get(key) != expected:
            raise ValueError(
                f"expected a snapshot with {key} {expected!r}, got {came.get(key)!r}; "
                f"restore into what was built as the saved one"
            )
    return Numbers(body)
