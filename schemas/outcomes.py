"""The journal ``outcomes``: pairs of prediction and label, fences of owners, control changes.

It writes down what no input log holds: in which order two topics met, which worker owned the
partition, and at which offset a spec or a reference took effect.
"""

import msgspec

from schemas.monitors import MonitorSpec
from schemas.references import Reference


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, tag="outcomes", tag_field="kind"):
    """Predictions that met their labels, as columns; each pair is written once."""

    epoch: int  # of the owner that wrote it
    sequence: int  # counts this owner's records; a lower or equal one is a second delivery
    model: str
    version: str
    ids: list[str]
    ts_ms: list[int]  # when the label became known
    prediction_ts_ms: list[int]
    predictions: list[float]
    labels: list[float]
    prediction_offsets: list[int]
    label_offsets: list[int]


class Fence(msgspec.Struct, frozen=True, kw_only=True, tag="fence", tag_field="kind"):
    """A new owner of the partition: what lower epochs append after this is void."""

    epoch: int


class ControlChange(msgspec.Struct, frozen=True, kw_only=True, tag="control", tag_field="kind"):
    """From these offsets on, a model version is watched with this spec and this reference.

    For outcomes it takes effect where it stands in this log.
    """

    epoch: int
    sequence: int
    model: str
    version: str
    spec: MonitorSpec | None = None  # None: the defaults
    reference: Reference | None = None  # None: learned from the first rows
    predictions_offset: int
    features_offset: int
    spread: bool = False  # whether its first record had another key than the model


JournalEntry = Outcomes | Fence | ControlChange
