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
    late: int  # rows whose event time lies in an earlier window
    early: int = 0  # rows that are far ahead of those around them
    observed: int  # all rows this monitor has folded so far
    columns: dict[str, ColumnReport]
    series: dict[str, SeriesReport] = {}
    not_watched: list[str] = []  # series that the spec's detectors name and the model does not have
    metrics: dict[str, float | None] = {}
    shortened: bool = False  # whether it was too large, and is without columns and series
    labels: LabelCounts | None = None  # of outcomes: of the model, since the window before
    adwin: dict[str, float] = {}  # second opinion on the loss: windows kept, mean, alarms so far
