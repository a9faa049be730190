"""Window reports: one for each closed window. Topic ``windows``, key: model.

CloudEvents type ``io.tidegauge.window.closed.v1``.
"""

from typing import Literal

import msgspec

from tidegauge.schemas.outcomes import LabelCounts

WINDOW_TYPE = "io.tidegauge.window.closed.v1"


class ColumnReport(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity in one window."""

    count: int
    missing: int
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    unseen: int | None = None  # categorical: values the reference does not have


class SeriesReport(msgspec.Struct, frozen=True, kw_only=True):
    """One watched statistic in one window, and what its detector made of it."""

    value: float | None
    evidence: float | None = None  # log E
    threshold: float | None = None
    worth: float | None = None  # independent windows the reference amounts to; < 5: blatant only
    state: str = "quiet"  # quiet, pending, firing
    level_ms: int | None = None  # start of the level it is compared with; None: the reference


class SliceReport(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of one window."""

    slice: str  # as "country = DE"
    rows: int
    means: dict[str, float]  # of the numbers that are watched in it, and of the score
    missing: dict[str, int]  # rows without a feature that is watched in it, where there are any


class OutcomeSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Some pairs of one window."""

    slice: str  # as "country = DE"
    pairs: int
    metrics: dict[str, float]  # loss, error; of a classification accuracy and rates
    intervals: dict[str, tuple[float, float]]  # of 95%, by metric


class SliceGap(msgspec.Struct, frozen=True, kw_only=True):
    """How far the slices of a feature lie apart in a metric: most less least."""

    feature: str
    metric: str
    value: float
    interval: tuple[float, float]  # of 95%, of the difference of these two; they were not chosen
    least: str  # the slice with the least, as "country = DE"
    most: str


class WeakSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs whose loss is clearly worse than elsewhere, of all since slices are known."""

    slices: list[str]  # one, or two of different features that hold together
    pairs: int
    loss: float
    elsewhere: float  # mean loss of all other pairs
    worse: float  # loss less that
    interval: tuple[float, float]  # of ``worse``; all of a report hold in 95 of 100 cases
    looked_at: int  # slices and pairs of slices, for which it is corrected


class RestsOn(msgspec.Struct, frozen=True, kw_only=True):
    """How many labels metrics rest on, and how long these took to come."""

    pairs: int
    left_out: int = 0  # of them that no confusion matrix has a place for
    delay_ms: float | None = None  # half of the labels came no later after their predictions
    slow_delay_ms: float | None = None  # nine of ten did


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs whose score lies in one tenth of 0 to 1, and how often the label was positive."""

    above: float  # or equal to
    rows: int
    score: float  # mean
    share: float  # of positive labels
    interval: tuple[float, float]  # of 95%, of the share


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of pairs, and how sure they are."""

    metrics: dict[str, float | None]  # null: undefined
    intervals: dict[str, tuple[float, float]]  # of 95%, by metric
    rests_on: RestsOn
    reliability: list[ReliabilityBin] = []  # where the spec asks for ``ece``


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Mean losses of two versions on the same pairs, and by how much they differ."""

    pairs: int
    champion: float | None
    challenger: float | None
    difference: float | None  # below 0: the challenger is better
    interval: tuple[float, float] | None  # of 95%, of the difference


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How a challenger compares with the champion, on requests that both have answered."""

    champion: str
    challenger: str
    alone: tuple[int, int]  # labelled predictions of either that wait for the other's
    window: Difference  # since the report before
    since_deployment: Difference  # its interval holds however often one looks


class WindowReport(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a window report."""

    model: str
    version: str
    source: Literal["predictions", "features", "outcomes"]
    window: int  # counts the closed windows of this monitor
    state: Literal["learning", "provisional", "watching"]
    gathered: int = 0  # windows of the reference so far
    needed: int = 0  # that it must have before anything is watched; 0 once it is
    first_ts_ms: int
    last_ts_ms: int
    first_offset: int
    last_offset: int
    rows: int
    late: int  # rows of windows that had closed, counted here all the same
    ticked: bool = False  # whether the worker's clock closed it, as no row came
    early: int = 0  # rows that are far ahead of those around them
    observed: int  # all rows this monitor has folded so far
    columns: dict[str, ColumnReport]
    series: dict[str, SeriesReport] = {}
    slices: list[SliceReport] = []  # where the spec declares some
    outcome_slices: list[OutcomeSlice] = []  # the same, of outcomes
    gaps: list[SliceGap] = []  # between these
    weak_slices: list[WeakSlice] = []  # of all pairs since they are known, the surest first
    not_watched: list[str] = []  # series that the spec's detectors name and the model does not have
    metrics: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float]] = {}  # of 95%, by metric
    rests_on: RestsOn | None = None  # of the metrics
    reliability: list[ReliabilityBin] = []
    since_deployment: Evaluation | None = None  # of outcomes: all pairs of the version so far
    shortened: bool = False  # whether it was too large, and is without columns and series
    labels: LabelCounts | None = None  # of outcomes: of the model, since the window before
    comparison: Comparison | None = None  # of outcomes of a challenger
    revised: int = 0  # how often labels were corrected since it was told first; 0: not at all
    adwin: dict[str, float] = {}  # second opinion on the loss: windows kept, mean, alarms so far
