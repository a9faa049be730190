"""What a model's rows are compared with: reference profiles, and levels that a person accepts.

Topic ``references``.
"""

from typing import Annotated, Literal

import msgspec

from tidegauge.schemas.events import Count, Millis, Name, Version
from tidegauge.schemas.monitors import WindowSpec


class NumericProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Distribution of one number: value and mid-rank at up to 201 points, and its moments."""

    points: list[float]  # ascending
    ranks: list[float]  # mid-rank of each point minus one half, in [-0.5, 0.5]
    mean: float
    sd: float
    low: float
    high: float
    usual: tuple[float, float] | None = None  # the range without stray values; None: low to high


class CategoryProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Share of each category among the rows that have one."""

    shares: dict[str, float]


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Values that count as one, and their share of the rows that have a value."""

    name: str  # as a sentence holds it: "DE", "between 3.1 and 4.5"; empty: all others
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]  # 0: they count to the bin before


class SeriesProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Values of one watched statistic, a value a reference window; null where it had none."""

    values: list[float | None]
    sd: float  # of the quantity over rows: the unit of the effect
    shown: float  # mean of what people are shown for it
    rows: list[float] = []  # on how many each stands; one number: all; empty: it is not known
    variance: float | None = None  # of the quantity over the rows of a window; None: sd squared
    bins: Annotated[
        list[Bin], msgspec.Meta(max_length=21)
    ] = []  # of ``hist``, whose rows are pairs of rows
    silence: Count | None = (
        None  # of ``volume``: most windows in a row without a row; None: unknown
    )
    explained: float | None = None  # share of the windows' variance that follows the week for sure
    week: list[float] = []  # what is taken off, by piece of the week since 1970; empty: nothing
    week_shown: list[float] = []  # and of what people are shown; empty: as ``week``


class RelationProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How the rank of one number follows from those of others, and from categories."""

    numbers: dict[str, float]  # weight of the rank of each
    categories: list[tuple[str, str, float]] = []  # name, value and what it adds where it is there
    intercept: float


Period = tuple[Millis, Millis]  # event times, first and last: both belong to it


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reference that was built as a file is from: enough to build it again."""

    sha256: str  # of the bytes of the file of rows, as hexadecimal digits
    rows: Count  # of it that were used; those after the last full window are not in the reference
    excluded: list[Period] = []  # known to be bad
    excluded_rows: Count = 0
    spec: str  # digest of the spec it was cut by
    tidegauge: str  # version that built it
    alarms: list[str] = []  # told of its second half by its first, each its title


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One profile of a model version; an empty version serves every version without its own."""

    model: Name
    version: Version = ""
    source: Literal["predictions", "features"] = "predictions"  # the topic it describes
    rows: Count
    windows: WindowSpec  # the windows it was cut into
    first_ts_ms: Millis
    last_ts_ms: Millis
    numeric: dict[str, NumericProfile] = {}  # by feature, and "score"
    categorical: dict[str, CategoryProfile] = {}
    series: dict[str, SeriesProfile] = {}  # by series name: "rank(amount)", "missing(country)"
    slices: dict[str, SeriesProfile] = {}  # of series of slices: "rank(amount | country = DE)"
    relations: dict[str, RelationProfile] = {}  # by number, where it follows from others
    task: str = ""  # classification or regression, where outcomes are known
    outcomes: dict[str, SeriesProfile] = {}  # "loss", "error"; shown: "label", "score"
    provenance: Provenance | None = None  # None: learned without a file being written
    broken: dict[str, float] = {}  # share of its rows that break what the spec declares, by series

    @property
    def key(self) -> str:
        """The key of its record: the model, or the model and its version."""
        return reference_key(self.model, self.version)


def reference_key(model: str, version: str) -> str:
    """Return the key under which the reference of a model version is published.

    An ``@`` in a name is written ``%40`` and a ``%`` is written ``%25``, so that no two model
    versions share a key.

    >>> reference_key("fraud", ""), reference_key("fraud", "3"), reference_key("fraud@3", "")
    ('fraud', 'fraud@3', 'fraud%403')
    """
    names = [name.replace("%", "%25").replace("@", "%40") for name in (model, version) if name]
    return "@".join(names)


class Adoption(msgspec.Struct, frozen=True, kw_only=True, tag="adoption", tag_field="kind"):
    """A person accepts a new normal: the level that a series has kept is its reference.

    An empty version stands for all versions, an empty series for all that have a level.
    """

    model: Name
    version: Version = ""
    series: Annotated[str, msgspec.Meta(max_length=2100)] = ""  # as "rank(amount)"
    at_ms: Millis  # when it was said, which tells it from an earlier one

    @property
    def key(self) -> str:
        """The key of its record: unlike those of references it has two ``@`` or more."""
        model, version = reference_key(self.model, ""), reference_key(self.version, "")
        return f"{model}@{version}@{self.series}"


def version_name(model: str, version: str) -> str:
    """Return what to call a model version in a sentence."""
    return f"{model}@{version}" if version else model
