"""The journal ``outcomes``: pairs, counts, owners' fences, control changes, gaps, poison, ticks.

It writes down what no input log holds: in which order two topics met, which worker owned the
partition, at which offset a spec or a reference took effect, what a log has lost, and what time it
was when nothing came.
"""

from typing import Annotated, Literal

import msgspec

from tidegauge.schemas.events import Count, Finite, Millis, Name, Version
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference

MAX_TALLY = 2**53  # sums of several fit into 64 bits
Tally = Annotated[int, msgspec.Meta(ge=0, le=MAX_TALLY)]


OF_CLASSES = ("classes", "label_classes", "probabilities")  # columns that may be empty


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, tag="outcomes", tag_field="kind"):
    """Predictions that met their labels, as columns; each pair is written once."""

    epoch: Count  # of the owner that wrote it
    sequence: Count  # counts this owner's records; a lower or equal one is a second delivery
    model: Name
    version: Version
    ids: list[str]
    ts_ms: list[Millis]  # when the label became known
    prediction_ts_ms: list[Millis]
    predictions: list[Finite]
    labels: list[Finite]
    prediction_offsets: list[Count]
    label_offsets: list[Count]
    # Empty where no prediction and no label is a class. A class has its probability as prediction,
    # 1 where none was said, and as label whether it is right: 1 or 0.
    classes: list[str | None] = []
    label_classes: list[str | None] = []
    probabilities: list[Finite | None] = []  # of the label's class, where predictions say it
    # Of every class, where predictions say them and the spec asks for metrics of them.
    class_probabilities: dict[str, list[Finite | None]] = {}
    slices: dict[str, list[Finite | str | None]] = {}  # of features by which the spec slices rows

    def __post_init__(self) -> None:
        """All columns have a value for each pair, or it is no entry that we wrote."""
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        columns = {name: column for name, column in own.items() if isinstance(column, list)}
        lengths = {len(c) for name, c in columns.items() if c or name not in OF_CLASSES}
        lengths |= {len(column) for column in self.class_probabilities.values()}
        lengths |= set(map(len, self.slices.values()))
        if len(lengths) != 1:
            raise ValueError(f"expected columns of equal length, got {sorted(lengths)}")


class LabelCounts(msgspec.Struct, kw_only=True):
    """What became of a model's labels; a label counts once, in one of those that say so."""

    labels: Tally = 0
    paired: Tally = 0  # with the prediction of one version at least
    duplicate: Tally = 0  # the id had a label already, of the same value
    corrected: Tally = 0  # the id had a label already, of another value
    beyond_horizon: Tally = 0  # of every prediction with its id
    unpaired: Tally = 0  # found no prediction with its id
    late: Tally = 0  # of the two before: paired after all
    forgotten: Tally = 0  # labels without a prediction that are waited for no more
    other_key: Tally = 0  # whose record had another key than the model


class LabelReport(msgspec.Struct, frozen=True, kw_only=True, tag="labels", tag_field="kind"):
    """What became of a model's labels up to an offset, since the first one.

    Written after every 100 labels or more, at the end of a record. One that does not reach beyond
    the last one taken is a second report of the same labels.
    """

    epoch: Count
    sequence: Count
    model: Name
    last_offset: Count  # of ``labels``
    timestamp_ms: Millis  # latest of the records' own
    counts: LabelCounts
    predictions: bool  # whether this partition has had predictions of the model
    id: str = ""  # of the latest label without a prediction
    key: str = ""  # the latest that was not the model, cut
    label_ts_ms: Millis = 0  # of the latest label beyond the horizon
    prediction_ts_ms: Millis = 0  # and of its prediction
    first_ts_ms: Millis = 0  # earliest event time of the labels since the report before


class Corrections(msgspec.Struct, frozen=True, kw_only=True, tag="corrections", tag_field="kind"):
    """Labels that correct an earlier one of the same id, as columns; each is written once."""

    epoch: Count
    sequence: Count
    model: Name
    ids: list[str]
    ts_ms: list[Millis]
    labels: list[Finite]  # 0 of a class
    label_classes: list[str | None] = []  # empty where none is a class
    label_offsets: list[Count]

    def __post_init__(self) -> None:
        """All columns have a value for each label, or it is no entry that we wrote."""
        columns = self.ts_ms, self.labels, self.label_offsets, self.label_classes or self.ids
        if {*map(len, columns)} != {len(self.ids)}:
            raise ValueError(f"expected columns of equal length, got {[*map(len, columns)]}")


class PredictionReport(
    msgspec.Struct, frozen=True, kw_only=True, tag="predictions", tag_field="kind"
):
    """How many predictions of a model version there are up to an offset, since the first one.

    Written after every 500 predictions or more, at the end of a record. One that does not reach
    beyond the last one taken is a second report of the same predictions.
    """

    epoch: Count
    sequence: Count
    model: Name
    version: Version
    last_offset: Count  # of ``predictions``
    predictions: Tally
    resent: Tally  # among them: the id came before, and the first one counts
    first_ts_ms: Millis  # earliest event time since the report before
    last_ts_ms: Millis
    labels_read: bool  # whether all labels were read that the log had by then


class Fence(msgspec.Struct, frozen=True, kw_only=True, tag="fence", tag_field="kind"):
    """A new owner of the partition: what lower epochs append after this is void."""

    epoch: Count
    key: str = ""  # of the hashes by which it knows ids, as hexadecimal digits


class ControlChange(msgspec.Struct, frozen=True, kw_only=True, tag="control", tag_field="kind"):
    """From these offsets on, a model version is watched with this spec and this reference.

    For outcomes it takes effect where it stands in this log.
    """

    epoch: Count
    sequence: Count
    model: Name
    version: Version
    spec: MonitorSpec | None = None  # None: the defaults
    reference: Reference | None = None  # None: learned from the first rows
    predictions_offset: Count
    features_offset: Count
    spread: bool = False  # whether its first record had another key than the model
    adopted: dict[str, Millis] = {}  # series whose levels a person accepted, and when


class Gap(msgspec.Struct, frozen=True, kw_only=True, tag="gap", tag_field="kind"):
    """Records that were deleted before they were read, at most so many: offsets may be unused."""

    epoch: Count
    sequence: Count
    source: Literal["predictions", "features", "labels", "outcomes", "alerts"]
    first_offset: Count
    last_offset: Count

    def __post_init__(self) -> None:
        """Refuse a gap that ends before it begins."""
        if self.last_offset < self.first_offset:
            raise ValueError(
                f"expected last_offset >= first_offset {self.first_offset}, got {self.last_offset}"
            )


class Poison(msgspec.Struct, frozen=True, kw_only=True, tag="poison", tag_field="kind"):
    """Records that were accepted and could not be folded, by a fault of ours.

    ``alone``: they are left out, by every owner. Else at least one of them failed among the others
    of its batch, and they are folded one at a time to find out which.
    """

    epoch: Count
    sequence: Count
    source: Literal["predictions", "features", "labels", "outcomes", "alerts"]
    first_offset: Count
    last_offset: Count
    alone: bool
    error: Annotated[str, msgspec.Meta(max_length=500)]


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick", tag_field="kind"):
    """What time it was while no row of a model version came: windows that had ended by then close.

    It takes effect before the rows at these offsets.
    """

    epoch: Count
    sequence: Count
    model: Name
    version: Version
    now_ms: Millis  # by the worker's clock
    predictions_offset: Count
    features_offset: Count


JournalEntry = (
    Outcomes
    | Corrections
    | LabelReport
    | PredictionReport
    | Fence
    | ControlChange
    | Gap
    | Poison
    | Tick
)
