"""Features that have no column yet: null so far, or not there when the model's types were found."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.monitor.intake.rejections import FAULTS

DECISIVE = 20  # values of a feature that is not declared, of which the majority tells its type
# Offsets; a frame of as many rows is always looked at. A prime, so that every model is looked at
# where several take turns.
LOOK_EVERY = 101
NULL = msgspec.Raw(b"null")

Kind = Literal["numeric", "categorical"]


class Shown(msgspec.Struct):
    """How many values a feature without a column has shown."""

    numbers: int = 0
    texts: int = 0

    def add(self, values: Sequence[Any]) -> None:
        """Count values; what no column can hold is none."""
        self.texts += sum(isinstance(value, str) and value != "" for value in values)
        self.numbers += sum(isinstance(value, float | int) for value in values)

    def kind(self, declared: FeatureSpec | None) -> Kind | None:
        """Return what the feature is, None while that is open; a declared type rules.

        >>> Shown(numbers=3).kind(None), Shown(numbers=8, texts=12).kind(None)
        (None, 'categorical')
        """
        seen = self.numbers + self.texts
        if declared is not None:
            said: Kind = "categorical" if declared.type == "categorical" else "numeric"
            return said if seen else None
        if seen < DECISIVE:
            return None
        return "categorical" if self.texts > self.numbers else "numeric"


class _Named(msgspec.Struct):
    features: dict[str, msgspec.Raw] = {}


_NAMED = msgspec.json.Decoder(_Named)


def names_in(value: bytes) -> list[str]:
    """Return the names of all features of a row or a frame."""
    try:
        return list(_NAMED.decode(value).features)
    except FAULTS:  # a name that is no text; what is not watched makes no row unreadable
        return []


def values_in(raw: msgspec.Raw, as_frame: bool) -> Sequence[Any]:
    """Return the values of a feature in a row, or in a frame."""
    try:
        found = msgspec.json.decode(raw)
    except FAULTS:  # as above
        return []
    if as_frame:
        return found if isinstance(found, list) else []
    return [found]
