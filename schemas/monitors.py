"""Monitor specs: what a team may say about a model. Topic ``monitors``, key: model."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from tidegauge.schemas.events import Class, Finite, Name, Version

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# Nine digits: 2.7 million years at most, which is still a whole number of milliseconds in 64 bits.
Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(ms|s|m|h|d)\Z")]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


@lru_cache(maxsize=1024)  # asked for with every block of rows
def milliseconds(duration: str) -> int:
    """Return a duration such as ``90d``, ``9h``, ``500ms`` in milliseconds.

    >>> milliseconds("9h")
    32400000
    """
    match = re.fullmatch(r"([0-9]+)(ms|s|m|h|d)", duration)
    if match is None:
        raise ValueError(f"expected a duration such as 30s, 9h or 7d, got {duration!r}")
    return int(match[1]) * _UNITS[match[2]]


MAX_VALUES = 10  # of a feature by which rows are sliced
LEAST_COUNT = 1e-9  # of false alarms

WEEK_MS: Final = 7 * 86_400_000

MOST_OPEN = 100  # windows of event time within the lateness

SeriesName = Annotated[str, msgspec.Meta(min_length=1, max_length=2100)]  # see docs/monitors.md


FeatureName = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class WindowSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Blocks of ``rows`` rows, or of event time ``every``, from the epoch plus ``offset``.

    Those of event time stay open for rows that come ``lateness`` behind the latest one.
    """

    rows: Annotated[int, msgspec.Meta(ge=10, le=10_000_000)] | None = None
    every: Duration | None = None
    offset: Duration = "0ms"
    lateness: Duration = "0ms"

    def __post_init__(self) -> None:
        """Exactly one of the two kinds of windows."""
        if (self.rows is None) == (self.every is None):
            raise ValueError("expected either rows or every")
        if self.every is not None and milliseconds(self.every) <= 0:
            raise ValueError("every: expected a duration above zero")
        if self.lateness_ms and self.every is None:
            raise ValueError("lateness: expected windows of event time, by every")
        if self.every is not None and self.lateness_ms > MOST_OPEN * milliseconds(self.every):
            raise ValueError(f"lateness: expected {MOST_OPEN} times every at most")

    @property
    def lateness_ms(self) -> int:
        """By how much a row may come behind the latest one and still be in time."""
        return milliseconds(self.lateness)

    @property
    def weekly(self) -> int:
        """How many windows a week has; 0: they are of rows, or do not divide it.

        >>> WindowSpec(every="1h").weekly, WindowSpec(every="5h").weekly
        (168, 0)
        """
        count, rest = divmod(WEEK_MS, milliseconds(self.every)) if self.every else (0, 0)
        return 0 if rest or count < 2 else count  # noqa: PLR2004 - of one there is none to compare


class BudgetSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most ``count`` false series alarms of the model are expected in ``windows`` windows."""

    count: Positive = 1.0
    windows: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 90

    def __post_init__(self) -> None:
        """Refuse a count of which no threshold follows, as that is a logarithm of it."""
        if self.count < LEAST_COUNT:
            raise ValueError(f"count: expected {LEAST_COUNT} or more, got {self.count}")


FeatureType = Literal["numeric", "boolean", "categorical", "ignore"]
Category = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]  # longer ones are cut
LIMITS: Final[Mapping[str, tuple[FeatureType, ...]]] = MappingProxyType(
    {
        "min": ("numeric",),
        "max": ("numeric",),
        "allowed": ("categorical",),
        "pattern": ("categorical",),
        "required": ("numeric", "boolean", "categorical"),
    }
)  # and the types that may have them


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of one feature: its type, which may follow from its limits, and these.

    ``ignore`` leaves it out.
    """

    type: FeatureType | None = None
    min: Finite | None = None
    max: Finite | None = None
    allowed: Annotated[list[Category], msgspec.Meta(min_length=1)] | None = None
    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None  # RE2's
    required: bool = False

    def __post_init__(self) -> None:
        """Refuse limits that the type cannot have, or that nothing keeps."""
        kind, limits = self.kind, self.limits
        if self.type is None and not limits:
            raise ValueError("expected a type or a limit")
        for limit in limits:
            if kind is not None and kind not in LIMITS[limit]:
                told = f"type {kind}" if self.type else f"{limits[0]}, which is for {kind} ones"
                raise ValueError(
                    f"{limit}: expected a feature of type {' or '.join(LIMITS[limit])}, got {told}"
                )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: expected at most max, which is {self.max}, got {self.min}")

    @property
    def limits(self) -> list[str]:
        """The names of the limits that are said."""
        said = {name: getattr(self, name) for name in LIMITS}
        return [name for name, limit in said.items() if limit is not None and limit is not False]

    @property
    def kind(self) -> FeatureType | None:
        """Its type as said, or as its limits say; None: its rows tell.

        >>> FeatureSpec(min=0).kind, FeatureSpec(required=True).kind
        ('numeric', None)
        """
        types = (LIMITS[name][0] for name in self.limits if name != "required")
        return self.type or next(types, None)


Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]  # as file names have
Check = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]  # see docs/monitors.md


class SliceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows told apart by a feature: by ``values``, or of a number by so many ``quantiles``.

    Without either: by the most frequent categories, by each value of a number that has ten at most,
    and by the quartiles of others.
    """

    feature: FeatureName
    values: (
        Annotated[list[bool | int | float | str], msgspec.Meta(min_length=1, max_length=MAX_VALUES)]
        | None
    ) = None
    quantiles: Annotated[int, msgspec.Meta(ge=2, le=MAX_VALUES)] | None = None

    def __post_init__(self) -> None:
        """One of the two at most."""
        if self.values is not None and self.quantiles is not None:
            raise ValueError("expected values or quantiles, got both")


class GateSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Least shift worth an alert of the series of one column, in units that people know."""

    absolute: Positive | None = None  # of its values, or of loss and error, in their own unit
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None  # of rows, of its shares
    sd: Positive | None = None  # standard deviations, in place of what holds for all

    def __post_init__(self) -> None:
        """Refuse what says nothing, and two gates for the same series."""
        if self.absolute is None and self.share is None and self.sd is None:
            raise ValueError("expected absolute, share or sd")
        if self.absolute is not None and self.sd is not None:
            raise ValueError("expected either absolute or sd")

    def of(self, is_share: bool) -> str:
        """Return what holds for a share of rows, or for another series; empty: nothing.

        >>> GateSpec(absolute=5).of(is_share=False), GateSpec(absolute=5).of(is_share=True)
        ('absolute 5', '')
        """
        unit = "share" if is_share else "absolute"
        held = [(name, getattr(self, name)) for name in (unit, "sd")]
        return next((f"{name} {value:g}" for name, value in held if value is not None), "")


def feature_of(declared: str | SliceSpec) -> str:
    """Return by which feature rows are sliced.

    >>> feature_of("country"), feature_of(SliceSpec(feature="vip", values=[True]))
    ('country', 'vip')
    """
    return declared if isinstance(declared, str) else declared.feature


class EffectSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Least shift worth an alert, in standard deviations of reference rows (Cohen's d).

    ``by`` has others, by column or pattern of columns, by ``score``, ``loss`` or ``error``.
    """

    features: Positive = 0.2
    outcomes: Positive = 0.1
    by: Annotated[dict[Pattern, GateSpec], msgspec.Meta(max_length=200)] = {}

    def of(self, name: str) -> GateSpec | None:
        """Return what is said of a column: under its own name, else by the first that matches.

        >>> gates = {"amount*": GateSpec(absolute=5), "amount_eur": GateSpec(absolute=7)}
        >>> EffectSpec(by=gates).of("amount_eur").absolute
        7
        """
        matching = (gate for pattern, gate in self.by.items() if fnmatchcase(name, pattern))
        return self.by.get(name) or next(matching, None)


class DetectorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A detector that decides in place of the mixture e-detector for the series it names.

    ``series`` lists names such as ``rank(amount)``, ``rank(score)`` or ``loss``. On ``windows`` the
    detector sees each window's value in units of the reference; on ``rows`` the feature's own
    values, row by row. ``parameters`` are the detector's own.
    """

    kind: Literal["adwin", "page_hinkley"]
    on: Literal["windows", "rows"] = "windows"
    series: Annotated[list[SeriesName], msgspec.Meta(min_length=1)]
    parameters: dict[str, float | int | str] = {}


class RetrainingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an alert asks for retraining, and how long to keep quiet afterwards."""

    on: tuple[Literal["performance", "drift", "critical_drift"], ...] = ("performance",)
    cooldown: Duration = "7d"
    blatant: bool = False  # whether a blatant fault asks at once: mostly it is a thing to mend


class ReferenceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of the first windows are the reference where none is published; when it changes.

    A level that a series has kept for as long as ``adopt`` takes its place; None: never.
    """

    windows: Annotated[int, msgspec.Meta(ge=3, le=100_000)] = 30
    adopt: Duration | None = None


class LabelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long after its prediction a label still counts, and may revise a report.

    Windows are kept for as long as ``corrections`` takes, in event time; None: not at all.
    """

    horizon: Duration = "30d"
    corrections: Duration | None = None


class CompareSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two versions that answer the same requests, compared by their loss on these."""

    champion: Version
    challenger: Version

    def __post_init__(self) -> None:
        """Two versions, not one."""
        if self.champion == self.challenger:
            raise ValueError(f"expected two versions, got {self.champion!r} twice")


Metric = Literal[
    "accuracy", "balanced_accuracy", "precision", "recall", "f1",
    "precision_macro", "recall_macro", "f1_macro",
    "precision_micro", "recall_micro", "f1_micro",
    "precision_weighted", "recall_weighted", "f1_weighted",
    "kappa", "mcc", "roc_auc", "pr_auc", "log_loss", "brier", "ece",
    "roc_auc_macro", "roc_auc_weighted",
    "mae", "rmse", "r2", "smape", "quantile_loss",
]  # fmt: skip
Quantile = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class MonitorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model is watched. Everything but its name has a default."""

    model: Name
    features: dict[str, FeatureSpec] = {}  # those not named are inferred
    checks: Annotated[list[Check], msgspec.Meta(max_length=100)] = []  # that rows should pass
    windows: WindowSpec | None = None  # None: 500 rows, where so many come within a day, else a day
    reference: ReferenceSpec = ReferenceSpec()
    baseline: Literal["week"] | None = None  # None: all windows of the reference alike
    false_alarms: BudgetSpec = BudgetSpec()
    effect: EffectSpec = EffectSpec()
    slices: Annotated[list[FeatureName | SliceSpec], msgspec.Meta(max_length=8)] = []
    detectors: list[DetectorSpec] = []
    task: Literal["classification", "multiclass", "regression"] | None = None  # None: inferred
    positive: Class | None = None  # the label that scores are the probability of, where it is text
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5  # score that counts as positive
    metrics: list[Metric] | None = None  # None: the usual ones of the task
    quantile: Quantile = 0.5  # of the label that a regression predicts, for its quantile_loss
    labels: LabelSpec = LabelSpec()
    compare: CompareSpec | None = None
    retraining: RetrainingSpec = RetrainingSpec()

    def __post_init__(self) -> None:
        """Refuse what is to be compared by the week and cannot be."""
        if self.baseline and not (self.windows and self.windows.weekly):
            raise ValueError("baseline: expected windows of event time, by every, dividing a week")

    @property
    def types(self) -> dict[str, FeatureSpec]:
        """The features whose type is known, each with its type alone."""
        known = ((name, own.kind) for name, own in self.features.items())
        return {name: FeatureSpec(type=kind) for name, kind in known if kind is not None}


class MonitorsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``tidegauge apply`` reads."""

    monitors: Annotated[list[MonitorSpec], msgspec.Meta(min_length=1)]
